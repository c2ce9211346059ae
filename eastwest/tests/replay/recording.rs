//! A stream of a real istiod as it was recorded (`tests/recorded/`): one file for each
//! response, `<step>.<place>.<type>.pb`.

use std::{collections::BTreeMap, fs, path::PathBuf};

use eastwest::sync::{message::Response, session::Kind};
use prost::Message;

/// The responses of each step, in their order.
pub(crate) type Steps = BTreeMap<String, Vec<Response>>;

/// All steps of a recording.
pub(crate) fn steps(name: &str) -> Steps {
    let mut files: Vec<PathBuf> = fs::read_dir(directory().join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut steps = Steps::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (step, _) = name.split_once('.').unwrap();
        let response = Response::decode(&*fs::read(&file).unwrap()).unwrap();
        steps.entry(step.to_owned()).or_default().push(response);
    }
    steps
}

/// One response of a gateway whose metadata were others.
pub(crate) fn variant(name: &str) -> Response {
    let file = directory().join("variants").join(name);
    Response::decode(&*fs::read(file).unwrap()).unwrap()
}

/// An answer without anything in it.
pub(crate) fn empty(kind: Kind) -> Response {
    Response {
        type_url: kind.url().to_owned(),
        nonce: "empty".to_owned(),
        ..Default::default()
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/istiod-1.32")
}
