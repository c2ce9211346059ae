//! Whether the process may open as many descriptors as its limits promise.
//!
//! Too few break nothing: accepting pauses until connections end. But then the limit
//! that counts is one that nobody wrote, so it is said at the start.

use rustix::process::{Resource, getrlimit};

use crate::config::Config;

/// Says so when the process may open fewer descriptors than its settings promise.
pub fn check(config: &Config) {
    let (wanted, may) = (wanted(config), getrlimit(Resource::Nofile).current);
    if let Some(may) = may.filter(|&may| may < wanted) {
        tracing::warn!(
            may,
            wanted,
            "too few descriptors for limits.connections and relay.pipes: raise the limit of \
             open files, or lower these settings"
        );
    }
}

/// The descriptors of a gateway at all of its limits: two for each connection and pipe.
#[must_use]
pub fn wanted(config: &Config) -> u64 {
    2 * (u64::from(config.limits.connections) + u64::from(config.relay.pipes)) + OWN
}

/// Listeners, runtimes, the control plane, the process around the gateway.
const OWN: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_and_each_pipe_has_two() {
        let text = include_str!("../../examples/eastwest.yaml");
        let mut config: Config = serde_yaml_ng::from_str(text).unwrap();
        let before = wanted(&config);
        config.limits.connections += 10;
        config.relay.pipes += 1;
        assert_eq!(wanted(&config), before + 22);
    }
}
