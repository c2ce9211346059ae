//! The path of a request.

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A collection, an object, or something of an object.
    Resource(Target),
    /// `/api` and `/apis`: all groups.
    Groups {
        /// Whether it is the list of named groups, `/apis`.
        named: bool,
    },
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/VERSION` or `/apis/GROUP/VERSION`.
    Version {
        /// The group; empty for the core group.
        group: String,
        /// The version.
        version: String,
    },
    /// Everything else.
    Other,
}

/// A collection, an object, or something of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace that the path names.
    pub namespace: Option<String>,
    /// The resource, as `pods`.
    pub resource: String,
    /// The object's name.
    pub name: Option<String>,
    /// What of the object, as `status`.
    pub subresource: Option<String>,
    /// The path is of the old form `/watch/`.
    pub watch: bool,
}

impl Call {
    /// Reads the path of a request.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let parts: Option<Vec<String>> = path.split('/').map(decoded).collect();
        let mut parts = parts.unwrap_or_default();
        parts.retain(|part| !part.is_empty());
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match &parts[..] {
            ["api"] => Self::Groups { named: false },
            ["apis"] => Self::Groups { named: true },
            ["apis", group] => Self::Group((*group).to_owned()),
            ["api", version] => Self::Version {
                group: String::new(),
                version: (*version).to_owned(),
            },
            ["apis", group, version] => Self::Version {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
            },
            ["api", version, rest @ ..] => Self::target("", version, rest),
            ["apis", group, version, rest @ ..] => Self::target(group, version, rest),
            _ => Self::Other,
        }
    }

    fn target(group: &str, version: &str, rest: &[&str]) -> Self {
        let (watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        // `namespaces/x/status` is something of the namespace itself.
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, _, ..] => (Some((*namespace).to_owned()), &rest[2..]),
            rest => (None, rest),
        };
        let part = |at: usize| rest.get(at).map(|part| (*part).to_owned());
        if rest.len() > 3 {
            return Self::Other;
        }
        Self::Resource(Target {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace,
            resource: part(0).unwrap_or_default(),
            name: part(1),
            subresource: part(2),
            watch,
        })
    }
}

/// A part of a path without its percent signs; none when it is not text.
fn decoded(part: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(part).decode_utf8();
    text.ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match Call::parse(path) {
            Call::Resource(target) => target,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_are_read_as_collections_objects_and_parts_of_them() {
        let found = target("/apis/apps/v1/namespaces/a/deployments/x/scale");
        assert_eq!(
            (found.group.as_str(), found.version.as_str()),
            ("apps", "v1")
        );
        assert_eq!(found.namespace.as_deref(), Some("a"));
        assert_eq!(found.resource, "deployments");
        assert_eq!(found.name.as_deref(), Some("x"));
        assert_eq!(found.subresource.as_deref(), Some("scale"));
        assert_eq!(target("/api/v1/pods").namespace, None);
        let found = target("/api/v1/namespaces/a/pods");
        assert_eq!((found.namespace.as_deref(), found.name), (Some("a"), None));
    }

    #[test]
    fn a_namespace_is_an_object_and_a_place() {
        let found = target("/api/v1/namespaces/a");
        assert_eq!(
            (found.resource.as_str(), found.name.as_deref()),
            ("namespaces", Some("a"))
        );
        assert_eq!(found.namespace, None);
        let found = target("/api/v1/namespaces/a/status");
        assert_eq!(found.subresource.as_deref(), Some("status"));
        assert_eq!(target("/api/v1/namespaces/").name, None);
    }

    #[test]
    fn the_old_form_of_a_watch_is_known_and_other_paths_are_other() {
        let found = target("/api/v1/watch/namespaces/a/pods");
        assert!(found.watch && found.resource == "pods");
        assert_eq!(Call::parse("/apis"), Call::Groups { named: true });
        assert_eq!(Call::parse("/apis/apps"), Call::Group("apps".into()));
        let version = Call::Version {
            group: "apps".into(),
            version: "v1".into(),
        };
        assert_eq!(Call::parse("/apis/apps/v1"), version);
        for other in [
            "/",
            "/version",
            "/openapi/v3/api/v1",
            "/api/v1/pods/a/b/c/d",
            "/api/%ff",
        ] {
            assert_eq!(Call::parse(other), Call::Other, "{other}");
        }
    }
}
