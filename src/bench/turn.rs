//! `milo bench turn`: how long a caller waits for an answer.

use std::{env, path::PathBuf};

use anyhow::{Result, ensure};
use milo_signaling::Uri;
use tokio::runtime::Handle;

use super::{NO_FILLER, Running, percentile};
use crate::phone::{Errand, Phone};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Turns to measure.
    #[arg(long, default_value_t = 20)]
    turns: usize,
    /// WAV files to play, one a turn, in a circle.
    #[arg(long, value_name = "FILE", default_values = [
        "src/tests/recordings/mg_hours.wav",
        "src/tests/recordings/mg_price.wav",
        "src/tests/recordings/mg_appointment.wav",
        "src/tests/recordings/fr_hours.wav",
    ])]
    play: Vec<PathBuf>,
    /// Call this running Milo instead of starting one.
    #[arg(long, value_name = "SIP-URI")]
    target: Option<String>,
}

/// Turns in one call; a fresh call keeps the context short.
const A_CALL: usize = 5;

pub(super) async fn run(arguments: Arguments, legs: &Handle) -> Result<()> {
    let Arguments { turns, play, target } = arguments;
    ensure!(!play.is_empty(), "--play names no file");
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    let (target, own) = match target {
        Some(target) => match target.parse::<Uri>() {
            Ok(uri) => (uri, None),
            Err(fault) => anyhow::bail!("--target {target:?}: {fault}"),
        },
        None => {
            let milo = Running::start(&env::current_exe()?, &folder, &[NO_FILLER]).await?;
            (milo.udp("milo")?, Some(milo))
        }
    };
    let phone = Phone::new(&target, None, legs.clone())?;
    let (mut waits, mut early, mut unanswered) = (Vec::new(), 0, 0);
    let mut files = play.iter().cycle();
    let mut left = turns;
    while left > 0 {
        let now = left.min(A_CALL);
        left -= now;
        let errand = Errand {
            target: target.clone(),
            play: files.by_ref().take(now).cloned().collect(),
            interrupt: None,
            digits: None,
            wait: false,
            no_greeting: false,
            record: None,
        };
        for turn in phone.call(&errand).await?.turns {
            early += usize::from(turn.spoke_early);
            match turn.wire_ms {
                Some(wait) => waits.push(wait),
                None => unanswered += 1,
            }
        }
    }
    phone.shutdown().await;
    if let Some(milo) = own {
        milo.stop().await?;
        std::fs::remove_dir_all(&folder)?;
    }
    let figure = |waits: &mut Vec<f64>, share| percentile(waits, share).map_or("-".into(), |ms| format!("{ms:.0}"));
    println!(
        "turn: last voiced packet in → first voiced packet out, {} turns: p50 {} ms, p95 {} ms, longest {} ms; \
         {early} answered too early, {unanswered} not answered",
        waits.len(),
        figure(&mut waits, 0.5),
        figure(&mut waits, 0.95),
        figure(&mut waits, 1.0),
    );
    ensure!(unanswered == 0, "{unanswered} turns were not answered");
    Ok(())
}
