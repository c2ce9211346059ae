use std::{io, time::Duration};

use rustls::{HandshakeKind, pki_types::ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    hierarchy::Ca,
    samples::{DAY, Forgery, bundle, id, intermediate, now, root},
    store::WorkloadCredential,
};

const ISTIO: &[&[u8]] = &[b"istio"];

fn credential(ca: &Ca, account: &str) -> WorkloadCredential {
    let leaf = ca.issue(&id(account), DAY, now()).unwrap();
    leaf.credential(now()).unwrap()
}

fn live(ca: &Ca, account: &str) -> LiveCredential {
    LiveCredential::new(credential(ca, account))
}

fn exactly(account: &str) -> Peers {
    Peers::Exactly(vec![id(account)])
}

/// What each side says after a handshake and one byte each way.
struct Meeting {
    client: io::Result<(SpiffeId, Option<Vec<u8>>)>,
    server: io::Result<SpiffeId>,
    /// Full or resumed, for the server.
    kind: Option<HandshakeKind>,
}

impl Meeting {
    fn is_good(&self) -> bool {
        self.client.is_ok() && self.server.is_ok()
    }

    fn refusal_at_client(self) -> Refusal {
        refusal(self.client.err())
    }

    fn refusal_at_server(self) -> Refusal {
        refusal(self.server.err())
    }
}

fn refusal(error: Option<io::Error>) -> Refusal {
    let error = error.expect("one side was to refuse");
    let inner = error.get_ref().and_then(|e| e.downcast_ref()).unwrap();
    Refusal::of_handshake(inner)
        .cloned()
        .unwrap_or_else(|| panic!("{error}"))
}

async fn meet(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Meeting {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from("outbound_.80_._.helloworld.sample.svc.cluster.local").unwrap();
    let calling = async {
        let mut tls = TlsConnector::from(client).connect(name, near).await?;
        tls.write_all(b"?").await?;
        tls.read_u8().await?;
        let (_, session) = tls.get_ref();
        let server = peer_identity(session.peer_certificates().unwrap()).unwrap();
        Ok((server, session.alpn_protocol().map(<[u8]>::to_vec)))
    };
    let mut kind = None;
    let answering = async {
        let mut tls = TlsAcceptor::from(server).accept(far).await?;
        tls.read_u8().await?;
        tls.write_all(b"!").await?;
        let (_, session) = tls.get_ref();
        kind = session.handshake_kind();
        Ok(peer_identity(session.peer_certificates().unwrap()).unwrap())
    };
    let (client, server) = tokio::join!(calling, answering);
    Meeting {
        client,
        server,
        kind,
    }
}

#[tokio::test]
async fn both_sides_know_each_other_across_two_clusters() {
    let root = root();
    let here = live(&intermediate(&root, "c1"), "client");
    let there = live(&intermediate(&root, "c2"), "server");
    let client = client_config(&here, exactly("server"), ISTIO).unwrap();
    let domain = Peers::TrustDomain("cluster.local".parse().unwrap());
    let server = server_config(&there, domain, ISTIO).unwrap();
    let meeting = meet(client, server).await;
    assert_eq!(meeting.server.unwrap(), id("client"));
    assert_eq!(
        meeting.client.unwrap(),
        (id("server"), Some(b"istio".to_vec()))
    );
}

#[tokio::test]
async fn another_identity_is_refused_by_name() {
    let root = root();
    let (here, there) = (live(&root, "client"), live(&root, "impostor"));
    let server = server_config(&there, exactly("client"), ISTIO).unwrap();
    let client = client_config(&here, exactly("server"), ISTIO).unwrap();
    let refusal = meet(client, server).await.refusal_at_client();
    let text = refusal.to_string();
    assert!(
        matches!(refusal, Refusal::UnexpectedIdentity { .. }),
        "{text}"
    );
    assert!(
        text.contains("impostor") && text.contains("sa/server"),
        "{text}"
    );

    let server = server_config(&there, exactly("somebody"), ISTIO).unwrap();
    let client = client_config(&here, exactly("impostor"), ISTIO).unwrap();
    let refusal = meet(client, server).await.refusal_at_server();
    assert!(matches!(refusal, Refusal::UnexpectedIdentity { .. }));

    let foreign = Peers::TrustDomain("elsewhere".parse().unwrap());
    let server = server_config(&there, foreign, ISTIO).unwrap();
    let client = client_config(&here, exactly("impostor"), ISTIO).unwrap();
    let refusal = meet(client, server).await.refusal_at_server();
    assert!(refusal.to_string().contains("elsewhere"), "{refusal}");
}

#[tokio::test]
async fn a_client_of_another_mesh_is_refused() {
    let (ours, theirs) = (root(), root());
    let there = live(&ours, "server");
    let leaf = theirs.issue(&id("client"), DAY, now()).unwrap();
    // It believes our root, but is certified by its own.
    let both = bundle(&[ours.certificate(), theirs.certificate()]);
    let stranger =
        WorkloadCredential::new(leaf.chain, leaf.key.to_der(), both, now(), "test").unwrap();
    let client = client_config(&LiveCredential::new(stranger), exactly("server"), ISTIO).unwrap();
    let server = server_config(&there, exactly("client"), ISTIO).unwrap();
    let refusal = meet(client, server).await.refusal_at_server();
    assert!(matches!(refusal, Refusal::UnknownRoot { .. }), "{refusal}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let root = root();
    let there = live(&root, "server");
    let server = server_config(&there, exactly("client"), ISTIO).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.certificate().der().clone()).unwrap();
    let verifier = Verifier::new(live(&root, "client"), exactly("server"));
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let error = meet(Arc::new(client), server).await.server.unwrap_err();
    let error: &rustls::Error = error.get_ref().and_then(|e| e.downcast_ref()).unwrap();
    assert_eq!(error, &rustls::Error::NoCertificatesPresented);
}

#[tokio::test]
async fn the_own_intermediate_alone_is_one_of_the_kinds_of_peers() {
    let root = root();
    let (c1, c2) = (intermediate(&root, "c1"), intermediate(&root, "c2"));
    let server = server_config(&live(&c1, "discovery"), Peers::SameIntermediate, ISTIO).unwrap();
    let from = |ca| client_config(&live(ca, "gateway"), exactly("discovery"), ISTIO).unwrap();
    assert!(meet(from(&c1), Arc::clone(&server)).await.is_good());
    let refusal = meet(from(&c2), Arc::clone(&server))
        .await
        .refusal_at_server();
    let text = refusal.to_string();
    assert!(
        matches!(refusal, Refusal::OtherIntermediate { .. }),
        "{text}"
    );
    assert!(
        text.contains("c2 intermediate") && text.contains("c1 intermediate"),
        "{text}"
    );

    // An intermediate of the same name, made again, is another one.
    let refusal = meet(from(&intermediate(&root, "c1")), server).await;
    assert!(matches!(
        refusal.refusal_at_server(),
        Refusal::OtherIntermediate { .. }
    ));
}

#[tokio::test]
async fn a_config_uses_the_bundle_and_the_leaf_of_the_moment() {
    let (old, new) = (root(), root());
    let (here, there) = (live(&old, "client"), live(&old, "server"));
    let client = client_config(&here, exactly("server"), ISTIO).unwrap();
    let server = server_config(&there, exactly("client"), ISTIO).unwrap();
    assert!(meet(client.clone(), server.clone()).await.is_good());
    there.replace(credential(&new, "server"));
    let refusal = meet(client.clone(), server.clone())
        .await
        .refusal_at_client();
    assert!(matches!(refusal, Refusal::UnknownRoot { .. }), "{refusal}");
    here.replace(credential(&new, "client"));
    assert!(meet(client, server).await.is_good());
}

#[tokio::test]
async fn a_session_is_not_resumed_even_if_the_client_would() {
    let root = root();
    let (here, there) = (live(&root, "client"), live(&root, "server"));
    let server = server_config(&there, exactly("client"), ISTIO).unwrap();
    let mut client = Arc::unwrap_or_clone(client_config(&here, exactly("server"), ISTIO).unwrap());
    client.resumption = Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    for _ in 0..3 {
        let meeting = meet(Arc::clone(&client), Arc::clone(&server)).await;
        assert_eq!(meeting.kind, Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn an_expired_leaf_is_refused_by_the_other_side() {
    let root = Forgery {
        days: (-9, 9),
        ..Forgery::default()
    }
    .self_signed();
    let old = Forgery {
        days: (-3, -2),
        ..Forgery::leaf()
    }
    .signed_by(&root);
    let good = Forgery::leaf().signed_by(&root);
    let of = |leaf: crate::samples::Forged| {
        let (chain, key) = (vec![leaf.certificate.clone()], leaf.key().to_der());
        let roots = bundle(&[&root.certificate]);
        LiveCredential::new(WorkloadCredential::new(chain, key, roots, now(), "test").unwrap())
    };
    let client = client_config(&of(old), exactly("client"), ISTIO).unwrap();
    let server = server_config(&of(good), exactly("client"), ISTIO).unwrap();
    let refusal = meet(client, server).await.refusal_at_server();
    assert!(matches!(refusal, Refusal::Expired { .. }), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_changes_is_followed_and_a_broken_one_is_not() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (root(), root());
    let write = |ca: &Ca| {
        let leaf = ca.issue(&id("client"), DAY, now()).unwrap();
        leaf.write(place.path(), now()).unwrap();
        leaf.chain[0].clone()
    };
    write(&old);
    let live = LiveCredential::new(WorkloadCredential::read(place.path()).unwrap());
    let cancel = CancellationToken::new();
    let following = live.follow(place.path().to_owned(), cancel.clone());
    let writing = async {
        for ca in [&old, &new] {
            let leaf = write(ca);
            until(|| live.current().leaf() == &leaf).await;
        }
        let kept = live.current();
        std::fs::write(place.path().join("cert-chain.pem"), "broken").unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(live.current().leaf(), kept.leaf());
        let leaf = write(&new);
        until(|| live.current().leaf() == &leaf).await;
        cancel.cancel();
    };
    tokio::join!(following, writing);
}

async fn until(happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .expect("it never happened");
}
