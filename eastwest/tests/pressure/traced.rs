//! What the kernel says of a long transfer: the bytes of every call that moves any, summed
//! by `strace`.
//!
//! The gateway's own account cannot tell of a call that it does not count. Each byte is
//! counted on its way in and on its way out, whichever calls take it.

use std::{
    fs::read_to_string,
    process::{Child, Command, Stdio},
};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{
    fault,
    load::{Load, SPLICED},
    quota::unprivileged,
    skipped, trial,
    way::Raw,
    world::eventually,
};

pub(crate) fn trials() -> Vec<Trial> {
    let name = "strace_sees_an_unprivileged_gateway_splice";
    vec![match may_trace() {
        true => trial(name, sums),
        false => skipped(name, "needs root and strace"),
    }]
}

async fn sums() {
    let gateway = unprivileged(false).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut tracer = Tracer::of(gateway.id(), file.path()).await;
    let load = Load::LONG;
    let done = load.carry(&gateway, &Raw::to(&gateway)).await;
    tracer.end();
    let moved = Moved::by(&read_to_string(file.path()).unwrap());
    assert!(
        moved.spliced + moved.copied >= 2 * load.bytes(),
        "{moved:?}"
    );
    let share = 100.0 * moved.spliced as f64 / (moved.spliced + moved.copied) as f64;
    assert!(share >= 95.0, "{moved:?}");
    let calls = moved.calls;
    let measured = format!("{share:.1} % of the bytes of {calls} calls; {done}");
    let what = "64 x 16 MiB both ways, unprivileged, seen by strace";
    fault("relay", what, SPLICED, measured);
}

/// `strace`, attached to a process.
struct Tracer(Child);

impl Tracer {
    /// Attached to every thread of `process` once this returns.
    async fn of(process: u32, file: &std::path::Path) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-z", "-s", "0", "-e", "signal=none"]);
        strace.args(["-e", &format!("trace={SPLICE},{}", COPIES.join(","))]);
        strace.arg("-o").arg(file);
        strace.args(["-p", &process.to_string()]);
        let tracer = Self(strace.spawn().unwrap());
        eventually("strace is attached", || is_traced(process)).await;
        tracer
    }

    /// Lets the process go, and writes the last line.
    fn end(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), Signal::INT).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sums of what calls returned.
#[derive(Debug, Default)]
struct Moved {
    spliced: u64,
    copied: u64,
    calls: u64,
}

impl Moved {
    /// By what `strace` wrote.
    fn by(trace: &str) -> Self {
        let mut moved = Self::default();
        for line in trace.lines() {
            let Some((call, bytes)) = returned(line) else {
                continue;
            };
            moved.calls += 1;
            match call {
                SPLICE => moved.spliced += bytes,
                call if COPIES.contains(&call) => moved.copied += bytes,
                call => panic!("not asked for: {call}"),
            }
        }
        moved
    }
}

/// The name of a call and what it returned: `1 splice(…) = 65536`, or the second half of
/// one that another thread's line cut in two, `1 <... splice resumed>) = 65536`. A look
/// (`MSG_PEEK`) moves nothing.
fn returned(line: &str) -> Option<(&str, u64)> {
    let (said, bytes) = line.rsplit_once(" = ")?;
    let (_, said) = said.split_once(' ')?;
    let said = said.trim_start();
    let said = said.strip_prefix("<... ").unwrap_or(said);
    let end = said.find(['(', ' '])?;
    let peeks = said.contains("MSG_PEEK");
    let bytes = bytes.trim().parse().ok()?;
    (!peeks).then_some((&said[..end], bytes))
}

fn is_traced(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

fn may_trace() -> bool {
    let mut probe = Command::new("strace");
    probe
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null());
    geteuid().is_root() && probe.status().is_ok_and(|status| status.success())
}

const SPLICE: &str = "splice";
const COPIES: [&str; 14] = [
    "read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg", "write", "writev",
    "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg",
];
