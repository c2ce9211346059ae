//! One cluster on loopback: a discovery's xDS server over a mesh made by hand, an SDS for
//! every pod, and the sidecars of two pods, `client` and `server`.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use discovery::{
    model::{
        Cluster, ClusterId, Endpoint, Export, Locality, Mesh, Service, ServiceKey, ServicePort,
        Shard,
    },
    serve::xds::{Listeners, Server, Settings, catalog::Ground, viewer::Admission},
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use scenarios::{
    probe::eventually,
    sidecar::{Bootstrap, Sidecar},
};
use time::OffsetDateTime;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use trust::{
    hierarchy::{Ca, Tier, create_root},
    identity::SpiffeId,
    sds,
    tls::LiveCredential,
};

use crate::app::App;

/// Everything of one test. Dropping it ends its sidecars and servers.
pub(crate) struct World {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) app: App,
    pub(crate) mesh: watch::Sender<Arc<Mesh>>,
    pub(crate) place: tempfile::TempDir,
    pub(crate) slice: Slice,
    pub(crate) ca: Ca,
    discovery: Option<Running>,
    secrets: Option<Running>,
    cancel: CancellationToken,
}

/// A sidecar, and where its workload calls it.
pub(crate) struct Peer {
    pub(crate) sidecar: Sidecar,
    pub(crate) outbound: SocketAddr,
}

/// Addresses of this world alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice([u8; 3]);

/// A server that can be stopped.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl World {
    /// Starts all of it and waits until both sidecars are ready.
    pub(crate) async fn start() -> Result<Self> {
        let world = Self::begin(Slice::take()?).await?;
        world.is_ready().await?;
        Ok(world)
    }

    /// Waits until both sidecars are ready.
    pub(crate) async fn is_ready(&self) -> Result<()> {
        for peer in [&self.client, &self.server] {
            eventually("the sidecar is ready", LONG, async || {
                let stand = peer.sidecar.status().stand();
                ensure!(stand.ready && stand.connected, "{stand:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Starts all of it.
    pub(crate) async fn begin(slice: Slice) -> Result<Self> {
        let (app, mesh) = (App::start(slice.at(APP)).await?, standard(slice));
        let place = tempfile::tempdir()?;
        let ca = authority()?;
        ca.write(&place.path().join("ca"))?;
        let cancel = CancellationToken::new();
        let (mesh, _) = watch::channel(Arc::new(mesh));
        let secrets = serve_secrets(&place, &cancel).await?;
        let discovery = discovery(slice, &ca, &mesh, &cancel).await?;
        let peer = async |name, pod: u8, loopback: u8| {
            let seat = (slice.at(pod), slice.at(loopback));
            Peer::start(name, seat, &place, slice, &cancel).await
        };
        Ok(Self {
            client: peer("client", CLIENT, CLIENT).await?,
            server: peer("server", SERVER, APP).await?,
            app,
            mesh,
            slice,
            ca,
            discovery: Some(discovery),
            secrets: Some(secrets),
            place,
            cancel,
        })
    }

    /// Calls through the client's sidecar.
    pub(crate) async fn ask(&self, host: &str, path: &str) -> Result<Answer> {
        let request = Request::get(path).header("host", host).body(Empty::new())?;
        ask(self.client.outbound, request).await
    }

    /// The same until the answer is good, or the last reason why it is not.
    pub(crate) async fn ask_until(&self, host: &str, status: StatusCode) -> Result<Answer> {
        eventually("the answer is as it should be", LONG, async || {
            let answer = self.ask(host, "/hello").await?;
            ensure!(answer.status == status, "{answer:?}");
            Ok(answer)
        })
        .await
    }

    /// Changes what discovery says.
    pub(crate) fn change(&self, change: impl FnOnce(&mut BTreeMap<ServiceKey, Arc<Service>>)) {
        self.mesh.send_modify(|mesh| {
            let mut next = Mesh::clone(mesh);
            next.generation += 1;
            change(&mut next.services);
            *mesh = Arc::new(next);
        });
    }

    pub(crate) async fn stop_discovery(&mut self) {
        if let Some(running) = self.discovery.take() {
            running.stop().await;
        }
    }

    pub(crate) async fn start_discovery(&mut self) -> Result<()> {
        let started = discovery(self.slice, &self.ca, &self.mesh, &self.cancel).await?;
        self.discovery = Some(started);
        Ok(())
    }

    pub(crate) async fn stop_secrets(&mut self) {
        if let Some(running) = self.secrets.take() {
            running.stop().await;
        }
    }

    pub(crate) async fn start_secrets(&mut self) -> Result<()> {
        self.secrets = Some(serve_secrets(&self.place, &self.cancel).await?);
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Peer {
    async fn start(
        name: &str,
        (address, loopback): (IpAddr, IpAddr),
        place: &tempfile::TempDir,
        slice: Slice,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut bootstrap = bootstrap(name, address, place, slice.discovery());
        let own = ("LOOPBACK".to_owned(), loopback.to_string());
        bootstrap.metadata.extend([own]);
        let sidecar = Sidecar::start(bootstrap, cancel.child_token()).await?;
        let outbound = SocketAddr::new(loopback, 15001);
        Ok(Self { sidecar, outbound })
    }

    /// A field of an endpoint on the admin page.
    pub(crate) fn field(&self, cluster: &str, field: &str) -> Option<String> {
        let page = self.sidecar.status().clusters();
        let begin = format!("{cluster}::");
        let lines = page.lines().filter_map(|line| line.strip_prefix(&begin));
        let mut fields = lines.filter_map(|line| line.split_once("::")?.1.split_once("::"));
        let found = fields.find(|(name, _)| *name == field);
        found.map(|(_, value)| value.to_owned())
    }
}

impl Slice {
    /// 8 addresses that no other test has, of this process or another.
    pub(crate) fn take() -> Result<Self> {
        static TAKEN: AtomicU8 = AtomicU8::new(0);
        let number = TAKEN.fetch_add(8, Relaxed);
        let process = std::process::id() % (128 * 250);
        let high = u8::try_from(64 + process / 250)?;
        Ok(Self([high, u8::try_from(1 + process % 250)?, number]))
    }

    pub(crate) fn at(self, last: u8) -> IpAddr {
        let [high, low, number] = self.0;
        Ipv4Addr::new(127, high, low, number + last).into()
    }

    pub(crate) fn discovery(self) -> SocketAddr {
        SocketAddr::new(self.at(DISCOVERY), 15112)
    }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        // A server that panicked has shown it.
        let _ = self.task.await;
    }
}

pub(crate) fn bootstrap(
    name: &str,
    address: IpAddr,
    place: &tempfile::TempDir,
    discovery: SocketAddr,
) -> Bootstrap {
    Bootstrap {
        metadata: [].into(),
        node: format!("sidecar~{address}~{name}.sample~sample.svc.cluster.local"),
        cluster: format!("{name}.sample"),
        admin: None,
        secrets: socket(place, name),
        discovery,
        identity: id("isthmus", "discovery"),
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn ask<B>(to: SocketAddr, request: Request<B>) -> Result<Answer>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let stream = TokioIo::new(TcpStream::connect(to).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        anyhow::Ok(Answer {
            status,
            text: String::from_utf8_lossy(&body).into_owned(),
        })
    };
    let both = async { tokio::join!(exchange, connection) };
    let (answer, _) = tokio::time::timeout(LONG, both).await?;
    answer
}

/// Serves the secrets of both pods.
pub(crate) async fn serve_secrets(
    place: &tempfile::TempDir,
    cancel: &CancellationToken,
) -> Result<Running> {
    let workload = |name: &str| sds::Workload {
        identity: id("sample", name),
        socket: Some(socket(place, name)),
        directory: None,
    };
    let config = sds::Config {
        authority: place.path().join("ca"),
        lifetime: DAY,
        workloads: vec![workload("client"), workload("server")],
    };
    let config = config
        .validate()
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let stop = cancel.child_token();
    let serving = sds::run(config, stop.clone());
    let task = tokio::spawn(async move {
        if let Err(error) = serving.await {
            panic!("SDS serves until it is stopped: {error}");
        }
    });
    let all = ["client", "server"].map(|name| socket(place, name));
    eventually("SDS serves", LONG, async || {
        ensure!(all.iter().all(|path| path.exists()), "no sockets");
        Ok(())
    })
    .await?;
    Ok(Running { stop, task })
}

async fn discovery(
    slice: Slice,
    ca: &Ca,
    mesh: &watch::Sender<Arc<Mesh>>,
    cancel: &CancellationToken,
) -> Result<Running> {
    let ground = Ground {
        cluster: "c1".into(),
        network: Some("n1".into()),
        domain: "cluster.local".into(),
    };
    let admission = Admission {
        cluster: "c1".into(),
        gateways: Vec::new(),
    };
    let server = Server::new(Settings::new(ground, admission), mesh.subscribe());
    let listener = TcpListener::bind(slice.discovery()).await?;
    let listeners = Listeners::default().tls(listener, &leaf(ca, "isthmus", "discovery")?)?;
    let stop = cancel.child_token();
    let task = tokio::spawn(server.run(listeners, stop.clone()));
    Ok(Running { stop, task })
}

/// A cluster's intermediate.
pub(crate) fn authority() -> Result<Ca> {
    let now = OffsetDateTime::now_utc();
    let root = create_root("cluster.local", 1, 2 * DAY, now)?;
    Ok(root.create_below(Tier::Intermediate("c1"), 1, 2 * DAY, now)?)
}

pub(crate) fn leaf(ca: &Ca, namespace: &str, account: &str) -> Result<LiveCredential> {
    let now = OffsetDateTime::now_utc();
    let leaf = ca.issue(&id(namespace, account), DAY, now)?;
    Ok(LiveCredential::new(leaf.credential(now)?))
}

pub(crate) fn id(namespace: &str, account: &str) -> SpiffeId {
    let id = format!("spiffe://cluster.local/ns/{namespace}/sa/{account}");
    match id.parse() {
        Ok(id) => id,
        Err(error) => panic!("{id}: {error}"),
    }
}

fn socket(place: &tempfile::TempDir, name: &str) -> PathBuf {
    place.path().join(name).join("socket")
}

/// Makes the CA's directory another one, as far as SDS sees, so that all leaves are renewed.
pub(crate) fn touch_authority(place: &tempfile::TempDir) -> Result<()> {
    let roots = place.path().join("ca/root-cert.pem");
    let text = fs::read_to_string(&roots)?;
    Ok(fs::write(roots, text + "\n")?)
}

/// `app`, `bytes` and `broken` on the pod `server`, each at a port of its own; `impostor`,
/// which is not who it should be; and `none`, without endpoints.
fn standard(slice: Slice) -> Mesh {
    let cluster = Cluster {
        id: "c1".into(),
        network: Some("n1".into()),
        trust_domain: id("sample", "server").trust_domain().clone(),
        gateways: Default::default(),
        pod_ranges: Vec::new(),
    };
    let server = |account, pod, port| vec![endpoint(slice, account, pod, port)];
    let services = [
        service("app", true, server("server", "server", APP_PORT)),
        service("bytes", false, server("server", "server", BYTES_PORT)),
        service("broken", true, server("server", "server", BROKEN_PORT)),
        service("impostor", true, server("other", "impostor", APP_PORT)),
        service("none", true, Vec::new()),
    ];
    Mesh {
        generation: 1,
        clusters: [(ClusterId::from("c1"), Arc::new(cluster))].into(),
        services: services.into(),
        ..Mesh::default()
    }
}

pub(crate) fn service(
    name: &str,
    http: bool,
    endpoints: Vec<Arc<Endpoint>>,
) -> (ServiceKey, Arc<Service>) {
    let port = ServicePort {
        number: 80,
        name: "main".into(),
        http,
    };
    let shard = Shard {
        export: Export::Closed,
        headless: false,
        ports: vec![port],
        endpoints,
    };
    let key = ServiceKey::new("sample", name);
    let service = Service {
        key: key.clone(),
        shards: [(ClusterId::from("c1"), Arc::new(shard))].into(),
    };
    (key, Arc::new(service))
}

pub(crate) fn endpoint(slice: Slice, account: &str, pod: &str, port: u16) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        address: slice.at(SERVER),
        ports: [("main".into(), port)].into(),
        pod: pod.into(),
        workload: pod.into(),
        canonical_name: pod.into(),
        canonical_revision: "latest".into(),
        identity: id("sample", account),
        network: Some("n1".into()),
        locality: Locality::default(),
        mesh_tls: true,
        ready: true,
    })
}

/// Longer than any machine needs.
pub(crate) const LONG: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const APP_PORT: u16 = 5000;
pub(crate) const BYTES_PORT: u16 = 5001;
pub(crate) const BROKEN_PORT: u16 = 5002;
const DISCOVERY: u8 = 1;
pub(crate) const CLIENT: u8 = 2;
pub(crate) const SERVER: u8 = 3;
const APP: u8 = 4;
