//! Routes in a file: the shape of `routes.yaml`, and the check that finds all mistakes.

use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;

use crate::route::RouteSpec;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    routes: Vec<RouteSpec>,
}

/// Reads routes from YAML.
///
/// # Errors
/// What is wrong with them: all of it, with paths, once the YAML itself is sound.
pub fn parse(text: &str) -> Result<Vec<Arc<RouteSpec>>, String> {
    let written: Written = serde_yaml_ng::from_str(text).map_err(|e| e.to_string())?;
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for (at, route) in written.routes.iter().enumerate() {
        let mut wrong = |field: &str, what: &str| {
            problems.push(format!("routes[{at}].{field}: {what}"));
        };
        if !is_name(&route.sni) {
            wrong("sni", "1 to 255 printable ASCII bytes in lower case");
        }
        if !seen.insert((&route.listener, &route.sni)) {
            wrong("sni", "the name of an earlier route");
        }
        let alpn = route.alpn.as_deref().unwrap_or_default();
        if route.alpn.is_some() && (alpn.is_empty() || alpn.iter().any(|p| p.is_empty())) {
            let what = "at least one protocol, none of them empty; null for any";
            wrong("alpn", what);
        }
    }
    if problems.is_empty() {
        Ok(written.routes.into_iter().map(Arc::new).collect())
    } else {
        Err(problems.join("; "))
    }
}

fn is_name(sni: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase();
    (1..=255).contains(&sni.len()) && sni.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Health;

    #[test]
    fn the_example_has_a_route_with_two_endpoints() {
        let routes = parse(include_str!("../../examples/routes.yaml")).unwrap();
        let [route] = routes.as_slice() else { panic!() };
        assert_eq!(route.alpn.as_ref().unwrap().len(), 5);
        assert_eq!(&*route.service.name, "helloworld");
        let [first, second] = route.endpoints.as_slice() else {
            panic!()
        };
        assert_eq!(&*first.workload.cluster, "c1");
        assert_eq!((second.weight.get(), second.health), (3, Health::Healthy));
    }

    #[test]
    fn all_mistakes_are_named_with_their_place() {
        let text = "routes: [{sni: Upper}, {sni: a, alpn: []}, {sni: a}]";
        let why = parse(text).unwrap_err();
        for place in ["routes[0].sni", "routes[1].alpn", "routes[2].sni"] {
            assert!(why.contains(place), "{why}");
        }
        assert!(parse("routes: [{sni: a, endpoint: []}]").is_err());
    }
}
