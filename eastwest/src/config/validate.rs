//! Finds everything that is wrong with a [`Config`], at once.

use std::{fmt, net::SocketAddr, ops::Deref};

use tokio_rustls::rustls::pki_types::ServerName;

use super::{Config, Istiod, Source, Xds};

/// A configuration that a gateway can be started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated(Config);

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, such as `dial.attempts`.
    pub path: String,
    /// What is wrong, and what to write.
    pub message: String,
}

impl Config {
    /// Checks the whole of it.
    ///
    /// # Errors
    /// Every problem, in the order of the file.
    pub fn validate(self) -> Result<Validated, Vec<Problem>> {
        let mut found = Vec::new();
        self.names(&mut found);
        self.source.check(&mut found);
        self.kept(&mut found);
        self.bounds(&mut found);
        if found.is_empty() {
            Ok(Validated(self))
        } else {
            Err(found)
        }
    }

    fn names(&self, found: &mut Vec<Problem>) {
        for (path, name) in [
            ("cluster", &self.cluster),
            ("network", &self.network),
            ("node.pod", &self.node.pod),
            ("node.namespace", &self.node.namespace),
            ("node.workload", &self.node.workload),
        ] {
            if name.is_empty() || name.contains(['~', ';', ' ']) {
                let message = format!("`{name}` is no name: not empty, without '~', ';', ' '");
                found.push(Problem::new(path, message));
            }
        }
    }

    fn kept(&self, found: &mut Vec<Problem>) {
        let Some(state) = &self.state else { return };
        if self.source.xds.is_none() && self.source.istiod.is_none() {
            let message = "routes of a file are on disk already: leave it out";
            found.push(Problem::new("state", message));
        }
        if !state.directory.is_absolute() {
            let message = "write an absolute path, on a volume that outlives the process";
            found.push(Problem::new("state.directory", message));
        }
        if state.every.0.is_zero() {
            found.push(Problem::new("state.every", "must be more than zero"));
        }
    }

    fn bounds(&self, found: &mut Vec<Problem>) {
        let mut within = |path: &str, is: usize, low: usize, high: usize| {
            if !(low..=high).contains(&is) {
                found.push(Problem::new(path, format!("{is} is not in {low}..={high}")));
            }
        };
        within("workers", self.workers, 0, 1024);
        within("hello.bytes", self.hello.bytes.0, 512, 65_536);
        for (path, is) in [
            ("limits.connections", self.limits.connections),
            (
                "limits.connectionsPerSource",
                self.limits.connections_per_source,
            ),
            ("limits.waitingHellos", self.limits.waiting_hellos),
            (
                "limits.waitingHellosPerSource",
                self.limits.waiting_hellos_per_source,
            ),
        ] {
            within(path, is as usize, 1, 1 << 24);
        }
        within("dial.attempts", self.dial.attempts.into(), 1, 8);
        within("relay.pipes", self.relay.pipes as usize, 0, 1 << 16);
        for (path, span, least, most) in [
            ("hello.timeout", self.hello.timeout, 1, DAYS),
            ("dial.timeout", self.dial.timeout, 1, DAYS),
            ("dial.eject.time", self.dial.eject.time, 1, DAYS),
            ("relay.idle", self.relay.idle, 1, DAYS),
            ("relay.keepalive", self.relay.keepalive, 1_000, KEEPALIVE),
            ("relay.userTimeout", self.relay.user_timeout, 1, DAYS),
            ("drain.limit", self.drain.limit, 0, DAYS),
        ] {
            let is = span.0.as_millis();
            if !(least..=most).contains(&is) {
                let message = format!("{is} ms is not in {least}..={most} ms");
                found.push(Problem::new(path, message));
            }
        }
    }
}

impl Deref for Validated {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

impl Problem {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Source {
    fn check(&self, found: &mut Vec<Problem>) {
        match (&self.xds, &self.istiod, &self.file) {
            (Some(xds), None, None) => xds.check(found),
            (None, Some(istiod), None) => istiod.check(found),
            (None, None, Some(_)) => {}
            _ => found.push(Problem::new(
                "source",
                "write exactly one of xds, istiod and file",
            )),
        }
    }
}

/// What is wrong with an address of a control plane.
fn address(path: &str, address: &str, found: &mut Vec<Problem>) {
    let port = address.rsplit_once(':').map(|(_, port)| port.parse());
    if !matches!(port, Some(Ok::<u16, _>(_))) {
        found.push(Problem::new(path, format!("`{address}` is no host:port")));
    }
}

impl Istiod {
    fn check(&self, found: &mut Vec<Problem>) {
        address("source.istiod.address", &self.address, found);
        let name = self.server_name();
        if !self.plain_text && ServerName::try_from(name).is_err() {
            let path = "source.istiod.serverName";
            let message = format!("`{name}` is no DNS name or IP address");
            found.push(Problem::new(path, message));
        }
        if self.hold.0.as_millis() > DAYS {
            let path = "source.istiod.hold";
            found.push(Problem::new(path, format!("more than {DAYS} ms")));
        }
    }

    /// The name that istiod's certificate must be for.
    #[must_use]
    pub fn server_name(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        self.server_name.as_deref().unwrap_or(host)
    }
}

impl Xds {
    fn check(&self, found: &mut Vec<Problem>) {
        address("source.xds.address", &self.address, found);
        let tls = "source.xds.tls";
        match (self.plain_text, &self.tls) {
            (true, Some(_)) => {
                found.push(Problem::new(tls, "plainText and tls exclude each other"))
            }
            (true, None) if !is_loopback(&self.address) => found.push(Problem::new(
                "source.xds.plainText",
                "only for a loopback address such as 127.0.0.1:15112",
            )),
            (false, None) => found.push(Problem::new(
                tls,
                "write tls: { directory: ... }, or plainText: true on loopback",
            )),
            (false, Some(_)) if self.identity.is_none() => found.push(Problem::new(
                "source.xds.identity",
                "name the control plane's identity, spiffe://<td>/ns/<namespace>/sa/<account>",
            )),
            _ => {}
        }
    }
}

fn is_loopback(address: &str) -> bool {
    address
        .parse::<SocketAddr>()
        .is_ok_and(|address| address.ip().is_loopback())
}

/// Twenty days, in milliseconds: what the kernel takes for `TCP_USER_TIMEOUT` and the
/// clock can add.
const DAYS: u128 = 20 * 24 * 3_600_000;
/// The longest `TCP_KEEPIDLE` that the kernel takes.
const KEEPALIVE: u128 = 32_767_000;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../examples/eastwest.yaml");

    #[test]
    fn the_example_is_valid_and_names_every_default() {
        let config: Config = serde_yaml_ng::from_str(GOOD).unwrap();
        let valid = config.validate().unwrap();
        assert_eq!(valid.state.as_ref().unwrap().every, super::super::second());
        assert_eq!(valid.hello, super::super::Hello::default());
        assert_eq!(valid.limits, super::super::Limits::default());
        assert_eq!(valid.dial, super::super::Dial::default());
        assert_eq!(valid.relay, super::super::Relay::default());
        assert_eq!(valid.drain, super::super::Drain::default());
        assert_eq!(valid.listen, super::super::Listen::default());
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let mut config: Config = serde_yaml_ng::from_str(GOOD).unwrap();
        config.cluster = String::new();
        config.dial.attempts = 0;
        config.hello.bytes = super::super::Bytes(1);
        config.source.file = Some("routes.yaml".into());
        let found = config.validate().unwrap_err();
        let paths: Vec<_> = found.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["cluster", "source", "hello.bytes", "dial.attempts"]);
    }

    #[test]
    fn only_what_a_control_plane_says_is_kept() {
        let mut config: Config = serde_yaml_ng::from_str(GOOD).unwrap();
        config.source.xds = None;
        config.source.file = Some("routes.yaml".into());
        let state = config.state.as_mut().unwrap();
        state.directory = "here".into();
        state.every = super::super::Span::seconds(0);
        let found = config.validate().unwrap_err();
        let paths: Vec<_> = found.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["state", "state.directory", "state.every"]);
    }

    #[test]
    fn plain_text_is_for_loopback() {
        let mut config: Config = serde_yaml_ng::from_str(GOOD).unwrap();
        let xds = config.source.xds.as_mut().unwrap();
        (xds.plain_text, xds.tls) = (true, None);
        xds.address = "10.10.0.3:15112".to_owned();
        let found = config.clone().validate().unwrap_err();
        assert_eq!(found[0].path, "source.xds.plainText");
        config.source.xds.as_mut().unwrap().address = "127.0.0.1:15112".to_owned();
        config.validate().unwrap();
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = GOOD.replace("accessLog:", "acessLog:");
        assert!(serde_yaml_ng::from_str::<Config>(&text).is_err());
    }
}
