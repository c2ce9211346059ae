//! Counts the endpoints of one port into targets with whole-numbered weights.
//!
//! Every endpoint has the same share. One behind *n* gateways gives each of them an n-th
//! of it, so all weights are scaled by the least common multiple of those *n*. istiod
//! takes the multiple over all networks of the mesh; taken over the gateways in use here
//! the shares are the same, and a gateway that comes elsewhere changes nothing here.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use super::{Group, Reason, Target, Via, Withheld};
use crate::model::{ClusterId, Endpoint, Locality};

/// What is known of one port so far.
#[derive(Debug, Default)]
pub(super) struct Tally<'a> {
    pods: BTreeMap<(IpAddr, u16), (&'a ClusterId, &'a Arc<Endpoint>)>,
    crossings: Vec<Crossing<'a>>,
    withheld: Withheld,
}

/// An endpoint behind gateways.
#[derive(Debug)]
struct Crossing<'a> {
    cluster: &'a ClusterId,
    locality: &'a Locality,
    gateways: &'a [(IpAddr, u16)],
}

/// What stands behind one gateway address.
struct Behind {
    weight: u64,
    locality: Locality,
    cluster: Option<ClusterId>,
}

impl<'a> Tally<'a> {
    /// An endpoint that is dialled itself. The first at an address stays.
    pub(super) fn pod(&mut self, cluster: &'a ClusterId, endpoint: &'a Arc<Endpoint>, port: u16) {
        match self.pods.entry((endpoint.address, port)) {
            Entry::Vacant(free) => {
                free.insert((cluster, endpoint));
            }
            Entry::Occupied(_) => self.withhold(Reason::DuplicateAddress),
        }
    }

    /// An endpoint that is reached through any of `gateways` (at least one).
    pub(super) fn behind(
        &mut self,
        cluster: &'a ClusterId,
        endpoint: &'a Endpoint,
        gateways: &'a [(IpAddr, u16)],
    ) {
        self.crossings.push(Crossing {
            cluster,
            locality: &endpoint.locality,
            gateways,
        });
    }

    /// An endpoint that is not told.
    pub(super) fn withhold(&mut self, reason: Reason) {
        self.withheld.add(reason);
    }

    /// The targets by locality.
    pub(super) fn finish(self) -> (Vec<Group>, Withheld) {
        let scale = self.scale();
        let gateways = self.gateways(scale);
        let mut groups = BTreeMap::<Locality, Vec<Target>>::new();
        for ((address, port), (cluster, endpoint)) in self.pods {
            let targets = groups.entry(endpoint.locality.clone()).or_default();
            targets.push(Target {
                address,
                port,
                weight: narrow(scale),
                via: Via::Pod(cluster.clone(), Arc::clone(endpoint)),
            });
        }
        for ((address, port), behind) in gateways {
            groups.entry(behind.locality).or_default().push(Target {
                address,
                port,
                weight: narrow(behind.weight),
                via: Via::Gateway(behind.cluster),
            });
        }
        let sorted = |(locality, mut targets): (_, Vec<Target>)| {
            targets.sort_by_key(|target| (target.address, target.port));
            Group { locality, targets }
        };
        (groups.into_iter().map(sorted).collect(), self.withheld)
    }

    /// The weight of one endpoint: the least common multiple where the sum of all weights
    /// stays below 2^32 with it, else the largest number for which it does (shares are
    /// then rounded).
    fn scale(&self) -> u64 {
        let endpoints = (self.pods.len() + self.crossings.len()).max(1) as u64;
        let limit = u64::from(u32::MAX) / endpoints;
        let mut scale = 1;
        for crossing in &self.crossings {
            scale = lcm(scale, crossing.gateways.len() as u64);
            if scale > limit {
                return limit;
            }
        }
        scale
    }

    /// Each gateway address once, with all that stands behind it: Envoy keeps only the
    /// first host of an address, so an address in two localities would lose weight.
    fn gateways(&self, scale: u64) -> BTreeMap<(IpAddr, u16), Behind> {
        let mut gateways = BTreeMap::<_, Behind>::new();
        for crossing in &self.crossings {
            let share = (scale / crossing.gateways.len() as u64).max(1);
            for address in crossing.gateways {
                match gateways.entry(*address) {
                    Entry::Vacant(free) => {
                        free.insert(Behind {
                            weight: share,
                            locality: crossing.locality.clone(),
                            cluster: Some(crossing.cluster.clone()),
                        });
                    }
                    Entry::Occupied(mut known) => known.get_mut().add(crossing, share),
                }
            }
        }
        gateways
    }
}

impl Behind {
    fn add(&mut self, crossing: &Crossing<'_>, share: u64) {
        self.weight += share;
        self.locality = shared(&self.locality, crossing.locality);
        if self.cluster.as_ref() != Some(crossing.cluster) {
            self.cluster = None;
        }
    }
}

/// The part that two localities have in common, from the region down.
fn shared(a: &Locality, b: &Locality) -> Locality {
    let mut common = Locality::default();
    if a.region == b.region {
        common.region = Arc::clone(&a.region);
        if a.zone == b.zone {
            common.zone = Arc::clone(&a.zone);
            if a.subzone == b.subzone {
                common.subzone = Arc::clone(&a.subzone);
            }
        }
    }
    common
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}

/// Sums stay below 2^32 by the choice of the scale.
fn narrow(weight: u64) -> u32 {
    u32::try_from(weight).unwrap_or(u32::MAX)
}
