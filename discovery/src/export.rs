//! Who outside its cluster may reach a service. Pure.
//!
//! A service is offered when somebody marked it (label, or a ServiceExport of its name), or
//! when the mesh offers everything; `isthmus.io/to` never offers, it only limits to whom.

use crate::{
    config::Exports,
    model::{Export, ServiceKey},
    remote::project::ServiceFact,
};

/// What a service's marks mean. `exported`: a ServiceExport of its name exists.
pub(crate) fn decide(
    mode: Exports,
    key: &ServiceKey,
    service: &ServiceFact,
    exported: bool,
) -> Export {
    let by_mode = mode == Exports::All && !is_kubernetes_own(key);
    let offered = exported || service.marked.unwrap_or(by_mode);
    match (offered, &service.to) {
        (false, _) => Export::Closed,
        (true, None) => Export::Everyone,
        (true, Some(clusters)) => Export::Only(clusters.clone()),
    }
}

/// What Istio keeps cluster-local by default (`pilot/pkg/model/cluster_local.go`).
fn is_kubernetes_own(key: &ServiceKey) -> bool {
    &*key.namespace == "kube-system" || (&*key.namespace, &*key.name) == ("default", "kubernetes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterId;

    fn service(marked: Option<bool>, to: Option<&str>) -> ServiceFact {
        ServiceFact {
            ports: Vec::new(),
            headless: false,
            marked,
            to: to.map(|id| [ClusterId::from(id)].into()),
            gateway: None,
        }
    }

    #[test]
    fn nothing_is_offered_that_was_not_marked() {
        let key = ServiceKey::new("sample", "hello");
        let marked = |service, exported| decide(Exports::Marked, &key, &service, exported);
        let only_a = Export::Only([ClusterId::from("a")].into());
        assert_eq!(marked(service(None, None), false), Export::Closed);
        assert_eq!(marked(service(None, Some("a")), false), Export::Closed);
        assert_eq!(marked(service(Some(false), None), false), Export::Closed);
        assert_eq!(marked(service(Some(true), None), false), Export::Everyone);
        assert_eq!(marked(service(Some(true), Some("a")), false), only_a);
        assert_eq!(marked(service(None, None), true), Export::Everyone);
        assert_eq!(marked(service(None, Some("a")), true), only_a);
    }

    #[test]
    fn all_offers_all_but_kubernetes_own_and_what_was_taken_out() {
        let all = |namespace, name, marked| {
            let key = ServiceKey::new(namespace, name);
            decide(Exports::All, &key, &service(marked, None), false)
        };
        assert_eq!(all("sample", "hello", None), Export::Everyone);
        assert_eq!(all("sample", "hello", Some(false)), Export::Closed);
        assert_eq!(all("kube-system", "kube-dns", None), Export::Closed);
        assert_eq!(all("kube-system", "kube-dns", Some(true)), Export::Everyone);
        assert_eq!(all("default", "kubernetes", None), Export::Closed);
        assert_eq!(all("default", "hello", None), Export::Everyone);
    }
}
