//! The HTTP pages of a role: readiness, metrics, debug views.
//!
//! The libraries give a handle; this module serves it and knows nothing of what it says.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// What a role tells about itself.
pub(crate) trait Inspect: Send + Sync + 'static {
    /// What to say of it when it is ready, and what is still missing when it is not.
    fn ready(&self) -> Result<String, String>;
    /// The metrics page in Prometheus' text format.
    fn metrics(&self) -> String;
    /// The debug view of this name, if there is one.
    fn debug(&self, page: &str) -> Option<Value>;
}

/// Which pages an address serves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pages {
    /// `/healthz/ready`: 200, or 503 with the reason.
    pub(crate) readiness: bool,
    /// `/metrics` and Istio's `/stats/prometheus`.
    pub(crate) metrics: bool,
    /// `/debug/<page>`.
    pub(crate) debug: bool,
}

/// The role's HTTP servers, all bound before any of them answers.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    tasks: JoinSet<()>,
}

impl Servers {
    /// Binds `address` and serves `pages` of `role` there until `cancel`.
    ///
    /// # Errors
    /// When the address can't be bound: the message names the setting.
    pub(crate) async fn serve(
        &mut self,
        setting: &str,
        address: SocketAddr,
        pages: Pages,
        role: Arc<dyn Inspect>,
        cancel: CancellationToken,
    ) -> Result<()> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("{setting}: cannot listen on {address}"))?;
        let server = axum::serve(listener, router(pages, role))
            .with_graceful_shutdown(cancel.cancelled_owned());
        self.tasks.spawn(async move {
            // axum's server ends only by its shutdown signal.
            let _never_fails = server.await;
        });
        Ok(())
    }

    /// Waits until all servers have ended.
    pub(crate) async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn router(pages: Pages, role: Arc<dyn Inspect>) -> Router {
    let mut router = Router::new();
    if pages.readiness {
        router = router.route("/healthz/ready", get(readiness));
    }
    if pages.metrics {
        router = router
            .route("/metrics", get(metrics))
            .route("/stats/prometheus", get(metrics));
    }
    if pages.debug {
        router = router.route("/debug/{page}", get(debug));
    }
    router.with_state(role)
}

async fn readiness(State(role): State<Arc<dyn Inspect>>) -> Response {
    match role.ready() {
        Ok(text) => format!("{text}\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(role): State<Arc<dyn Inspect>>) -> Response {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        role.metrics(),
    )
        .into_response()
}

async fn debug(State(role): State<Arc<dyn Inspect>>, Path(page): Path<String>) -> Response {
    match role.debug(&page) {
        Some(view) => Json(view).into_response(),
        None => {
            let unknown = json!({ "error": format!("there is no debug page `{page}`") });
            (StatusCode::NOT_FOUND, Json(unknown)).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
