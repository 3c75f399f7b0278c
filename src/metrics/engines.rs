//! What the engines' threads have done: their use, how long jobs wait for them, and which are late. The engines count it themselves.

use milo_models::queue::{Class, Served, WAITS, Work};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// The figures of these engines, as they are now.
pub(super) fn families(engines: &[(&'static str, Work)]) -> Vec<MetricFamily> {
    let by_class = |metric: fn(&Served) -> Metric| {
        let served = engines.iter().flat_map(move |(engine, work)| {
            let classes = Class::ALL.into_iter().zip(&work.classes);
            classes
                .map(move |(class, served)| labelled(metric(served), &[("class", class.name()), ("engine", *engine)]))
        });
        served.collect()
    };
    let busy = engines.iter().map(|(engine, work)| labelled(counter(work.busy.as_secs_f64()), &[("engine", *engine)]));
    [
        (
            "milo_engine_busy_seconds_total",
            "How long an engine's thread was at work: by the second, its use.",
            MetricType::COUNTER,
            busy.collect(),
        ),
        (
            "milo_engine_jobs_total",
            "Jobs that an engine has answered, by class.",
            MetricType::COUNTER,
            by_class(|served| counter(served.jobs as f64)),
        ),
        (
            "milo_engine_missed_deadlines_total",
            "Jobs that an engine has answered after their answer was wanted, by class.",
            MetricType::COUNTER,
            by_class(|served| counter(served.missed as f64)),
        ),
        (
            "milo_engine_device_waiting_seconds_total",
            "How long an engine's thread waited for its device, on which other engines computed, by the class of whom it was for.",
            MetricType::COUNTER,
            by_class(|served| counter(served.device.as_secs_f64())),
        ),
        (
            "milo_engine_waiting_seconds",
            "How long jobs waited for an engine before they were begun, by class.",
            MetricType::HISTOGRAM,
            by_class(waits),
        ),
    ]
    .into_iter()
    .filter_map(family)
    .collect()
}

/// How often servers were asked once more.
pub(super) fn again(engines: &[(&'static str, u64)]) -> Option<MetricFamily> {
    let counts = engines.iter().map(|(engine, count)| labelled(counter(*count as f64), &[("engine", *engine)]));
    family((
        "milo_engine_retries_total",
        "Requests that a server was asked once more, since the connection did not hold or it wanted a moment's rest.",
        MetricType::COUNTER,
        counts.collect(),
    ))
}

/// None without figures: it could not be written.
fn family((name, help, kind, metrics): (&str, &str, MetricType, Vec<Metric>)) -> Option<MetricFamily> {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    (!family.get_metric().is_empty()).then_some(family)
}

fn counter(value: f64) -> Metric {
    let (mut metric, mut counter) = (Metric::default(), Counter::default());
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn waits(served: &Served) -> Metric {
    let mut histogram = Histogram::default();
    let mut up_to = 0;
    let buckets = WAITS.iter().zip(served.waits.counts).map(|(bound, count)| {
        up_to += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(up_to);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(served.waits.counts.iter().sum());
    histogram.set_sample_sum(served.waits.sum.as_secs_f64());
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

fn labelled(mut metric: Metric, labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{Encoder, TextEncoder};

    use super::*;

    #[test]
    fn an_engines_use_and_waits_are_shown_as_prometheus_reads_them() {
        let mut work = Work { busy: Duration::from_millis(2_500), ..Work::default() };
        work.classes[Class::Call as usize].jobs = 7;
        work.classes[Class::Call as usize].missed = 2;
        work.classes[Class::Speculative as usize].device = Duration::from_millis(1_250);
        work.classes[Class::Batch as usize].waits.counts[0] = 3;
        work.classes[Class::Batch as usize].waits.counts[WAITS.len()] = 1;
        work.classes[Class::Batch as usize].waits.sum = Duration::from_secs(9);
        let mut text = Vec::new();
        TextEncoder::new().encode(&families(&[("stt", work)]), &mut text).expect("it is written into memory");
        let text = String::from_utf8(text).expect("text");
        for line in [
            "milo_engine_busy_seconds_total{engine=\"stt\"} 2.5",
            "milo_engine_jobs_total{class=\"call\",engine=\"stt\"} 7",
            "milo_engine_missed_deadlines_total{class=\"call\",engine=\"stt\"} 2",
            "milo_engine_missed_deadlines_total{class=\"speculative\",engine=\"stt\"} 0",
            "milo_engine_device_waiting_seconds_total{class=\"speculative\",engine=\"stt\"} 1.25",
            "milo_engine_waiting_seconds_bucket{class=\"batch\",engine=\"stt\",le=\"0.001\"} 3",
            "milo_engine_waiting_seconds_bucket{class=\"batch\",engine=\"stt\",le=\"5\"} 3",
            "milo_engine_waiting_seconds_bucket{class=\"batch\",engine=\"stt\",le=\"+Inf\"} 4",
            "milo_engine_waiting_seconds_sum{class=\"batch\",engine=\"stt\"} 9",
            "# TYPE milo_engine_waiting_seconds histogram",
        ] {
            assert!(text.lines().any(|own| own == line), "no {line} in\n{text}");
        }
        assert!(families(&[]).is_empty() && again(&[]).is_none(), "a family without figures cannot be written");
        let mut text = Vec::new();
        let counted: Vec<_> = again(&[("llm", 3)]).into_iter().collect();
        TextEncoder::new().encode(&counted, &mut text).expect("it is written into memory");
        assert!(String::from_utf8(text).expect("text").contains("milo_engine_retries_total{engine=\"llm\"} 3"));
    }
}
