//! An endpoint that swallows packets: who draws it waits and goes on to another one, and
//! after a few it is drawn no more.

use std::{net::SocketAddr, time::Duration};

use libtest_mimic::Trial;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    fault,
    neighbour::Neighbour,
    process::{Orders, Process},
    sockets::echo,
    trial,
    world::{SNI, eventually, routes},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("an_endpoint_swallows_packets", is_left_out)]
}

async fn is_left_out() {
    let silent = Silent::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("routes.yaml");
    let both = routes(SNI, &[silent.address, echo().await]);
    let both = both.replace("priority: 1", "priority: 0").replace(
        "endpoints:",
        "connectTimeout: 500ms\n    eject: { failures: 3, time: 10m }\n    endpoints:",
    );
    std::fs::write(&file, both).unwrap();
    let gateway = Process::start(&Orders {
        source: Some(&format!("{{ file: {} }}", file.display())),
        ..Orders::default()
    });
    let neighbour = Neighbour::beside(gateway.address);
    let ejections = || gateway.metric("isthmus_eastwest_ejections_total", "");
    eventually("it is ejected", || ejections() == 1.0).await;
    let dials = |result: &str| {
        let label = format!("result=\"{result}\"");
        gateway.metric("isthmus_eastwest_dials_total", &label)
    };
    // Those who drew it before that may still wait.
    let mut waited = dials("timed_out");
    for round in 1.. {
        let seen = neighbour.asked();
        eventually("many more", || neighbour.asked() >= seen + 200).await;
        let before = std::mem::replace(&mut waited, dials("timed_out"));
        if waited <= before {
            break;
        }
        assert!(round < 5, "it is still drawn");
    }
    assert!(waited >= 3.0, "{waited}");
    let all = dials("connected");
    let beside = neighbour.lost_nothing().await;
    fault(
        "withdrawal",
        "an endpoint behind a gateway swallows packets, under a new connection every 10 ms",
        "none lost; after 3 that waited for it, it is left out as long as another one serves",
        format!("{waited} of {all} waited 500 ms; {beside}"),
    );
}

/// Nobody accepts, and the queue is full: a SYN is dropped.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Silent {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(FULL, TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// Without an answer for so long, there is none.
const FULL: Duration = Duration::from_millis(300);
