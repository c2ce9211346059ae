//! What the C library does with memory that is given back to it.

use std::{env, os::unix::process::CommandExt, process::Command};

/// Starts this program anew, once, so that it returns to the system what it has freed.
///
/// glibc takes each large block that is freed as a reason to keep the next: a gateway that
/// was told 6 MiB once would hold them for good. It is told otherwise by variables, which it
/// reads before anything else runs. Who has set one of them is left alone; where this is not
/// possible the program goes on as it is.
pub(crate) fn give_back() {
    if THRESHOLDS
        .iter()
        .any(|(name, _)| env::var_os(name).is_some())
    {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) else {
        return;
    };
    let mut again = Command::new(program);
    again.arg0(name).args(arguments).envs(THRESHOLDS);
    let error = again.exec();
    tracing::debug!(%error, "memory is kept when it is freed");
}

/// glibc's own, before it learns.
const THRESHOLDS: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];
