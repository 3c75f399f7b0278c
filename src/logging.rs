//! Logs: one line an event on standard error, for people or for machines, with the same field names everywhere.
//!
//! `call.id` and `turn.id` say what a line is about, `peer` from or to which address, `duration_ms` how long it took. A line is written once, at the
//! boundary where something is decided. Never audio, never what was said, and no caller's number at `info` or above.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, registry, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Parts whose own lines are of use to their developers only, unless the filter names them.
const QUIET: &str = "sqlx=warn,hyper=warn,hyper_util=warn,h2=warn";

/// A filter out of `info` or `info,milo_signaling=debug`.
///
/// # Errors
/// The end of a sentence that says what is wrong.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong =
        || format!("{level:?} is no level: use {}, or a filter such as info,milo_signaling=debug", LEVELS.join(", "));
    // A bare unknown word would be taken for the name of a module, and silence everything else.
    if level.split(',').any(|part| !part.contains('=') && !LEVELS.contains(&part.trim().to_ascii_lowercase().as_str()))
    {
        return Err(wrong());
    }
    EnvFilter::builder().parse(format!("{QUIET},{level}")).map_err(|_| wrong())
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// The level is none; a checked configuration cannot cause it.
pub fn start(log: &Log) -> Result<(), String> {
    let filter = filter(&log.level)?;
    let lines = match log.format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_writer(io::stderr)
            .boxed(),
    };
    registry().with(filter).with(lines).try_init().ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters() {
        for right in ["info", "WARN", "info,milo_signaling=debug", "milo=trace"] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["", "loud", "info,loud", "milo=loud"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
