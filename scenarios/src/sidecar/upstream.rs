//! A cluster at work: which endpoint a request goes to, and the doors to all of them.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eastwest::route::balance::Dice;
use trust::tls::LiveCredential;

use super::{
    balance::Balance,
    door::{Door, Way},
    known::Collection,
    owner::Owner,
    refusal::Refusal,
    resource::{Assignment, Cluster, assignment::Endpoint, cluster::Source, tls::Transport},
};

/// What every cluster of a sidecar stands on.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    /// Who we are.
    pub(super) live: LiveCredential,
    /// Owns the connections.
    pub(super) owner: Owner,
}

/// A cluster with its endpoints.
#[derive(Debug)]
pub(super) struct Upstream {
    cluster: Arc<Cluster>,
    assignment: Arc<Assignment>,
    /// One for each endpoint of the assignment.
    doors: Vec<Arc<Door>>,
    balance: Balance,
    dice: Mutex<Dice>,
}

impl Upstream {
    /// The cluster as it is now; `before` itself when it is the same. None while its
    /// assignment is not known.
    pub(super) fn next(
        cluster: &Arc<Cluster>,
        assignments: &Collection<Assignment>,
        before: Option<&Arc<Self>>,
        ground: &Ground,
    ) -> Result<Option<Arc<Self>>, trust::Error> {
        let same = before.filter(|before| Arc::ptr_eq(&before.cluster, cluster));
        let assignment = match (&cluster.source, same) {
            (Source::Fixed(_), Some(same)) => Arc::clone(&same.assignment),
            (Source::Fixed(fixed), None) => Arc::new(fixed.clone()),
            (Source::Assigned(name), _) => match assignments.get(name) {
                Some(assignment) => Arc::clone(assignment),
                None => return Ok(None),
            },
        };
        if let Some(same) = same.filter(|same| Arc::ptr_eq(&same.assignment, &assignment)) {
            return Ok(Some(Arc::clone(same)));
        }
        let doors = doors(cluster, &assignment, before, ground)?;
        Ok(Some(Arc::new(Self {
            cluster: Arc::clone(cluster),
            balance: Balance::new(&assignment.endpoints),
            dice: Mutex::new(Dice::new(rand::random())),
            doors,
            assignment,
        })))
    }

    /// How long a connection may take.
    pub(super) fn limit(&self) -> Duration {
        self.cluster.connect_timeout
    }

    /// The way to the next endpoint.
    pub(super) fn choose(&self) -> Result<&Arc<Door>, Refusal> {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |place: usize| self.doors[place].active();
        let place = self.balance.pick(load, &mut dice);
        place
            .map(|place| &self.doors[place])
            .ok_or(Refusal::NoEndpoint)
    }

    /// Its lines on Envoy's page `/clusters`.
    pub(super) fn describe(&self, name: &str) -> String {
        let mut page = format!("{name}::observability_name::{name}\n");
        for (endpoint, door) in self.assignment.endpoints.iter().zip(&self.doors) {
            let place = &endpoint.locality;
            let health = if endpoint.healthy {
                "healthy"
            } else {
                "/failed_eds_health"
            };
            let mut fields = door.counts().to_vec();
            fields.extend([
                ("health_flags", health.to_owned()),
                ("weight", endpoint.weight.to_string()),
                ("region", place.region.clone()),
                ("zone", place.zone.clone()),
                ("sub_zone", place.subzone.clone()),
                ("priority", endpoint.priority.to_string()),
            ]);
            for (field, value) in fields {
                let address = door.address();
                // Writing to a String does not fail.
                let _ = writeln!(page, "{name}::{address}::{field}::{value}");
            }
        }
        page
    }
}

/// A door for each endpoint; those of `before` that are dialled the same way stay as they
/// are, with their connections.
fn doors(
    cluster: &Cluster,
    assignment: &Assignment,
    before: Option<&Arc<Upstream>>,
    ground: &Ground,
) -> Result<Vec<Arc<Door>>, trust::Error> {
    let old = before.map_or(&[][..], |before| &before.doors);
    let ways: Vec<Way> = (cluster.transports.iter())
        .map(|(_, transport)| way(transport, old, ground))
        .collect::<Result<_, _>>()?;
    let door = |endpoint: &Endpoint| {
        let address = endpoint.address;
        let way = match cluster.transport(&endpoint.labels) {
            Some(place) => ways[place].clone(),
            None => Way::plain(),
        };
        let same = |door: &&Arc<Door>| door.address() == address && door.way() == &way;
        match old.iter().find(same) {
            Some(door) => Arc::clone(door),
            None => Arc::new(Door::new(address, way, ground.owner.clone())),
        }
    };
    Ok(assignment.endpoints.iter().map(door).collect())
}

/// The way of an old door, if one is dialled so, else a new one.
fn way(transport: &Transport, old: &[Arc<Door>], ground: &Ground) -> Result<Way, trust::Error> {
    let known = old.iter().find(|door| door.way().transport() == transport);
    match known {
        Some(door) => Ok(door.way().clone()),
        None => Way::new(transport, &ground.live),
    }
}
