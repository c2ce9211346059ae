//! What a proxy changes in a request and in its answer before it passes them on. Pure.

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, Version,
    header::{CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
    uri::PathAndQuery,
};

/// The Host of a request, from wherever its version of HTTP has it.
#[must_use]
pub fn host(request: &Parts) -> Option<HeaderValue> {
    match request.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers.get(HOST).cloned(),
    }
}

/// Makes it a request of ours, for one host, over HTTP/1.1: what belonged to the client's
/// connection is gone. `client` is what the application is told of the client's certificate,
/// instead of what the client says itself.
pub fn outgoing(request: &mut Parts, host: HeaderValue, client: Option<&HeaderValue>) {
    without_connection(&mut request.headers);
    // It was answered here, when the body was asked for.
    request.headers.remove(EXPECT);
    request.headers.insert(HOST, host);
    request.headers.remove(CLIENT_CERTIFICATE);
    if let Some(client) = client {
        request.headers.insert(CLIENT_CERTIFICATE, client.clone());
    }
    let path = request.uri.path_and_query().cloned();
    request.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    request.version = Version::HTTP_11;
}

/// Removes what is between two ends of one connection (RFC 9110 section 7.6.1).
pub fn without_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    for name in named.into_iter().chain(always) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// The header that tells an application of its client's certificate.
pub const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_belongs_to_a_connection_stays_there() {
        let request = Request::get("/a?b=c")
            .header("host", "helloworld")
            .header("connection", "close, X-Own")
            .header("x-own", "1")
            .header("keep-alive", "timeout=5")
            .header("expect", "100-continue")
            .header("x-nonce", "7");
        let mut parts = parts(request);
        let host = host(&parts).unwrap();
        outgoing(&mut parts, host, None);
        let names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "x-nonce"]);
        assert_eq!(parts.uri, "/a?b=c");
    }

    #[test]
    fn nobody_says_himself_who_he_is() {
        let forged = Request::get("/").header(CLIENT_CERTIFICATE, "URI=spiffe://forged");
        let mut parts = parts(forged);
        let host = HeaderValue::from_static("helloworld");
        outgoing(&mut parts, host.clone(), None);
        assert_eq!(parts.headers.get(CLIENT_CERTIFICATE), None);
        let seen = HeaderValue::from_static("URI=spiffe://seen");
        outgoing(&mut parts, host, Some(&seen));
        assert_eq!(parts.headers.get(CLIENT_CERTIFICATE), Some(&seen));
    }

    #[test]
    fn the_host_is_where_its_version_has_it() {
        let absolute = parts(Request::get("http://a:80/x").header("host", "b"));
        assert_eq!(host(&absolute).unwrap(), "a:80");
        assert_eq!(
            host(&parts(Request::get("/x").header("host", "b"))).unwrap(),
            "b"
        );
        assert_eq!(host(&parts(Request::get("/x"))), None);
    }
}
