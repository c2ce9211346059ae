//! `isthmus demo` as a user runs it: what it promises, and what it leaves behind.

#![cfg(feature = "demo")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage has nothing to say"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn isthmus(slice: u8, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
    command
        .args(["demo", "--slice", &slice.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Nothing of the demo of this process is left: no process, no file, no port.
fn assert_gone(demo: u32, slice: u8) {
    let asked = demo.to_string();
    let begun = Instant::now();
    let children = || {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&format!("--with-parent {asked} "))
                .then_some(line)
        });
        processes.collect::<Vec<String>>()
    };
    while !children().is_empty() {
        // The kernel kills what lost its parent; it is not there before.
        assert!(begun.elapsed() < SOON, "left: {:?}", children());
        std::thread::sleep(Duration::from_millis(10));
    }
    let home = std::env::temp_dir().join(format!("isthmus-demo-{demo}"));
    assert!(!home.exists(), "left: {}", home.display());
    for address in [
        format!("127.{slice}.0.1:6443"),
        format!("127.{slice}.0.3:15112"),
        format!("127.{slice}.0.5:15443"),
        format!("127.{}.0.5:15443", slice + 100),
    ] {
        TcpListener::bind(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
}

/// A demo at work, once its mesh stands.
fn standing(slice: u8) -> (Child, BufReader<ChildStdout>) {
    let mut demo = isthmus(slice, &["--json"]).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"clusters\"") {
        line.clear();
        let read = lines.read_line(&mut line).unwrap();
        assert!(read > 0, "the demo ended: {:?}", demo.wait_with_output());
    }
    let picture: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(picture["clusters"][0]["name"], "c1", "{line}");
    (demo, lines)
}

fn signal(demo: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(demo.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn every_promise_of_the_five_things_holds() {
    let begun = Instant::now();
    let demo = isthmus(11, &["--once", "--json"]).spawn().unwrap();
    let id = demo.id();
    let output = demo.wait_with_output().unwrap();
    let text = said(&output);
    let verdicts: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["holds"].is_boolean())
        .collect();
    for verdict in &verdicts {
        println!(
            "{}: {} (promised: {})",
            verdict["what"], verdict["measured"], verdict["promise"]
        );
        assert_eq!(verdict["holds"], true, "{verdict}");
    }
    println!("in {:.1?}", begun.elapsed());
    assert!(output.status.success() && verdicts.len() >= 14, "{text}");
    assert_gone(id, 11);
}

#[test]
fn a_signal_ends_all_of_it() {
    for (slice, kind) in [(21, Signal::TERM), (23, Signal::INT)] {
        let (mut demo, mut lines) = standing(slice);
        signal(&demo, kind);
        lines.read_to_string(&mut String::new()).unwrap();
        let status = demo.wait().unwrap();
        assert!(status.success(), "{status}");
        assert_gone(demo.id(), slice);
    }
}

#[test]
fn processes_of_a_killed_demo_end_with_it() {
    let (mut demo, _lines) = standing(31);
    signal(&demo, Signal::KILL);
    demo.wait().unwrap();
    // Nobody was left to remove the files.
    let home = std::env::temp_dir().join(format!("isthmus-demo-{}", demo.id()));
    fs::remove_dir_all(home).unwrap();
    assert_gone(demo.id(), 31);
}

#[test]
fn an_address_in_use_is_named_and_nothing_is_left() {
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

const SOON: Duration = Duration::from_secs(20);
