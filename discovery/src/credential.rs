//! What a request to an API server carries to say who asks.
//!
//! The credential lives in a layer of the running client and can be replaced under it: the
//! next request carries the new one, and watches that run go on. Client certificates are not
//! here: they belong to the connection.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use tower::{Layer, Service};

/// The value of the `authorization` header, or none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization(Option<HeaderValue>);

/// The credential that requests carry *now*. Clones share it.
#[derive(Clone)]
pub(crate) struct Credential(Arc<ArcSwap<Authorization>>);

/// Puts a [`Credential`] on each request.
#[derive(Clone)]
pub(crate) struct Authorize<S> {
    credential: Credential,
    inner: S,
}

impl Authorization {
    /// No header: the connection says who asks.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// A bearer token; `None` when it holds what no header may.
    pub(crate) fn bearer(token: &SecretString) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer" } else { "None" })
    }
}

impl Credential {
    pub(crate) fn new(authorization: Authorization) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(authorization)))
    }

    /// From the next request on.
    pub(crate) fn replace(&self, authorization: Authorization) {
        self.0.store(Arc::new(authorization));
    }
}

impl<S> Layer<S> for Credential {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            credential: self.clone(),
            inner,
        }
    }
}

impl<S, B> Service<Request<B>> for Authorize<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        match &self.credential.0.load().0 {
            Some(value) => request.headers_mut().insert(AUTHORIZATION, value.clone()),
            None => request.headers_mut().remove(AUTHORIZATION),
        };
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    fn token(text: &str) -> Authorization {
        Authorization::bearer(&SecretString::from(text)).unwrap()
    }

    #[tokio::test]
    async fn a_replaced_token_is_on_the_next_request_of_the_same_client() {
        let credential = Credential::new(token("old"));
        let echo = service_fn(|request: Request<()>| async move {
            Ok::<_, Infallible>(request.headers().get(AUTHORIZATION).cloned())
        });
        let client = credential.layer(echo);
        let ask = || async {
            let answer = client.clone().oneshot(Request::new(())).await.unwrap();
            answer.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(ask().await.unwrap(), "Bearer old");
        credential.replace(token("new"));
        assert_eq!(ask().await.unwrap(), "Bearer new");
        credential.replace(Authorization::none());
        assert_eq!(ask().await, None);
    }

    #[test]
    fn a_token_is_not_printed() {
        assert!(!format!("{:?}", token("s3cret")).contains("s3cret"));
        assert!(Authorization::bearer(&SecretString::from("a\nb")).is_none());
    }
}
