//! `milo sim`: simulated callers. A scenario, a YAML file, says what a caller does turn by turn and what is expected of Milo; each is a
//! real call over SIP and RTP against a running Milo, whose log says what it understood, said and did, and how soon.
//!
//! ```text
//!  FILE.yaml ─► scenario ─► sound ─► caller ══ SIP, RTP ══► Milo
//!                  │       espeak-ng                          │ log, by its API
//!                  └──────────────► judge ◄───────────────────┘
//!                                     └─► report: a line, report.json, report.html with the sound
//! ```

mod caller;
mod expected;
mod judge;
mod log;
mod record;
mod report;
mod scenario;
mod sound;

use std::{env, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use milo_models::espeak::pronouncer::Pronouncer;
use milo_signaling::Uri;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};

use crate::{
    bench::{NO_FILLER, Running},
    phone::Phone,
};
use log::Log;
use report::{Outcome, Report};
use scenario::Scenario;

/// What is played, against whom, and what is made of it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Scenarios, or folders with them (*.yaml); dialplans/simulations has those that ship, and its README every key.
    #[arg(value_name = "FILE|FOLDER", required_unless_present = "record", conflicts_with = "record")]
    scenarios: Vec<PathBuf>,
    /// Call this running Milo instead of starting one; a scenario that names a number calls that one there.
    #[arg(long, value_name = "SIP-URI", requires = "http")]
    target: Option<String>,
    /// The API of that Milo, such as http://127.0.0.1:8000: its log says what was understood.
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// A key of that API that may read.
    #[arg(long, value_name = "KEY", requires = "http")]
    key: Option<String>,
    /// The dialplans of the Milo that is started [default: those that ship]; one of their numbers is milo.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["target", "record"])]
    dialplans: Option<PathBuf>,
    /// Calls at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=50))]
    parallel: u64,
    /// Write report.html, with the sound of each call, and report.json into this folder.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Play nothing; print this call of the log as a scenario.
    #[arg(long, value_name = "CALL-ID", requires = "http", conflicts_with_all = ["target", "report"])]
    record: Option<String>,
}

/// A scenario that can be played.
struct Cast {
    scenario: Scenario,
    sounds: Vec<Vec<i16>>,
}

/// Plays the scenarios, and says whether all was as they expect it.
///
/// # Errors
/// A scenario that cannot be played, a Milo that does not start, a report that cannot be written.
pub async fn run(arguments: Arguments, legs: &Handle) -> Result<bool> {
    let Arguments { scenarios, target, http, key, dialplans, parallel, report, record } = arguments;
    let log = http.map(|http| Log { http, key });
    if let (Some(id), Some(log)) = (&record, &log) {
        print!("{}", record::scenario(&log.call(id).await?)?);
        return Ok(true);
    }
    ensure!(
        target.is_some() || log.is_none(),
        "--http goes with --target or --record: a Milo that is started has its own"
    );
    let scenarios = scenario::read(&scenarios)?;
    let folder = tempfile::tempdir().context("a folder for what is made meanwhile")?;
    let mut voice = Pronouncer::open(&folder.path().join("voice"), None)?;
    let cast = scenarios.into_iter().map(|scenario| {
        let sounds = sound::of(&scenario, &mut voice).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        anyhow::Ok(Cast { scenario, sounds })
    });
    let cast = cast.collect::<Result<Vec<_>>>()?;
    drop(voice);
    if let Some(report) = &report {
        fs::create_dir_all(report).with_context(|| format!("the folder {}", report.display()))?;
    }
    let (own, log, target) = match (target, log) {
        (Some(target), Some(log)) => match target.parse::<Uri>() {
            Ok(uri) => (None, log, uri),
            Err(fault) => bail!("--target {target:?}: {fault}"),
        },
        _ => {
            let milo = start(&folder.path().join("milo"), dialplans).await?;
            let target = milo.udp("milo")?;
            let log = Log { http: milo.http.clone(), key: None };
            (Some(milo), log, target)
        }
    };
    let phone = Arc::new(Phone::new(&target, None, legs.clone())?);
    let scenarios = all(cast, (&phone, &log, &target), parallel).await;
    if let Some(phone) = Arc::into_inner(phone) {
        phone.shutdown().await;
    }
    if let Some(milo) = own {
        milo.stop().await?;
    }
    let scenarios = scenarios?;
    let passed = scenarios.iter().filter(|outcome| outcome.passed).count();
    let failed = scenarios.len() - passed;
    println!("{passed} of {} scenarios passed", passed + failed);
    if let Some(folder) = report {
        Report { passed, failed, scenarios }.write(&folder)?;
        println!("{}", folder.join("report.html").display());
    }
    Ok(failed == 0)
}

/// A Milo of its own, which says nothing before its answer: what is heard first is that.
async fn start(folder: &std::path::Path, dialplans: Option<PathBuf>) -> Result<Running> {
    let dialplans = match dialplans {
        Some(plans) => Some(plans.canonicalize().with_context(|| format!("--dialplans {}", plans.display()))?),
        None => None,
    };
    let dialplans = dialplans.map(|plans| plans.display().to_string());
    let mut variables = vec![NO_FILLER];
    variables.extend(dialplans.as_deref().map(|plans| ("MILO__DIALPLANS__PATH", plans)));
    Running::start(&env::current_exe()?, folder, &variables).await
}

/// Plays all of them, so many at a time; their outcomes are in the order of the scenarios.
async fn all(cast: Vec<Cast>, (phone, log, target): (&Arc<Phone>, &Log, &Uri), parallel: u64) -> Result<Vec<Outcome>> {
    let (room, mut calls) = (Arc::new(Semaphore::new(parallel as usize)), JoinSet::new());
    for (number, cast) in cast.into_iter().enumerate() {
        let (phone, room, log, target) = (Arc::clone(phone), Arc::clone(&room), log.clone(), target.clone());
        calls.spawn(async move {
            let _place = room.acquire_owned().await?;
            anyhow::Ok((number, one(&phone, &log, &target, &cast).await))
        });
    }
    let mut outcomes = Vec::new();
    while let Some(call) = calls.join_next().await {
        let (number, outcome) = call??;
        println!("{outcome}");
        outcomes.push((number, outcome));
    }
    outcomes.sort_by_key(|(number, _)| *number);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

/// Plays one; whatever goes wrong stands in its outcome.
async fn one(phone: &Phone, log: &Log, target: &Uri, Cast { scenario, sounds }: &Cast) -> Outcome {
    let mut outcome = Outcome {
        name: scenario.name(),
        file: scenario.file.clone(),
        about: scenario.about.clone(),
        target: target.to_string(),
        ..Outcome::default()
    };
    if let Err(fault) = played(phone, log, target, (scenario, sounds), &mut outcome).await {
        outcome.fault = Some(format!("{fault:#}"));
    }
    outcome.passed = outcome.is_right();
    outcome
}

async fn played(
    phone: &Phone,
    log: &Log,
    target: &Uri,
    (scenario, sounds): (&Scenario, &[Vec<i16>]),
    outcome: &mut Outcome,
) -> Result<()> {
    let target = number_of(target, scenario.number.as_deref())?;
    outcome.target = target.to_string();
    let called = caller::call(phone, &target, scenario, sounds).await?;
    (outcome.setup_ms, outcome.duration_s) = (Some(called.setup_ms), Some(called.duration_s));
    outcome.ogg = report::ogg(&called.sound)?;
    let logged = log.ended(&called.call_id).await?;
    let text = |name: &str| logged[name].as_str().map(str::to_owned);
    (outcome.call, outcome.hangup_by, outcome.end_reason) = (text("id"), text("hangup_by"), text("end_reason"));
    let own = logged["quality"].as_array().and_then(|legs| legs.iter().find(|leg| leg["leg"] == "caller"));
    outcome.loss_percent = own.and_then(|leg| leg["loss_percent"].as_f64());
    outcome.turns = judge::rows(scenario, &called, &logged);
    outcome.end = judge::end(scenario, &logged);
    Ok(())
}

/// Another number where the target is.
fn number_of(target: &Uri, number: Option<&str>) -> Result<Uri> {
    let Some(number) = number else { return Ok(target.clone()) };
    let text = target.to_string();
    let (scheme, rest) = text.split_once(':').context("the target is no SIP address")?;
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    let uri = format!("{scheme}:{number}@{place}");
    uri.parse().ok().with_context(|| format!("number: {uri} is no SIP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_calls_its_number_where_the_target_is() {
        for (target, number, called) in [
            ("sip:milo@127.0.0.1:5060", Some("digits"), "sip:digits@127.0.0.1:5060"),
            ("sip:127.0.0.1:5060", Some("digits"), "sip:digits@127.0.0.1:5060"),
            ("sip:office@127.0.0.1:5060", None, "sip:office@127.0.0.1:5060"),
        ] {
            assert_eq!(number_of(&target.parse().unwrap(), number).unwrap().to_string(), called);
        }
    }
}
