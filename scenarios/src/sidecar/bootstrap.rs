//! An Envoy's bootstrap file, as far as a sidecar of ours needs it: who it is, where its
//! certificates come from, and where its configuration. Pure.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use envoy_types::pb::{
    envoy::config::core::v3::Node,
    google::protobuf::{self as google, Struct},
};
use serde_json::Value;
use trust::identity::SpiffeId;

use super::secret::{CERTIFICATE, ROOTS};

/// What a sidecar must know before it can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The node's id, in Istio's grammar `sidecar~<address>~<pod>.<namespace>~<domain>`.
    pub node: String,
    /// The node's cluster.
    pub cluster: String,
    /// The texts of the node's metadata.
    pub metadata: BTreeMap<String, String>,
    /// Where the admin pages are; none: nowhere.
    pub admin: Option<SocketAddr>,
    /// The unix socket of the workload's certificates.
    pub secrets: PathBuf,
    /// Address of discovery's xDS.
    pub discovery: SocketAddr,
    /// Who must answer there.
    pub identity: SpiffeId,
}

/// A place in the file where something else stands than a sidecar can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: wanted {wanted}; write the bootstrap as `world::bootstrap` does")]
pub struct Unusable {
    place: String,
    wanted: &'static str,
}

impl Bootstrap {
    /// Reads the file's content.
    ///
    /// # Errors
    /// [`Unusable`], for the first place that cannot be used.
    pub fn parse(file: &Value) -> Result<Self, Unusable> {
        let file = Place::root(file);
        let node = file.at("/node")?;
        let admin = match file.value.get("admin") {
            Some(_) => Some(file.at("/admin/address")?.socket()?),
            None => None,
        };
        let ads = file.at("/dynamic_resources/ads_config")?;
        let discovery = cluster(&file, ads.grpc_cluster()?)?;
        let tls = discovery.at("/transport_socket/typed_config/common_tls_context")?;
        let certificate = tls.at("/tls_certificate_sds_secret_configs/0")?;
        let validation = tls.at("/combined_validation_context")?;
        certificate.secret(CERTIFICATE)?;
        let roots = validation.at("/validation_context_sds_secret_config")?;
        roots.secret(ROOTS)?;
        let source = certificate.at("/sds_config/api_config_source")?;
        let secrets = cluster(&file, source.grpc_cluster()?)?;
        let believed = validation.at(BELIEVED)?;
        Ok(Self {
            node: node.at("/id")?.text()?.to_owned(),
            cluster: node.at("/cluster")?.text()?.to_owned(),
            metadata: texts(&node.value["metadata"]),
            admin,
            secrets: endpoint(&secrets)?.at("/pipe/path")?.text()?.into(),
            discovery: endpoint(&discovery)?.socket()?,
            identity: believed.parsed("a SPIFFE id")?,
        })
    }

    /// The pod's name and namespace, as the node's id has them.
    pub(super) fn pod(&self) -> &str {
        self.node.split('~').nth(2).unwrap_or(&self.node)
    }

    /// How it presents itself.
    pub(super) fn presented(&self) -> Node {
        Node {
            id: self.node.clone(),
            cluster: self.cluster.clone(),
            metadata: Some(Struct {
                fields: self.metadata.iter().map(field).collect(),
            }),
            user_agent_name: "isthmus-sidecar".to_owned(),
            ..Default::default()
        }
    }
}

/// A value, and where it stands.
struct Place<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Place<'a> {
    fn root(value: &'a Value) -> Self {
        let path = String::new();
        Self { value, path }
    }

    fn at(&self, below: &str) -> Result<Self, Unusable> {
        let path = format!("{}{below}", self.path);
        match self.value.pointer(below) {
            Some(value) => Ok(Self { value, path }),
            None => Err(Unusable {
                place: path,
                wanted: "a value",
            }),
        }
    }

    fn wanted(&self, wanted: &'static str) -> Unusable {
        Unusable {
            place: self.path.clone(),
            wanted,
        }
    }

    fn text(&self) -> Result<&'a str, Unusable> {
        self.value.as_str().ok_or_else(|| self.wanted("text"))
    }

    fn parsed<T: std::str::FromStr>(&self, wanted: &'static str) -> Result<T, Unusable> {
        self.text()?.parse().map_err(|_| self.wanted(wanted))
    }

    fn socket(&self) -> Result<SocketAddr, Unusable> {
        let socket = self.at("/socket_address")?;
        let address: IpAddr = socket.at("/address")?.parsed("an IP address")?;
        let port = socket.at("/port_value")?;
        let number = port.value.as_u64().and_then(|port| port.try_into().ok());
        let number: u16 = number.ok_or_else(|| port.wanted("a port"))?;
        Ok((address, number).into())
    }

    fn grpc_cluster(&self) -> Result<&'a str, Unusable> {
        self.at("/grpc_services/0/envoy_grpc/cluster_name")?.text()
    }

    fn secret(&self, name: &'static str) -> Result<(), Unusable> {
        let found = self.at("/name")?;
        match found.text()? == name {
            true => Ok(()),
            false => Err(found.wanted(name)),
        }
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let fields = object.as_object().into_iter().flatten();
    let texts = fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    texts.collect()
}

fn field((name, text): (&String, &String)) -> (String, google::Value) {
    let kind = Some(google::value::Kind::StringValue(text.clone()));
    (name.clone(), google::Value { kind })
}

fn cluster<'a>(file: &Place<'a>, name: &str) -> Result<Place<'a>, Unusable> {
    let all = file.at("/static_resources/clusters")?;
    let clusters = all.value.as_array().into_iter().flatten();
    let names = clusters.map(|cluster| cluster["name"].as_str());
    let number = names.enumerate().find(|(_, found)| *found == Some(name));
    let (number, _) = number.ok_or_else(|| all.wanted("the cluster that is referred to"))?;
    all.at(&format!("/{number}"))
}

fn endpoint<'a>(cluster: &Place<'a>) -> Result<Place<'a>, Unusable> {
    cluster.at("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address")
}

const BELIEVED: &str = "/default_validation_context/match_typed_subject_alt_names/0/matcher/exact";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::world::bootstrap;

    fn written() -> Value {
        bootstrap::Bootstrap {
            pod: "client-0",
            namespace: "sample",
            address: [10, 10, 0, 7].into(),
            loopback: [127, 1, 2, 7].into(),
            workload: "client",
            secrets: Path::new("/run/sds/socket"),
            discovery: ([10, 10, 0, 3], 15112).into(),
            identity: "spiffe://mesh.example/ns/isthmus/sa/discovery",
        }
        .value()
    }

    #[test]
    fn the_file_of_an_envoy_is_read() {
        let expected = Bootstrap {
            node: "sidecar~10.10.0.7~client-0.sample~sample.svc.cluster.local".into(),
            cluster: "client.sample".into(),
            metadata: [("LOOPBACK".to_owned(), "127.1.2.7".to_owned())].into(),
            admin: Some(([127, 1, 2, 7], 15000).into()),
            secrets: "/run/sds/socket".into(),
            discovery: ([10, 10, 0, 3], 15112).into(),
            identity: "spiffe://mesh.example/ns/isthmus/sa/discovery"
                .parse()
                .unwrap(),
        };
        assert_eq!(Bootstrap::parse(&written()), Ok(expected));
    }

    #[test]
    fn what_cannot_be_used_is_named_by_its_place() {
        let broken = |place: &str, value: Value| {
            let mut file = written();
            *file.pointer_mut(place).unwrap() = value;
            Bootstrap::parse(&file).unwrap_err().place
        };
        for place in [
            "/admin/address/socket_address/port_value",
            "/static_resources/clusters/1/load_assignment/endpoints/0/lb_endpoints/0/endpoint\
             /address/socket_address/address",
            "/static_resources/clusters/1/transport_socket/typed_config/common_tls_context\
             /tls_certificate_sds_secret_configs/0/name",
        ] {
            assert_eq!(broken(place, "another".into()), place);
        }
        let cluster = "/dynamic_resources/ads_config/grpc_services/0/envoy_grpc/cluster_name";
        assert_eq!(broken(cluster, "none".into()), "/static_resources/clusters");
    }
}
