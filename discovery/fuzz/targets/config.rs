//! What an operator writes: `discovery.yaml`. What is accepted listens in the clear on
//! loopback at most, and never stands still; what is refused is refused for a reason.
#![no_main]

use discovery::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(config) = serde_yaml_ng::from_str::<Config>(text) else {
        return;
    };
    match config.validate() {
        Ok(valid) => {
            let (listen, push) = (&valid.listen, &valid.push);
            assert!(listen.xds_plain_text.is_none_or(|at| at.ip().is_loopback()));
            assert!(listen.xds.is_none() || valid.tls.is_some());
            assert!(!valid.heartbeat.interval.is_zero() && !push.limit.is_zero());
            assert!(valid.heartbeat.stale_after > valid.heartbeat.interval);
            let state = valid.state.as_ref();
            assert!(state.is_none_or(|state| state.directory.is_absolute()));
        }
        Err(problems) => {
            assert!(problems.iter().all(|p| !p.path.is_empty()));
            assert!(!problems.is_empty(), "refused for nothing");
        }
    }
});
