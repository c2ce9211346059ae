//! What the tests stand on: credentials, endpoints, a gateway with settings of the test.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use eastwest::{Config, Gateway, drain::Report, start_with, status::Status};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::{
    hierarchy::{Ca, Tier, create_root},
    identity::SpiffeId,
    store::WorkloadCredential,
    tls::{LiveCredential, Peers, client_config, server_config},
};

pub(crate) const SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A gateway and what it wrote.
pub(crate) struct World {
    pub(crate) status: Status,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
    log: Log,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
    gateway: Gateway,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl World {
    /// A gateway with static routes; `settings` is YAML beside them.
    pub(crate) fn with_routes(settings: &str, routes: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("routes.yaml");
        std::fs::write(&file, routes).unwrap();
        let source = format!("source: {{ file: {} }}\n{settings}", file.display());
        Self::start(directory, &source)
    }

    /// A gateway with one route to these endpoints.
    pub(crate) fn to(settings: &str, endpoints: &[SocketAddr]) -> Self {
        Self::with_routes(settings, &routes(SNI, endpoints))
    }

    /// A gateway with this source and settings.
    pub(crate) fn start(directory: TempDir, settings: &str) -> Self {
        let mut text = String::from(
            "cluster: c1\nnetwork: network1\nnode: { pod: gw-0, namespace: istio-system, \
             address: 10.10.0.5, workload: istio-eastwestgateway }\n\
             listen: { mesh: \"127.0.0.1:0\" }\nworkers: 2\n",
        );
        if !settings.contains("dial:") {
            text.push_str("dial: { allowLoopback: true }\n");
        }
        text.push_str(settings);
        let config: Config = serde_yaml_ng::from_str(&text).unwrap();
        let log = Log::default();
        let stop = CancellationToken::new();
        let writer = Box::new(log.clone());
        let gateway = start_with(config.validate().unwrap(), stop.clone(), writer).unwrap();
        Self {
            status: gateway.status(),
            address: gateway.address(),
            directory,
            log,
            _stops_when_dropped: stop.clone().drop_guard(),
            stop,
            gateway,
        }
    }

    pub(crate) fn rewrite_routes(&self, routes: &str) {
        std::fs::write(self.directory.path().join("routes.yaml"), routes).unwrap();
    }

    /// Tells the gateway to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end: what was cut, and the whole access log.
    pub(crate) async fn end(self) -> (Report, Vec<Value>) {
        self.stop.cancel();
        let report = self.gateway.join().await;
        let log = self.log.0.lock().unwrap();
        let lines = log.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice(line).unwrap());
        (report, lines.collect())
    }

    /// The value of a metric with this name and, in this order, these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.status.metrics();
        let mut lines = page.lines().filter(|line| {
            let named = line.strip_prefix(name).unwrap_or_default();
            named.starts_with(['{', ' ']) && labels.iter().all(|label| named.contains(label))
        });
        let line = lines.next();
        line.map_or(0.0, |line| {
            line.rsplit(' ').next().unwrap().parse().unwrap()
        })
    }

    /// How many connections ended for this reason.
    pub(crate) fn closed(&self, reason: &str) -> f64 {
        let label = format!("reason=\"{reason}\"");
        self.metric("isthmus_eastwest_connections_closed_total", &[&label])
    }

    /// Waits until so many connections ended for this reason.
    pub(crate) async fn until_closed(&self, reason: &str, count: f64) {
        eventually(reason, || self.closed(reason) >= count).await;
        assert_eq!(self.closed(reason), count, "{reason}");
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that has sent a ClientHello for the world's route.
    pub(crate) async fn say_hello(&self) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(&hello(SNI)).await.unwrap();
        client
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `routes.yaml` with one route.
pub(crate) fn routes(sni: &str, endpoints: &[SocketAddr]) -> String {
    let service = "{ host: helloworld.sample.svc.cluster.local, name: helloworld, \
                   namespace: sample }";
    let mut text = format!("routes:\n  - sni: {sni}\n    service: {service}\n    endpoints:\n");
    for (priority, address) in endpoints.iter().enumerate() {
        let _ = writeln!(
            text,
            "      - {{ address: \"{address}\", priority: {priority}, workload: \
             {{ name: helloworld-v1, namespace: sample, cluster: c1 }} }}"
        );
    }
    text
}

/// Waits for something that happens on other threads.
pub(crate) async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One mesh: a root, and a leaf for whoever asks.
pub(crate) struct Mesh(Ca);

impl Mesh {
    pub(crate) fn new() -> Self {
        let (day, now) = (Duration::from_secs(86_400), OffsetDateTime::now_utc());
        let root = create_root("cluster.local", 1, 10 * day, now).unwrap();
        let tier = Tier::Intermediate("c1");
        Self(root.create_below(tier, 1, 5 * day, now).unwrap())
    }

    pub(crate) fn client(&self, account: &str) -> Arc<ClientConfig> {
        let td = "cluster.local".parse().unwrap();
        client_config(&self.live(account), Peers::TrustDomain(td), &[b"istio"]).unwrap()
    }

    pub(crate) fn server(&self, account: &str, alpn: &[u8]) -> Arc<ServerConfig> {
        let td = "cluster.local".parse().unwrap();
        server_config(&self.live(account), Peers::TrustDomain(td), &[alpn]).unwrap()
    }

    /// A leaf directory, as discovery and the gateway read it.
    pub(crate) fn write_leaf(&self, namespace: &str, account: &str, to: &Path) -> PathBuf {
        let td = "cluster.local".parse().unwrap();
        let id = SpiffeId::workload(&td, namespace, account).unwrap();
        let (day, now) = (Duration::from_secs(86_400), OffsetDateTime::now_utc());
        let directory = to.join(account);
        let leaf = self.0.issue(&id, day, now).unwrap();
        leaf.write(&directory, now).unwrap();
        directory
    }

    fn live(&self, account: &str) -> LiveCredential {
        let directory = tempfile::tempdir().unwrap();
        let leaf = self.write_leaf("sample", account, directory.path());
        LiveCredential::new(WorkloadCredential::read(&leaf).unwrap())
    }
}

/// The first bytes of a real client that wants this name and offers `istio`.
pub(crate) fn hello(sni: &str) -> Vec<u8> {
    hello_with(Some(sni), &[b"istio"])
}

pub(crate) fn hello_with(sni: Option<&str>, alpn: &[&[u8]]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config.enable_sni = sni.is_some();
    let name = ServerName::try_from(sni.unwrap_or("none").to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// An endpoint that the test plays itself. Many may wait until it takes them.
pub(crate) async fn endpoint() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(4096).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    endpoint().await.1
}

/// Takes the next connection of an endpoint and reads a ClientHello from it.
pub(crate) async fn take(listener: &TcpListener) -> (TcpStream, Vec<u8>) {
    let (mut stream, _) = tokio::time::timeout(SOON, listener.accept())
        .await
        .expect("a connection")
        .unwrap();
    let mut hello = vec![0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    stream.read_exact(&mut hello[5..]).await.unwrap();
    (stream, hello)
}

/// What a client reads until the end: bytes, and the error if it was no clean end.
pub(crate) async fn read_out(stream: &mut TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes));
    let end = read.await.expect("an end").err().map(|e| e.kind());
    (bytes, end)
}

/// Bytes that do not repeat soon, from this place of the stream on.
pub(crate) fn pattern(from: u64, into: &mut [u8]) {
    for (i, byte) in (from..).zip(into.iter_mut()) {
        *byte = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    }
}
