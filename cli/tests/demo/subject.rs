//! The demo as a process: started, listened to, ended, and looked for when it is gone.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A demo with the built-in sidecars, of which a test knows where it stands.
pub(crate) fn isthmus(slice: u8, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
    command
        .args(["demo", "--slice", &slice.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !arguments.contains(&"--envoy") {
        command.args(["--sidecars", "builtin"]);
    }
    command
}

/// All that it printed.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Where the demo of this process keeps its files.
pub(crate) fn home(demo: u32) -> PathBuf {
    std::env::temp_dir().join(format!("isthmus-demo-{demo}"))
}

/// The logs that a demo which failed says it has left; they are removed.
pub(crate) fn take_logs(demo: u32, text: &str) -> Vec<String> {
    let place = logs(demo);
    assert!(
        text.contains(&format!("logs: {}", place.display())),
        "{text}"
    );
    let files = fs::read_dir(&place).unwrap().map(|file| {
        let name = file.unwrap().file_name();
        name.into_string().unwrap()
    });
    let files = files.collect();
    fs::remove_dir_all(place).unwrap();
    files
}

fn logs(demo: u32) -> PathBuf {
    home(demo).with_extension("logs")
}

/// Nothing of the demo of this process is left: no process, no file, no port.
pub(crate) fn assert_gone(demo: u32, slice: u8) {
    let begun = Instant::now();
    while !children(demo).is_empty() {
        // The kernel kills what lost its parent; it is not there before.
        assert!(begun.elapsed() < SOON, "left: {:?}", children(demo));
        std::thread::sleep(Duration::from_millis(10));
    }
    for place in [home(demo), logs(demo)] {
        assert!(!place.exists(), "left: {}", place.display());
    }
    for address in [
        format!("127.{slice}.0.1:6443"),
        format!("127.{slice}.0.3:15112"),
        format!("127.{slice}.0.5:15443"),
        format!("127.{slice}.2.1:15001"),
        format!("127.{}.0.5:15443", slice + 100),
    ] {
        TcpListener::bind(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
}

/// What the demo of this process started, with the command lines: each names a file of its home.
pub(crate) fn children(demo: u32) -> Vec<(u32, String)> {
    let file = format!("{}/", home(demo).display());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let place = entry.ok()?.path();
        let id = place.file_name()?.to_str()?.parse().ok()?;
        let line = fs::read(place.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&file).then_some((id, line))
    });
    processes.collect()
}

/// A demo at work that tells in JSON.
pub(crate) struct Standing {
    demo: Child,
    lines: Option<BufReader<ChildStdout>>,
    guide: Value,
}

impl Standing {
    /// Starts one, and waits until its mesh stands.
    pub(crate) fn start(slice: u8, arguments: &[&str]) -> Self {
        let mut standing = Self::listen(isthmus(slice, &[&["--json"], arguments].concat()));
        standing.guide = standing.until(|line| line["guide"].is_object())["guide"].take();
        let picture = standing.until(|line| line["clusters"].is_array());
        assert_eq!(picture["clusters"][0]["name"], "c1", "{picture}");
        standing
    }

    /// Listens to one that was started so.
    pub(crate) fn listen(mut command: Command) -> Self {
        let mut demo = command.spawn().unwrap();
        let lines = demo.stdout.take().map(BufReader::new);
        let guide = Value::Null;
        Self { demo, lines, guide }
    }

    /// What it said can be tried, and where its files are.
    pub(crate) fn guide(&self) -> &Value {
        &self.guide
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.demo.id()
    }

    /// The first line from now on that is so; fails when the demo ends before.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let mut text = String::new();
            let lines = self.lines.as_mut().unwrap();
            let read = lines.read_line(&mut text).unwrap();
            if read == 0 {
                let mut error = String::new();
                let stderr = self.demo.stderr.take();
                stderr.unwrap().read_to_string(&mut error).unwrap();
                panic!("the demo ended: {error}");
            }
            let line: Value = serde_json::from_str(&text).unwrap();
            if wanted(&line) {
                return line;
            }
            assert!(begun.elapsed() < LONG, "still: {line}");
        }
    }

    /// Types a key, as a line.
    pub(crate) fn press(&mut self, key: char) {
        let keys = self.demo.stdin.as_mut().unwrap();
        writeln!(keys, "{key}").unwrap();
    }

    /// Sends it a signal, and waits for its end; what it still said.
    pub(crate) fn end(mut self, signal: Signal) -> (ExitStatus, String) {
        send(self.id(), signal);
        let mut rest = String::new();
        self.lines
            .as_mut()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        (self.demo.wait().unwrap(), rest)
    }

    /// Listens no more, and waits for its end.
    pub(crate) fn leave(mut self) -> ExitStatus {
        drop(self.lines.take());
        self.demo.wait().unwrap()
    }
}

/// Sends a signal to a process that this test started.
pub(crate) fn send(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

impl Drop for Standing {
    fn drop(&mut self) {
        // One that a test ended is gone already.
        let _ = self.demo.kill();
        let _ = self.demo.wait();
    }
}

const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);
