//! Why a request was not answered by the application, in Envoy's words and numbers.

use http::StatusCode;

/// Why, and with it the answer: the text is the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request names no host.
    #[error("")]
    NoHost,
    /// No route for the host.
    #[error("")]
    NoRoute,
    /// The route leads to a cluster that is not known.
    #[error("")]
    NoCluster,
    /// The cluster has no healthy endpoint.
    #[error("no healthy upstream")]
    NoEndpoint,
    /// No connection to the endpoint, or no TLS on it.
    #[error("{RESET}remote connection failure, transport failure reason: {0}")]
    Unreachable(String),
    /// No connection to the endpoint in time.
    #[error("{RESET}connection timeout")]
    TimedOut,
    /// The connection ended before the answer.
    #[error("{RESET}connection termination")]
    Terminated,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCluster
            | Self::NoEndpoint
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Terminated => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";
