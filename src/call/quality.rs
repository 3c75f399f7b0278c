//! How a leg was, as the call's row has it.

use milo_media::{OneWay, Quality};
use serde_json::{Value, json};

/// A leg's quality as the log and the API show it. What was not measured is null.
pub(super) fn summary(leg: &str, quality: &Quality) -> Value {
    let short = |value: f64| (value * 100.0).round() / 100.0;
    json!({
        "leg": leg,
        "codec": quality.codec,
        "mos": quality.mos,
        "loss_percent": short(quality.loss_percent),
        "concealed_percent": short(quality.concealed_percent),
        "jitter_ms": quality.jitter_ms,
        "jitter_most_ms": quality.jitter_most_ms,
        "round_trip_ms": quality.round_trip_ms.map(short),
        "far_loss_percent": quality.far_loss_percent.map(short),
        "far_jitter_ms": quality.far_jitter_ms,
        "far_mos": quality.far_mos,
        "level_dbfs": quality.level_dbfs,
        "clipping_percent": short(quality.clipping_percent),
        "one_way": quality.one_way.map(OneWay::as_str),
        "ignored": quality.ignored,
        "unauthentic": quality.unauthentic,
        "replayed": quality.replayed,
    })
}
