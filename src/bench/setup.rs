//! `milo bench setup`: calls set up and ended, so many a second.

use std::{env, process, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Running, media::on_core, percentile};
use crate::phone::{Errand, Phone};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Calls a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Milo gets the first core to itself and this program the second, as the outside yardsticks do it.
    #[arg(long)]
    pin: bool,
}

pub(super) async fn run(Arguments { rate, seconds, pin }: Arguments, legs: &Handle) -> Result<()> {
    anyhow::ensure!(rate > 0, "--rate 0 sets up no calls");
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    let (program, variables) = (env::current_exe()?, [("MILO__LIMITS__CALLS", "10000")]);
    let milo = if pin {
        on_core(1, process::id())?;
        Running::start_on(0, &program, &folder, &variables).await?
    } else {
        Running::start(&program, &folder, &variables).await?
    };
    let target = milo.udp("echo")?;
    let phone = Arc::new(Phone::new(&target, None, legs.clone())?);
    let errand =
        Errand { target, play: vec![], interrupt: None, digits: None, wait: false, no_greeting: true, record: None };

    let before = milo.cost()?;
    let mut calls = JoinSet::new();
    let mut clock = interval(Duration::from_secs(1) / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..rate * seconds {
        clock.tick().await;
        let (phone, errand) = (phone.clone(), errand.clone());
        calls.spawn(async move { phone.call(&errand).await });
    }
    let (mut set_up, mut failed) = (Vec::new(), Vec::new());
    while let Some(call) = calls.join_next().await {
        match call? {
            Ok(report) => set_up.push(report.setup_ms),
            Err(error) => failed.push(error.to_string()),
        }
    }
    let used = milo.cost()?.cpu - before.cpu;
    if let Ok(phone) = Arc::try_unwrap(phone) {
        phone.shutdown().await;
    }
    milo.stop().await?;
    std::fs::remove_dir_all(&folder)?;

    println!(
        "setup: {} calls at {rate}/s{}: {} failed, INVITE → 200 p50 {:.1} ms, p99 {:.1} ms, {:.2} CPU-ms a call \
         ({:.0} % of a core)",
        rate * seconds,
        if pin { ", Milo on one core" } else { "" },
        failed.len(),
        percentile(&mut set_up, 0.5).unwrap_or_default(),
        percentile(&mut set_up, 0.99).unwrap_or_default(),
        used.as_secs_f64() * 1e3 / f64::from(rate * seconds),
        used.as_secs_f64() / f64::from(seconds) * 100.0,
    );
    anyhow::ensure!(failed.is_empty(), "the first failure: {}", failed[0]);
    Ok(())
}
