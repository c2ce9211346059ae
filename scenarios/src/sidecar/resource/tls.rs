//! Mesh TLS as a sidecar is told to speak it: with the certificate and the roots of the
//! workload's own SDS, of which there is one.

use envoy_types::pb::envoy::{
    config::core::v3::{TransportSocket, transport_socket::ConfigType},
    extensions::transport_sockets::{
        raw_buffer::v3::RawBuffer,
        tls::v3::{
            CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
            TlsParameters, UpstreamTlsContext,
            common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
            subject_alt_name_matcher::SanType,
            tls_parameters::TlsProtocol,
        },
    },
    r#type::matcher::v3::string_matcher::MatchPattern,
};
use prost::Name;
use rustls::pki_types::ServerName;
use trust::tls::Peers;

use super::{Unfit, not_understood, nothing_left, only, unpacked};
use crate::sidecar::secret::{CERTIFICATE, ROOTS};

/// How an endpoint is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// In plain text.
    Plain,
    /// By mesh TLS.
    Tls(Client),
}

/// The client's side of mesh TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What is asked for.
    pub sni: ServerName<'static>,
    /// What both sides have in common.
    pub common: Common,
}

/// What both sides of mesh TLS have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The protocols, best first.
    pub alpn: Vec<String>,
    /// Who may be at the other end.
    pub peers: Peers,
}

/// How to dial: nothing said is plain text.
pub(super) fn transport(socket: Option<TransportSocket>) -> Result<Transport, Unfit> {
    let Some(socket) = socket else {
        return Ok(Transport::Plain);
    };
    let Some(ConfigType::TypedConfig(config)) = socket.config_type else {
        return not_understood("a transport socket without a configuration");
    };
    if config.type_url == RawBuffer::type_url() {
        return Ok(Transport::Plain);
    }
    let mut context: UpstreamTlsContext = unpacked(Some(config))?;
    let sni = std::mem::take(&mut context.sni);
    let common = common(context.common_tls_context.take())?;
    nothing_left("an upstream TLS context", &context)?;
    let sni = ServerName::try_from(sni).map_err(Unfit::because)?;
    Ok(Transport::Tls(Client { sni, common }))
}

/// How to answer: a client without a certificate is never let in.
pub(super) fn downstream(socket: TransportSocket) -> Result<Common, Unfit> {
    let Some(ConfigType::TypedConfig(config)) = socket.config_type else {
        return not_understood("a transport socket without a configuration");
    };
    let mut context: DownstreamTlsContext = unpacked(Some(config))?;
    if context
        .require_client_certificate
        .take()
        .map(|yes| yes.value)
        != Some(true)
    {
        return not_understood("TLS that asks for no client certificate");
    }
    let common = common(context.common_tls_context.take())?;
    nothing_left("a downstream TLS context", &context)?;
    Ok(common)
}

fn common(context: Option<CommonTlsContext>) -> Result<Common, Unfit> {
    let mut context = context.unwrap_or_default();
    versions(context.tls_params.take())?;
    let secrets = std::mem::take(&mut context.tls_certificate_sds_secret_configs);
    secret(only("certificates", secrets)?, CERTIFICATE)?;
    let Some(ValidationContextType::CombinedValidationContext(validation)) =
        context.validation_context_type.take()
    else {
        return not_understood("TLS that verifies by something else than roots and names");
    };
    let common = Common {
        alpn: std::mem::take(&mut context.alpn_protocols),
        peers: peers(validation)?,
    };
    nothing_left("a TLS context", &context)?;
    Ok(common)
}

/// Those that `trust` speaks.
fn versions(parameters: Option<TlsParameters>) -> Result<(), Unfit> {
    let mut parameters = parameters.unwrap_or_default();
    let least = std::mem::take(&mut parameters.tls_minimum_protocol_version);
    let most = std::mem::take(&mut parameters.tls_maximum_protocol_version);
    if [least, most] != [TlsProtocol::TlSv12, TlsProtocol::TlSv13].map(i32::from) {
        return not_understood("TLS versions other than 1.2 to 1.3");
    }
    nothing_left("TLS parameters", &parameters)
}

/// By its name only: there is one source.
fn secret(config: SdsSecretConfig, wanted: &str) -> Result<(), Unfit> {
    match config.name == wanted {
        true => Ok(()),
        false => not_understood(&format!("a secret `{}`", config.name)),
    }
}

fn peers(mut context: CombinedCertificateValidationContext) -> Result<Peers, Unfit> {
    let roots = context.validation_context_sds_secret_config.take();
    secret(roots.unwrap_or_default(), ROOTS)?;
    let mut names = context
        .default_validation_context
        .take()
        .unwrap_or_default();
    nothing_left("TLS verification", &context)?;
    let matchers = std::mem::take(&mut names.match_typed_subject_alt_names);
    nothing_left("TLS verification", &names)?;
    let patterns: Vec<MatchPattern> = matchers
        .into_iter()
        .map(pattern)
        .collect::<Result<_, _>>()?;
    match patterns.as_slice() {
        // With an empty list Envoy would take anybody below the roots.
        [] => not_understood("TLS without names"),
        [MatchPattern::Prefix(prefix)] => trust_domain(prefix),
        exact => {
            let ids = exact.iter().map(|pattern| match pattern {
                MatchPattern::Exact(name) => name.parse().map_err(Unfit::because),
                _ => not_understood("a name by pattern"),
            });
            Ok(Peers::Exactly(ids.collect::<Result<_, _>>()?))
        }
    }
}

fn pattern(mut matcher: SubjectAltNameMatcher) -> Result<MatchPattern, Unfit> {
    let kind = std::mem::take(&mut matcher.san_type);
    let mut text = matcher.matcher.take().unwrap_or_default();
    nothing_left("a name", &matcher)?;
    let pattern = text.match_pattern.take();
    nothing_left("a name", &text)?;
    match pattern {
        Some(pattern) if kind == i32::from(SanType::Uri) => Ok(pattern),
        _ => not_understood("a name that is no URI"),
    }
}

/// `spiffe://mesh.example/`: whoever is of that trust domain.
fn trust_domain(prefix: &str) -> Result<Peers, Unfit> {
    let domain = prefix.strip_prefix("spiffe://");
    match domain.and_then(|rest| rest.strip_suffix('/')) {
        Some(domain) => Ok(Peers::TrustDomain(domain.parse().map_err(Unfit::because)?)),
        None => not_understood("a prefix that is no trust domain"),
    }
}
