//! One request and its answer.

use http::{HeaderValue, Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use tracing::debug;

use super::{door::Carried, forward, picture::Picture, refusal::Refusal, resource::listener::Http};

/// The body of an answer: our own words, or the application's.
pub(super) type Answer = Either<Full<Bytes>, Carried>;

/// Answers a request, or says why nobody does. `client` is what the application is told of
/// the client's certificate.
pub(super) async fn answer(
    request: Request<Incoming>,
    picture: &Picture,
    http: &Http,
    client: Option<&HeaderValue>,
) -> Response<Answer> {
    match pass_on(request, picture, http, client).await {
        Ok(answer) => answer.map(Either::Right),
        Err(refusal) => {
            debug!(?refusal, "not answered");
            let body = Full::from(refusal.to_string());
            let mut answer = Response::new(Either::Left(body));
            *answer.status_mut() = refusal.status();
            answer
        }
    }
}

async fn pass_on(
    request: Request<Incoming>,
    picture: &Picture,
    http: &Http,
    client: Option<&HeaderValue>,
) -> Result<Response<Carried>, Refusal> {
    // No route of ours is for tunnels.
    if request.method() == Method::CONNECT {
        return Err(Refusal::NoRoute);
    }
    let (mut parts, body) = request.into_parts();
    let host = forward::host(&parts).ok_or(Refusal::NoHost)?;
    let name = host.to_str().map_err(|_| Refusal::NoHost)?;
    let upstream = picture.route(http, name)?;
    let door = upstream.choose()?;
    forward::outgoing(&mut parts, host, client);
    let request = Request::from_parts(parts, body);
    let mut answer = door.send(request, upstream.limit()).await?;
    forward::without_connection(answer.headers_mut());
    Ok(answer)
}
