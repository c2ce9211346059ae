//! Renders the metrics page: sums what the workers counted and names it.

use std::{sync::Arc, time::Instant};

use prometheus::{
    TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{Attempt, Cell, Meter, Series, Tally};
use crate::{
    error::Close,
    route::Table,
    sync::{
        session::Kind,
        standing::{Outcome, Standing},
    },
};

/// The page, as Prometheus reads it.
#[must_use]
pub fn render(meter: &Meter, table: &Table, standing: &Standing, now: Instant) -> String {
    let families: Vec<MetricFamily> = [
        istio(meter),
        connections(meter),
        limits(meter),
        routes(table),
        source(standing, now),
    ]
    .into_iter()
    .flatten()
    .filter(|family| !family.get_metric().is_empty())
    .collect();
    TextEncoder::new()
        .encode_to_string(&families)
        .unwrap_or_else(|error| format!("# {error}\n"))
}

/// Istio's own counters, for its dashboards (istio-eastwest.md §5.2).
fn istio(meter: &Meter) -> Vec<MetricFamily> {
    let all: Vec<Arc<Series>> = meter.series.iter().map(|s| Arc::clone(&s)).collect();
    let used = || all.iter().filter(|s| s.sum(|c| &c.opened) > 0);
    let family = |name, help, read: fn(&Cell) -> &Tally| {
        let metric = |series: &Arc<Series>| (labels(meter, series), series.sum(read));
        counters(name, help, used().map(metric).collect())
    };
    let build = vec![
        pair("component", "proxy"),
        pair("tag", env!("CARGO_PKG_VERSION")),
    ];
    vec![
        family(
            "istio_tcp_connections_opened_total",
            "Connections opened.",
            |c| &c.opened,
        ),
        family(
            "istio_tcp_connections_closed_total",
            "Connections closed.",
            |c| &c.closed,
        ),
        family(
            "istio_tcp_sent_bytes_total",
            "Bytes sent to clients.",
            |c| &c.sent,
        ),
        family(
            "istio_tcp_received_bytes_total",
            "Bytes received from clients.",
            |c| &c.received,
        ),
        gauges("istio_build", "What runs here.", vec![(build, 1.0)]),
    ]
}

fn connections(meter: &Meter) -> Vec<MetricFamily> {
    let ended = |close: Close| {
        let side = pair("side", close.side().label());
        let labels = vec![pair("reason", close.label()), side];
        (labels, meter.closed(close))
    };
    let dialled = |attempt: Attempt| {
        let count = meter.sum(|c| &c.dials[attempt as usize]);
        (vec![pair("result", attempt.label())], count)
    };
    let carried = |by, count| (vec![pair("by", by)], count);
    vec![
        counters(
            "isthmus_eastwest_connections_accepted_total",
            "Connections taken from the listener.",
            vec![(Vec::new(), meter.sum(|c| &c.accepted))],
        ),
        counters(
            "isthmus_eastwest_connections_closed_total",
            "Connections ended, by reason.",
            Close::ALL.into_iter().map(ended).collect(),
        ),
        gauge(
            "isthmus_eastwest_connections_open",
            "Connections open now.",
            meter.open() as f64,
        ),
        counters(
            "isthmus_eastwest_dials_total",
            "Attempts to reach an endpoint, by result.",
            Attempt::ALL.into_iter().map(dialled).collect(),
        ),
        counters(
            "isthmus_eastwest_ejections_total",
            "Endpoints left out for a while because they could not be reached.",
            vec![(Vec::new(), meter.sum(|c| &c.ejections))],
        ),
        counters(
            "isthmus_eastwest_relayed_bytes_total",
            "Bytes carried, both ways, by splice or by copy.",
            vec![
                carried("splice", meter.sum(|c| &c.spliced)),
                carried("copy", meter.sum(|c| &c.copied)),
            ],
        ),
    ]
}

/// Every bound that is a setting, and how often it was met.
fn limits(meter: &Meter) -> Vec<MetricFamily> {
    let hits = |limit, count| (vec![pair("limit", limit)], count);
    let closed = |limit, close| hits(limit, meter.closed(close));
    let lost = [Close::ClientLost, Close::EndpointLost].map(|close| meter.closed(close));
    vec![counters(
        "isthmus_eastwest_limit_hits_total",
        "Times that a limit was reached, by its setting.",
        vec![
            closed("limits.connections", Close::TooManyConnections),
            closed(
                "limits.connectionsPerSource",
                Close::TooManyConnectionsOfSource,
            ),
            closed("limits.waitingHellos", Close::TooManyHellos),
            closed(
                "limits.waitingHellosPerSource",
                Close::TooManyHellosOfSource,
            ),
            closed("hello.bytes", Close::HelloTooLong),
            closed("hello.timeout", Close::HelloTooSlow),
            hits(
                "dial.timeout",
                meter.sum(|c| &c.dials[Attempt::TimedOut as usize]),
            ),
            closed("relay.idle", Close::Idle),
            hits("relay.userTimeout", lost.into_iter().sum()),
            closed("drain.limit", Close::Drained),
            hits("relay.pipes", meter.sum(|c| &c.pipes_missing)),
            hits("descriptors", meter.sum(|c| &c.accept_pauses)),
            hits("accessLog", meter.sum(|c| &c.log_lines_lost)),
        ],
    )]
}

fn routes(table: &Table) -> Vec<MetricFamily> {
    let endpoints: usize = table.routes().map(|route| route.endpoints().len()).sum();
    vec![
        gauge(
            "isthmus_eastwest_routes",
            "Routes in the table.",
            table.len() as f64,
        ),
        gauge(
            "isthmus_eastwest_endpoints",
            "Endpoints in the table.",
            endpoints as f64,
        ),
    ]
}

fn source(standing: &Standing, now: Instant) -> Vec<MetricFamily> {
    let message = |(&(kind, outcome), &count): (&(Kind, Outcome), &u64)| {
        let labels = vec![pair("type", kind.label()), pair("result", outcome.label())];
        (labels, count)
    };
    let age = standing.age(now).into_iter();
    vec![
        gauge(
            "isthmus_eastwest_source_connected",
            "Whether the source of routes is in touch.",
            f64::from(u8::from(standing.connected)),
        ),
        gauges(
            "isthmus_eastwest_table_age_seconds",
            "Time since the source of routes was in touch, over restarts.",
            age.map(|age| (Vec::new(), age.as_secs_f64())).collect(),
        ),
        gauge(
            "isthmus_eastwest_table_remembered",
            "Whether some routes are known from before a restart only.",
            f64::from(u8::from(standing.remembered.is_some())),
        ),
        gauge(
            "isthmus_eastwest_quarantined_resources",
            "Resources that are not understood and so closed.",
            standing.quarantine.len() as f64,
        ),
        counters(
            "isthmus_eastwest_sync_messages_total",
            "Messages of the control plane, by type and result.",
            standing.messages.iter().map(message).collect(),
        ),
    ]
}

/// The labels of Istio's TCP metrics, in its order.
fn labels(meter: &Meter, series: &Series) -> Vec<LabelPair> {
    let (own, service, workload) = (&meter.own, &series.key.service, &series.key.workload);
    let revision = match (&*workload.canonical_revision, &*workload.name) {
        ("", "") => "",
        ("", _) => "latest",
        (revision, _) => revision,
    };
    [
        ("reporter", "source"),
        ("source_workload", &own.workload),
        ("source_workload_namespace", &own.namespace),
        ("source_canonical_service", &own.canonical_name),
        ("source_canonical_revision", &own.canonical_revision),
        ("source_app", &own.canonical_name),
        ("source_version", &own.canonical_revision),
        ("source_cluster", &own.cluster),
        ("source_principal", ""),
        ("destination_workload", &workload.name),
        ("destination_workload_namespace", &workload.namespace),
        ("destination_canonical_service", &workload.canonical_name),
        ("destination_canonical_revision", revision),
        ("destination_app", ""),
        ("destination_version", ""),
        ("destination_cluster", &workload.cluster),
        ("destination_principal", ""),
        ("destination_service", &service.host),
        ("destination_service_name", &service.name),
        ("destination_service_namespace", &service.namespace),
        ("request_protocol", "tcp"),
        ("response_flags", series.key.flag),
        ("connection_security_policy", ""),
    ]
    .into_iter()
    .map(|(name, value)| pair(name, if value.is_empty() { "unknown" } else { value }))
    .collect()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn counters(name: &str, help: &str, values: Vec<(Vec<LabelPair>, u64)>) -> MetricFamily {
    let metric = |(labels, value): (_, u64)| {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let mut metric = Metric::default();
        metric.set_label(labels);
        metric.set_counter(counter);
        metric
    };
    let metrics = values.into_iter().map(metric).collect();
    family(name, help, MetricType::COUNTER, metrics)
}

fn gauges(name: &str, help: &str, values: Vec<(Vec<LabelPair>, f64)>) -> MetricFamily {
    let metric = |(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::default();
        metric.set_label(labels);
        metric.set_gauge(gauge);
        metric
    };
    let metrics = values.into_iter().map(metric).collect();
    family(name, help, MetricType::GAUGE, metrics)
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    gauges(name, help, vec![(Vec::new(), value)])
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
