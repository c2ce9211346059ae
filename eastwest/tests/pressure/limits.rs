//! One source that fills a limit up: the newest is refused with the limit's own reason,
//! those who are in stay, and at a limit per source others come in.

use std::io::ErrorKind;

use libtest_mimic::Trial;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    hostile::{BESIDE, held},
    neighbour::Neighbour,
    process::Process,
    sockets::{echo, hostile},
    trial,
    world::{SNI, hello, read_out},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("fills_connections", connections),
        trial("fills_connections_per_source", connections_per_source),
        trial("fills_waiting_hellos", waiting_hellos),
        trial("fills_waiting_hellos_per_source", waiting_per_source),
    ]
}

async fn connections() {
    // The neighbour has one of the places.
    let (setting, reason) = ("connections", "too_many_connections");
    fills(setting, reason, LIMIT - 1, true).await;
}

async fn connections_per_source() {
    let (setting, reason) = ("connectionsPerSource", "too_many_connections_of_source");
    fills(setting, reason, LIMIT, true).await;
}

async fn waiting_hellos() {
    fills("waitingHellos", "too_many_hellos", LIMIT, false).await;
}

async fn waiting_per_source() {
    let (setting, reason) = ("waitingHellosPerSource", "too_many_hellos_of_source");
    fills(setting, reason, LIMIT, false).await;
}

/// Takes the `places` that are left below `limits.{setting}`, saying hello or nothing.
async fn fills(setting: &str, reason: &str, places: usize, says_hello: bool) {
    let settings = format!("limits: {{ {setting}: {LIMIT} }}");
    let gateway = Process::to(&settings, &[(SNI, echo().await)]);
    let neighbour = Neighbour::established(gateway.address).await;
    let mut inside = Vec::new();
    for _ in 0..places {
        let mut client = hostile(gateway.address).await.unwrap();
        if says_hello {
            ask(&mut client).await;
        }
        inside.push(client);
    }
    gateway.until_open(1.0 + places as f64).await;
    let mut newest = 0.0;
    while neighbour.asked() < BESIDE {
        newest += 1.0;
        // The reset may be there before the client knows that it is connected.
        let end = match hostile(gateway.address).await {
            Ok(mut client) => read_out(&mut client).await.1,
            Err(error) => Some(error.kind()),
        };
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    if setting.ends_with("PerSource") {
        let mut other = TcpStream::connect(gateway.address).await.unwrap();
        ask(&mut other).await;
    }
    gateway.until_closed(reason, newest).await;
    let limit = format!("limits.{setting}");
    assert_eq!(
        (gateway.closed(reason), gateway.hits(&limit)),
        (newest, newest)
    );
    for client in &mut inside {
        ask(client).await;
    }
    let client = format!("fills `{limit}`");
    let measured = format!("{newest} reset, {places} stay");
    held(
        neighbour,
        &client,
        "the newest reset, those who are in stay",
        measured,
    )
    .await;
}

/// Says a hello, for the first time or again: the endpoint says everything back.
async fn ask(client: &mut TcpStream) {
    let question = hello(SNI);
    client.write_all(&question).await.unwrap();
    let mut answer = vec![0; question.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, question);
}

const LIMIT: usize = 8;
