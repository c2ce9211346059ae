//! Texts of cells.

use discovery::serve::kube::column::at;
use serde_json::{Map, Value};

/// The text at a place; empty when there is none.
pub(super) fn one<'a>(object: &'a Map<String, Value>, pointer: &str) -> &'a str {
    at(object, pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The list at a place; empty when there is none.
pub(super) fn array<'a>(object: &'a Map<String, Value>, pointer: &str) -> &'a [Value] {
    at(object, pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>" } else { text }.to_owned()
}

/// `a=b,c=d`.
pub(super) fn labels(value: Option<&Value>) -> String {
    let labels = value.and_then(Value::as_object).into_iter().flatten();
    let labels: Vec<_> = labels
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(&labels.join(","))
}

/// The first `limit`, and how many more.
pub(super) fn join(all: &[String], limit: usize) -> String {
    let shown = all[..all.len().min(limit)].join(",");
    match all.len().saturating_sub(limit) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}
