//! What a reader may ask, and how it is refused.

use anyhow::Result;
use hyper::body::Bytes;

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    who(scene).await?;
    what(scene).await?;
    let pods = format!("/api/v1/namespaces/{}/pods", scene.space);
    for query in [
        "labelSelector=a%20in",
        "labelSelector=a%3D%3D%3Db",
        "labelSelector=a%3Db%2C",
        "fieldSelector=spec.foo%3Dx",
        "limit=x",
        "resourceVersion=abc",
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Foo",
        "sendInitialEvents=true",
        "watch=true&sendInitialEvents=true",
        "watch=true&sendInitialEvents=true&resourceVersionMatch=Exact&allowWatchBookmarks=true",
        "watch=true&resourceVersionMatch=NotOlderThan",
        "watch=true&resourceVersion=abc",
        "watch=true&timeoutSeconds=x",
        "resourceVersion=99999999",
    ] {
        scene
            .get(&format!("GET pods?{query}"), &format!("{pods}?{query}"))
            .await?;
    }
    for query in [
        "labelSelector=a%20in%20(b%2Cc)%2C!d%2Ce%3E1",
        "limit=-1",
        "fieldSelector=status.phase%21%3DFailed",
    ] {
        scene
            .get(&format!("GET pods?{query}"), &format!("{pods}?{query}"))
            .await?;
    }
    // Kubernetes says here how its JSON parser failed.
    let path = format!("{pods}?continue=abc");
    scene
        .ask(
            false,
            "GET pods?continue=abc",
            Ask {
                path: &path,
                ..Ask::default()
            },
        )
        .await?;
    for query in [
        "watch=true&resourceVersion=99999999&timeoutSeconds=1",
        "watch=true&resourceVersion=99999999&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1",
    ] {
        let mut lines = scene.watch(&format!("{pods}?{query}"), None).await?;
        let events = lines.until(|_| false).await?;
        scene.heard(&format!("WATCH pods?{query}"), &events);
    }
    Ok(())
}

/// Who asks.
async fn who(scene: &mut Scene<'_>) -> Result<()> {
    let path = "/api/v1/namespaces";
    scene
        .ask(
            true,
            "with a token of nobody",
            Ask {
                path,
                token: Some("nobody"),
                ..Ask::default()
            },
        )
        .await?;
    scene
        .ask(
            true,
            "without a token",
            Ask {
                path,
                token: Some(""),
                ..Ask::default()
            },
        )
        .await?;
    for path in ["/readyz", "/livez", "/healthz"] {
        scene
            .ask(
                true,
                &format!("GET {path} without a token"),
                Ask {
                    path,
                    token: Some(""),
                    ..Ask::default()
                },
            )
            .await?;
    }
    scene
        .ask(
            false,
            "GET /version",
            Ask {
                path: "/version",
                ..Ask::default()
            },
        )
        .await?;
    Ok(())
}

/// What there is.
async fn what(scene: &mut Scene<'_>) -> Result<()> {
    for path in [
        "/api/v1/namespaces/nosuch",
        "/api/v1/nosuch",
        "/apis/foo.bar/v1",
        "/apis/foo.bar/v1/things",
        "/apis/apps/v1/namespaces/default/deployments/nosuch",
        "/foo",
    ] {
        scene.get(&format!("GET {path}"), path).await?;
    }
    let put = Ask {
        method: "PUT",
        path: "/api/v1/pods",
        body: Some(Bytes::new()),
        ..Ask::default()
    };
    scene.ask(true, "PUT of a collection", put).await?;
    let text = Ask {
        path: "/api/v1/pods",
        accept: Some("text/plain"),
        ..Ask::default()
    };
    // The real one can give more forms, and says so.
    scene.ask(false, "GET as text", text).await?;
    Ok(())
}
