//! Endpoints that cannot be reached, and are not tried again and again.

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::world::{SNI, World, endpoint, eventually, hello, nobody, routes, take};

/// A gateway to these endpoints, all of one priority.
fn world(eject: &str, endpoints: &[std::net::SocketAddr]) -> World {
    let settings = format!("dial: {{ allowLoopback: true, eject: {eject} }}");
    let routes = routes(SNI, endpoints).replace("priority: 1", "priority: 0");
    World::with_routes(&settings, &routes)
}

fn refused(world: &World) -> f64 {
    world.metric("isthmus_eastwest_dials_total", &["result=\"refused\""])
}

fn ejections(world: &World) -> f64 {
    world.metric("isthmus_eastwest_ejections_total", &[])
}

/// How long each endpoint is still left out, as the debug page says.
fn ejected_for(world: &World) -> Vec<Option<u64>> {
    let page = world.status.debug("routes").unwrap();
    let endpoints = page["routes"][0]["endpoints"].as_array().unwrap();
    endpoints
        .iter()
        .map(|one| one["ejectedForMs"].as_u64())
        .collect()
}

#[tokio::test]
async fn a_dead_endpoint_is_tried_a_few_times_only() {
    let (listener, alive) = endpoint().await;
    let world = world("{ failures: 2, time: 10m }", &[nobody().await, alive]);
    let mut open = Vec::new();
    for _ in 0..40 {
        let client = world.say_hello().await;
        // The dead one has no load and would be drawn more and more often.
        open.push((client, take(&listener).await));
    }
    assert_eq!(refused(&world), 2.0);
    assert_eq!(ejections(&world), 1.0);
    let left = ejected_for(&world);
    assert!(
        left[0].is_some_and(|left| left > 500_000) && left[1].is_none(),
        "{left:?}"
    );
}

#[tokio::test]
async fn it_gets_its_share_again_when_it_is_back() {
    let (listener, alive) = endpoint().await;
    let dead = nobody().await;
    let world = world("{ failures: 1, time: 100ms }", &[dead, alive]);
    while ejections(&world) == 0.0 {
        drop((world.say_hello().await, take(&listener).await));
    }
    let back = TcpListener::bind(dead).await.unwrap();
    let arrived = async {
        loop {
            let mut client = world.say_hello().await;
            tokio::select! {
                stream = take(&back) => return (client, stream),
                _ = take(&listener) => client.shutdown().await.unwrap(),
            }
        }
    };
    let (_client, _stream) = tokio::time::timeout(crate::world::SOON, arrived)
        .await
        .unwrap();
    assert_eq!(ejected_for(&world), [None, None]);
}

#[tokio::test]
async fn an_ejected_endpoint_is_used_where_there_is_no_other() {
    let dead = [nobody().await, nobody().await];
    let world = world("{ failures: 1, time: 10m }", &dead);
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(&hello(SNI)).await.unwrap();
    eventually("both are ejected", || ejections(&world) == 2.0).await;
    let back = TcpListener::bind(dead[1]).await.unwrap();
    let _client = world.say_hello().await;
    take(&back).await;
    let left = ejected_for(&world);
    assert!(left[1].is_none(), "it was reached: {left:?}");
}

#[tokio::test]
async fn nothing_is_ejected_where_a_setting_says_so() {
    let (listener, alive) = endpoint().await;
    let world = world("{ failures: 0 }", &[nobody().await, alive]);
    for _ in 0..40 {
        drop((world.say_hello().await, take(&listener).await));
    }
    assert!(refused(&world) > 3.0, "{}", refused(&world));
    assert_eq!(ejections(&world), 0.0);
}
