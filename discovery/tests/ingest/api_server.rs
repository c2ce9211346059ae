//! An API server of the tests' own: list and watch of JSON objects, a token, and faults on
//! demand. It proves nothing about Kubernetes; it makes moments that a real one gives rarely.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A running API server. Dropping it cuts every connection.
pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    store: Mutex<Store>,
    /// Grows with each change of the store.
    changed: watch::Sender<u64>,
    /// Grows when all connections are to be cut.
    cut: watch::Sender<u64>,
}

struct Store {
    uid: String,
    token: String,
    version: u64,
    /// Versions up to this one are forgotten.
    compacted: u64,
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    log: Vec<(u64, String, Value)>,
    absent: Vec<String>,
    silent: bool,
    requests: Vec<Asked>,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The version that a watch began at; `None` for a list.
    pub(crate) since: Option<u64>,
    pub(crate) token: String,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl ApiServer {
    pub(crate) async fn start(uid: &str, token: &str) -> Self {
        let store = Store {
            uid: uid.into(),
            token: token.into(),
            version: 100,
            compacted: 0,
            objects: BTreeMap::new(),
            log: Vec::new(),
            absent: vec![MCS.into()],
            silent: false,
            requests: Vec::new(),
        };
        let shared = Arc::new(Shared {
            store: Mutex::new(store),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Some(tokio::spawn(serve(listener, Arc::clone(&shared))));
        Self {
            address,
            shared,
            serving,
        }
    }

    /// Nobody listens any more, every connection is cut; the store stays.
    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            serving.await.unwrap_err();
        }
    }

    /// Listens again where it did.
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
    }

    /// Cuts every connection, and listens on.
    pub(crate) fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Answers nothing from now on, as a black hole would.
    pub(crate) fn fall_silent(&self) {
        self.store(|store| store.silent = true);
    }

    pub(crate) fn accept_only(&self, token: &str) {
        self.store(|store| store.token = token.into());
    }

    pub(crate) fn become_another(&self, uid: &str) {
        self.store(|store| store.uid = uid.into());
    }

    /// Forgets its history, so that a watch from the past is answered 410.
    pub(crate) fn compact(&self) {
        self.store(|store| {
            store.version += 1;
            store.compacted = store.version;
            store.log.clear();
        });
    }

    pub(crate) fn refuse(&self, path: &str) {
        self.store(|store| store.absent.push(path.into()));
    }

    pub(crate) fn install(&self, path: &str) {
        self.store(|store| store.absent.retain(|absent| absent != path));
    }

    pub(crate) fn apply(&self, path: &str, mut object: Value) {
        self.store(|store| {
            store.version += 1;
            object["metadata"]["resourceVersion"] = json!(store.version.to_string());
            let known = store.objects.entry(path.into()).or_default();
            let kind = match known.insert(key(&object), object.clone()) {
                Some(_) => "MODIFIED",
                None => "ADDED",
            };
            let event = json!({"type": kind, "object": object});
            store.log.push((store.version, path.into(), event));
        });
    }

    pub(crate) fn delete(&self, path: &str, namespace: &str, name: &str) {
        self.store(|store| {
            store.version += 1;
            let known = store.objects.get_mut(path).unwrap();
            let mut object = known.remove(&(namespace.into(), name.into())).unwrap();
            object["metadata"]["resourceVersion"] = json!(store.version.to_string());
            let event = json!({"type": "DELETED", "object": object});
            store.log.push((store.version, path.into(), event));
        });
    }

    /// Tells the watches of pods that they have heard everything so far.
    pub(crate) fn bookmark_pods(&self) {
        self.store(|store| {
            store.version += 1;
            let metadata = json!({"resourceVersion": store.version.to_string()});
            let mark = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
            let event = json!({"type": "BOOKMARK", "object": mark});
            store.log.push((store.version, PODS.into(), event));
        });
    }

    /// Lists and watches since the last call, without the questions who it is and what it has.
    pub(crate) fn take_requests(&self) -> Vec<Asked> {
        let mut requests = self.store(|store| std::mem::take(&mut store.requests));
        requests.retain(|asked| asked.path != KUBE_SYSTEM && asked.path != MCS);
        requests
    }

    fn store<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        let result = act(&mut self.shared.store.lock().unwrap());
        self.shared.changed.send_modify(|count| *count += 1);
        result
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut cut = shared.cut.subscribe();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(|request| answer(Arc::clone(&shared), request));
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await
                });
            }
            Ok(()) = cut.changed() => connections.abort_all(),
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let header = request.headers().get("authorization");
    let token = header.map_or("", |value| {
        value.to_str().unwrap().trim_start_matches("Bearer ")
    });
    let since = query.contains("watch=true").then(|| {
        let (_, rest) = query.split_once("resourceVersion=").unwrap();
        rest.split('&').next().unwrap().parse().unwrap()
    });
    let asked = Asked {
        path: path.clone(),
        since,
        token: token.to_owned(),
    };
    let silent = {
        let mut store = shared.store.lock().unwrap();
        store.requests.push(asked.clone());
        store.silent
    };
    if silent {
        std::future::pending::<()>().await;
    }
    Ok(match since {
        Some(since) => watch_answer(&shared, &asked, since),
        None => plain_answer(&shared.store.lock().unwrap(), &asked),
    })
}

fn plain_answer(store: &Store, asked: &Asked) -> Answer {
    if let Some(refusal) = refusal(store, asked) {
        return refusal;
    }
    if asked.path == KUBE_SYSTEM {
        return whole(
            StatusCode::OK,
            &json!({"metadata": {"name": "kube-system", "uid": store.uid}}),
        );
    }
    let items: Vec<_> = store
        .objects
        .get(&asked.path)
        .into_iter()
        .flatten()
        .map(|(_, o)| o)
        .collect();
    let version = store.version.to_string();
    whole(
        StatusCode::OK,
        &json!({"metadata": {"resourceVersion": version}, "items": items}),
    )
}

fn watch_answer(shared: &Arc<Shared>, asked: &Asked, since: u64) -> Answer {
    let refused = {
        let store = shared.store.lock().unwrap();
        let gone = (since < store.compacted).then(|| status(StatusCode::GONE, "Expired"));
        refusal(&store, asked).or(gone)
    };
    if let Some(refused) = refused {
        return refused;
    }
    let events = events(Arc::clone(shared), asked.path.clone(), since);
    let frames = events.map(|line| Ok(Frame::data(Bytes::from(line))));
    Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)))
}

/// The lines of a watch.
fn events(shared: Arc<Shared>, path: String, since: u64) -> impl Stream<Item = String> + Send {
    let changed = shared.changed.subscribe();
    stream::unfold(
        (shared, changed, since),
        move |(shared, mut changed, mut since)| {
            let path = path.clone();
            async move {
                loop {
                    changed.mark_unchanged();
                    let next = {
                        let store = shared.store.lock().unwrap();
                        let mut log = store.log.iter();
                        log.find(|(version, at, _)| {
                            *version > since && *at == path && !store.silent
                        })
                        .cloned()
                    };
                    if let Some((version, _, event)) = next {
                        since = version;
                        return Some((format!("{event}\n"), (shared, changed, since)));
                    }
                    changed.changed().await.ok()?;
                }
            }
        },
    )
}

fn refusal(store: &Store, asked: &Asked) -> Option<Answer> {
    if asked.token != store.token {
        return Some(status(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    store
        .absent
        .iter()
        .any(|absent| asked.path.starts_with(absent.as_str()))
        .then(|| status(StatusCode::NOT_FOUND, "NotFound"))
}

fn status(code: StatusCode, reason: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code.as_u16()});
    whole(code, &body)
}

fn whole(code: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = code;
    response
}

fn key(object: &Value) -> (String, String) {
    let part = |name: &str| {
        object["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (part("namespace"), part("name"))
}

pub(crate) const KUBE_SYSTEM: &str = "/api/v1/namespaces/kube-system";
pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/istio-system/secrets";
pub(crate) const SERVICE_EXPORTS: &str = "/apis/multicluster.x-k8s.io/v1alpha1/serviceexports";
pub(crate) const MCS: &str = "/apis/multicluster.x-k8s.io/v1alpha1";
