//! The series of the xDS server, which counts by itself, as a metrics page.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::text;
use crate::serve::xds::audience::{Measure, Series};

/// All of them, in Prometheus' text format.
pub(crate) fn page(all: &[Series]) -> String {
    let registry = Registry::new();
    for family in all.chunk_by(|a, b| a.name == b.name) {
        if let Err(error) = declare(&registry, family) {
            tracing::error!(%error, "a series is declared wrongly: a defect, please report it");
        }
    }
    text(&registry)
}

/// Declares one name and sets its values; `family` is not empty.
fn declare(registry: &Registry, family: &[Series]) -> prometheus::Result<()> {
    let Some(first) = family.first() else {
        return Ok(());
    };
    let names: Vec<&str> = first.labels.iter().map(|(name, _)| *name).collect();
    let values =
        |series: &Series| -> Vec<&str> { series.labels.iter().map(|(_, value)| *value).collect() };
    let opts = Opts::new(first.name, first.help);
    match first.measure {
        Measure::Counter => {
            let counters = IntCounterVec::new(opts, &names)?;
            for series in family {
                counters
                    .get_metric_with_label_values(&values(series))?
                    .inc_by(series.value);
            }
            registry.register(Box::new(counters))
        }
        Measure::Gauge => {
            let gauges = IntGaugeVec::new(opts, &names)?;
            for series in family {
                let value = i64::try_from(series.value).unwrap_or(i64::MAX);
                gauges
                    .get_metric_with_label_values(&values(series))?
                    .set(value);
            }
            registry.register(Box::new(gauges))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_one_declaration_with_a_line_for_each_series() {
        let series = |name, measure, kind, value| Series {
            name,
            help: "What it says.",
            measure,
            labels: vec![("kind", kind)],
            value,
        };
        let page = page(&[
            series("isthmus_xds_viewers", Measure::Gauge, "sidecar", 3),
            series("isthmus_xds_viewers", Measure::Gauge, "gateway", 1),
            series("isthmus_xds_sent_total", Measure::Counter, "cds", 7),
        ]);
        let lines: Vec<&str> = page.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "isthmus_xds_sent_total{kind=\"cds\"} 7",
                "isthmus_xds_viewers{kind=\"gateway\"} 1",
                "isthmus_xds_viewers{kind=\"sidecar\"} 3",
            ]
        );
        assert_eq!(page.matches("# TYPE").count(), 2);
    }
}
