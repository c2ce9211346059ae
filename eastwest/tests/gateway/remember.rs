//! A gateway that starts with the table of the one before it.

use std::{fs, net::SocketAddr, path::PathBuf};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{
    control_plane::{ASSIGNMENT, CLUSTER, ControlPlane, LISTENER},
    sync::*,
    world::*,
};

/// Gateways that share a directory, one after the other.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn table(&self) -> PathBuf {
        self.state().join("table")
    }

    /// A gateway that asks the control plane at `address`.
    fn gateway(&self, address: SocketAddr) -> World {
        let settings = format!(
            "source: {{ xds: {{ address: \"{address}\", plainText: true }} }}\n\
             state: {{ directory: {}, every: 20ms }}\n",
            self.state().display()
        );
        World::start(tempdir().unwrap(), &settings)
    }

    /// What is left by a gateway that had these routes and was not told to stop.
    async fn after(&self, routes: &[(&str, SocketAddr)]) {
        let mut plane = ControlPlane::start(None).await;
        let world = self.gateway(plane.address);
        let mut stream = plane.stream().await;
        greet(&mut stream).await;
        let clusters: Vec<_> = routes.iter().map(|(name, _)| cluster(name)).collect();
        stream.tell(CLUSTER, &clusters).await;
        stream.tell(LISTENER, &[mesh()]).await;
        stream.subscription().await;
        for (name, address) in routes {
            stream
                .tell(ASSIGNMENT, &[assignment(name, &[*address])])
                .await;
        }
        let is_kept = || {
            let text = fs::read_to_string(self.table()).unwrap_or_default();
            let mut all = routes.iter();
            all.all(|(name, address)| text.contains(name) && text.contains(&address.to_string()))
        };
        eventually("the table is kept", is_kept).await;
        // As a crash leaves it: what the end of this gateway writes is undone.
        let crashed = fs::read(self.table()).unwrap();
        world.end().await;
        fs::write(self.table(), crashed).unwrap();
    }
}

fn sync(world: &World) -> Value {
    world.status.debug("sync").unwrap()
}

#[tokio::test]
async fn without_its_control_plane_it_serves_at_once_and_says_how_old() {
    let (one, at_one) = endpoint().await;
    let place = Place::new();
    place.after(&[(SNI, at_one)]).await;

    let world = place.gateway(nobody().await);
    assert!(world.status.ready(), "before it was asked anything");
    passes(&world, SNI, &one).await;
    is_refused(&world, OTHER, "unknown_sni").await;
    let shown = sync(&world);
    assert_eq!(
        (&shown["remembered"], &shown["connected"]),
        (&true.into(), &false.into())
    );
    assert!(shown["ageMs"].is_u64(), "{shown}");
    let metric = |name| world.metric(name, &[]);
    assert_eq!(metric("isthmus_eastwest_table_remembered"), 1.0);
    assert!(metric("isthmus_eastwest_table_age_seconds") > 0.0);
    world.end().await;

    // Kept again, it does not become younger.
    let before = shown["ageMs"].as_u64();
    let world = place.gateway(nobody().await);
    passes(&world, SNI, &one).await;
    assert!(sync(&world)["ageMs"].as_u64() >= before);
}

#[tokio::test]
async fn what_the_control_plane_says_replaces_it_without_a_gap() {
    let (one, at_one) = endpoint().await;
    let (two, at_two) = endpoint().await;
    let place = Place::new();
    place.after(&[(SNI, at_one), (OTHER, at_one)]).await;

    let mut plane = ControlPlane::start(None).await;
    let world = place.gateway(plane.address);
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    passes(&world, OTHER, &one).await;
    // A removal counts at once; what is not answered yet stays as it was.
    stream.tell(CLUSTER, &[cluster(SNI)]).await;
    passes(&world, SNI, &one).await;
    stream.tell(LISTENER, &[mesh()]).await;
    assert_eq!(stream.subscription().await, (vec![SNI.to_owned()], vec![]));
    is_refused(&world, OTHER, "unknown_sni").await;
    passes(&world, SNI, &one).await;
    assert_eq!(sync(&world)["remembered"], true);
    stream.tell(ASSIGNMENT, &[assignment(SNI, &[at_two])]).await;
    passes(&world, SNI, &two).await;
    eventually("it is of now", || sync(&world)["remembered"] == false).await;
    assert_eq!(sync(&world)["ageMs"], 0);
    let text = || fs::read_to_string(place.table()).unwrap();
    let is_gone = |text: &str| {
        let last = text.lines().rfind(|line| line.contains(OTHER));
        last.is_none_or(|line| line.starts_with("{\"without\""))
    };
    let replaced = || is_gone(&text()) && text().contains(&at_two.to_string());
    eventually("the new table is kept", replaced).await;
}

#[tokio::test]
async fn a_change_of_one_among_many_is_added_to_what_is_kept() {
    let (_, at_one) = endpoint().await;
    let (two, at_two) = endpoint().await;
    let place = Place::new();
    let names: Vec<String> = (0..30)
        .map(|i| SNI.replace("hello", &format!("hello-{i}")))
        .collect();
    let mut plane = ControlPlane::start(None).await;
    let world = place.gateway(plane.address);
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    let clusters: Vec<_> = names.iter().map(|name| cluster(name)).collect();
    stream.tell(CLUSTER, &clusters).await;
    stream.tell(LISTENER, &[mesh()]).await;
    stream.subscription().await;
    let all: Vec<_> = names
        .iter()
        .map(|name| assignment(name, &[at_one]))
        .collect();
    stream.tell(ASSIGNMENT, &all).await;
    eventually("all are kept", || place.table().exists()).await;
    let whole = fs::read(place.table()).unwrap();
    let sni = &names[7];
    stream.tell(ASSIGNMENT, &[assignment(sni, &[at_two])]).await;
    let text = || fs::read_to_string(place.table()).unwrap();
    let added = || text().contains(&at_two.to_string()) && text().ends_with('\n');
    eventually("more is kept", added).await;
    let text = text().into_bytes();
    let more = text.strip_prefix(&whole[..]);
    let more = String::from_utf8_lossy(more.expect("what was there is there"));
    assert_eq!(more.matches("{\"route\"").count(), 1, "{more}");
    world.end().await;

    let world = place.gateway(nobody().await);
    assert_eq!(world.metric("isthmus_eastwest_routes", &[]), 30.0);
    passes(&world, sni, &two).await;
}

#[tokio::test]
async fn a_table_that_is_found_true_is_kept_as_of_now() {
    let (one, at_one) = endpoint().await;
    let place = Place::new();
    place.after(&[(SNI, at_one)]).await;
    let old = fs::read(place.table()).unwrap();

    let mut plane = ControlPlane::start(None).await;
    let world = place.gateway(plane.address);
    tell_one_route(&mut plane.stream().await, at_one).await;
    eventually("it is of now", || sync(&world)["remembered"] == false).await;
    // Not a route differs; its age does, and the next start shall know.
    eventually("it is kept", || fs::read(place.table()).unwrap() != old).await;
    passes(&world, SNI, &one).await;
}

#[tokio::test]
async fn a_broken_table_is_set_aside_with_a_reason() {
    let (one, at_one) = endpoint().await;
    let place = Place::new();
    place.after(&[(SNI, at_one)]).await;
    let mut bytes = fs::read(place.table()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place.table(), &bytes).unwrap();

    let mut plane = ControlPlane::start(None).await;
    let world = place.gateway(plane.address);
    assert!(!world.status.ready());
    is_refused(&world, SNI, "unknown_sni").await;
    let why = sync(&world)["setAside"].to_string();
    assert!(why.contains("SHA-256"), "{why}");
    assert_eq!(
        fs::read(place.state().join("table.set-aside")).unwrap(),
        bytes
    );
    tell_one_route(&mut plane.stream().await, at_one).await;
    passes(&world, SNI, &one).await;
    eventually("a good one is kept", || place.table().exists()).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_said_and_tried_again() {
    let (one, at_one) = endpoint().await;
    let place = Place::new();
    fs::write(place.state(), "a file").unwrap();
    let mut plane = ControlPlane::start(None).await;
    let world = place.gateway(plane.address);
    tell_one_route(&mut plane.stream().await, at_one).await;
    passes(&world, SNI, &one).await;
    eventually("the want is told", || sync(&world)["keepError"].is_string()).await;
    fs::remove_file(place.state()).unwrap();
    eventually("it is kept", || place.table().exists()).await;
    eventually("and so said", || sync(&world)["keepError"].is_null()).await;
}
