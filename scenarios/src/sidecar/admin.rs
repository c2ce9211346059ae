//! The admin pages of an Envoy that this repository asks for, in Envoy's words.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::status::Status;

/// Serves until cancelled.
pub(super) async fn serve(listener: TcpListener, status: Status, cancel: CancellationToken) {
    let pages = Router::new()
        .route("/ready", get(ready))
        .route("/listeners", get(listeners))
        .route("/clusters", get(clusters))
        .with_state(status);
    let server = axum::serve(listener, pages).with_graceful_shutdown(cancel.cancelled_owned());
    // axum's server ends only by its shutdown signal.
    let _never_fails = server.await;
}

async fn ready(State(status): State<Status>) -> Response {
    match status.stand().ready {
        true => "LIVE\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "INITIALIZING\n").into_response(),
    }
}

async fn listeners(State(status): State<Status>) -> String {
    let open = status.stand().listeners.into_iter();
    open.map(|(name, address)| format!("{name}::{address}\n"))
        .collect()
}

async fn clusters(State(status): State<Status>) -> String {
    status.clusters()
}
