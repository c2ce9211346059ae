//! What a Service gets that does not say it.

use std::{collections::HashSet, net::Ipv4Addr};

use serde_json::{Map, Value, json};

use super::set;

/// Fills in a Service, but for its address.
pub(super) fn fill(object: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = object.get_mut("spec") else {
        return;
    };
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if port["protocol"].is_null() {
            port["protocol"] = json!("TCP");
        }
        if port["targetPort"].is_null() {
            port["targetPort"] = port["port"].clone();
        }
    }
    if spec["type"] != "ExternalName" {
        families(spec);
    }
    set(object, "status", json!({ "loadBalancer": {} }));
    let ingress = &mut object["status"]["loadBalancer"];
    for place in ingress
        .get_mut("ingress")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if place["ip"].is_string() && place["ipMode"].is_null() {
            place["ipMode"] = json!("VIP");
        }
    }
}

fn families(spec: &mut Map<String, Value>) {
    if matches!(spec["type"].as_str(), Some("LoadBalancer" | "NodePort")) {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec["type"] == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    set(spec, "internalTrafficPolicy", json!("Cluster"));
    let headless = spec
        .get("clusterIP")
        .is_some_and(|address| address == "None");
    let selects = spec
        .get("selector")
        .and_then(Value::as_object)
        .is_some_and(|s| !s.is_empty());
    let (families, policy) = match headless && !selects {
        true => (json!(["IPv4", "IPv6"]), "RequireDualStack"),
        false => (json!(["IPv4"]), "SingleStack"),
    };
    set(spec, "ipFamilies", families);
    set(spec, "ipFamilyPolicy", json!(policy));
}

/// Gives Services their addresses and node ports, from 10.96.0.0/16 and 30000-32767, in order.
#[derive(Debug, Default)]
pub(in crate::apiserver) struct Addresses {
    last: u16,
    last_port: u16,
    taken: HashSet<String>,
}

impl Addresses {
    /// Writes an address into a Service that needs one, and ports of nodes.
    pub(in crate::apiserver) fn give(&mut self, object: &mut Map<String, Value>) {
        let Some(Value::Object(spec)) = object.get_mut("spec") else {
            return;
        };
        if spec["type"] == "ExternalName" {
            return;
        }
        if spec
            .get("clusterIP")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .is_empty()
        {
            spec.insert("clusterIP".to_owned(), json!(self.next()));
        }
        if let Some(address) = spec["clusterIP"].as_str() {
            self.taken.insert(address.to_owned());
        }
        let address = spec["clusterIP"].clone();
        set(spec, "clusterIPs", json!([address]));
        if !matches!(spec["type"].as_str(), Some("LoadBalancer" | "NodePort")) {
            return;
        }
        for port in spec
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if port["nodePort"].is_null() {
                self.last_port = (self.last_port + 1) % 2768;
                port["nodePort"] = json!(30_000 + self.last_port);
            }
        }
    }

    fn next(&mut self) -> String {
        loop {
            self.last = self.last.wrapping_add(1).max(10);
            let [high, low] = self.last.to_be_bytes();
            let address = Ipv4Addr::new(10, 96, high, low).to_string();
            // There are far fewer Services than addresses, so this ends.
            if !self.taken.contains(&address) {
                return address;
            }
        }
    }
}
