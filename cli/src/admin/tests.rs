use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Role {
    ready: Result<String, String>,
}

impl Inspect for Role {
    fn ready(&self) -> Result<String, String> {
        self.ready.clone()
    }

    fn metrics(&self) -> String {
        "isthmus_up 1\n".to_owned()
    }

    fn debug(&self, page: &str) -> Option<Value> {
        (page == "clusters").then(|| json!({ "clusters": [] }))
    }
}

/// Status line and body of `GET path` from a server with `pages` of `role`.
async fn get(pages: Pages, role: Role, path: &str) -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let server = axum::serve(listener, router(pages, Arc::new(role)))
        .with_graceful_shutdown(cancel.clone().cancelled_owned());
    let server = tokio::spawn(async move { server.await });
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    cancel.cancel();
    server.await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

const ALL: Pages = Pages {
    readiness: true,
    metrics: true,
    debug: true,
};

#[tokio::test]
async fn a_role_that_is_not_ready_says_why() {
    let role = Role {
        ready: Err("waiting for cluster c2".to_owned()),
    };
    let (code, body) = get(ALL, role, "/healthz/ready").await;
    assert_eq!(code, 503);
    assert_eq!(body, "waiting for cluster c2\n");
    let ready = Role {
        ready: Ok("ready; remembered: c2".into()),
    };
    let (code, body) = get(ALL, ready, "/healthz/ready").await;
    assert_eq!((code, body.as_str()), (200, "ready; remembered: c2\n"));
}

#[tokio::test]
async fn an_address_serves_only_its_pages() {
    let role = || Role {
        ready: Ok("ready".into()),
    };
    let metrics_only = Pages {
        metrics: true,
        ..Pages::default()
    };
    assert_eq!(get(metrics_only, role(), "/metrics").await.0, 200);
    assert_eq!(get(metrics_only, role(), "/stats/prometheus").await.0, 200);
    assert_eq!(get(metrics_only, role(), "/healthz/ready").await.0, 404);
    assert_eq!(get(metrics_only, role(), "/debug/clusters").await.0, 404);
}

#[tokio::test]
async fn a_debug_page_is_json_and_an_unknown_one_is_named() {
    let role = || Role {
        ready: Ok("ready".into()),
    };
    let (code, body) = get(ALL, role(), "/debug/clusters").await;
    assert_eq!((code, body.as_str()), (200, r#"{"clusters":[]}"#));
    let (code, body) = get(ALL, role(), "/debug/nosuch").await;
    assert_eq!(code, 404);
    assert!(body.contains("nosuch"), "{body}");
}
