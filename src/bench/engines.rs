//! `milo bench engines`: what a caller waits for the engines when many call at once.
//!
//! The shipped engines run in this process, and calls share them without a telephone: what a caller says is heard frame by frame as it
//! would come, its end is judged, and the turn goes from ears to mind to voice as it does in a call, with its deadline. Then Milo speaks
//! and the caller thinks. With guesses beside, the same calls also begin what they may not need: what is said so far once a second, and a
//! reply at a pause, both dropped as the caller goes on.
//!
//! Two things are measured against. *Alone*: the middle of single turns with nothing else going on. *Its batch alone*: of each turn it is
//! known how many turns were in the engines at once with it, the greatest number while its caller waited; so many turns that begin at the
//! same moment, with nothing else going on (nobody listens, nothing is judged or guessed), are its batch, and the 95th of a hundred of all
//! these batches' turns, each size drawn as often as it was met, stands beside the calls' own. Of the difference the stages' times tell
//! where it comes from: of each, the 95th of a hundred, so that they come to more than all of it.

mod batches;

use std::{env, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use milo_media::{FRAME_MS, FRAME_SAMPLES, Frame, SAMPLE_RATE, wav};
use milo_models::{
    engine::EngineError,
    language_model::{ChatMessage, ChatRequest, Role},
    queue::{Class, WAITS, Wanted, Work},
    silero::VadStream,
    synthesizer::SpeechOptions,
    text::{clauses::Clauses, speakable},
    transcriber::{Listen, Transcript},
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::percentile;
use crate::{config::Config, dialplan::Dialplans, engines::Engines, metrics::Metrics};
use batches::{Batches, Turn, percentile_of};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Calls at once, a row each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 200])]
    calls: Vec<usize>,
    /// How long each row is measured.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// WAV files that the callers say.
    #[arg(long, value_name = "FILE", default_values = [
        "src/tests/recordings/mg_hours.wav",
        "src/tests/recordings/mg_price.wav",
        "src/tests/recordings/mg_appointment.wav",
        "src/tests/recordings/fr_hours.wav",
    ])]
    play: Vec<PathBuf>,
    /// The engines of the configuration, in place of those that ship.
    #[arg(long)]
    configured: bool,
}

/// Who is there before the measure begins, all at different places of a turn.
const SPREAD: Duration = Duration::from_secs(10);
/// Before a caller answers, at least, and so much longer at most.
const THINKS: (Duration, Duration) = (Duration::from_millis(600), Duration::from_secs(3));
/// What is said so far is transcribed so often where guesses are made.
const EVERY: usize = 900 / FRAME_MS as usize;
const STAGES: [&str; 4] = ["stt", "llm", "tts", "vad"];

/// What all calls share.
struct Room {
    engines: Engines,
    turns: Vec<Vec<i16>>,
    prompt: String,
    budget: Duration,
}

/// What came of the calls.
#[derive(Default)]
struct Calls {
    /// All that were answered, before the measure too.
    turns: Vec<Turn>,
    /// Turns for which an engine had no place.
    refused: usize,
}

pub(super) async fn run(
    Arguments { calls, seconds, play, configured }: Arguments,
    load: impl FnOnce() -> Result<Config>,
) -> Result<()> {
    ensure!(!play.is_empty(), "--play names no file");
    ensure!(seconds > 0 && calls.iter().all(|calls| *calls > 0), "--seconds and --calls begin at 1");
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    let config = if configured { load()? } else { Config { data_dir: folder.clone(), ..Config::default() } };
    let plans = Dialplans::shipped()?;
    let prompt = plans.persona("demo").context("the demonstration persona is not there")?.prompt.clone();
    let turns = play.iter().map(|file| wav::read(file).with_context(|| file.display().to_string()));
    let turns = turns.collect::<Result<Vec<_>>>()?;
    let budget = Duration::from_millis(config.conversation.filler_ms);
    let prompts = vec![prompt.clone()];
    let load = move || Engines::load(&config, prompts, Arc::new(Metrics::new()));
    let engines = tokio::task::spawn_blocking(load).await??;
    let room = Arc::new(Room { engines, turns, prompt, budget });

    let mut batches = Batches::default();
    let mut alone = batches.of(1, &room).await?.to_vec();
    let alone = percentile(&mut alone, 0.5).context("nothing was measured")?;
    println!(
        "a turn alone: p50 {alone:.0} ms from its end to the first sound; it is late after {} ms",
        budget.as_millis()
    );
    println!(
        "| calls | guesses | turns | p50 | p95 | p95 ÷ alone | at once, p50 and at most | its batch alone, p95 | p95 ÷ its batch | late | refused | took p95 (ears, mind, voice) | waited p95, at most ({0}) | late by stage ({0}) | use ({0}) |",
        STAGES.join(", ")
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for calls in calls {
        for guesses in [false, true] {
            println!("{}", row(&room, calls, guesses, Duration::from_secs(seconds), (alone, &mut batches)).await?);
        }
    }
    if !configured {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// Lets so many call, and says what they waited.
async fn row(
    room: &Arc<Room>,
    calls: usize,
    guesses: bool,
    length: Duration,
    (alone, batches): (f64, &mut Batches),
) -> Result<String> {
    let start = Instant::now() + SPREAD;
    let measure = start..start + length;
    let mut callers = JoinSet::new();
    for seed in 0..calls {
        let begins = SPREAD.mul_f64(seed as f64 / calls as f64);
        callers.spawn(call(Arc::clone(room), seed, begins, measure.clone(), guesses));
    }
    sleep_until(start).await;
    let before = room.engines.work();
    sleep_until(start + length).await;
    let after = room.engines.work();
    let mut all = Calls::default();
    while let Some(call) = callers.join_next().await {
        let call = call??;
        all.turns.extend(call.turns);
        all.refused += call.refused;
    }
    let turns: Vec<Turn> = all.turns.iter().filter(|turn| measure.contains(&turn.over)).copied().collect();
    let late = turns.iter().filter(|turn| turn.waited() > room.budget).count();
    let (p50, p95) = (percentile_of(&turns, 0.5, Turn::waited), percentile_of(&turns, 0.95, Turn::waited));
    let at_once: Vec<usize> = turns.iter().map(|turn| turn.at_once(&all.turns)).collect();
    let batch = batches.p95(&at_once, room).await?;
    let mut crowd: Vec<f64> = at_once.iter().map(|turns| *turns as f64).collect();
    let took = [0, 1, 2].map(|stage: usize| {
        let before = |turn: &Turn| stage.checked_sub(1).map_or(Duration::ZERO, |before| turn.stages[before]);
        percentile_of(&turns, 0.95, |turn| turn.stages[stage] - before(turn))
    });
    let figure = |value: Option<f64>, digits| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    let stages = STAGES.map(|stage| {
        let of = |work: &[(&'static str, Work)]| {
            work.iter().find(|(engine, _)| *engine == stage).map(|(_, work)| work.clone()).unwrap_or_default()
        };
        Stage::between(&of(&before), &of(&after))
    });
    let column =
        |text: fn(&Stage, Duration) -> String| stages.iter().map(|stage| text(stage, length)).collect::<Vec<_>>();
    let columns = [
        calls.to_string(),
        if guesses { "beside" } else { "none" }.to_owned(),
        turns.len().to_string(),
        format!("{} ms", figure(p50, 0)),
        format!("{} ms", figure(p95, 0)),
        figure(p95.map(|ms| ms / alone), 1),
        [0.5, 1.0].map(|share| figure(percentile(&mut crowd, share), 0)).join(" and "),
        format!("{} ms", figure(batch, 0)),
        figure(p95.zip(batch).map(|(ms, batch)| ms / batch), 2),
        late.to_string(),
        all.refused.to_string(),
        took.map(|ms| format!("{} ms", figure(ms, 0))).join(", "),
        column(|stage, _| format!("{} ms", stage.waited_ms)).join(", "),
        column(|stage, _| stage.late.to_string()).join(", "),
        column(|stage, length| format!("{:.0} %", 100.0 * stage.busy.as_secs_f64() / length.as_secs_f64())).join(", "),
    ];
    Ok(format!("| {} |", columns.join(" | ")))
}

/// What an engine has done for calls meanwhile.
struct Stage {
    /// Ninety-five of a hundred jobs waited no longer.
    waited_ms: f64,
    late: u64,
    busy: Duration,
}

impl Stage {
    fn between(before: &Work, after: &Work) -> Self {
        let (was, is) = (&before.classes[Class::Call as usize], &after.classes[Class::Call as usize]);
        let counts: Vec<u64> = is.waits.counts.iter().zip(was.waits.counts).map(|(is, was)| is - was).collect();
        let most = counts.iter().sum::<u64>() as f64 * 0.95;
        let mut up_to = 0;
        let bound = counts.iter().position(|count| {
            up_to += count;
            up_to as f64 >= most
        });
        let waited_ms = bound.and_then(|at| WAITS.get(at)).map_or(f64::INFINITY, |seconds| seconds * 1e3);
        Self { waited_ms, late: is.missed - was.missed, busy: after.busy.saturating_sub(before.busy) }
    }
}

/// One caller, from `begins` on; the refusals within the measure count.
async fn call(room: Arc<Room>, seed: usize, begins: Duration, measure: Range<Instant>, guesses: bool) -> Result<Calls> {
    let (mut calls, mut stream) = (Calls::default(), room.engines.activity.stream());
    let mut chance = seed as u32;
    let mut next = |most: usize| {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (chance >> 16) as usize % most.max(1)
    };
    sleep(begins).await;
    while Instant::now() < measure.end {
        let turn = &room.turns[next(room.turns.len())];
        hear(&room, &mut stream, turn, guesses).await?;
        if let Some(judge) = &room.engines.end_of_turn {
            judge.judge(turn.clone()).await.ok();
        }
        let over = Instant::now();
        let said = match answer(&room, turn).await {
            Ok(turn) => {
                calls.turns.push(turn);
                turn.said
            }
            Err(error) if error.is_passing() => {
                calls.refused += usize::from(measure.contains(&over));
                Duration::ZERO
            }
            Err(error) => return Err(error.into()),
        };
        // Milo speaks, and the caller is listened to meanwhile.
        let silence = said + THINKS.0 + Duration::from_millis(next(THINKS.1.as_millis() as usize) as u64);
        let silence = vec![0; silence.as_millis() as usize * SAMPLE_RATE as usize / 1_000];
        hear(&room, &mut stream, &silence, false).await?;
    }
    Ok(calls)
}

/// Hears so much, as it would come; with guesses, of what is said so far.
async fn hear(room: &Arc<Room>, stream: &mut VadStream, sound: &[i16], guesses: bool) -> Result<()> {
    let mut clock = interval(Duration::from_millis(FRAME_MS.into()));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    // Dropped as the turn ends, and the engines' work with it.
    let mut guessing = JoinSet::new();
    for (at, frame) in Frame::cut(sound).enumerate() {
        clock.tick().await;
        // What the detector has no place for is lost to it, as in a call.
        if let Err(error) = stream.push(&frame).await
            && !error.is_passing()
        {
            return Err(error.into());
        }
        while guessing.try_join_next().is_some() {}
        if guesses && at > 0 && at % EVERY == 0 && guessing.is_empty() {
            guessing.spawn(guess(Arc::clone(room), sound[..at * FRAME_SAMPLES].to_vec()));
        }
    }
    Ok(())
}

/// A transcript of what is said so far, and the reply to it as far as its first words.
async fn guess(room: Arc<Room>, so_far: Vec<i16>) {
    let (class, wanted) = (Class::Speculative, Wanted::perhaps());
    let asked = Listen { class, wanted: wanted.clone(), ..Listen::default() };
    let Ok(heard) = room.engines.transcriber.transcribe(so_far, asked).await else { return };
    if let Ok(mut saying) =
        room.engines.mind.reply(request(&room, &heard, class, wanted), room.engines.mind.mode()).await
    {
        while let Some(Ok(_)) = saying.next().await {}
    }
}

fn request(room: &Room, heard: &Transcript, class: Class, wanted: Wanted) -> ChatRequest {
    // What was not understood is asked for in words too.
    let said = if heard.text.is_empty() { "salama" } else { &heard.text };
    let messages = vec![ChatMessage::new(Role::System, &room.prompt), ChatMessage::new(Role::User, said)];
    ChatRequest { wanted, ..ChatRequest::new(messages, 64, class) }
}

/// Answers a turn.
async fn answer(room: &Room, turn: &[i16]) -> Result<Turn, EngineError> {
    let over = Instant::now();
    let wanted = Wanted::by((over + room.budget).into_std());
    let asked = Listen { wanted: wanted.clone(), ..Listen::default() };
    let heard = room.engines.transcriber.transcribe(turn.to_vec(), asked).await?;
    let understood = over.elapsed();
    let request = request(room, &heard, Class::Call, wanted.clone());
    let mut saying = room.engines.mind.reply(request, room.engines.mind.mode()).await?;
    let (mut clauses, mut worded, mut sounds, mut samples) = (Clauses::new(), None, None, 0);
    loop {
        let (ready, is_over) = match saying.next().await {
            Some(token) => (clauses.push(&token?.text), false),
            None => (clauses.finish().into_iter().collect(), true),
        };
        for clause in ready {
            let words = speakable(&clause, heard.language);
            if !words.chars().any(char::is_alphanumeric) {
                continue;
            }
            worded.get_or_insert_with(|| over.elapsed());
            let wanted = if sounds.is_none() { wanted.clone() } else { Wanted::default() };
            let options = SpeechOptions { wanted, ..SpeechOptions::default() };
            let mut speech = room.engines.voice.speak(&words, heard.language, options)?;
            while let Some(piece) = speech.next().await {
                samples += piece?.len();
                sounds.get_or_insert_with(|| over.elapsed());
            }
        }
        if is_over {
            let worded = worded.unwrap_or_else(|| over.elapsed());
            let stages = [understood, worded, sounds.unwrap_or_else(|| over.elapsed())];
            let said = Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE));
            return Ok(Turn { over, stages, done: Instant::now(), said });
        }
    }
}
