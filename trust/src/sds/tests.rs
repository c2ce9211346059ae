use std::{fs, path::PathBuf};

use envoy_types::pb::envoy::{
    config::core::v3::{DataSource, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{Secret, secret::Type},
    service::{
        discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest},
        secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient,
    },
};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use tokio::{net::UnixStream, sync::mpsc, task::JoinHandle, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Streaming,
    transport::{Channel, Endpoint},
};

use super::{secrets::CERTIFICATE, secrets::ROOTS, *};
use crate::{
    bundle::Bundle,
    certificate::Certificate,
    hierarchy::Ca,
    samples::{id, intermediate, now, root},
    store::WorkloadCredential,
};

/// A machine with a CA directory and two workloads.
struct World {
    place: tempfile::TempDir,
    cancel: CancellationToken,
}

/// One client's stream.
struct Client {
    asking: mpsc::Sender<DeltaDiscoveryRequest>,
    answers: Streaming<DeltaDiscoveryResponse>,
}

impl World {
    fn new(ca: &Ca) -> Self {
        let world = Self {
            place: tempfile::tempdir().unwrap(),
            cancel: CancellationToken::new(),
        };
        ca.write(&world.path("ca")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn config(&self, lifetime: Duration) -> Validated {
        let workload = |account: &str| Workload {
            identity: id(account),
            socket: Some(self.path(&format!("{account}/socket"))),
            directory: Some(self.path(&format!("{account}-leaf"))),
        };
        let config = Config {
            authority: self.path("ca"),
            lifetime,
            workloads: vec![workload("client"), workload("server")],
        };
        config.validate().unwrap()
    }

    fn start(&self) -> JoinHandle<Result<(), Error>> {
        let config = self.config(Duration::from_secs(3600));
        tokio::spawn(run(config, self.cancel.clone()))
    }

    async fn channel(&self, account: &str) -> Channel {
        let path = self.path(&format!("{account}/socket"));
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://sds");
        loop {
            // Not before the server listens.
            match endpoint.connect_with_connector(connector.clone()).await {
                Ok(channel) => return channel,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn client(&self, account: &str, names: &[&str]) -> Client {
        let (asking, requests) = mpsc::channel(4);
        asking.send(subscribe(names)).await.unwrap();
        let answers = SecretDiscoveryServiceClient::new(self.channel(account).await)
            .delta_secrets(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        Client { asking, answers }
    }
}

impl Client {
    async fn next(&mut self) -> Option<DeltaDiscoveryResponse> {
        self.answers.message().await.unwrap()
    }
}

fn subscribe(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn secret(answer: &DeltaDiscoveryResponse, name: &str) -> Option<Type> {
    let resource = answer.resources.iter().find(|r| r.name == name)?;
    let any = resource.resource.as_ref().unwrap();
    let secret = Secret::decode(any.value.as_slice()).unwrap();
    assert_eq!(secret.name, name);
    secret.r#type
}

fn inline(source: Option<DataSource>) -> Vec<u8> {
    match source.unwrap().specifier {
        Some(Specifier::InlineBytes(bytes)) => bytes,
        other => panic!("not inline: {}", other.is_some()),
    }
}

/// Chain and key of an answer with `default`.
fn certificate(answer: &DeltaDiscoveryResponse) -> (Vec<Certificate>, PrivateKeyDer<'static>) {
    let Some(Type::TlsCertificate(tls)) = secret(answer, CERTIFICATE) else {
        panic!("no certificate was sent");
    };
    let chain = inline(tls.certificate_chain);
    let key = PrivateKeyDer::from_pem_slice(&inline(tls.private_key)).unwrap();
    (Certificate::all_from_pem(&chain, "sds").unwrap(), key)
}

fn roots(answer: &DeltaDiscoveryResponse) -> Bundle {
    let Some(Type::ValidationContext(context)) = secret(answer, ROOTS) else {
        panic!("no roots were sent");
    };
    Bundle::from_pem(&inline(context.trusted_ca), "sds").unwrap()
}

#[tokio::test]
async fn a_client_gets_the_leaf_of_its_socket_with_key_and_roots() {
    let root = root();
    let world = World::new(&intermediate(&root, "c1"));
    let server = world.start();
    for account in ["client", "server"] {
        let mut client = world.client(account, &[CERTIFICATE, ROOTS]).await;
        let answer = client.next().await.unwrap();
        let ((chain, key), roots) = (certificate(&answer), roots(&answer));
        assert_eq!(&roots, root.bundle());
        assert_eq!(chain.len(), 2, "leaf and intermediate, no root");
        let whole = WorkloadCredential::new(chain, key, roots, now(), "sds").unwrap();
        assert_eq!(whole.identity(), &id(account));
        let directory = world.path(&format!("{account}-leaf"));
        let written = WorkloadCredential::read(&directory).unwrap();
        assert_eq!(written.leaf(), whole.leaf());
    }
    world.cancel.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn another_name_gives_nothing_of_another_identity() {
    let world = World::new(&root());
    let server = world.start();
    let names = [
        "spiffe://cluster.local/ns/sample/sa/server",
        "server",
        "file-root:system",
    ];
    let mut client = world.client("client", &names).await;
    let answer = client.next().await.unwrap();
    assert!(answer.resources.is_empty());
    assert_eq!(answer.removed_resources, names);
    // A node that says it is somebody else is served its socket's identity all the same.
    let mut liar = subscribe(&[CERTIFICATE]);
    liar.node = Some(envoy_types::pb::envoy::config::core::v3::Node {
        id: "sidecar~10.0.0.1~server.sample~cluster.local".to_owned(),
        ..Default::default()
    });
    client.asking.send(liar).await.unwrap();
    let (chain, _) = certificate(&client.next().await.unwrap());
    assert_eq!(chain[0].identity().unwrap(), id("client"));
    world.cancel.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn only_the_delta_protocol_is_spoken() {
    let world = World::new(&root());
    let server = world.start();
    let mut client = SecretDiscoveryServiceClient::new(world.channel("client").await);
    let request = DiscoveryRequest::default();
    let status = client.fetch_secrets(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let status = client
        .stream_secrets(tokio_stream::once(request))
        .await
        .unwrap_err();
    assert!(status.message().contains("DELTA_GRPC"), "{status}");
    let mut misplaced = subscribe(&[CERTIFICATE]);
    misplaced.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned();
    let asked = client.delta_secrets(tokio_stream::once(misplaced)).await;
    let status = asked.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    world.cancel.cancel();
    server.await.unwrap().unwrap();
}

/// Time is virtual: whenever nothing else is to be done, it goes on to the next timer.
#[tokio::test(start_paused = true)]
async fn a_new_leaf_is_pushed_long_before_the_old_one_expires() {
    let world = World::new(&intermediate(&root(), "c1"));
    let (began, start) = (now(), Instant::now());
    let clock: Clock = Arc::new(move || began + start.elapsed());
    let lifetime = Duration::from_secs(600);
    let config = world.config(lifetime);
    let server = tokio::spawn(run_by(config, world.cancel.clone(), Arc::clone(&clock)));
    let mut client = world.client("client", &[CERTIFICATE, ROOTS]).await;
    let mut old = certificate(&client.next().await.unwrap()).0.remove(0);
    for _ in 0..3 {
        let pushed = timeout(lifetime, client.next()).await;
        let answer = pushed.expect("nothing was pushed in time").unwrap();
        let left = old.not_after() - clock();
        assert!(left > lifetime.mul_f64(0.35), "only {left} was left");
        assert!(left < lifetime.mul_f64(0.65), "{left} was left");
        let new = certificate(&answer).0.remove(0);
        assert_ne!(new.serial(), old.serial());
        assert!(!new.has_key_of(&old), "each leaf has a key of its own");
        assert!(secret(&answer, ROOTS).is_none(), "the roots are the same");
        let written = WorkloadCredential::read(&world.path("client-leaf")).unwrap();
        assert_eq!(written.leaf(), &new);
        old = new;
    }
    world.cancel.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_ca_in_the_directory_is_taken_up_and_a_broken_one_is_not() {
    let (old, new) = (root(), root());
    let world = World::new(&old);
    let server = world.start();
    let mut client = world.client("client", &[CERTIFICATE, ROOTS]).await;
    client.next().await.unwrap();

    let key = world.path("ca/ca-key.pem");
    let good = fs::read(&key).unwrap();
    fs::write(&key, "broken").unwrap();
    let quiet = timeout(Duration::from_secs(60), client.next()).await;
    assert!(quiet.is_err(), "nothing changes for the client");
    fs::write(&key, good).unwrap();

    let next = world.path("next");
    new.write(&next).unwrap();
    fs::rename(world.path("ca"), world.path("past")).unwrap();
    fs::rename(&next, world.path("ca")).unwrap();
    let pushed = timeout(Duration::from_secs(60), client.next()).await;
    let answer = pushed.expect("the new CA was not taken up").unwrap();
    assert_eq!(&roots(&answer), new.bundle());
    let (chain, _) = certificate(&answer);
    assert!(chain[0].is_signed_by(new.certificate()));
    world.cancel.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_is_orderly_although_a_client_listens() {
    let world = World::new(&root());
    let server = world.start();
    let mut client = world.client("client", &[CERTIFICATE]).await;
    client.next().await.unwrap();
    world.cancel.cancel();
    assert_eq!(
        client.next().await,
        None,
        "the stream ends without an error"
    );
    server.await.unwrap().unwrap();
    for account in ["client", "server"] {
        assert!(!world.path(&format!("{account}/socket")).exists());
        assert!(world.path(&format!("{account}-leaf/key.pem")).exists());
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_said_before_serving() {
    let world = World::new(&root());
    fs::remove_file(world.path("ca/root-cert.pem")).unwrap();
    let config = world.config(Duration::from_secs(60));
    let error = run(config, world.cancel.clone()).await.unwrap_err();
    assert!(error.to_string().contains("ca/root-cert.pem"), "{error}");

    let world = World::new(&root());
    let first = world.start();
    world.client("server", &[CERTIFICATE]).await.next().await;
    let leaf = world.path("client-leaf");
    let before = WorkloadCredential::read(&leaf).unwrap();
    let second = world.config(Duration::from_secs(60));
    let error = run(second, world.cancel.clone()).await.unwrap_err();
    assert!(
        error.to_string().contains("another process listens"),
        "{error}"
    );
    assert!(world.path("client/socket").exists());
    let after = WorkloadCredential::read(&leaf).unwrap();
    assert_eq!(after.leaf(), before.leaf(), "the second wrote nothing");
    world.cancel.cancel();
    first.await.unwrap().unwrap();
}
