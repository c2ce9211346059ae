//! Discovery's file of what it knew.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| discovery::fuzz::snapshot(bytes));
