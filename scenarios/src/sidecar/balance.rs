//! Which endpoint is next, as Envoy chooses under the configuration that discovery sends:
//! least request with `active_request_bias` 0, no weights of localities. Pure.
//!
//! Priorities first, each taking what those before it cannot (overprovisioning 1.4); then by
//! weight alone, wherever the endpoints are; only where all weights of a priority are the
//! same, the one of two with fewer requests under way. The draw itself is the gateway's.

use std::collections::BTreeSet;

use eastwest::route::balance::{Candidate, Dice, Levels};

use super::resource::assignment::Endpoint;

/// The endpoints of a cluster, ready to be drawn from.
#[derive(Debug)]
pub struct Balance {
    levels: Levels,
    priorities: Vec<u8>,
    /// Priorities whose endpoints all have one weight.
    even: BTreeSet<u8>,
}

impl Balance {
    /// Of these endpoints; a pick names their places.
    #[must_use]
    pub fn new(endpoints: &[Endpoint]) -> Self {
        let candidate = |endpoint: &Endpoint| Candidate {
            priority: endpoint.priority,
            weight: endpoint.weight,
            usable: endpoint.healthy,
        };
        let candidates: Vec<_> = endpoints.iter().map(candidate).collect();
        let priorities = endpoints.iter().map(|endpoint| endpoint.priority);
        let weights = |priority: u8| {
            let same = move |endpoint: &&Endpoint| endpoint.priority == priority;
            let weights = endpoints.iter().filter(same).map(|e| e.weight);
            weights.collect::<BTreeSet<_>>()
        };
        Self {
            levels: Levels::new(&candidates),
            even: priorities
                .clone()
                .filter(|p| weights(*p).len() == 1)
                .collect(),
            priorities: priorities.collect(),
        }
    }

    /// The place of the next endpoint; none when no healthy one is there. `load` gives the
    /// requests under way to the endpoint at a place.
    pub fn pick(&self, load: impl Fn(usize) -> u32, dice: &mut Dice) -> Option<usize> {
        let counts = |place: usize| self.even.contains(&self.priorities[place]);
        let load = |place| if counts(place) { load(place) } else { 0 };
        self.levels.pick(&[], load, dice)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{expect::Share, sidecar::resource::assignment::Locality};

    fn endpoint(weight: u32, priority: u8, region: &str) -> Endpoint {
        Endpoint {
            address: ([10, 0, 0, 1], 80).into(),
            weight: NonZeroU32::new(weight).unwrap(),
            priority,
            healthy: true,
            locality: Locality {
                region: region.to_owned(),
                ..Locality::default()
            },
            labels: Default::default(),
        }
    }

    fn picks(endpoints: &[Endpoint], load: impl Fn(usize) -> u32) -> Vec<u64> {
        let balance = Balance::new(endpoints);
        let mut dice = Dice::new(7);
        let mut picks = vec![0; endpoints.len()];
        for _ in 0..PICKS {
            picks[balance.pick(&load, &mut dice).unwrap()] += 1;
        }
        picks
    }

    fn assert_shares(picks: &[u64], promised: &[f64]) {
        for (count, promised) in picks.iter().zip(promised) {
            let share = Share {
                count: *count,
                trials: PICKS,
                promised: *promised,
            };
            assert!(share.holds(), "{share} of {picks:?}");
        }
    }

    #[test]
    fn weights_decide_wherever_an_endpoint_is() {
        // By localities it would be a half each.
        let endpoints = [
            endpoint(1, 0, "north"),
            endpoint(2, 0, "south"),
            endpoint(5, 0, "south"),
        ];
        assert_shares(&picks(&endpoints, |_| 0), &[0.125, 0.25, 0.625]);
    }

    #[test]
    fn load_counts_only_between_equals() {
        let busy = |place| if place == 0 { 100 } else { 0 };
        let uneven = [endpoint(3, 0, ""), endpoint(1, 0, "")];
        assert_shares(&picks(&uneven, busy), &[0.75, 0.25]);
        let even = [endpoint(3, 0, ""), endpoint(3, 0, "")];
        assert_eq!(picks(&even, busy)[0], 0);
    }

    #[test]
    fn the_next_priority_takes_what_the_first_cannot() {
        let mut endpoints = vec![endpoint(1, 0, ""), endpoint(1, 0, ""), endpoint(1, 1, "")];
        assert_shares(&picks(&endpoints, |_| 0), &[0.5, 0.5, 0.0]);
        // Half of 140 percent stay with the first.
        endpoints[0].healthy = false;
        assert_shares(&picks(&endpoints, |_| 0), &[0.0, 0.7, 0.3]);
        endpoints[1].healthy = false;
        assert_shares(&picks(&endpoints, |_| 0), &[0.0, 0.0, 1.0]);
        endpoints[2].healthy = false;
        let none = Balance::new(&endpoints).pick(|_| 0, &mut Dice::new(7));
        assert_eq!(none, None);
    }

    const PICKS: u64 = 10_000;
}
