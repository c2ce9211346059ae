//! Where a sidecar answers, and what it does with what comes in.

use std::{net::SocketAddr, sync::Arc};

use envoy_types::pb::{
    envoy::{
        config::listener::v3::{Filter, Listener as ListenerMessage, filter::ConfigType},
        extensions::filters::{
            http::router::v3::Router,
            network::{
                http_connection_manager::v3::{
                    HttpConnectionManager, HttpFilter,
                    http_connection_manager::{
                        CodecType, ForwardClientCertDetails, RouteSpecifier,
                        ServerHeaderTransformation, SetCurrentClientCertDetails,
                    },
                    http_filter::ConfigType as HttpConfigType,
                },
                tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
            },
        },
    },
    google::protobuf::Any,
};
use prost::Name;

use super::{
    Routes, Unfit, by_ads, message, not_understood, nothing_left, only, socket,
    tls::{self, Common},
    unpacked,
};

/// An address, and what happens to connections that come in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// Mesh TLS, which is ended here; none: what comes in is plain.
    pub tls: Option<Common>,
    /// What is inside.
    pub content: Content,
}

/// What a connection carries, and where that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Requests, each routed by its Host.
    Http(Http),
    /// Bytes, for this cluster.
    Bytes(String),
}

/// How requests are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// By which they are routed.
    pub routes: Source,
    /// Whether the application is told who its client is (`x-forwarded-client-cert` with
    /// URI and chain). What a client says about that itself is removed in any case.
    pub tells_client: bool,
}

/// Where routes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The configuration of this name.
    Named(String),
    /// They are here.
    Fixed(Arc<Routes>),
}

impl Listener {
    /// Decodes a listener.
    ///
    /// # Errors
    /// [`Unfit`], when something in it is not understood.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let mut message: ListenerMessage = message(bytes)?;
        message.name.clear();
        message.traffic_direction = 0;
        let address = socket(message.address.take())?;
        let chains = std::mem::take(&mut message.filter_chains);
        nothing_left("a listener", &message)?;
        let mut chain = only("filter chains", chains)?;
        let socket = chain.transport_socket.take();
        let filters = std::mem::take(&mut chain.filters);
        nothing_left("a filter chain", &chain)?;
        Ok(Self {
            address,
            tls: socket.map(tls::downstream).transpose()?,
            content: content(only("filters", filters)?)?,
        })
    }

    /// The name of the routes that it asks for.
    #[must_use]
    pub fn routes(&self) -> Option<&str> {
        match &self.content {
            Content::Http(Http {
                routes: Source::Named(name),
                ..
            }) => Some(name),
            _ => None,
        }
    }
}

fn content(filter: Filter) -> Result<Content, Unfit> {
    let config = match filter.config_type {
        Some(ConfigType::TypedConfig(config)) => config,
        _ => Any::default(),
    };
    if config.type_url == HttpConnectionManager::type_url() {
        return http(unpacked(Some(config))?).map(Content::Http);
    }
    let mut proxy: TcpProxy = unpacked(Some(config))?;
    proxy.stat_prefix.clear();
    let Some(ClusterSpecifier::Cluster(cluster)) = proxy.cluster_specifier.take() else {
        return not_understood("bytes for no single cluster");
    };
    nothing_left("a TCP proxy", &proxy)?;
    Ok(Content::Bytes(cluster))
}

fn http(mut manager: HttpConnectionManager) -> Result<Http, Unfit> {
    manager.stat_prefix.clear();
    if manager.codec_type != i32::from(CodecType::Auto) {
        return not_understood("a fixed version of HTTP");
    }
    let server = std::mem::take(&mut manager.server_header_transformation);
    if server != i32::from(ServerHeaderTransformation::PassThrough) {
        return not_understood("a server header of the proxy's own");
    }
    let filters = std::mem::take(&mut manager.http_filters);
    router(only("HTTP filters", filters)?)?;
    let routes = match manager.route_specifier.take() {
        Some(RouteSpecifier::Rds(rds)) => {
            by_ads(rds.config_source)?;
            Source::Named(rds.route_config_name)
        }
        Some(RouteSpecifier::RouteConfig(routes)) => Source::Fixed(Arc::new(Routes::of(routes)?)),
        _ => return not_understood("HTTP without routes"),
    };
    let tells_client = tells_client(&mut manager)?;
    nothing_left("HTTP", &manager)?;
    Ok(Http {
        routes,
        tells_client,
    })
}

fn router(filter: HttpFilter) -> Result<(), Unfit> {
    let config = match filter.config_type {
        Some(HttpConfigType::TypedConfig(config)) => config,
        _ => Any::default(),
    };
    nothing_left("the router", &unpacked::<Router>(Some(config))?)
}

/// Nothing, or URI and chain: other details are not told.
fn tells_client(manager: &mut HttpConnectionManager) -> Result<bool, Unfit> {
    let forward = std::mem::take(&mut manager.forward_client_cert_details);
    let details = manager.set_current_client_cert_details.take();
    let both = SetCurrentClientCertDetails {
        uri: true,
        chain: true,
        ..Default::default()
    };
    match (ForwardClientCertDetails::try_from(forward), details) {
        (Ok(ForwardClientCertDetails::Sanitize), None) => Ok(false),
        (Ok(ForwardClientCertDetails::SanitizeSet), Some(details)) if details == both => Ok(true),
        _ => not_understood("these details of the client's certificate"),
    }
}
