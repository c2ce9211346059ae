//! Answers without what is by chance.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use serde_json::{Map, Value, json};

/// Gives what is by chance names that do not depend on it: the same thing always the same one.
#[derive(Debug, Default)]
pub(crate) struct Normal {
    /// What texts are replaced by, longest first when it matters.
    known: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Normal {
    /// An object, a list or an event.
    pub(crate) fn value(&mut self, value: &Value) -> Value {
        self.learn(value);
        self.clean(value, "")
    }

    /// What a command printed.
    pub(crate) fn text(&self, text: &str) -> Vec<String> {
        let all = text.lines().filter(|line| !line.contains(REPAIR));
        let mut lines: Vec<_> = all.map(|line| self.line(line)).collect();
        if let [.., head, _, rule] = &lines[..]
            && head == "Events:"
            && rule.starts_with("  ----")
        {
            lines.truncate(lines.len() - 3);
            lines.push("Events: <none>".to_owned());
        }
        lines
    }

    /// Takes note of names that were generated, wherever they are said first.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                self.learn_object(map);
                map.values().for_each(|value| self.learn(value));
            }
            Value::Array(list) => list.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn learn_object(&mut self, map: &Map<String, Value>) {
        let text = |name: &str| map.get(name).and_then(Value::as_str);
        if let Some(hash) = text("pod-template-hash") {
            self.name(hash, "hash");
        }
        if let (Some(prefix), Some(name)) = (text("generateName"), text("name"))
            && let Some(suffix) = name
                .strip_prefix(prefix)
                .filter(|suffix| !suffix.is_empty())
        {
            let suffix = suffix.to_owned();
            self.name(&suffix, "suffix");
        }
        if let Some(address) = text("clusterIP").filter(|address| address.contains('.')) {
            self.name(address, "cluster-ip");
        }
        if let Some(uid) = text("uid").filter(|uid| uid.len() == 36) {
            self.name(uid, "uid");
        }
    }

    fn name(&mut self, text: &str, kind: &'static str) {
        if !self.known.contains_key(text) {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            self.known
                .insert(text.to_owned(), format!("<{kind}-{count}>"));
        }
    }

    fn clean(&self, value: &Value, field: &str) -> Value {
        match value {
            Value::Object(map) => {
                let by_chance = |name: &str| match name {
                    "managedFields" | TRIGGER => true,
                    "generation" => is_of_controller(map),
                    _ => false,
                };
                let kept = map.iter().filter(|(name, _)| !by_chance(name));
                let pairs =
                    kept.map(|(name, value)| (self.known_text(name), self.clean(value, name)));
                let mut clean: Map<_, _> = pairs.collect();
                if is_of_controller(map) && clean.get("annotations") == Some(&json!({})) {
                    clean.remove("annotations");
                }
                Value::Object(clean)
            }
            Value::Array(list) => list.iter().map(|value| self.clean(value, field)).collect(),
            Value::String(text) => json!(self.one(text, field)),
            Value::Number(_) if field == "nodePort" => json!("<node-port>"),
            other => other.clone(),
        }
    }

    fn one(&self, text: &str, field: &str) -> String {
        match field {
            "resourceVersion" if text.parse::<u64>().is_ok() => "<version>".to_owned(),
            "continue" if !text.is_empty() => "<continue>".to_owned(),
            "token" => "<token>".to_owned(),
            _ if is_time(text) => "<time>".to_owned(),
            _ => self.known_text(text),
        }
    }

    fn known_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (known, name) in &self.known {
            if text.contains(known.as_str()) {
                text = text.replace(known.as_str(), name);
            }
        }
        numbers_of_versions(&text)
    }

    fn line(&self, line: &str) -> String {
        for head in [
            "CreationTimestamp:",
            "Start Time:",
            "  resourceVersion:",
            "  uid:",
        ] {
            if line.starts_with(head) {
                return format!("{head} <by chance>");
            }
        }
        let words = line.split(' ').map(|word| {
            let bare = word.trim_matches(['"', ',', '(', ')']);
            if is_time(bare) {
                word.replace(bare, "<time>")
            } else if is_age(bare) {
                word.replace(bare, "<age>")
            } else {
                self.known_text(word)
            }
        });
        // Columns are as wide as what is in them, which is by chance.
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        let indent = line.len() - line.trim_start().len();
        format!("{}{}", " ".repeat(indent), words.join(" "))
    }
}

/// Whether this is the metadata of a slice that its controller writes: how often, and whether
/// it notes why, is by chance.
fn is_of_controller(metadata: &Map<String, Value>) -> bool {
    let labels = metadata.get("labels");
    labels.is_some_and(|labels| labels["endpointslice.kubernetes.io/managed-by"].is_string())
}

/// Versions inside of messages.
fn numbers_of_versions(text: &str) -> String {
    let marks = [
        "too old resource version: ",
        "Too large resource version: ",
        "in record (",
    ];
    if marks.iter().any(|mark| text.contains(mark)) {
        let mut out = String::new();
        for sign in text.chars() {
            match (sign.is_ascii_digit(), out.ends_with('#')) {
                (true, true) => {}
                (true, false) => out.push('#'),
                (false, _) => out.push(sign),
            }
        }
        return out;
    }
    text.to_owned()
}

fn is_time(text: &str) -> bool {
    text.len() >= 20
        && text.len() <= 30
        && text.ends_with('Z')
        && text.as_bytes().get(10) == Some(&b'T')
        && text.as_bytes().get(4) == Some(&b'-')
}

/// `5s`, `2m3s`: how long ago something was.
fn is_age(text: &str) -> bool {
    text.ends_with(['s', 'm'])
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, 's' | 'm' | 'h'))
}

/// Shows what [`Normal::text`] does to a Service that was repaired.
pub(crate) fn repairs_are_left_out() -> Result<(), Failed> {
    let repaired = "Name:  hello\nEvents:\n  Type     Reason  Age  From  Message\n  ----     ------  \
        ----  ----  -------\n  Warning  ClusterIPNotAllocated  1s  \
        ipallocator-repair-controller  Cluster IP [IPv4]: 10.0.0.1 is not allocated; repairing\n";
    let other = repaired.replace("\n  Warning", "\n  Normal  Other  1s  one  more\n  Warning");
    let normal = Normal::default();
    let (repaired, other) = (normal.text(repaired), normal.text(&other));
    let is_left_out = repaired == ["Name: hello", "Events: <none>"] && other.len() == 5;
    match is_left_out {
        true => Ok(()),
        false => Err(format!("{repaired:?}, {other:?}").into()),
    }
}

/// kube-apiserver repairs a Service's address when it hears of the Service before it hears of
/// the address that it has just given it.
const REPAIR: &str = "ipallocator-repair-controller";
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
