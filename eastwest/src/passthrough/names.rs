//! The names that a listener for any name may carry.
//!
//! Istio exposes its control plane by chains that match whatever comes in (ports 15012 and
//! 15017): whoever reaches the gateway would reach what stands behind them by any name.
//! This list is the gateway's own, and closes what is not on it.

use serde::{Deserialize, Serialize};

/// Server names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<Pattern>);

/// A name, with at most one `*` that stands for any characters but dots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    before: String,
    /// What follows the `*`; none without one.
    after: Option<String>,
}

impl Names {
    /// The names that match one of these.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// Those of every istiod, of any revision, in the namespace: `istiod*.<namespace>.svc`,
    /// with or without the cluster's domain.
    #[must_use]
    pub fn of_istiod(namespace: &str, domain: &str) -> Self {
        let after = [".svc".to_owned(), format!(".svc.{domain}")];
        let pattern = |end| Pattern {
            before: "istiod".to_owned(),
            after: Some(format!(".{namespace}{end}")),
        };
        Self(after.into_iter().map(pattern).collect())
    }

    /// Whether a lower-cased name is one of them.
    #[must_use]
    pub fn contain(&self, sni: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(sni))
    }
}

impl Pattern {
    fn matches(&self, sni: &str) -> bool {
        let Some(rest) = sni.strip_prefix(&*self.before) else {
            return false;
        };
        match &self.after {
            None => rest.is_empty(),
            Some(after) => rest
                .strip_suffix(&**after)
                .is_some_and(|star| !star.contains('.')),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase();
        if text.is_empty() || !text.bytes().all(fits) || text.matches('*').count() > 1 {
            return Err(format!(
                "`{text}` is no server name: lower case, with at most one `*` that stands for \
                 any characters but dots"
            ));
        }
        Ok(match text.split_once('*') {
            None => Self {
                before: text,
                after: None,
            },
            Some((before, after)) => Self {
                before: before.to_owned(),
                after: Some(after.to_owned()),
            },
        })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        match pattern.after {
            None => pattern.before,
            Some(after) => format!("{}*{after}", pattern.before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_istiod_is_known_by_its_names_and_nothing_else_is() {
        let names = Names::of_istiod("istio-system", "cluster.local");
        for (name, known) in [
            ("istiod.istio-system.svc", true),
            ("istiod.istio-system.svc.cluster.local", true),
            ("istiod-1-30.istio-system.svc", true),
            ("istiod-remote.istio-system.svc.cluster.local", true),
            ("istiod.other.svc", false),
            ("istiod.a.istio-system.svc", false),
            ("xistiod.istio-system.svc", false),
            ("istiod.istio-system.svc.", false),
            ("istiod.istio-system.svc.cluster.localx", false),
            ("istio-system.svc", false),
            ("", false),
        ] {
            assert_eq!(names.contain(name), known, "{name}");
        }
    }

    #[test]
    fn a_pattern_has_one_star_and_reads_as_it_was_written() {
        for text in ["a.b", "a*.b", "*"] {
            let pattern = Pattern::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(pattern), text);
        }
        for text in ["", "A", "a**", "a b"] {
            assert!(Pattern::try_from(text.to_owned()).is_err(), "{text}");
        }
        let whole = Names::new(vec![Pattern::try_from("a.b".to_owned()).unwrap()]);
        assert!(whole.contain("a.b") && !whole.contain("a.bc") && !whole.contain("a"));
    }
}
