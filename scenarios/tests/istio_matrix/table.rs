//! The answers beside one another, and the differences that are accepted.

use std::{collections::BTreeMap, fmt, ptr, time::Duration};

use scenarios::report::Took;

use super::{
    cell::{Cell, Name},
    client_hello::Cut,
    mesh::{SERVING, WILD_PORT},
    question::{Answer, Kind},
};

/// Both answers to a question.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) cell: Cell<'a>,
    pub(super) envoy: Answer,
    pub(super) ours: Answer,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Table<'a>(pub(super) Vec<Outcome<'a>>);

/// A difference that is meant.
#[derive(Debug)]
struct Accepted {
    service: &'static str,
    form: &'static str,
    port: u16,
    envoy: Kind,
    ours: Kind,
    why: &'static str,
}

/// The cells of one name that got one pair of answers.
#[derive(Debug)]
struct Line<'a> {
    name: &'a Name,
    envoy: Kind,
    ours: Kind,
    /// Protocols and ways; empty where it is all.
    which: String,
}

impl<'a> Table<'a> {
    /// Differences that nobody has argued for, and arguments for differences that are not
    /// there.
    pub(super) fn surprises(&self) -> Vec<String> {
        let lines = self.lines();
        let differ = lines.iter().filter(|line| line.envoy != line.ours);
        let surprising = differ.filter(|line| !ACCEPTED.iter().any(|a| a.covers(line)));
        let mut all: Vec<String> = surprising.map(ToString::to_string).collect();
        let absent = |a: &&Accepted| !lines.iter().any(|line| a.covers(line));
        let absent = ACCEPTED.iter().filter(absent);
        all.extend(absent.map(|a| format!("there is no such difference: {a:?}")));
        all
    }

    /// Whether some backend was reached by both, and some client reset.
    pub(super) fn is_told_apart(&self) -> bool {
        let has = |is: fn(&Outcome<'_>) -> bool| self.0.iter().any(is);
        has(|o| o.envoy.kind.is_reached() && o.ours.kind.is_reached())
            && has(|o| o.envoy.kind == Kind::Reset && o.ours.kind == Kind::Reset)
    }

    /// How long the client waited that was reset last.
    pub(super) fn slowest_refusal(&self) -> String {
        let slowest = |of: fn(&Outcome<'_>) -> Answer| {
            let resets = self.0.iter().map(of).filter(|a| a.kind == Kind::Reset);
            Took(resets.map(|a| a.after).max().unwrap_or(Duration::ZERO))
        };
        let (envoy, ours) = (slowest(|o| o.envoy), slowest(|o| o.ours));
        format!("Envoy {envoy}, ours {ours}")
    }

    fn lines(&self) -> Vec<Line<'a>> {
        let same_name = |a: &Outcome<'a>, b: &Outcome<'a>| ptr::eq(a.cell.name, b.cell.name);
        let mut lines = Vec::new();
        for of_name in self.0.chunk_by(same_name) {
            let mut groups: BTreeMap<(Kind, Kind), Vec<Cell<'a>>> = BTreeMap::new();
            for outcome in of_name {
                let answers = (outcome.envoy.kind, outcome.ours.kind);
                groups.entry(answers).or_default().push(outcome.cell);
            }
            lines.extend(groups.into_iter().map(|((envoy, ours), cells)| Line {
                name: cells[0].name,
                envoy,
                ours,
                which: match cells.len() == of_name.len() {
                    true => String::new(),
                    false => format!(": {}", which(&cells)),
                },
            }));
        }
        lines
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "    {line}")?;
            for accepted in ACCEPTED.iter().filter(|a| a.covers(&line)) {
                writeln!(f, "          accepted: {}", accepted.why)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name {
            service,
            form,
            port,
            ..
        } = self.name;
        write!(f, "{port} {service:<9} {form:<19} ")?;
        match self.envoy == self.ours {
            true => write!(f, "{}{}", self.ours, self.which),
            false => write!(
                f,
                "Envoy: {}, ours: {}{}",
                self.envoy, self.ours, self.which
            ),
        }
    }
}

impl Accepted {
    fn covers(&self, line: &Line<'_>) -> bool {
        let name = line.name;
        (name.service, name.form, name.port) == (self.service, self.form, self.port)
            && (line.envoy, line.ours) == (self.envoy, self.ours)
    }
}

/// The protocols of these; with the ways, where not all of them got that answer.
fn which(cells: &[Cell<'_>]) -> String {
    let same_alpn = |a: &Cell<'_>, b: &Cell<'_>| a.alpn == b.alpn;
    let shown = cells.chunk_by(same_alpn).map(|cells| {
        let alpn = cells[0].alpn.unwrap_or("none");
        let cuts: Vec<&str> = cells.iter().map(|cell| cell.cut.label()).collect();
        match cuts.len() == Cut::ALL.len() {
            true => alpn.to_owned(),
            false => format!("{alpn} ({})", cuts.join(", ")),
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Each must occur.
const ACCEPTED: &[Accepted] = &[
    Accepted {
        service: SERVING,
        form: "under a wildcard",
        port: WILD_PORT,
        envoy: Kind::Bytes,
        ours: Kind::Reset,
        why: "istiod wants TLS within mTLS of the gateway's own to a pod with a sidecar; ours \
              has no identity to lend, and never passes what is to be wrapped on unwrapped",
    },
    Accepted {
        service: "-",
        form: "that with a dot",
        port: WILD_PORT,
        envoy: Kind::Handshake,
        ours: Kind::Reset,
        why: "Envoy keeps `*.x` as `.x` among exact names, and so finds that too; no host has \
              such a name, and ours reads `*` as at least one character",
    },
];
