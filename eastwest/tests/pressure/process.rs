//! The gateway's process: what it does, and the test's handle on it.

use std::{
    io::{BufRead, BufReader, Write, sink, stdin, stdout},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use eastwest::{Config, start_with};
use rustix::{
    param::clock_ticks_per_second,
    pipe::{fcntl_getpipe_size, pipe},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::world::{eventually, routes};

/// The first argument of a process that is to be the gateway.
pub(crate) const ROLE: &str = "gateway";

/// A gateway at work in a process of its own, which ends with this value.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _directory: TempDir,
}

/// How a gateway's process is started.
#[derive(Default)]
pub(crate) struct Orders<'a> {
    /// YAML beside the routes.
    pub(crate) settings: &'a str,
    /// SNI and endpoint of each route.
    pub(crate) routes: &'a [(&'a str, SocketAddr)],
    /// Its limit of open descriptors.
    pub(crate) descriptors: Option<u64>,
    /// Whether it first takes all pipes that its user may have.
    pub(crate) no_pipes: bool,
    /// The user that it runs as.
    pub(crate) user: Option<u32>,
    /// A program that runs it, with that program's arguments.
    pub(crate) under: &'a [&'a str],
    /// YAML of its source, in place of the routes.
    pub(crate) source: Option<&'a str>,
}

impl Process {
    pub(crate) fn to(settings: &str, routes: &[(&str, SocketAddr)]) -> Self {
        Self::start(&Orders {
            settings,
            routes,
            ..Orders::default()
        })
    }

    pub(crate) fn start(orders: &Orders<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = command(orders, &directory).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().parse().expect("an address");
        Self {
            address,
            child,
            talk: Mutex::new((stdin, stdout)),
            _directory: directory,
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its page of metrics.
    pub(crate) fn page(&self) -> String {
        let mut talk = self.talk.lock().unwrap();
        talk.0.write_all(b"page\n").unwrap();
        let mut page = String::new();
        while !page.ends_with("\n.\n") {
            assert_ne!(talk.1.read_line(&mut page).unwrap(), 0, "the gateway died");
        }
        page
    }

    /// The value of a metric with this name and label; 0 when it is not shown.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let page = self.page();
        let named = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && rest.contains(label)
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
        page.lines().find(named).map_or(0.0, value)
    }

    /// How many connections ended for this reason.
    pub(crate) fn closed(&self, reason: &str) -> f64 {
        let label = format!("reason=\"{reason}\"");
        self.metric("isthmus_eastwest_connections_closed_total", &label)
    }

    /// How often a limit was met.
    pub(crate) fn hits(&self, limit: &str) -> f64 {
        let label = format!("limit=\"{limit}\"");
        self.metric("isthmus_eastwest_limit_hits_total", &label)
    }

    /// Bytes carried by `splice` and by copy.
    pub(crate) fn carried(&self) -> (f64, f64) {
        let by = |way: &str| {
            let label = format!("by=\"{way}\"");
            self.metric("isthmus_eastwest_relayed_bytes_total", &label)
        };
        (by("splice"), by("copy"))
    }

    pub(crate) async fn until_closed(&self, reason: &str, count: f64) {
        eventually(reason, || self.closed(reason) >= count).await;
    }

    pub(crate) async fn until_open(&self, count: f64) {
        let open = || self.metric("isthmus_eastwest_connections_open", "");
        eventually("open", || open() == count).await;
    }

    /// Bytes that it holds in memory of its own, by the kernel's account.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// How many sockets it has open.
    pub(crate) fn sockets(&self) -> usize {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        // One that is closed meanwhile is none.
        let links = all.flatten().filter_map(|fd| fd.path().read_link().ok());
        links
            .filter(|l| l.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// The processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = [11, 12]
            .map(|at: usize| fields[at].parse::<u64>().unwrap())
            .iter()
            .sum();
        Duration::from_millis(1000 * ticks / clock_ticks_per_second())
    }

    /// Ends it; what it wrote to standard error, if that was kept.
    pub(crate) fn end(mut self) -> String {
        let (stdin, _stdout) = self.talk.get_mut().unwrap();
        stdin.write_all(b"end\n").unwrap();
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut BufReader::new(stderr), &mut said).unwrap();
        }
        self.child.wait().unwrap();
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(orders: &Orders<'_>, directory: &TempDir) -> Command {
    let file = directory.path().join("routes.yaml");
    let each = orders.routes.iter().map(|(sni, at)| routes(sni, &[*at]));
    let text: String = each.map(|one| one.replacen("routes:\n", "", 1)).collect();
    std::fs::write(&file, format!("routes:\n{text}")).unwrap();
    let source = orders
        .source
        .map_or_else(|| format!("{{ file: {} }}", file.display()), str::to_owned);
    let config = format!(
        "cluster: c1\nnetwork: network1\nnode: {{ pod: gw-0, namespace: istio-system, address: \
         10.10.0.5, workload: istio-eastwestgateway }}\nlisten: {{ mesh: \"127.0.0.1:0\" }}\n\
         workers: 2\ndial: {{ allowLoopback: true }}\nsource: {source}\n{}",
        orders.settings
    );
    // By its link, so that a user who may not look into the directory can still run it.
    let own = "/proc/self/exe";
    let real = std::env::current_exe().unwrap();
    let mut command = match orders.under {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(real).stderr(Stdio::piped());
            command
        }
        [] => Command::new(own),
    };
    command.args([ROLE, &config]);
    command.arg(orders.descriptors.unwrap_or_default().to_string());
    command.arg(orders.no_pipes.to_string());
    if let Some(user) = orders.user {
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), everyone).unwrap();
        command.uid(user).gid(user);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Is the gateway until it is told to end, or nobody can tell it any more.
pub(crate) fn play(orders: &[String]) {
    let [config, descriptors, no_pipes] = orders else {
        panic!("{orders:?}")
    };
    let descriptors = descriptors.parse().unwrap();
    if descriptors > 0 {
        limit_descriptors(descriptors);
    }
    let _held = (no_pipes == "true").then(take_all_pipes);
    let config: Config = serde_yaml_ng::from_str(config).unwrap();
    let stop = CancellationToken::new();
    let log = Box::new(sink());
    let gateway = start_with(config.validate().unwrap(), stop.clone(), log).unwrap();
    let mut out = stdout().lock();
    writeln!(out, "{}", gateway.address()).unwrap();
    for line in stdin().lock().lines() {
        match line.unwrap().as_str() {
            "page" => write!(out, "{}\n.\n", gateway.status().metrics()).unwrap(),
            _ => break,
        }
        out.flush().unwrap();
    }
    stop.cancel();
}

fn limit_descriptors(to: u64) {
    let limit = Rlimit {
        current: Some(to),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Pipes until the kernel gives this user only small ones.
fn take_all_pipes() -> Vec<impl Sized> {
    let mut held = Vec::new();
    loop {
        let pair = pipe().expect("pipes until the quota of the user is used up");
        let size = fcntl_getpipe_size(&pair.0).unwrap();
        held.push(pair);
        if size < 64 << 10 {
            return held;
        }
        assert!(held.len() < 4096, "no quota of pipes holds for this user");
    }
}
