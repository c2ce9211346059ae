use std::{collections::BTreeSet, time::Instant};

use super::*;
use crate::{
    config::Config,
    route::Table,
    sync::{
        session::Kind,
        standing::{Outcome, Standing},
    },
};

fn meter(workers: usize) -> Meter {
    let text = include_str!("../../examples/eastwest.yaml");
    let config: Config = serde_yaml_ng::from_str(text).unwrap();
    Meter::new(&config.validate().unwrap(), workers)
}

fn service() -> Service {
    Service {
        host: "helloworld.sample.svc.cluster.local".into(),
        name: "helloworld".into(),
        namespace: "sample".into(),
    }
}

fn page(meter: &Meter) -> String {
    let mut standing = Standing::default();
    standing.touched(Instant::now());
    standing
        .messages
        .insert((Kind::Cluster, Outcome::Changed), 1);
    page::render(meter, &Table::default(), &standing, Instant::now())
}

#[test]
fn the_page_has_exactly_these_series() {
    let meter = meter(1);
    let workload = Workload::from_metadata("helloworld-v1;sample;helloworld;v1;c1");
    let series = meter.series(&service(), Some(&workload), "-");
    series.cell(0).opened.add(1);
    let page = page(&meter);
    let names: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let expected = [
        "isthmus_eastwest_connections_accepted_total",
        "isthmus_eastwest_connections_closed_total",
        "isthmus_eastwest_connections_open",
        "isthmus_eastwest_dials_total",
        "isthmus_eastwest_ejections_total",
        "isthmus_eastwest_endpoints",
        "isthmus_eastwest_limit_hits_total",
        "isthmus_eastwest_quarantined_resources",
        "isthmus_eastwest_relayed_bytes_total",
        "isthmus_eastwest_routes",
        "isthmus_eastwest_source_connected",
        "isthmus_eastwest_sync_messages_total",
        "isthmus_eastwest_table_age_seconds",
        "isthmus_eastwest_table_remembered",
        "istio_build",
        "istio_tcp_connections_closed_total",
        "istio_tcp_connections_opened_total",
        "istio_tcp_received_bytes_total",
        "istio_tcp_sent_bytes_total",
    ];
    assert_eq!(names, expected.into_iter().collect());
}

#[test]
fn istios_labels_stand_in_istios_order() {
    let meter = meter(1);
    let workload = Workload::from_metadata("helloworld-v1;sample;helloworld;;c2");
    let series = meter.series(&service(), Some(&workload), "-");
    series.cell(0).opened.add(3);
    let line = "istio_tcp_connections_opened_total{reporter=\"source\",\
        source_workload=\"istio-eastwestgateway\",source_workload_namespace=\"istio-system\",\
        source_canonical_service=\"istio-eastwestgateway\",source_canonical_revision=\"latest\",\
        source_app=\"istio-eastwestgateway\",source_version=\"latest\",source_cluster=\"c1\",\
        source_principal=\"unknown\",destination_workload=\"helloworld-v1\",\
        destination_workload_namespace=\"sample\",destination_canonical_service=\"helloworld\",\
        destination_canonical_revision=\"latest\",destination_app=\"unknown\",\
        destination_version=\"unknown\",destination_cluster=\"c2\",\
        destination_principal=\"unknown\",\
        destination_service=\"helloworld.sample.svc.cluster.local\",\
        destination_service_name=\"helloworld\",destination_service_namespace=\"sample\",\
        request_protocol=\"tcp\",response_flags=\"-\",\
        connection_security_policy=\"unknown\"} 3";
    let page = page(&meter);
    assert!(page.lines().any(|l| l == line), "{page}");
}

#[test]
fn an_unused_series_is_not_shown() {
    let meter = meter(1);
    let _ = meter.series(&service(), None, "UH");
    assert!(!page(&meter).contains("response_flags=\"UH\""));
}

#[test]
fn the_same_labels_are_one_series_and_workers_are_summed() {
    let meter = meter(2);
    let one = meter.series(&service(), None, "UF");
    let two = meter.series(&service(), None, "UF");
    assert!(Arc::ptr_eq(&one, &two));
    one.cell(0).opened.add(1);
    two.cell(1).opened.add(2);
    assert_eq!(one.sum(|cell| &cell.opened), 3);
    meter.worker(0).accepted.add(5);
    meter.worker(1).closed[Close::Idle.index()].add(2);
    assert_eq!((meter.open(), meter.closed(Close::Idle)), (3, 2));
}
