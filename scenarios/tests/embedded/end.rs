//! A server ends with everything that it runs.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::WatchParams};
use tokio::runtime::Handle;

use crate::world::{LONG, cluster};

async fn alive() -> usize {
    // Clients of kube have a task of their own for each of them; it ends soon after they do.
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn nothing_runs_when_a_server_has_ended() {
    let before = Handle::current().metrics().num_alive_tasks();
    for stops in [true, false] {
        let server = cluster("c1").await.unwrap();
        let address = server.address();
        let pods: Api<Pod> = Api::all(server.admin().client());
        let events = pods.watch(&WatchParams::default(), "0").await.unwrap();
        pin_mut!(events);
        events.next().await.unwrap().unwrap();
        match stops {
            true => server.stop().await,
            false => drop(server),
        }
        let ended = tokio::time::timeout(LONG, async {
            while let Some(Ok(_)) = events.next().await {}
        });
        ended.await.expect("watches end");
        drop(pods);
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        assert_eq!(alive().await, before);
    }
}
