//! `milo bench interruptions`: who gets the floor. Milo says a long sentence; into it a caller says "eny", coughs, comes back as an echo,
//! or wants to be heard. Real calls, on the set of `models/evaluation/interruptions/`; the log of the calls says what Milo made of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use milo_media::{EchoPath, Echoes, SAMPLE_RATE, wav};
use milo_models::{
    engine::Language,
    espeak::pronouncer::Pronouncer,
    evaluation::{cough, rows, speech::spoken},
};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Running, floor::greeting};
use crate::phone::{Errand, Phone};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The half of the set that thresholds were tuned on, in place of the one that figures are published of.
    #[arg(long)]
    tuned: bool,
    /// Calls at once.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=50))]
    parallel: u64,
    /// Show each case that went wrong.
    #[arg(long)]
    wrong: bool,
}

const SET: &str = include_str!("../../models/evaluation/interruptions/mg-fr.tsv");
/// Coughs, and echoes of Milo's voice, a half.
const COUGHS: u64 = 12;
const ECHOES: u32 = 8;
/// How loud the echo is.
const ECHO_DB: f32 = -15.0;
/// What is said begins so long after Milo does.
const INTO: Duration = Duration::from_millis(900);
/// So long after the call was answered it is decided.
const DECIDED: Duration = Duration::from_secs(6);
/// The sentence lasts longer than that in every voice.
const SENTENCE: &str = "Salama tompoko, Milo eto. Misokatra manomboka amin'ny alatsinainy ka hatramin'ny zoma ny biraonay eto \
    Antananarivo, amin'ny valo ora maraina ka hatramin'ny dimy ora hariva, ary ny asabotsy dia misokatra mandra-pahatongan'ny mitataovovonana.";

/// Something that comes into Milo's words.
enum Case {
    Sound { kind: &'static str, what: String, file: PathBuf },
    Echo(u32),
}

const KINDS: [(&str, &str, bool); 4] = [
    ("listens", "the caller shows that they listen (\"eny\", \"d'accord\")", false),
    ("cough", "coughs and knocks", false),
    ("echo", "Milo's own voice comes back at -15 dB", false),
    ("interrupts", "the caller wants to be heard", true),
];

impl Case {
    fn kind(&self) -> &'static str {
        match self {
            Self::Sound { kind, .. } => kind,
            Self::Echo(_) => "echo",
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Sound { what, .. } => what.clone(),
            Self::Echo(number) => format!("echo {number}"),
        }
    }
}

pub(super) async fn run(Arguments { tuned, parallel, wrong }: Arguments, legs: &Handle) -> Result<()> {
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let cases = cases(&folder, tuned)?;
    let plans = greeting(&folder, SENTENCE)?;
    let milo = Running::start(&env::current_exe()?, &folder, &[("MILO__DIALPLANS__PATH", plans.as_str())]).await?;
    let phone = Arc::new(Phone::new(&milo.udp("milo")?, None, legs.clone())?);
    let (room, mut calls) = (Arc::new(Semaphore::new(parallel as usize)), JoinSet::new());
    for (number, case) in cases.iter().enumerate() {
        let (phone, room, target) = (Arc::clone(&phone), Arc::clone(&room), milo.udp(&format!("case-{number}"))?);
        match case {
            Case::Sound { file, .. } => {
                let errand = Errand {
                    target,
                    play: vec![file.clone()],
                    interrupt: None,
                    digits: None,
                    wait: false,
                    no_greeting: true,
                    record: None,
                };
                calls.spawn(async move {
                    let _place = room.acquire_owned().await?;
                    phone.call_until(&errand, sleep(DECIDED)).await?;
                    anyhow::Ok(())
                });
            }
            Case::Echo(number) => {
                let echoes = if number % 4 < 2 { Echoes::Line } else { Echoes::Room };
                let delay = 10 + 20 * number;
                calls.spawn(async move {
                    let _place = room.acquire_owned().await?;
                    let path = EchoPath::new(echoes, delay, ECHO_DB, delay);
                    timeout(DECIDED, phone.hands_free(&target, path)).await.ok();
                    Ok(())
                });
            }
        }
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    Arc::into_inner(phone).context("a call goes on")?.shutdown().await;
    sleep(Duration::from_secs(1)).await;
    let fell_silent = outcomes(&milo, cases.len()).await?;
    milo.stop().await?;
    println!("| said into Milo's words | cases | let its reply go | wanted |\n|---|---|---|---|");
    for (kind, name, wanted) in KINDS {
        let mine = || cases.iter().zip(&fell_silent).filter(|(case, _)| case.kind() == kind);
        let (of, silent) = (mine().count(), mine().filter(|(_, silent)| **silent).count());
        println!("| {name} | {of} | {silent} | {} |", if wanted { of } else { 0 });
        for (case, _) in mine().filter(|(_, silent)| wrong && **silent != wanted) {
            println!("  {}", case.what());
        }
    }
    let rate = |is_wanted: bool| {
        let of = |case: &Case| KINDS.iter().any(|(kind, _, wanted)| *kind == case.kind() && *wanted == is_wanted);
        let mine: Vec<_> = cases.iter().zip(&fell_silent).filter(|(case, _)| of(case)).collect();
        let bad = mine.iter().filter(|(_, silent)| **silent != is_wanted).count();
        format!("{bad} of {} ({:.0} %)", mine.len(), 100.0 * bad as f64 / mine.len().max(1) as f64)
    };
    println!("interruptions: false {}, missed {}", rate(false), rate(true));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// What is said, as files that begin with the silence in which Milo begins.
fn cases(folder: &Path, tuned: bool) -> Result<Vec<Case>> {
    let mut voice = Pronouncer::open(&folder.join("voice"), None)?;
    let silence = vec![0; (INTO.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize];
    let mut cases = Vec::new();
    let mut add = |kind, what: String, sound: &[i16]| -> Result<()> {
        let file = folder.join(format!("case-{}.wav", cases.len()));
        wav::write(&file, &[&silence[..], sound].concat())?;
        cases.push(Case::Sound { kind, what, file });
        Ok(())
    };
    let half = if tuned { "tuned" } else { "measured" };
    for (line, [of, kind, language, said @ ..]) in rows::<9>(SET).map_err(anyhow::Error::msg)? {
        let place = || format!("interruptions/mg-fr.tsv, line {line}");
        let known = KINDS.into_iter().find(|(known, ..)| *known == kind);
        let (kind, ..) = known.with_context(|| format!("{}: {kind:?} is no kind", place()))?;
        let language: Language = language.parse().map_err(anyhow::Error::msg).with_context(place)?;
        if of == half {
            let sound = spoken(&mut voice, language, &said).map_err(anyhow::Error::msg).with_context(place)?;
            add(kind, said[5].to_owned(), &sound)?;
        }
    }
    for number in 0..COUGHS {
        let seed = 2 * number + u64::from(tuned);
        add("cough", format!("cough {seed}"), &cough(seed))?;
    }
    cases.extend((0..ECHOES).map(|number| Case::Echo(2 * number + u32::from(tuned))));
    Ok(cases)
}

/// Whether Milo fell silent, of each case.
async fn outcomes(milo: &Running, cases: usize) -> Result<Vec<bool>> {
    let mut found = vec![None; cases];
    let mut cursor = String::new();
    loop {
        let page = milo.get(&format!("/api/v1/calls?limit=100{cursor}")).await?;
        for call in page["calls"].as_array().context("no calls")? {
            let to = call["to"].as_str().unwrap_or_default();
            let number = to.split_once("case-").and_then(|(_, rest)| rest.split('@').next()?.parse::<usize>().ok());
            let id = call["id"].as_str().unwrap_or_default();
            let whole = milo.get(&format!("/api/v1/calls/{id}")).await?;
            let events = whole["events"].as_array().context("no events")?;
            if let Some(place) = number.and_then(|number| found.get_mut(number)) {
                *place = Some(events.iter().any(|event| event["kind"] == "interrupted"));
            }
        }
        match &page["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    let missing = found.iter().filter(|case| case.is_none()).count();
    ensure!(missing == 0, "{missing} of {cases} calls are not in the log");
    Ok(found.into_iter().flatten().collect())
}
