//! What an Envoy believes, read from its admin pages.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    picture::{Picture, service_of},
    world::{bootstrap::ADMIN_PORT, pod::Pod},
};

/// The endpoints of a cluster and their weights, as the sidecar of `pod` has them.
///
/// # Errors
/// When Envoy does not answer.
pub async fn weights(pod: &Pod, cluster: &str) -> Result<BTreeMap<String, u32>> {
    let page = pod.page(ADMIN_PORT, "/clusters").await?;
    Ok(parse_weights(&page.text, cluster))
}

/// The endpoints of all clusters whose names begin so, as the sidecar of `pod` has them.
///
/// # Errors
/// When Envoy does not answer.
pub async fn picture(pod: &Pod, prefix: &str) -> Result<Picture> {
    let page = pod.page(ADMIN_PORT, "/clusters").await?;
    Ok(parse_picture(&page.text, prefix))
}

/// Each cluster has a line with its name as Envoy shows it, each endpoint one with its
/// weight.
fn parse_picture(text: &str, prefix: &str) -> Picture {
    let mut picture = Picture::default();
    for line in text.lines().filter(|line| line.starts_with(prefix)) {
        let mut fields = line.split("::");
        let service = fields.next().and_then(service_of);
        let (Some(service), Some(second), third) = (service, fields.next(), fields.next()) else {
            continue;
        };
        match third {
            None => {}
            Some("weight") => picture.add(service, second),
            Some(_) if second == "observability_name" => picture.know(service),
            Some(_) => {}
        }
    }
    picture
}

/// Lines are `cluster::address::field::value`; names of clusters hold no `::`.
fn parse_weights(text: &str, cluster: &str) -> BTreeMap<String, u32> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(cluster)?.strip_prefix("::")?;
            let (address, rest) = rest.split_once("::")?;
            let weight = rest.strip_prefix("weight::")?.parse().ok()?;
            Some((address.to_owned(), weight))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_without_endpoints_is_one_too() {
        let text = "outbound|80||a.s::observability_name::outbound|80||a.s;\n\
            outbound|80||a.s::default_priority::max_connections::1024\n\
            outbound|80||a.s::10.10.0.20:5000::cx_active::1\n\
            outbound|80||a.s::10.10.0.20:5000::weight::1\n\
            outbound|80||b.s::observability_name::outbound|80||b.s;\n\
            xds::observability_name::xds\n\
            xds::10.10.0.3:15112::weight::1\n";
        let mut expected = Picture::default();
        expected.add("a", "10.10.0.20:5000");
        expected.know("b");
        assert_eq!(parse_picture(text, "outbound|80||"), expected);
    }

    #[test]
    fn weights_are_those_of_the_very_cluster() {
        let text = "outbound|80||a::observability_name::a\n\
            outbound|80||a::default_priority::max_connections::1024\n\
            outbound|80||a::10.10.0.20:5000::cx_active::1\n\
            outbound|80||a::10.10.0.20:5000::weight::1\n\
            outbound|80||a::172.31.0.22:15443::weight::3\n\
            outbound|80||ab::10.10.0.9:5000::weight::7\n";
        let expected = [("10.10.0.20:5000", 1), ("172.31.0.22:15443", 3)];
        assert_eq!(
            parse_weights(text, "outbound|80||a"),
            expected
                .map(|(address, weight)| (address.to_owned(), weight))
                .into()
        );
    }
}
