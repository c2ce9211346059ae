//! An API server in this process, with nothing installed: for the demo, for fast tests, and
//! for many clusters at once.
//!
//! ```text
//! connections ── door (TLS, faults) ── serve ─┬─ list, watch: discovery's own core
//!                                             ├─ write ─ admit (defaults, validate) ─┐
//!                                             ├─ patch (merge, strategic, json, apply)│
//!                                             └─ review, token, documents             ▼
//!                          controllers, kubelet ◀────────────── store: in memory, versions
//! ```
//! It proves nothing about Kubernetes: `tests/conformance` holds it against a real
//! kube-apiserver, and lists what differs. Coarse on purpose: custom resources are not checked
//! against their schemas; `managedFields` know only who applied; every right is by roles, with
//! no aggregation; nothing is kept when it ends.

mod admit;
mod builtin;
mod caller;
mod columns;
mod controllers;
mod decode;
mod defaults;
mod documents;
mod door;
mod fault;
mod gate;
mod kind;
mod kubelet;
mod openapi;
mod patch;
mod protobuf;
mod registry;
mod review;
mod serve;
mod state;
mod store;
mod token;
mod validate;
mod write;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use discovery::serve::kube::Rhythm;
use rustls::ServerConfig;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::world::{api::Api, kubeconfig::Kubeconfig, pki};
use controllers::Node;
use door::{Door, Order};
pub use kubelet::{Kubelet, Pretend, Report};
use serve::Service;
use state::State;

/// What an embedded API server shall be.
#[derive(Clone)]
pub struct ApiServerConfig {
    /// The cluster's name.
    pub name: String,
    /// Where to listen; port 0 for any.
    pub address: SocketAddr,
    /// Further addresses that its certificate is good for.
    pub names: Vec<IpAddr>,
    /// Who runs pods; without one they stay pending.
    pub kubelet: Option<Arc<dyn Kubelet>>,
    /// Labels of the kubelet's node, as its region and zone.
    pub node_labels: BTreeMap<String, String>,
    /// How many changes of each type a watch may be behind.
    pub history: usize,
    /// How often bookmarks come, how long watches run.
    pub rhythm: Rhythm,
}

/// A running API server. Dropping it ends everything that it runs; [`ApiServer::stop`] does
/// so and waits.
pub struct ApiServer {
    state: Arc<State>,
    service: Arc<Service>,
    kubeconfig: Kubeconfig,
    api: Api,
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    tasks: JoinSet<()>,
}

/// What another cluster still has of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Everything but Namespaces of the system and accounts, under new UIDs.
    Objects,
}

impl fmt::Debug for ApiServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiServerConfig({}, {})", self.name, self.address)
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiServer({}, {})", self.state.name, self.address)
    }
}

impl ApiServerConfig {
    /// One that listens on any port of 127.0.0.1, and runs no pods.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            names: Vec::new(),
            kubelet: None,
            node_labels: BTreeMap::new(),
            history: 1000,
            rhythm: Rhythm::default(),
        }
    }
}

impl ApiServer {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(config: ApiServerConfig) -> Result<Self> {
        let listener = TcpListener::bind(config.address).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", config.address))?;
        let address = listener.local_addr()?;
        let url = format!("https://{address}");
        let names = [&[address.ip()][..], &config.names].concat();
        let identity = pki::issue(&config.name, &names)?;
        let admin = format!("admin-{}", admit::uid());
        let kubeconfig = Kubeconfig {
            cluster: config.name.clone(),
            server: url.clone(),
            authority: crate::world::objects::base64(identity.authority.as_bytes())?,
            token: admin.clone(),
        };
        let state = Arc::new(State::new(&config.name, &url, config.history)?);
        let service = Arc::new(Service::new(Arc::clone(&state), admin, config.rhythm));
        let api = Api::connect(&kubeconfig).await?;
        let node = config.kubelet.map(|kubelet| {
            Node::new(
                Arc::clone(&state),
                kubelet,
                address.ip(),
                &config.node_labels,
            )
        });
        let door = Door::new(listener, acceptor(&identity)?, Arc::clone(&service))?;
        let (orders, received) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(door.run(received));
        tasks.spawn(controllers::run(Arc::clone(&state), node));
        Ok(Self {
            state,
            service,
            kubeconfig,
            api,
            address,
            orders,
            tasks,
        })
    }

    /// Where it is reached, `https://address:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The kubeconfig of somebody who may do everything; with another token, of an account.
    #[must_use]
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// A client that may do everything.
    #[must_use]
    pub fn admin(&self) -> &Api {
        &self.api
    }

    /// Makes the objects of a YAML text be there, as it says.
    ///
    /// # Errors
    /// When one is not understood or refused; those before it are there.
    pub fn load(&self, manifests: &str) -> Result<()> {
        for document in serde_yaml_ng::Deserializer::from_str(manifests) {
            let object = Value::deserialize(document)?;
            if object.is_null() {
                continue;
            }
            self.apply(object)?;
        }
        Ok(())
    }

    /// Makes an object be there, as it says, with its status.
    ///
    /// # Errors
    /// When it is not understood or refused.
    pub fn apply(&self, object: Value) -> Result<()> {
        let name = object["metadata"]["name"].to_string();
        let applied = self.state.load(object);
        applied.map_err(|status| anyhow::anyhow!("{name}: {}", status.message()))
    }

    /// From now on it accepts connections and says nothing; what runs is silent too.
    pub fn freeze(&self) {
        self.service.faults().freeze(true);
    }

    /// It goes on where it was frozen.
    pub fn thaw(&self) {
        self.service.faults().freeze(false);
    }

    /// Cuts every connection with a reset, and listens on.
    pub async fn reset(&self) {
        self.service.faults().reset(true);
        self.order(Order::Cut).await;
        self.service.faults().reset(false);
    }

    /// Closes the port and cuts every connection, as a server that has died.
    pub async fn refuse(&self) {
        self.order(Order::Close).await;
    }

    /// Listens again where it did.
    ///
    /// # Errors
    /// When somebody else has the port now.
    pub async fn listen_again(&self) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Open(done)).await;
        sent.ok().context("the server has ended")?;
        answer.await.context("the server has ended")?
    }

    /// Answers every request with this HTTP status (401, 410, 429, 500 ... with the body that
    /// Kubernetes gives it), until told otherwise. Watches that run go on.
    pub fn answer(&self, code: Option<u16>) {
        self.service.faults().refuse(code);
    }

    /// Waits so long before each answer.
    pub fn slow(&self, delay: Duration) {
        self.service.faults().slow(delay);
    }

    /// Forgets its history: whoever asks for the past is answered 410. Watches that run go on.
    pub fn compact(&self) {
        self.state.memory.compact();
    }

    /// Becomes another cluster behind the same address: another UID of `kube-system`, other
    /// versions. All connections are cut.
    ///
    /// # Errors
    /// When what is kept does not fit any more, which would be a mistake of ours.
    pub async fn become_another(&self, keep: Keep) -> Result<()> {
        let kept = match keep {
            Keep::Nothing => Vec::new(),
            Keep::Objects => self.objects(),
        };
        self.order(Order::Cut).await;
        self.state.refound();
        for mut object in kept {
            let metadata = object["metadata"]
                .as_object_mut()
                .context("an object without metadata")?;
            for field in ["uid", "resourceVersion", "creationTimestamp"] {
                metadata.remove(field);
            }
            // What every cluster begins with is there already and stays as it is.
            let _ = self.state.load(object);
        }
        Ok(())
    }

    /// Ends it and waits until nothing of it runs.
    pub async fn stop(mut self) {
        self.service.faults().freeze(false);
        self.tasks.shutdown().await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, answer) = oneshot::channel();
        // The door lives as long as we do, so both succeed.
        if self.orders.send(order(done)).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// All objects that somebody made.
    fn objects(&self) -> Vec<Value> {
        let mut kinds = self.state.registry.all();
        // Namespaces and definitions first: the others need them.
        kinds.sort_by_key(|kind| !(kind.is("namespaces") || kind.is("customresourcedefinitions")));
        let all = kinds.iter().flat_map(|kind| {
            let items = self.state.memory.all(&kind.resource);
            let made = items.into_iter().filter(|item| {
                !(kind.is("events") || (kind.is("serviceaccounts") && item.name() == "default"))
            });
            let objects: Vec<Value> = made
                .map(|item| Value::Object(write::typed(kind, item.object())))
                .collect();
            objects
        });
        all.collect()
    }
}

fn acceptor(identity: &pki::Identity) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key()?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
