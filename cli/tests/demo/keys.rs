//! Keys, for those without kubectl: what each does is seen in the mesh, and undone by the same
//! key.

use rustix::process::Signal;
use serde_json::Value;

use crate::subject::{Standing, assert_gone};

pub(crate) fn play(slice: u8) {
    let mut demo = Standing::start(slice, &[]);
    let c1 = |picture: &Value| picture["clusters"][0].clone();
    let c2 = |picture: &Value| picture["clusters"][1].clone();
    let peer = |picture: &Value| c1(picture)["peers"][0].clone();

    demo.press('s');
    demo.until(|picture| peer(picture)["readyEndpoints"] == 3);
    demo.press('s');
    demo.until(|picture| peer(picture)["readyEndpoints"] == 1);

    demo.press('e');
    demo.until(|picture| c2(picture)["services"][0]["exported"] == false);
    demo.press('e');
    demo.until(|picture| c2(picture)["services"][0]["exported"] == true);

    demo.press('f');
    demo.until(|picture| peer(picture)["state"] == "stale");
    demo.press('f');
    demo.until(|picture| peer(picture)["state"] == "live");

    let before = c2(&demo.until(|_| true))["gateway"]["process"].clone();
    demo.press('k');
    demo.until(|picture| c2(picture)["gateway"]["process"].is_null());
    let back = demo.until(|picture| c2(picture)["gateway"]["ready"] == true);
    assert_ne!(c2(&back)["gateway"]["process"], before);

    demo.press('t');
    let told = |picture: &Value| picture["event"].as_str().unwrap_or_default().to_owned();
    let after = demo.until(|picture| told(picture).starts_with("replace c1's token"));
    assert_eq!(peer(&after)["state"], "live", "{}", told(&after));

    let id = demo.id();
    assert!(demo.end(Signal::TERM).0.success());
    assert_gone(id, slice);
}
