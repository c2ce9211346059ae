//! The query of a request.

/// Parameters in the order in which they came, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The first value of a parameter; an empty one counts as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Whether a parameter says yes: like Kubernetes, everything that is there and does not
    /// say no does.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        let mut pairs = self.0.iter();
        let value = pairs.find(|(key, _)| key == name).map(|(_, value)| value);
        value.is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// Whether a parameter is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_flags_are_read_as_kubernetes_reads_them() {
        let query = Query::parse("labelSelector=a%20in%20(b,c)&watch=1&x=false&y=0&z&e=&n=+");
        assert_eq!(query.get("labelSelector"), Some("a in (b,c)"));
        assert_eq!((query.get("e"), query.get("none")), (None, None));
        assert!(query.flag("watch") && query.flag("z"));
        assert!(!query.flag("x") && !query.flag("y") && !query.flag("none"));
        assert!(query.has("e") && !query.has("none"));
        assert_eq!(query.get("n"), Some(" "));
    }
}
