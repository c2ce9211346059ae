//! Mesh mTLS as Envoy's TLS contexts: certificates and roots by SDS from the static
//! cluster `sds` of the sidecar's bootstrap, never inline.

use std::collections::BTreeSet;

use trust::identity::{SpiffeId, TrustDomain};

use super::envoy::{any, core, google, matcher, raw_buffer, seconds, source, tls, yes};

/// Towards the endpoints of a service: what both ends of mesh mTLS agree on, and who may
/// answer. Without any identity nobody may: an empty list would let everybody.
pub(super) fn upstream(sni: &str, identities: &BTreeSet<SpiffeId>) -> core::TransportSocket {
    use matcher::string_matcher::MatchPattern::Exact;
    let mut sans: Vec<_> = identities
        .iter()
        .map(|id| san(Exact(id.to_string())))
        .collect();
    if sans.is_empty() {
        sans.push(san(Exact(NOBODY.to_owned())));
    }
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(common(&["istio"], sans)),
        sni: sni.to_owned(),
        ..Default::default()
    };
    transport_socket("envoy.transport_sockets.tls", any(&context))
}

/// At a pod's own port: a certificate of the pod's trust domain is required.
pub(super) fn downstream(trust_domain: &TrustDomain) -> core::TransportSocket {
    use matcher::string_matcher::MatchPattern::Prefix;
    let san = san(Prefix(format!("spiffe://{trust_domain}/")));
    let context = tls::DownstreamTlsContext {
        common_tls_context: Some(common(&INBOUND_ALPN, vec![san])),
        require_client_certificate: Some(yes()),
        ..Default::default()
    };
    transport_socket("envoy.transport_sockets.tls", any(&context))
}

/// No TLS.
pub(super) fn plain() -> core::TransportSocket {
    let context = raw_buffer::RawBuffer::default();
    transport_socket("envoy.transport_sockets.raw_buffer", any(&context))
}

fn common(alpn: &[&str], sans: Vec<tls::SubjectAltNameMatcher>) -> tls::CommonTlsContext {
    use tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
    let validation = CombinedCertificateValidationContext {
        default_validation_context: Some(tls::CertificateValidationContext {
            match_typed_subject_alt_names: sans,
            ..Default::default()
        }),
        validation_context_sds_secret_config: Some(secret("ROOTCA")),
        ..Default::default()
    };
    let version = tls::tls_parameters::TlsProtocol::TlSv12;
    tls::CommonTlsContext {
        tls_params: Some(tls::TlsParameters {
            tls_minimum_protocol_version: version.into(),
            tls_maximum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        tls_certificate_sds_secret_configs: vec![secret("default")],
        alpn_protocols: alpn.iter().map(ToString::to_string).collect(),
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        ..Default::default()
    }
}

fn san(pattern: matcher::string_matcher::MatchPattern) -> tls::SubjectAltNameMatcher {
    tls::SubjectAltNameMatcher {
        san_type: tls::subject_alt_name_matcher::SanType::Uri.into(),
        matcher: Some(matcher::StringMatcher {
            match_pattern: Some(pattern),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A secret of the workload's own SDS.
fn secret(name: &str) -> tls::SdsSecretConfig {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let service = core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: "sds".to_owned(),
            ..Default::default()
        })),
        timeout: Some(seconds(0)),
        ..Default::default()
    };
    let api = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::DeltaGrpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![service],
        set_node_on_first_message_only: true,
        ..Default::default()
    };
    tls::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(source(
            core::config_source::ConfigSourceSpecifier::ApiConfigSource(api),
        )),
    }
}

fn transport_socket(name: &str, config: google::Any) -> core::TransportSocket {
    core::TransportSocket {
        name: name.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(config)),
    }
}

/// A name that no certificate carries.
const NOBODY: &str = "spiffe://nobody";

/// What an inbound listener takes, best first. A client of the mesh offers `istio`; Envoy
/// tells HTTP/1 from HTTP/2 by the negotiated name where it is `h2`.
const INBOUND_ALPN: [&str; 5] = [
    "istio",
    "istio-http/1.1",
    "istio-http/1.0",
    "h2",
    "http/1.1",
];
