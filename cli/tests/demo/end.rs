//! Whatever ends the demo, nothing of it is left.

use std::{fs, net::TcpListener};

use rustix::process::Signal;
use serde_json::Value;

use crate::subject::{Standing, assert_gone, children, home, isthmus, said, send, take_logs};

pub(crate) fn by_signal(arguments: &[&str], slices: [u8; 2]) {
    for (slice, kind) in slices.into_iter().zip([Signal::TERM, Signal::INT]) {
        let demo = Standing::start(slice, arguments);
        let id = demo.id();
        assert!(!children(id).is_empty());
        let (status, rest) = demo.end(kind);
        assert!(status.success() && !rest.contains("logs:"), "{rest}");
        assert_gone(id, slice);
    }
}

pub(crate) fn by_kill(arguments: &[&str], slice: u8) {
    let demo = Standing::start(slice, arguments);
    let id = demo.id();
    demo.end(Signal::KILL);
    // Nobody was left to remove the files.
    fs::remove_dir_all(home(id)).unwrap();
    assert_gone(id, slice);
}

pub(crate) fn by_deafness(slice: u8) {
    let demo = Standing::start(slice, &[]);
    let id = demo.id();
    let status = demo.leave();
    assert!(status.success(), "{status}");
    assert_gone(id, slice);
}

/// Logs are left of what failed, nothing else.
pub(crate) fn by_an_address_in_use() {
    for (slice, address) in [(41, "127.41.0.1:6443"), (43, "127.44.0.5:15443")] {
        let taken = TcpListener::bind(address).unwrap();
        let demo = isthmus(slice, &["--once"]).spawn().unwrap();
        let id = demo.id();
        let output = demo.wait_with_output().unwrap();
        let text = said(&output);
        assert!(!output.status.success() && text.contains(address), "{text}");
        drop(taken);
        let logs = take_logs(id, &text);
        assert!(logs.contains(&"demo.log".to_owned()), "{logs:?}");
        assert_gone(id, slice);
    }
}

pub(crate) fn with_a_broken_promise(slice: u8) {
    let mut demo = Standing::listen(isthmus(slice, &["--once", "--json"]));
    let up = |line: &Value| {
        line["said"]
            .as_str()
            .is_some_and(|s| s.starts_with("up in"))
    };
    demo.until(up);
    let id = demo.id();
    let is_gateway = |(_, line): &(u32, String)| line.contains("c2/eastwest.json");
    let (gateway, _) = children(id).into_iter().find(is_gateway).unwrap();
    send(gateway, Signal::KILL);
    // Nobody starts it again before the script comes to that.
    demo.until(|line| line["holds"] == false);
    let (status, rest) = demo.end(Signal::TERM);
    assert_eq!(status.code(), Some(1), "{rest}");
    let logs = take_logs(id, &rest);
    assert!(logs.contains(&"c2-eastwest.log".to_owned()), "{logs:?}");
    assert_gone(id, slice);
}
