//! `milo bench calls`: what a call costs that only listens.

use std::{env, time::Duration};

use anyhow::Result;
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::Running;
use crate::phone::{Errand, Phone};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Calls at once.
    #[arg(long, default_value_t = 50)]
    calls: usize,
    /// How long they are measured, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// The greeting is over and its memory settled.
const SETTLED: Duration = Duration::from_secs(10);

pub(super) async fn run(Arguments { calls, seconds }: Arguments, legs: &Handle) -> Result<()> {
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    let limit = calls.to_string();
    let variables = [
        ("MILO__LIMITS__CALLS", limit.as_str()),
        ("MILO__CONVERSATION__SILENCE_PROMPT_S", "600"),
        ("MILO__CONVERSATION__SILENCE_HANGUP_S", "700"),
    ];
    let milo = Running::start(&env::current_exe()?, &folder, &variables).await?;
    let target = milo.udp("milo")?;
    let phone = std::sync::Arc::new(Phone::new(&target, None, legs.clone())?);

    // One call first, so that what the first call of a process costs once is in the base.
    let errand =
        Errand { target, play: vec![], interrupt: None, digits: None, wait: true, no_greeting: true, record: None };
    tokio::time::timeout(SETTLED, phone.call(&errand)).await.ok();
    sleep(Duration::from_secs(1)).await;
    let base = milo.cost()?;

    let mut up = JoinSet::new();
    for _ in 0..calls {
        let (phone, errand) = (phone.clone(), errand.clone());
        up.spawn(async move { phone.call(&errand).await });
        sleep(Duration::from_millis(20)).await;
    }
    sleep(SETTLED).await;
    let before = (milo.cost()?, Instant::now());
    sleep(Duration::from_secs(seconds)).await;
    let (after, took) = (milo.cost()?, before.1.elapsed());
    let ended = std::iter::from_fn(|| up.try_join_next()).count();
    up.shutdown().await;
    if let Ok(phone) = std::sync::Arc::try_unwrap(phone) {
        phone.shutdown().await;
    }
    milo.stop().await?;
    std::fs::remove_dir_all(&folder)?;

    let share = (after.cpu - before.0.cpu).as_secs_f64() / took.as_secs_f64() * 100.0;
    let memory = after.memory.saturating_sub(base.memory) as f64 / 1e6;
    println!(
        "calls: {calls} that only listen, {seconds} s: {:.2} % of a core each ({share:.0} % together), \
         {:.2} MB each above a base of {:.0} MB; {ended} ended before they were told to",
        share / calls as f64,
        memory / calls as f64,
        base.memory as f64 / 1e6,
    );
    anyhow::ensure!(ended == 0, "{ended} calls ended before they were told to");
    Ok(())
}
