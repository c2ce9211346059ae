//! What a sidecar would be told of endpoints, written down with its time: the independent
//! view that is compared with what was done in the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    crowd::Written,
    load::micros,
    picture::{Picture, service_of},
    probe::eventually,
    process::Process,
    topology::{XDS_PORT, pod_address},
    world::{
        Cluster,
        config::leaf_directory,
        objects::{DISCOVERY, DISCOVERY_NAMESPACE},
        role::DISCOVERY_ADDRESS,
    },
};

/// A line of `world-app record`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// What a response means.
    Endpoint(Record),
    /// The response itself.
    Response(Received),
}

/// An endpoint that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was told, in microseconds since 1970.
    pub at: u64,
    /// The cluster as Envoy names it.
    pub cluster: String,
    /// Address and port.
    pub address: String,
    /// What was told of it.
    pub happening: Happening,
}

/// What was told of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happening {
    /// It is there.
    Added,
    /// It is no more.
    Removed,
}

/// A response, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// When, in microseconds since 1970.
    pub at: u64,
    /// Its type URL.
    pub kind: String,
    /// How many resources were in it.
    pub resources: usize,
    /// How many names it took away.
    pub removed: usize,
    /// Its size as a message.
    pub bytes: usize,
    /// The version of the resource for which it was refused.
    pub refused: Option<String>,
}

/// A running `world-app record`.
#[derive(Debug)]
pub struct Recorder {
    process: Process,
    /// How much of its log was read.
    read: u64,
    /// Of that, a last line without its end.
    rest: String,
    records: Records,
    received: Vec<Received>,
    picture: Picture,
}

/// What it told, in order.
#[derive(Debug, Clone, Default)]
pub struct Records(Vec<Record>);

impl Recorder {
    /// Starts one beside a cluster's discovery, with a certificate of the account `client`, for
    /// services whose name begins so. It ends with its stream, unless told to `reconnect`.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(cluster: &Cluster, services: &str, reconnect: bool) -> Result<Self> {
        let credential = leaf_directory(cluster.directory(), "client");
        let arguments = [
            "record",
            "--credential",
            &credential.display().to_string(),
            "--address",
            &format!("{DISCOVERY_ADDRESS}:{XDS_PORT}"),
            "--expect",
            &cluster.plan().identity(DISCOVERY_NAMESPACE, DISCOVERY),
            "--node",
            &format!(
                "sidecar~{}~recorder.sample~sample.svc.cluster.local",
                pod_address(30)
            ),
            "--prefix",
            &format!("outbound|80||{services}"),
            "--reconnect",
        ];
        let wanted = arguments.len() - usize::from(!reconnect);
        let process = cluster.pod(DISCOVERY)?.spawn(&arguments[..wanted])?;
        Ok(Self::new(process))
    }

    /// Of this process.
    #[must_use]
    pub fn new(process: Process) -> Self {
        Self {
            process,
            read: 0,
            rest: String::new(),
            records: Records::default(),
            received: Vec::new(),
            picture: Picture::default(),
        }
    }

    /// What was told so far.
    ///
    /// # Errors
    /// When the recorder has ended, or says something else.
    pub fn so_far(&mut self) -> Result<Records> {
        self.read_on()?;
        Ok(self.records.clone())
    }

    /// The responses so far.
    ///
    /// # Errors
    /// As [`Recorder::so_far`].
    pub fn received(&mut self) -> Result<&[Received]> {
        self.read_on()?;
        Ok(&self.received)
    }

    /// What is known now.
    ///
    /// # Errors
    /// As [`Recorder::so_far`].
    pub fn picture(&mut self) -> Result<&Picture> {
        self.read_on()?;
        Ok(&self.picture)
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until what is known is `truth`, and says what was told until then.
    ///
    /// # Errors
    /// When it is not within `limit`, with what differs.
    pub async fn agrees(&mut self, truth: &BTreeSet<String>, limit: Duration) -> Result<Records> {
        eventually("the recorder knows what is true", limit, async || {
            let records = self.so_far()?;
            let known = records.known();
            let missing: Vec<_> = truth.difference(&known).take(3).collect();
            let surplus: Vec<_> = known.difference(truth).take(3).collect();
            ensure!(
                missing.is_empty() && surplus.is_empty(),
                "{} of {}; missing {missing:?}, too many {surplus:?}",
                known.len(),
                truth.len()
            );
            Ok(records)
        })
        .await
    }

    /// Takes in the lines that were written since.
    fn read_on(&mut self) -> Result<()> {
        self.process.check()?;
        let mut log = File::open(self.process.log())?;
        log.seek(SeekFrom::Start(self.read))?;
        let mut text = std::mem::take(&mut self.rest);
        self.read += u64::try_from(log.read_to_string(&mut text)?)?;
        // A last line without its end is still being written.
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        self.rest = text.split_off(end);
        for line in text.lines() {
            let line = serde_json::from_str(line).with_context(|| format!("recorder: {line}"))?;
            self.take(line);
        }
        Ok(())
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Endpoint(record) => {
                if let Some(service) = service_of(&record.cluster) {
                    match record.happening {
                        Happening::Added => self.picture.add(service, &record.address),
                        Happening::Removed => self.picture.remove(service, &record.address),
                    }
                }
                self.records.0.push(record);
            }
            Line::Response(received) => self.received.push(received),
        }
    }
}

impl Records {
    /// The addresses that are known at the end.
    #[must_use]
    pub fn known(&self) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        for record in &self.0 {
            match record.happening {
                Happening::Added => known.insert(record.address.clone()),
                Happening::Removed => known.remove(&record.address),
            };
        }
        known
    }

    /// Those told since a moment.
    #[must_use]
    pub fn since(&self, moment: SystemTime) -> Self {
        let moment = micros(moment);
        Self(self.0.iter().filter(|r| r.at >= moment).cloned().collect())
    }

    /// The clusters of which something was told.
    #[must_use]
    pub fn clusters(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .map(|record| record.cluster.as_str())
            .collect()
    }

    /// How many of a kind.
    #[must_use]
    pub fn count(&self, happening: Happening) -> usize {
        self.0.iter().filter(|r| r.happening == happening).count()
    }

    /// When the first and the last was told, after `moment`.
    #[must_use]
    pub fn span(&self, moment: SystemTime) -> Option<(Duration, Duration)> {
        let since = |at: u64| Duration::from_micros(at.saturating_sub(micros(moment)));
        Some((since(self.0.first()?.at), since(self.0.last()?.at)))
    }

    /// Removals of endpoints that nobody had removed: each removal uses up the newest
    /// write of one that was begun before it, and those before that.
    #[must_use]
    pub fn unfounded(&self, written: &[Written]) -> Vec<Record> {
        let mut reasons: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for write in written.iter().filter(|write| !write.present) {
            reasons.entry(&write.address).or_default().push(write.begun);
        }
        let is_unfounded = |record: &&Record| {
            let Some(begun) = reasons.get_mut(record.address.as_str()) else {
                return true;
            };
            let unused = begun.len();
            begun.retain(|begun| *begun > record.at);
            begun.len() == unused
        };
        let removals = self.0.iter();
        removals
            .filter(|record| record.happening == Happening::Removed)
            .filter(is_unfounded)
            .cloned()
            .collect()
    }

    /// Removals of endpoints that were there: those that are [`Records::unfounded`] though the
    /// endpoint had not gone for good before they were told.
    #[must_use]
    pub fn untrue(&self, written: &[Written]) -> Vec<Record> {
        let unfounded = self.unfounded(written).into_iter();
        unfounded
            .filter(|record| last_write(written, record).is_none_or(|write| write.present))
            .collect()
    }

    /// Endpoints that were told though they had gone, as somebody does who remembers, and how
    /// long it took to take each away.
    #[must_use]
    pub fn ghosts(&self, written: &[Written]) -> Vec<Duration> {
        let all = self.0.iter().enumerate();
        let is_ghost = |record: &Record| {
            record.happening == Happening::Added
                && last_write(written, record).is_some_and(|write| !write.present)
        };
        let until_removed = |(index, ghost): (usize, &Record)| {
            let mut later = self.0[index..].iter();
            let removal = later.find(|record| {
                record.happening == Happening::Removed && record.address == ghost.address
            });
            let end = removal.map_or(u64::MAX, |removal| removal.at);
            Duration::from_micros(end - ghost.at)
        };
        all.filter(|(_, record)| is_ghost(record))
            .map(until_removed)
            .collect()
    }

    /// Endpoints that were told though there never were such.
    #[must_use]
    pub fn strangers(&self, written: &[Written]) -> Vec<Record> {
        let was_written = |record: &Record| {
            let mut of_it = written
                .iter()
                .filter(|write| write.address == record.address);
            of_it.any(|write| write.present && write.begun <= record.at)
        };
        let added = self.0.iter().filter(|r| r.happening == Happening::Added);
        added
            .filter(|record| !was_written(record))
            .cloned()
            .collect()
    }

    /// How long after their writes those were told that have a write, sorted.
    #[must_use]
    pub fn delays(&self, written: &[Written]) -> Vec<Duration> {
        let mut writes: BTreeMap<(&str, bool), Vec<u64>> = BTreeMap::new();
        for write in written {
            let of_it = writes.entry((&write.address, write.present)).or_default();
            of_it.push(write.begun);
        }
        let mut delays: Vec<Duration> = Vec::new();
        for record in &self.0 {
            let key = (
                record.address.as_str(),
                record.happening == Happening::Added,
            );
            let begun = writes.get(&key).into_iter().flatten();
            let newest = begun.filter(|begun| **begun <= record.at).max();
            delays.extend(newest.map(|begun| Duration::from_micros(record.at - begun)));
        }
        delays.sort_unstable();
        delays
    }
}

/// The newest write of an endpoint that was begun before it was told.
fn last_write<'w>(written: &'w [Written], record: &Record) -> Option<&'w Written> {
    let of_it = written
        .iter()
        .filter(|write| write.address == record.address);
    of_it
        .filter(|write| write.begun <= record.at)
        .max_by_key(|write| write.begun)
}

#[cfg(test)]
mod tests;
