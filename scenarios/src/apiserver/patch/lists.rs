//! How lists of Kubernetes' own types are merged: what tells their elements apart.

/// What a list is to a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// One value.
    Whole,
    /// A set of plain values.
    Set,
    /// Elements that are told apart by this field.
    By(&'static str),
}

/// What the list at `path` is; `path` holds the names of fields from the object down, without
/// elements of lists.
pub(super) fn list_at(path: &[&str]) -> List {
    let (Some(last), parent) = (path.last(), path.len().checked_sub(2).map(|at| path[at])) else {
        return List::Whole;
    };
    let in_container = matches!(
        parent,
        Some("containers" | "initContainers" | "ephemeralContainers")
    );
    match *last {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "resourceClaims" => List::By("name"),
        "secrets" if path.len() == 1 => List::By("name"),
        "volumeMounts" => List::By("mountPath"),
        "volumeDevices" => List::By("devicePath"),
        "ports" if in_container => List::By("containerPort"),
        "ports" if path == ["spec", "ports"] => List::By("port"),
        "conditions" if path.first() == Some(&"status") => List::By("type"),
        "addresses" if path == ["status", "addresses"] => List::By("type"),
        "taints" if path == ["spec", "taints"] => List::By("key"),
        "hostAliases" | "podIPs" => List::By("ip"),
        "topologySpreadConstraints" => List::By("topologyKey"),
        "ownerReferences" => List::By("uid"),
        "finalizers" => List::Set,
        _ => List::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_known_by_where_it_is() {
        assert_eq!(list_at(&["spec", "ports"]), List::By("port"));
        let of_container = ["spec", "template", "spec", "containers", "ports"];
        assert_eq!(list_at(&of_container), List::By("containerPort"));
        assert_eq!(
            list_at(&["ports"]),
            List::Whole,
            "those of a slice are one value"
        );
        assert_eq!(list_at(&["status", "loadBalancer", "ingress"]), List::Whole);
        assert_eq!(list_at(&["metadata", "finalizers"]), List::Set);
    }
}
