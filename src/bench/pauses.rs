//! `milo bench pauses`: whether callers are cut off, and how long those who have finished wait. Telephone numbers in groups, sentences with
//! a hesitation, whole ones and short answers of `models/evaluation/turns/`, in real calls; what comes back is judged by the telephone.

use std::{env, fs, path::Path, sync::Arc};

use anyhow::{Context, Result};
use milo_media::{SAMPLE_RATE, wav};
use milo_models::{
    engine::Language,
    espeak::pronouncer::Pronouncer,
    evaluation::{rows, speech::spoken},
};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};

use super::{NO_FILLER, Running, floor::greeting, percentile};
use crate::phone::{Errand, Phone, Turn};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The half of the set that thresholds were tuned on, in place of the one that figures are published of.
    #[arg(long)]
    tuned: bool,
    /// Calls at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=50))]
    parallel: u64,
    /// Show each turn that was cut off.
    #[arg(long)]
    wrong: bool,
}

const SET: &str = include_str!("../../models/evaluation/turns/mg-fr.tsv");
const KINDS: [(&str, &str); 4] = [
    ("number", "telephone numbers, pauses of 600 to 1,200 ms"),
    ("hesitation", "sentences with one pause of 400 to 1,200 ms"),
    ("whole", "sentences"),
    ("answer", "\"eny\", \"non merci\""),
];
/// Milliseconds that are waited by the clocks the table compares with.
const CLOCKS: [u32; 2] = [500, 800];

/// A turn that a caller says.
struct Case {
    kind: &'static str,
    text: String,
    /// The longest pause within it, in milliseconds.
    longest: u32,
    errand: Errand,
}

pub(super) async fn run(Arguments { tuned, parallel, wrong }: Arguments, legs: &Handle) -> Result<()> {
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let plans = greeting(&folder, "Salama tompoko.")?;
    let milo =
        Running::start(&env::current_exe()?, &folder, &[("MILO__DIALPLANS__PATH", plans.as_str()), NO_FILLER]).await?;
    let cases = cases(&folder, tuned, &milo)?;
    let phone = Arc::new(Phone::new(&milo.udp("milo")?, None, legs.clone())?);
    let (room, mut calls) = (Arc::new(Semaphore::new(parallel as usize)), JoinSet::new());
    for (number, case) in cases.iter().enumerate() {
        let (phone, room, errand) = (Arc::clone(&phone), Arc::clone(&room), case.errand.clone());
        calls.spawn(async move {
            let _place = room.acquire_owned().await?;
            let turn = phone.call(&errand).await?.turns.pop().context("a turn")?;
            anyhow::Ok((number, turn))
        });
    }
    let mut turns: Vec<Option<Turn>> = cases.iter().map(|_| None).collect();
    while let Some(called) = calls.join_next().await {
        let (number, turn) = called??;
        turns[number] = Some(turn);
    }
    Arc::into_inner(phone).context("a call goes on")?.shutdown().await;
    milo.stop().await?;
    let [first, second] = CLOCKS;
    println!("| what is said | turns | cut off | waited p50, p95 | cut off by {first} ms, {second} ms of silence |");
    println!("|---|---|---|---|---|");
    for (kind, name) in KINDS {
        let mine: Vec<_> = cases.iter().zip(&turns).filter(|(case, _)| case.kind == kind).collect();
        let was_cut = |turn: &Option<Turn>| turn.as_ref().is_none_or(|turn| turn.spoke_early);
        let cut = mine.iter().filter(|(_, turn)| was_cut(turn)).count();
        let whole = mine.iter().filter(|(_, turn)| !was_cut(turn));
        let mut waits: Vec<f64> = whole.filter_map(|(_, turn)| turn.as_ref()?.wire_ms).collect();
        let [p50, p95] =
            [0.5, 0.95].map(|share| percentile(&mut waits, share).map_or("-".into(), |ms| format!("{ms:.0}")));
        let [by_first, by_second] = CLOCKS.map(|clock| mine.iter().filter(|(case, _)| case.longest > clock).count());
        println!("| {name} | {} | {cut} | {p50} ms, {p95} ms | {by_first}, {by_second} |", mine.len());
        for (case, _) in mine.iter().filter(|(_, turn)| wrong && was_cut(turn)) {
            println!("  {}", case.text);
        }
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn cases(folder: &Path, tuned: bool, milo: &Running) -> Result<Vec<Case>> {
    let mut voice = Pronouncer::open(&folder.join("voice"), None)?;
    let half = if tuned { "tuned" } else { "measured" };
    let mut cases = Vec::new();
    for (line, [of, kind, language, variant, speed, pitch, range, gap, pauses, text]) in
        rows::<10>(SET).map_err(anyhow::Error::msg)?
    {
        let place = || format!("turns/mg-fr.tsv, line {line}");
        let (kind, _) =
            KINDS.into_iter().find(|(known, _)| *known == kind).with_context(|| format!("{}: {kind:?}", place()))?;
        let language: Language = language.parse().with_context(place)?;
        if of != half {
            continue;
        }
        let pauses: Vec<u32> = match pauses {
            "-" => Vec::new(),
            told => told.split(',').map(str::parse).collect::<Result<_, _>>().with_context(place)?,
        };
        let mut sound = Vec::new();
        let parts: Vec<_> = text.split(" … ").collect();
        for (number, part) in parts.iter().enumerate() {
            // A comma keeps the voice up.
            let words = if number + 1 < parts.len() { format!("{part},") } else { (*part).to_owned() };
            let said = [variant, speed, pitch, range, gap, &words];
            sound.extend(spoken(&mut voice, language, &said).map_err(anyhow::Error::msg).with_context(place)?);
            let pause = pauses.get(number).copied().unwrap_or_default();
            sound.resize(sound.len() + (pause * SAMPLE_RATE / 1_000) as usize, 0);
        }
        let file = folder.join(format!("turn-{}.wav", cases.len()));
        wav::write(&file, &sound)?;
        let errand = Errand {
            target: milo.udp(&format!("case-{}", cases.len()))?,
            play: vec![file],
            interrupt: None,
            digits: None,
            wait: false,
            no_greeting: false,
            record: None,
        };
        let longest = pauses.into_iter().max().unwrap_or_default();
        cases.push(Case { kind, text: text.to_owned(), longest, errand });
    }
    Ok(cases)
}
