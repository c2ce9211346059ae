//! Whatever ends the demo, nothing of it is left.

use std::{fs, net::TcpListener};

use rustix::process::Signal;

use crate::subject::{Standing, assert_gone, children, home, isthmus, said};

pub(crate) fn by_signal(arguments: &[&str], slices: [u8; 2]) {
    for (slice, kind) in slices.into_iter().zip([Signal::TERM, Signal::INT]) {
        let demo = Standing::start(slice, arguments);
        let id = demo.id();
        assert!(!children(id).is_empty());
        let status = demo.end(kind);
        assert!(status.success(), "{status}");
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

pub(crate) fn by_an_address_in_use() {
    for (slice, address) in [(41, "127.41.0.1:6443"), (43, "127.44.0.5:15443")] {
        let taken = TcpListener::bind(address).unwrap();
        let demo = isthmus(slice, &["--once"]).spawn().unwrap();
        let id = demo.id();
        let output = demo.wait_with_output().unwrap();
        let text = said(&output);
        assert!(!output.status.success() && text.contains(address), "{text}");
        drop(taken);
        assert_gone(id, slice);
    }
}
