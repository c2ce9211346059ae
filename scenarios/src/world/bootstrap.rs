//! Envoy's bootstrap: where its configuration and its certificates come from.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use serde_json::{Value, json};

/// What an Envoy must know before it can ask.
#[derive(Debug)]
pub struct Bootstrap<'a> {
    /// Its pod.
    pub pod: &'a str,
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's address.
    pub address: IpAddr,
    /// What is 127.0.0.1 in the pod: another address where pods share one loopback device.
    pub loopback: IpAddr,
    /// The workload: the name of the local cluster.
    pub workload: &'a str,
    /// The unix socket of the workload's certificates.
    pub secrets: &'a Path,
    /// Address of discovery's xDS.
    pub discovery: SocketAddr,
    /// Whom to accept there.
    pub identity: &'a str,
}

impl Bootstrap<'_> {
    /// The file's content.
    #[must_use]
    pub fn value(&self) -> Value {
        let loopback = self.loopback.to_string();
        json!({
            "node": {
                "id": format!(
                    "sidecar~{}~{}.{}~{}.svc.cluster.local",
                    self.address, self.pod, self.namespace, self.namespace
                ),
                "cluster": format!("{}.{}", self.workload, self.namespace),
                "metadata": { "LOOPBACK": loopback },
            },
            "admin": { "address": socket(SocketAddr::new(self.loopback, ADMIN_PORT)) },
            "static_resources": {
                "clusters": [
                    upstream("sds", &json!({
                        "pipe": { "path": self.secrets.display().to_string() },
                    }), None),
                    upstream("xds", &socket(self.discovery), Some(self.tls())),
                ],
            },
            "dynamic_resources": {
                "ads_config": delta("xds"),
                "cds_config": { "ads": {}, "resource_api_version": "V3" },
                "lds_config": { "ads": {}, "resource_api_version": "V3" },
            },
        })
    }

    /// mTLS to discovery, by the same certificates as all traffic of the pod.
    fn tls(&self) -> Value {
        let secret = |name: &str| {
            json!({
                "name": name,
                "sds_config": { "api_config_source": delta("sds"), "resource_api_version": "V3" },
            })
        };
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": format!("{PREFIX}transport_sockets.tls.v3.UpstreamTlsContext"),
                "common_tls_context": {
                    "alpn_protocols": ["h2"],
                    "tls_certificate_sds_secret_configs": [secret("default")],
                    "combined_validation_context": {
                        "default_validation_context": {
                            "match_typed_subject_alt_names": [{
                                "san_type": "URI",
                                "matcher": { "exact": self.identity },
                            }],
                        },
                        "validation_context_sds_secret_config": secret("ROOTCA"),
                    },
                },
            },
        })
    }
}

/// How an Envoy is told to run by this file.
#[must_use]
pub fn envoy_arguments(file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    let arguments = [
        "--config-path",
        &file,
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "warning",
    ];
    arguments.map(str::to_owned).into()
}

fn upstream(name: &str, address: &Value, tls: Option<Value>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": format!("{PREFIX}upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    });
    if let Some(tls) = tls {
        cluster["transport_socket"] = tls;
    }
    cluster
}

fn delta(cluster: &str) -> Value {
    json!({
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{ "envoy_grpc": { "cluster_name": cluster } }],
    })
}

fn socket(at: SocketAddr) -> Value {
    let address = at.ip().to_string();
    json!({ "socket_address": { "address": address, "port_value": at.port() } })
}

/// Envoy's admin port, on loopback in the pod.
pub const ADMIN_PORT: u16 = 15000;

const PREFIX: &str = "type.googleapis.com/envoy.extensions.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_named_as_discovery_expects_and_only_discovery_is_believed() {
        let value = Bootstrap {
            pod: "client-0",
            namespace: "sample",
            address: [10, 10, 0, 7].into(),
            loopback: [127, 1, 2, 7].into(),
            workload: "client",
            secrets: Path::new("/run/sds/socket"),
            discovery: ([10, 10, 0, 3], 15112).into(),
            identity: "spiffe://mesh.example/ns/isthmus/sa/discovery",
        }
        .value();
        assert_eq!(
            value["node"]["id"],
            "sidecar~10.10.0.7~client-0.sample~sample.svc.cluster.local"
        );
        assert_eq!(value["node"]["metadata"]["LOOPBACK"], "127.1.2.7");
        let admin = "/admin/address/socket_address/address";
        assert_eq!(value.pointer(admin).unwrap(), "127.1.2.7");
        let clusters = &value["static_resources"]["clusters"];
        let names: Vec<_> = clusters
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["name"])
            .collect();
        assert_eq!(names, ["sds", "xds"]);
        let pipe = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path";
        assert_eq!(clusters[0].pointer(pipe).unwrap(), "/run/sds/socket");
        let believed = "/transport_socket/typed_config/common_tls_context/\
            combined_validation_context/default_validation_context/\
            match_typed_subject_alt_names/0/matcher/exact";
        assert_eq!(
            clusters[1].pointer(believed).unwrap(),
            "spiffe://mesh.example/ns/isthmus/sa/discovery"
        );
    }
}
