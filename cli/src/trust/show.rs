//! `show`: a chain for people, with a verdict.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::Context as _;
use trust_lib::{
    Error,
    bundle::Bundle,
    certificate::{
        Certificate, Refusal,
        chain::{self, Purpose},
        timestamp,
    },
    hierarchy::Ca,
    store::WorkloadCredential,
};

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// A CA directory, a leaf directory, or a PEM file (leaf first).
    path: PathBuf,
    /// The roots to judge by; without it those of the directory (root-cert.pem).
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Judge as of this moment (RFC 3339, such as 2026-11-23T12:00:00Z).
    #[arg(long, value_parser = humantime::parse_rfc3339)]
    at: Option<SystemTime>,
}

/// What is to be shown, as it was read.
struct Exhibit {
    chain: Vec<Certificate>,
    bundle: Option<Bundle>,
    /// Why the key beside the chain does not serve it.
    key_trouble: Option<String>,
}

pub(super) fn show(
    order: &Show,
    now: SystemTime,
    out: &mut dyn io::Write,
) -> anyhow::Result<ExitCode> {
    let at = order.at.unwrap_or(now);
    let exhibit = Exhibit::read(order, at)?;
    let verdict = exhibit.verdict(at);
    let mut text = String::new();
    exhibit.describe(&mut text);
    match &verdict {
        Ok(way) => {
            let names: Vec<_> = way.iter().map(Certificate::label).collect();
            let _ = writeln!(text, "verdict: trusted\n  {}", names.join("\n  signed by "));
        }
        Err(reason) => {
            let _ = writeln!(text, "verdict: REFUSED\n  {reason}");
        }
    }
    out.write_all(text.as_bytes())?;
    Ok(match verdict {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

impl Exhibit {
    fn read(order: &Show, at: SystemTime) -> anyhow::Result<Self> {
        let path = &order.path;
        let own_roots = path.join(ROOTS);
        let roots = order
            .bundle
            .as_ref()
            .or(own_roots.exists().then_some(&own_roots));
        let bundle = roots
            .map(|file| Ok::<_, anyhow::Error>(Bundle::from_pem(&read(file)?, &name(file))?))
            .transpose()?;
        let is_ca = path.join(CA_CERT).exists();
        let mut chain = Vec::new();
        for file in files_of(path, is_ca) {
            for certificate in Certificate::all_from_pem(&read(&file)?, &name(&file))? {
                if !chain.contains(&certificate) {
                    chain.push(certificate);
                }
            }
        }
        Ok(Self {
            chain,
            bundle,
            key_trouble: path
                .is_dir()
                .then(|| key_trouble(path, is_ca, at))
                .flatten(),
        })
    }

    /// The way to a root, or why there is none.
    fn verdict(&self, at: SystemTime) -> Result<Vec<Certificate>, String> {
        let bundle = self
            .bundle
            .as_ref()
            .ok_or("there are no roots to judge by: give --bundle FILE")?;
        let chain: Vec<_> = self.chain.iter().map(|c| c.der().clone()).collect();
        let of = |purpose| {
            chain::verify(&chain, bundle, purpose, at.into()).map_err(|r: Refusal| r.to_string())
        };
        let way = match self.chain.first() {
            Some(first) if first.is_ca() => of(Purpose::Authority)?,
            Some(first) => {
                let way = of(Purpose::Server).and_then(|_| of(Purpose::Client))?;
                first.identity().map_err(|refusal| refusal.to_string())?;
                way
            }
            None => return Err(Refusal::Empty.to_string()),
        };
        self.key_trouble.clone().map_or(Ok(way), Err)
    }

    fn describe(&self, text: &mut String) {
        let _ = writeln!(text, "chain");
        for certificate in &self.chain {
            describe(text, certificate);
        }
        if let Some(bundle) = &self.bundle {
            let _ = writeln!(text, "bundle");
            for root in bundle.roots() {
                describe(text, root);
            }
        }
    }
}

fn describe(text: &mut String, certificate: &Certificate) {
    let or_none = |id: Option<String>| id.unwrap_or_else(|| "none".to_owned());
    let path_len = certificate
        .path_len()
        .map_or(String::new(), |limit| format!(", pathlen {limit}"));
    let _ = writeln!(
        text,
        "  {}{path_len}\n    issuer  {}\n    valid   {} to {}\n    serial  {}\n    sha256  {}\n    ski     {}\n    aki     {}",
        certificate.label(),
        certificate.issuer(),
        timestamp(certificate.not_before()),
        timestamp(certificate.not_after()),
        certificate.serial(),
        certificate.fingerprint(),
        or_none(certificate.subject_key_id()),
        or_none(certificate.authority_key_id()),
    );
    for uri in certificate.uris() {
        let _ = writeln!(text, "    uri     {uri}");
    }
}

/// The files that make up a chain, in order.
fn files_of(path: &Path, is_ca: bool) -> Vec<PathBuf> {
    match (path.is_dir(), is_ca) {
        (false, _) => vec![path.to_owned()],
        (true, false) => vec![path.join(CHAIN)],
        (true, true) => vec![path.join(CA_CERT), path.join(CHAIN)],
    }
}

/// Whether the directory's own key is missing or another's. Trouble with the chain itself is
/// the verdict's to tell.
fn key_trouble(path: &Path, is_ca: bool, at: SystemTime) -> Option<String> {
    let outcome = if is_ca {
        Ca::read(path, at.into()).map(|_| ())
    } else {
        WorkloadCredential::read(path).map(|_| ())
    };
    match outcome {
        Ok(()) | Err(Error::Refused { .. }) => None,
        Err(error) => Some(error.to_string()),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| {
        format!(
            "{} cannot be read: give a CA directory, a leaf directory or a PEM file",
            file.display()
        )
    })
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

const CA_CERT: &str = "ca-cert.pem";
const CHAIN: &str = "cert-chain.pem";
const ROOTS: &str = "root-cert.pem";
