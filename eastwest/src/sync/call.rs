//! One streaming gRPC call, whose buffers live as long as the messages in them.
//!
//! tonic's own stream keeps room for the largest message for as long as it lasts: of an
//! istiod with 5,000 services that is a quarter of a gateway's memory. Framing and headers
//! are those of "gRPC over HTTP/2" (`Length-Prefixed-Message`, `Request-Headers`).

use std::mem;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONTENT_TYPE, TE},
};
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tokio_stream::{StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{Status, body::Body};
use tower::{Service as _, ServiceExt as _};

use super::{connect::Connection, message::Response};

/// The responses of a call.
pub(crate) struct Responses {
    body: Body,
    frames: Frames,
}

/// What has come of messages that were not taken yet.
#[derive(Debug, Default)]
struct Frames(Vec<u8>);

/// Opens a delta stream whose responses are read by their skeleton only ([`Response`]).
///
/// # Errors
/// What the other side says, or why it says nothing.
pub(crate) async fn call(
    mut connection: Connection,
    requests: UnboundedReceiverStream<DeltaDiscoveryRequest>,
) -> Result<Responses, Status> {
    let frames = requests.map(|request| Ok::<_, Status>(http_body::Frame::data(framed(&request))));
    let mut request = Request::new(Body::new(StreamBody::new(frames)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(METHOD);
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = connection.metadata.into_headers();
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let unready = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let channel = connection.channel.ready().await.map_err(unready)?;
    let answer = channel.call(request).await;
    let answer = answer.map_err(|error| Status::from_error(error.into()))?;
    match Status::from_header_map(answer.headers()) {
        Some(status) => Err(status),
        None if answer.status() != StatusCode::OK => {
            Err(Status::unknown(format!("HTTP {}", answer.status())))
        }
        None => Ok(Responses {
            body: answer.into_body(),
            frames: Frames::default(),
        }),
    }
}

impl Responses {
    /// The next message; none at a good end. What has come stays when this is dropped.
    ///
    /// # Errors
    /// How the call failed.
    pub(crate) async fn message(&mut self) -> Result<Option<Response>, Status> {
        loop {
            if let Some(message) = self.frames.take()? {
                let response = Response::decode(message);
                return Ok(Some(response.map_err(|e| Status::internal(e.to_string()))?));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            match frame?.into_data() {
                Ok(data) => self.frames.0.extend_from_slice(&data),
                Err(frame) => {
                    let status = frame.trailers_ref().and_then(Status::from_header_map);
                    return match status.filter(|status| status.code() != tonic::Code::Ok) {
                        Some(status) => Err(status),
                        None => Ok(None),
                    };
                }
            }
        }
    }
}

impl Frames {
    /// The first message, if all of it is there.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((head, body)) = self.0.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [compressed, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        if compressed != 0 {
            let why = "a compressed message, which was not asked for";
            return Err(Status::unimplemented(why));
        }
        if body.len() < length {
            return Ok(None);
        }
        let rest = self.0.split_off(HEAD + length);
        let message = Bytes::from(mem::replace(&mut self.0, rest));
        Ok(Some(message.slice(HEAD..)))
    }
}

/// A message behind its head: that it is not compressed, and its length.
fn framed(request: &DeltaDiscoveryRequest) -> Bytes {
    let length = request.encoded_len();
    let mut framed = Vec::with_capacity(HEAD + length);
    framed.push(0);
    // No request comes near 4 GiB: see `Session::assignments`.
    framed.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    // A vector has room for whatever is encoded.
    let _ = request.encode(&mut framed);
    framed.into()
}

const METHOD: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const HEAD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_that_were_sent_however_they_come() {
        let request = |count: usize| DeltaDiscoveryRequest {
            resource_names_subscribe: vec!["name".to_owned(); count],
            ..Default::default()
        };
        let sent = [request(1), request(0), request(100)];
        let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
        for part in 1..=bytes.len() {
            let (mut frames, mut come) = (Frames::default(), Vec::new());
            for part in bytes.chunks(part) {
                frames.0.extend(part);
                while let Some(message) = frames.take().unwrap() {
                    come.push(DeltaDiscoveryRequest::decode(message).unwrap());
                }
            }
            assert_eq!(come, sent);
            assert_eq!(frames.0.capacity(), 0, "room is kept for nothing");
        }
    }

    #[test]
    fn a_compressed_message_is_refused() {
        let mut frames = Frames(vec![1, 0, 0, 0, 0]);
        let refused = frames.take().unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
    }
}
