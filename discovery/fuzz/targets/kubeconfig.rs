//! A remote secret's kubeconfig: whoever wrote it, what is taken of it is harmless.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| discovery::fuzz::kubeconfig(bytes));
