//! What the demo prints to look inside works as it is printed: while it stands, and what it
//! keeps also after.

use std::{fs, path::Path, process::Command};

use rustix::process::Signal;
use serde_json::Value;

use crate::subject::{Standing, assert_gone, home};

pub(crate) fn work(kubectl: &str, slice: u8) {
    let demo = Standing::start(slice, &["--keep"]);
    let all = commands(demo.guide());
    for program in ["kubectl", "curl", "openssl"] {
        assert!(all.iter().any(|line| line.starts_with(program)), "{all:?}");
    }
    for line in &all {
        run(line, kubectl);
    }
    let id = demo.id();
    let (status, rest) = demo.end(Signal::TERM);
    assert!(status.success(), "{rest}");
    let kept: Vec<&String> = all.iter().filter(|line| rest.contains(*line)).collect();
    assert!(kept.len() >= 3, "{rest}");
    for line in kept {
        run(line, kubectl);
    }
    fs::remove_dir_all(home(id)).unwrap();
    assert_gone(id, slice);
}

fn commands(guide: &Value) -> Vec<String> {
    let looks = guide["looks"].as_array().unwrap().iter();
    let commands = looks.map(|look| look["command"].as_str().unwrap().to_owned());
    commands.collect()
}

/// Runs a line as a shell would, with this kubectl.
fn run(line: &str, kubectl: &str) {
    let place = Path::new(kubectl).parent().unwrap().display().to_string();
    let path = format!("{place}:{}", std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", line]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    assert!(!output.stdout.is_empty(), "{line} shows nothing");
}
