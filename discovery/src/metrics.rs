//! Every series of the crate, declared once.

mod series;

use prometheus::{
    Encoder, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

pub(crate) use self::series::page as series;
use crate::{
    merge::{effect::Effect, shard::Ignored},
    model::{ClusterId, Mesh},
    remote::{project::Kind, state::Phase},
    status::report::Report,
};

/// The crate's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    state: IntGaugeVec,
    proof_of_life_age: GaugeVec,
    objects: IntGaugeVec,
    endpoints: IntGaugeVec,
    ignored_endpoints: IntGaugeVec,
    remembered_age: GaugeVec,
    snapshot_writes: IntCounterVec,
    missing: IntGauge,
    refused: IntGauge,
    generation: IntGauge,
    events: IntCounterVec,
    lists: IntCounterVec,
    failures: IntCounterVec,
    publications: IntCounterVec,
}

/// The counters of one watch, resolved once.
pub(crate) struct WatchMetrics {
    pub(crate) events: IntCounter,
    pub(crate) lists: IntCounter,
    pub(crate) failures: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let declare = Declare(&registry);
        Self {
            state: declare.gauges(
                "cluster_state",
                "1 for the state that a cluster is in",
                &["cluster", "state"],
            ),
            proof_of_life_age: declare.floats(
                "proof_of_life_age_seconds",
                "Seconds since the last answer or event from a cluster's API server",
                &["cluster"],
            ),
            objects: declare.gauges("objects", "Kubernetes objects held", &["cluster", "kind"]),
            endpoints: declare.gauges(
                "endpoints",
                "Endpoints in the picture",
                &["cluster", "ready"],
            ),
            ignored_endpoints: declare.gauges(
                "ignored_endpoints",
                "Entries of EndpointSlices that are not used",
                &["cluster", "reason"],
            ),
            remembered_age: declare.floats(
                "remembered_age_seconds",
                "Seconds since the last proof of life of a cluster of which only is known what was before a restart",
                &["cluster"],
            ),
            snapshot_writes: declare.counters(
                "snapshot_writes_total",
                "Times that what is known was written to disk",
                &["result"],
            ),
            missing: declare.gauge("missing_clusters", "Members that nothing is known of yet"),
            refused: declare.gauge(
                "refused_credentials",
                "Entries of remote secrets that are not used",
            ),
            generation: declare.gauge("generation", "Number of the last publication"),
            events: declare.counters(
                "events_total",
                "Watch events taken in",
                &["cluster", "kind"],
            ),
            lists: declare.counters("lists_total", "Whole lists taken in", &["cluster", "kind"]),
            failures: declare.counters(
                "watch_failures_total",
                "Lists and watches that failed",
                &["cluster", "kind"],
            ),
            publications: declare.counters(
                "publications_total",
                "Publications by what they hold",
                &["cause"],
            ),
            registry,
        }
    }

    /// The counters of one watch.
    pub(crate) fn watch(&self, cluster: &ClusterId, kind: Kind) -> WatchMetrics {
        let labels = [cluster.as_str(), kind.as_str()];
        WatchMetrics {
            events: self.events.with_label_values(&labels),
            lists: self.lists.with_label_values(&labels),
            failures: self.failures.with_label_values(&labels),
        }
    }

    /// A publication left.
    pub(crate) fn published(&self, effect: Effect) {
        let cause = match effect {
            Effect::Removal => "removal",
            Effect::Opening => "opening",
            Effect::Addition | Effect::None => "addition",
        };
        self.publications.with_label_values(&[cause]).inc();
    }

    /// What is known was written to disk, or not.
    pub(crate) fn kept(&self, done: bool) {
        let result = if done { "written" } else { "failed" };
        self.snapshot_writes.with_label_values(&[result]).inc();
    }

    #[cfg(test)]
    pub(crate) fn writes(&self, result: &str) -> u64 {
        self.snapshot_writes.with_label_values(&[result]).get()
    }

    /// The series of a cluster that left.
    pub(crate) fn forget(&self, cluster: &ClusterId) {
        for kind in Kind::ALL {
            for counters in [&self.events, &self.lists, &self.failures] {
                // Absent when nothing was ever counted.
                let _absent = counters.remove_label_values(&[cluster.as_str(), kind.as_str()]);
            }
        }
    }

    /// The page.
    pub(crate) fn render(&self, report: &Report, mesh: &Mesh, refused: usize) -> String {
        self.state.reset();
        self.proof_of_life_age.reset();
        self.remembered_age.reset();
        self.objects.reset();
        self.endpoints.reset();
        self.ignored_endpoints.reset();
        self.missing.set(gauge(mesh.missing.len()));
        self.refused.set(gauge(refused));
        self.generation
            .set(i64::try_from(mesh.generation).unwrap_or(i64::MAX));
        for cluster in &report.clusters {
            let id = cluster.cluster.as_str();
            for phase in Phase::ALL {
                let is_it = i64::from(cluster.state == phase.as_str());
                self.state
                    .with_label_values(&[id, phase.as_str()])
                    .set(is_it);
            }
            if let Some(age) = cluster.proof_of_life_age_ms {
                let seconds = std::time::Duration::from_millis(age).as_secs_f64();
                self.proof_of_life_age.with_label_values(&[id]).set(seconds);
            }
            if let Some(age) = cluster.remembered_age_ms {
                let seconds = std::time::Duration::from_millis(age).as_secs_f64();
                self.remembered_age.with_label_values(&[id]).set(seconds);
            }
            for (kind, count) in &cluster.objects_by_kind {
                self.objects
                    .with_label_values(&[id, kind])
                    .set(gauge(*count));
            }
            let unready = cluster.endpoints.saturating_sub(cluster.ready_endpoints);
            for (ready, count) in [("true", cluster.ready_endpoints), ("false", unready)] {
                self.endpoints
                    .with_label_values(&[id, ready])
                    .set(gauge(count));
            }
            for reason in Ignored::ALL.map(Ignored::as_str) {
                let count = cluster
                    .ignored_endpoints
                    .get(reason)
                    .copied()
                    .unwrap_or_default();
                self.ignored_endpoints
                    .with_label_values(&[id, reason])
                    .set(gauge(count));
            }
        }
        text(&self.registry)
    }
}

/// A registry in Prometheus' text format.
fn text(registry: &Registry) -> String {
    let mut page = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut page) {
        Ok(()) => String::from_utf8(page).unwrap_or_default(),
        Err(error) => format!("# {error}\n"),
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Declares series under the crate's prefix.
struct Declare<'a>(&'a Registry);

#[expect(
    clippy::expect_used,
    reason = "names are constants, each declared once; a test renders them"
)]
impl Declare<'_> {
    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(opts(name, help)).expect("a constant name"))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(opts(name, help), labels).expect("a constant name"))
    }

    fn floats(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(opts(name, help), labels).expect("a constant name"))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(opts(name, help), labels).expect("a constant name"))
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0
            .register(Box::new(collector.clone()))
            .expect("declared once");
        collector
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("isthmus_discovery")
}
