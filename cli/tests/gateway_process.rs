//! `isthmus eastwest` as a process: what it serves, and how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage has nothing to say"
)]

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};

const NAME: &str = "outbound_.80_._.hello.sample.svc.cluster.local";

/// A gateway in a process of its own, in front of `endpoint`.
struct Gateway {
    /// Present until it has ended.
    child: Option<Child>,
    mesh: SocketAddr,
    readiness: SocketAddr,
    metrics: SocketAddr,
    endpoint: TcpListener,
    _directory: tempfile::TempDir,
}

impl Gateway {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
        let [mesh, readiness, metrics, debug] = free_addresses();
        let address = endpoint.local_addr().unwrap();
        let routes = directory.path().join("routes.yaml");
        fs::write(
            &routes,
            format!("routes: [{{ sni: {NAME}, endpoints: [{{ address: \"{address}\" }}] }}]\n"),
        )
        .unwrap();
        let mut config = String::new();
        writeln!(config, "cluster: c1\nnetwork: network1").unwrap();
        writeln!(
            config,
            "node: {{ pod: gw, namespace: istio-system, address: 127.0.0.1, workload: gw }}"
        )
        .unwrap();
        writeln!(config, "source: {{ file: {} }}", routes.display()).unwrap();
        writeln!(config, "listen: {{ mesh: \"{mesh}\", readiness: \"{readiness}\", metrics: \"{metrics}\", debug: \"{debug}\" }}").unwrap();
        writeln!(config, "dial: {{ allowLoopback: true }}").unwrap();
        let file = directory.path().join("eastwest.yaml");
        fs::write(&file, config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_isthmus"))
            .args(["eastwest", "--config"])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let gateway = Self {
            child: Some(child),
            mesh,
            readiness,
            metrics,
            endpoint,
            _directory: directory,
        };
        eventually("ready", || gateway.is_ready() == Some(true));
        gateway
    }

    /// A client's connection after its hello, and the endpoint's side of it.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let hello = hello();
        let mut client = TcpStream::connect(self.mesh).unwrap();
        client.write_all(&hello).unwrap();
        let (mut endpoint, _) = self.endpoint.accept().unwrap();
        let mut arrived = vec![0; hello.len()];
        endpoint.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, hello, "the hello passes unchanged");
        (client, endpoint)
    }

    /// Whether it says that it is ready; `None` when it does not answer.
    fn is_ready(&self) -> Option<bool> {
        match get(self.readiness, "/healthz/ready")?.as_str() {
            "200" => Some(true),
            "503" => Some(false),
            other => panic!("readiness answers {other}"),
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    fn end(mut self) -> Output {
        let child = self.child.as_mut().unwrap();
        eventually("its end", || child.try_wait().unwrap().is_some());
        self.child.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A test failed; if the gateway ended meanwhile, so much the better.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn sigterm_makes_it_unready_closes_the_door_and_lets_connections_end() {
    let gateway = Gateway::start();
    let (mut client, mut endpoint) = gateway.connect();
    gateway.signal(Signal::TERM);
    eventually("unready", || gateway.is_ready() == Some(false));
    eventually("closed", || TcpStream::connect(gateway.mesh).is_err());

    endpoint.write_all(b"late").unwrap();
    let mut late = [0; 4];
    client.read_exact(&mut late).unwrap();
    assert_eq!(&late, b"late", "a connection goes on during the drain");
    let page = get(gateway.metrics, "/metrics").unwrap();
    assert_eq!(page, "200", "metrics are served during the drain");

    client.shutdown(Shutdown::Write).unwrap();
    drop(endpoint);
    let output = gateway.end();
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(
        log.contains(NAME) && log.contains("\"reason\":\"finished\""),
        "{log}"
    );
}

#[test]
fn a_second_signal_ends_it_although_a_connection_is_open() {
    let gateway = Gateway::start();
    let _open = gateway.connect();
    gateway.signal(Signal::TERM);
    eventually("unready", || gateway.is_ready() == Some(false));
    gateway.signal(Signal::INT);
    let output = gateway.end();
    assert!(!output.status.success(), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("cut short by a second signal, SIGINT"),
        "{error}"
    );
}

#[test]
fn it_is_one_process_that_gives_freed_memory_back() {
    let gateway = Gateway::start();
    let pid = gateway.child.as_ref().unwrap().id();
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let told = "MALLOC_TRIM_THRESHOLD_=131072";
    assert!(environment.split('\0').any(|set| set == told));
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments: Vec<&str> = arguments.split('\0').collect();
    assert_eq!(arguments[1..3], ["eastwest", "--config"]);
}

/// The status of `GET path`; `None` when nobody answers.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1).map(str::to_owned)
}

/// What a sidecar sends first.
fn hello() -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"istio".to_vec()];
    let name = NAME.try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Addresses that nobody listens on: held together, so that they differ.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < limit, "never {what}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_process_that_is_not_our_parent_is_not_taken_for_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .args(["--with-parent", "1", "trust", "show", "nowhere"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("--with-parent: process 1 has ended"),
        "{said}"
    );
}
