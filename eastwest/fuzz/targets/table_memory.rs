//! The gateway's state file. What is read is what would be written, and makes a table.
#![no_main]

use eastwest::{
    fuzz::sealed,
    sync::memory::{Edge, Memory},
};
use eastwest_fuzz::{config, serve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let edge = Edge::of(config());
    // Whatever the bytes say of their own length and sum.
    let _ = Memory::decode(bytes, &edge);
    // A good sum, so that the content is read.
    let end = bytes
        .iter()
        .position(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let Some(good) = sealed(&bytes[end..]) else {
        return;
    };
    let Ok((memory, unused)) = Memory::decode(&good, &edge) else {
        return;
    };
    assert_eq!(unused, 0);
    let again = memory.clone().encode().expect("bytes");
    let read = Memory::decode(&again, &edge);
    assert_eq!(read.as_ref(), Ok(&(memory, 0)));
    serve(&read.expect("a memory").0.routes);
});
