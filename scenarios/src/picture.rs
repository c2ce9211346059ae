//! Which endpoints each service has, as somebody believes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

/// Addresses and ports by service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture(BTreeMap<String, BTreeSet<String>>);

impl Picture {
    /// A service is known, though perhaps without endpoints.
    pub fn know(&mut self, service: &str) {
        if !self.0.contains_key(service) {
            self.0.insert(service.to_owned(), BTreeSet::new());
        }
    }

    /// An endpoint, as `address:port`, is known.
    pub fn add(&mut self, service: &str, endpoint: &str) {
        self.know(service);
        if let Some(endpoints) = self.0.get_mut(service) {
            endpoints.insert(endpoint.to_owned());
        }
    }

    /// The service is not known any more.
    pub fn forget(&mut self, service: &str) {
        self.0.remove(service);
    }

    /// An endpoint is not known any more.
    pub fn remove(&mut self, service: &str, endpoint: &str) {
        if let Some(endpoints) = self.0.get_mut(service) {
            endpoints.remove(endpoint);
        }
    }

    /// How many services there are.
    #[must_use]
    pub fn services(&self) -> usize {
        self.0.len()
    }

    /// How many endpoints there are.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Fails with what differs.
    ///
    /// # Errors
    /// When this is not `truth`.
    pub fn agrees(&self, truth: &Self) -> Result<()> {
        let services = self.0.keys().chain(truth.0.keys()).collect::<BTreeSet<_>>();
        let differs = |service: &&&String| self.0.get(**service) != truth.0.get(**service);
        let wrong: Vec<_> = services.iter().filter(differs).collect();
        let Some(first) = wrong.first() else {
            return Ok(());
        };
        bail!(
            "{} of {} services differ, the first is {first}: {:?} instead of {:?}",
            wrong.len(),
            truth.services(),
            self.0.get(**first),
            truth.0.get(**first),
        )
    }
}

/// The service in the name of a cluster as sidecars or gateways call it:
/// `outbound|80||NAME.NAMESPACE.…` or `outbound_.80_._.NAME.NAMESPACE.…`.
#[must_use]
pub fn service_of(cluster: &str) -> Option<&str> {
    let host = match cluster.strip_prefix("outbound|") {
        Some(rest) => rest.split_once("||")?.1,
        None => cluster.strip_prefix("outbound_.")?.split_once("_._.")?.1,
    };
    host.split_once('.').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(endpoints: &[(&str, &str)]) -> Picture {
        let mut picture = Picture::default();
        for (service, endpoint) in endpoints {
            picture.add(service, endpoint);
        }
        picture
    }

    #[test]
    fn what_is_missing_too_much_or_elsewhere_is_no_agreement() {
        let truth = picture(&[("a", "1:1"), ("b", "2:1")]);
        assert!(truth.agrees(&truth.clone()).is_ok());
        for other in [
            picture(&[("a", "1:1")]),
            picture(&[("a", "1:1"), ("b", "2:1"), ("c", "3:1")]),
            picture(&[("a", "2:1"), ("b", "1:1")]),
        ] {
            let said = other.agrees(&truth).unwrap_err().to_string();
            assert!(said.contains("of 2 services differ"), "{said}");
        }
        let mut empty = truth.clone();
        empty.remove("b", "2:1");
        let mut gone = empty.clone();
        gone.forget("b");
        assert!(empty.agrees(&gone).is_err(), "no endpoints, and no service");
    }

    #[test]
    fn clusters_of_sidecars_and_gateways_name_the_service() {
        let names = [
            "outbound|80||a.sample.svc.cluster.local",
            "outbound_.80_._.a.sample.svc.cluster.local",
        ];
        assert_eq!(names.map(service_of), [Some("a"); 2]);
        assert_eq!(service_of("inbound|80||"), None);
    }
}
