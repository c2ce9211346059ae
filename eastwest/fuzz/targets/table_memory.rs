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
    let Ok(memory) = Memory::decode(&sealed(&bytes[end..]), &edge) else {
        return;
    };
    let again = memory.encode().expect("bytes");
    assert_eq!(Memory::decode(&again, &edge).as_ref(), Ok(&memory));
    serve(&memory.routes);
});
