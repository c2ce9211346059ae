//! `--once`: the five things, each promise checked.

use std::time::Instant;

use serde_json::Value;

use crate::subject::{assert_gone, isthmus, said};

/// Goes through the script, and demands that it did so with these sidecars.
pub(crate) fn hold(slice: u8, arguments: &[&str], sidecars: &str) {
    let begun = Instant::now();
    let arguments = [&["--once", "--json"], arguments].concat();
    let demo = isthmus(slice, &arguments).spawn().unwrap();
    let id = demo.id();
    let output = demo.wait_with_output().unwrap();
    let text = said(&output);
    assert!(text.contains(sidecars), "{text}");
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
    assert_gone(id, slice);
}
