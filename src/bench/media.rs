//! `milo bench media`: many calls at once, as the wire sees them. What each costs, and when its packets come.

use std::{
    env,
    net::SocketAddr,
    process::{self, Command},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use milo_media::{Codec, Frame, resample, tone::Music};

use super::{
    Running,
    caller::{Callers, Speech, now},
    percentile,
    stream::Figures,
};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Calls at once.
    #[arg(long, default_value_t = 200)]
    pub(super) calls: usize,
    /// The number they dial: `echo`, `music`, or `milo` (who then only listens).
    #[arg(long, default_value = "echo")]
    pub(super) number: String,
    /// The codec they offer.
    #[arg(long, default_value = "PCMU")]
    pub(super) codec: String,
    /// How long they are measured, in seconds.
    #[arg(long, default_value_t = 20)]
    pub(super) seconds: u64,
    /// Of a hundred packets to Milo so many are lost on the way.
    #[arg(long, default_value_t = 0)]
    pub(super) tx_loss: u32,
    /// Milo gets the first core to itself and this program the second, as the outside yardsticks do it.
    #[arg(long)]
    pub(super) pin: bool,
}

/// What such calls cost, and what came of them.
#[derive(Debug)]
pub(super) struct Measured {
    /// Percent of a core a hundred calls.
    pub(super) share: f64,
    /// Megabytes a call.
    pub(super) memory: f64,
    /// Milliseconds between packets, the median and the 99th of a hundred; none where none came.
    pub(super) apart: [Option<f64>; 2],
    /// Milliseconds after the pace, the 999th of a thousand.
    pub(super) lateness: Option<f64>,
    pub(super) lost: u64,
    pub(super) sent: u64,
    /// Calls in which nothing came.
    pub(super) silent: usize,
}

/// Calls placed a second.
const RATE: u32 = 100;
/// After the last call has come up.
const SETTLED: Duration = Duration::from_secs(2);
/// After Milo's greeting.
const GREETED: Duration = Duration::from_secs(12);
/// Speech that the callers repeat: four seconds.
const PACKETS: usize = 200;

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let Measured { share, memory, apart: [p50, p99], lateness, lost, sent, silent } = measured(&arguments).await?;
    let figure = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{ms:.1}"));
    println!(
        "media: {} calls to {}, {}, {} s{}: {share:.2} % of a core a 100 calls, {memory:.2} MB a call; interarrival p50 {}, \
         p99 {} ms; lateness p999 {} ms; {lost} of {sent} packets lost, {silent} calls silent",
        arguments.calls,
        arguments.number,
        arguments.codec,
        arguments.seconds,
        if arguments.tx_loss > 0 { format!(", {} % of what they say lost", arguments.tx_loss) } else { String::new() },
        figure(p50),
        figure(p99),
        figure(lateness),
    );
    ensure!(lost == 0 && silent == 0, "packets of Milo's own were lost");
    Ok(())
}

/// Starts a Milo, calls it so often, and measures.
pub(super) async fn measured(arguments: &Arguments) -> Result<Measured> {
    let &Arguments { calls, pin, .. } = arguments;
    ensure!(calls > 0, "--calls 0 measures nothing");
    ensure!(arguments.tx_loss < 100, "--tx-loss {} leaves nothing to hear", arguments.tx_loss);
    let codec = Codec::named(&arguments.codec);
    let codec = codec.with_context(|| format!("--codec {:?}: Milo does not speak it", arguments.codec))?;
    let folder = env::temp_dir().join(format!("milo-bench-{}", process::id()));
    let limit = (calls + 1).to_string();
    let variables = [
        ("MILO__LIMITS__CALLS", limit.as_str()),
        ("MILO__CONVERSATION__SILENCE_PROMPT_S", "600"),
        ("MILO__CONVERSATION__SILENCE_HANGUP_S", "700"),
    ];
    let program = env::current_exe()?;
    let milo = if pin {
        on_core(1, process::id())?;
        Running::start_on(0, &program, &folder, &variables).await?
    } else {
        Running::start(&program, &folder, &variables).await?
    };
    let target = milo.udp("echo")?;
    let target = target.as_sip().and_then(|uri| Some(SocketAddr::new(uri.host.ip()?, uri.port?)));
    let target = target.context("Milo listens on no UDP address")?;

    let wanted = arguments.clone();
    let (milo, figures, cost) = tokio::task::spawn_blocking(move || measure(&wanted, codec, milo, target)).await??;
    milo.stop().await?;
    std::fs::remove_dir_all(&folder)?;

    let Figures { mut apart, mut lateness, lost, received, silent } = figures;
    Ok(Measured {
        share: cost.share / calls as f64 * 100.0,
        memory: cost.memory / calls as f64,
        apart: [percentile(&mut apart, 0.5), percentile(&mut apart, 0.99)],
        lateness: percentile(&mut lateness, 0.999),
        lost,
        sent: lost + received,
        silent,
    })
}

/// What all calls together cost.
struct Share {
    /// Percent of a core.
    share: f64,
    /// Megabytes.
    memory: f64,
}

fn measure(
    arguments: &Arguments,
    codec: &'static Codec,
    milo: Running,
    target: SocketAddr,
) -> Result<(Running, Figures, Share)> {
    let talks = arguments.number == "milo";
    let settled = if talks { GREETED } else { SETTLED };
    let speech = || speech(codec, talks);
    // One call first, so that what the first call of a process costs once is in the base.
    let mut first = Callers::new(&arguments.number, target, speech(), 0)?;
    first.place()?;
    first.talk_until(now() + settled)?;
    first.hang_up()?;
    std::thread::sleep(Duration::from_secs(1));
    let base = milo.cost()?;

    let mut callers = Callers::new(&arguments.number, target, speech(), arguments.tx_loss)?;
    for _ in 0..arguments.calls {
        let placed = now();
        callers.place()?;
        callers.talk_until(placed + Duration::from_secs(1) / RATE)?;
    }
    callers.talk_until(now() + settled)?;
    callers.heard();
    let (began, before) = (now(), milo.cost()?);
    callers.talk_until(began + Duration::from_secs(arguments.seconds))?;
    let (took, after) = (now() - began, milo.cost()?);
    let figures = Figures::of(callers.heard());
    callers.hang_up()?;
    let share = (after.cpu - before.cpu).as_secs_f64() / took.as_secs_f64() * 100.0;
    let memory = after.memory.saturating_sub(base.memory) as f64 / 1e6;
    Ok((milo, figures, Share { share, memory }))
}

/// What the callers say: music, or a murmur that nobody takes for a voice.
fn speech(codec: &'static Codec, murmur: bool) -> Speech {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as i16 - 8
    };
    let frames = Music::new().map(|frame| if murmur { Frame::new(std::array::from_fn(|_| noise())) } else { frame });
    let samples: Vec<_> = frames.take(PACKETS).flat_map(|frame| *frame.samples()).collect();
    let samples = resample::resample(&samples, milo_media::SAMPLE_RATE, codec.sample_rate);
    let mut encoder = (codec.encoder)();
    let packets = samples.chunks_exact(codec.samples_per_frame()).map(|samples| {
        let mut payload = Vec::new();
        encoder.encode(samples, &mut payload);
        payload
    });
    Speech { codec, packets: packets.collect() }
}

/// Binds a process with all its threads to a core.
pub(super) fn on_core(core: usize, process: u32) -> Result<()> {
    let bound = Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &process.to_string()]).output();
    let bound = bound.context("--pin needs the program taskset")?;
    ensure!(bound.status.success(), "--pin: {}", String::from_utf8_lossy(&bound.stderr).trim());
    Ok(())
}
