//! What the kernel holds for a process beside its memory: the bytes in its sockets and
//! pipes.

use std::{
    collections::HashSet,
    fs::{read_dir, read_link},
    process::{Command, Stdio},
};

use rustix::{
    io::ioctl_fionread,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

/// Whether `ss` is there, which asks the kernel about sockets.
pub(crate) fn may_be_asked() -> bool {
    let mut probe = Command::new("ss");
    probe.arg("-V").stdout(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Memory behind the sockets of a process: what came and was not read, what waits to be
/// acknowledged, and what is set aside for more of both (`r`, `w`, `f`, `o` and `bl` of
/// `skmem` in ss(8); the others are limits, or parts of these).
pub(crate) fn of_sockets(process: u32) -> u64 {
    let mut ss = Command::new("ss");
    let told = ss.args(["-t", "-O", "-m", "-n", "-p", "-H"]).output();
    let told = told.unwrap();
    let own = format!("pid={process},");
    let lines = std::str::from_utf8(&told.stdout).unwrap().lines();
    lines.filter(|l| l.contains(&own)).map(of_socket).sum()
}

fn of_socket(line: &str) -> u64 {
    let (_, memory) = line.split_once("skmem:(").expect("skmem");
    let (memory, _) = memory.split_once(')').unwrap();
    let bytes = |part: &str| {
        let digits = part.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let name = &part[..part.len() - digits.len()];
        let counts = ["r", "w", "f", "o", "bl"].contains(&name);
        counts.then(|| digits.parse::<u64>().unwrap())
    };
    memory.split(',').filter_map(bytes).sum()
}

/// Bytes in the pipes of a process.
pub(crate) fn of_pipes(process: u32) -> u64 {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.unwrap(), PidfdFlags::empty()).unwrap();
    let mut seen = HashSet::new();
    let ends = read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let pipes = ends.filter(|end| {
        // One that is closed meanwhile holds nothing. Each pipe has two ends.
        let link = read_link(end.path()).unwrap_or_default();
        link.to_string_lossy().starts_with("pipe:") && seen.insert(link)
    });
    let bytes = |end: std::fs::DirEntry| {
        let raw = end.file_name().to_str()?.parse().ok()?;
        let own = pidfd_getfd(&pidfd, raw, PidfdGetfdFlags::empty()).ok()?;
        ioctl_fionread(own).ok()
    };
    pipes.filter_map(bytes).sum()
}
