//! What a leg costs. Run by hand: `cargo test --release -p milo-media -- --ignored --nocapture --test-threads 1 load`.

use std::{
    fs,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use milo_media::{Heard, Leg, LegOptions, PortPool, tone::Tone};

use crate::peer::{LOOPBACK, session, tone_payload};

const LEGS: usize = 50;
const SECONDS: u64 = 10;

/// CPU time of this process's threads of that name.
fn cpu(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").filter_map(Result::ok);
    let ticks = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (head, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let used = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        head.ends_with(name).then_some(used)
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

fn runtime(name: &str) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(name).enable_all().build().expect("a runtime")
}

/// Runs this many legs against peers that send each 20 ms; `echo` says back what is heard, otherwise it is thrown away.
fn load(echo: bool) {
    let (media, calls) = (runtime("media"), runtime("calls"));
    let pool = PortPool::new(LOOPBACK, 0..=0);
    let done = Arc::new(AtomicBool::new(false));
    let before = resident();
    let mut peers = Vec::new();
    for _ in 0..LEGS {
        let socket = UdpSocket::bind((LOOPBACK, 0)).expect("loopback");
        socket.set_nonblocking(true).expect("loopback");
        let rtp = pool.bind().expect("a port");
        let to = rtp.local_addr().expect("bound");
        let remote = socket.local_addr().expect("bound");
        let mut leg = Leg::start(rtp, Some(session(remote)), LegOptions::default(), media.handle());
        calls.spawn(async move {
            while let Heard::Frame(heard) = leg.ears.next().await {
                if echo {
                    leg.voice.play(heard.frame).await;
                }
            }
        });
        peers.push((socket, to));
    }
    let stop = done.clone();
    let sender = thread::Builder::new().name("peers".into()).spawn(move || {
        let payload = tone_payload();
        let mut received = 0usize;
        let start = Instant::now();
        for tick in 0u32.. {
            // The peers are spread over the 20 ms, as callers are.
            for (index, (socket, to)) in peers.iter().enumerate() {
                let due = start + Duration::from_micros(20_000 * u64::from(tick) + 20_000 * index as u64 / LEGS as u64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let mut packet = vec![0x80, 0];
                packet.extend((tick as u16).to_be_bytes());
                packet.extend((tick * 160).to_be_bytes());
                packet.extend((index as u32).to_be_bytes());
                packet.extend(&payload);
                socket.send_to(&packet, to).expect("loopback");
                while socket.recv(&mut [0; 512]).is_ok() {
                    received += 1;
                }
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        received
    });
    thread::sleep(Duration::from_secs(2));
    let (media_before, calls_before) = (cpu("media"), cpu("calls"));
    thread::sleep(Duration::from_secs(SECONDS));
    let share = |used: Duration| 100.0 * used.as_secs_f64() / SECONDS as f64 / LEGS as f64;
    let (media_used, calls_used) = (cpu("media") - media_before, cpu("calls") - calls_before);
    let memory = (resident() - before) / LEGS / 1024;
    done.store(true, Ordering::Relaxed);
    let received = sender.expect("a thread").join().expect("sent");
    assert!(received.abs_diff(LEGS * 50 * (SECONDS as usize + 2)) < LEGS * 25, "{received} packets came back");
    println!(
        "{} x {LEGS}: leg {:.3} % of a core each, call side {:.3} %, memory {memory} kB a leg",
        if echo { "echo" } else { "listen" },
        share(media_used),
        share(calls_used),
    );
    media.shutdown_background();
    assert!(share(media_used) < 0.5, "far below half a percent of a core");
}

#[test]
#[ignore = "measures; takes 12 s"]
fn listening_costs_little() {
    load(false);
}

#[test]
#[ignore = "measures; takes 12 s"]
fn echo_costs_little() {
    load(true);
}

/// From the first packet of a burst leaving one leg to its frame coming out of the other's ears.
#[test]
#[ignore = "measures; takes 25 s"]
fn delay_of_a_clean_line() {
    let (media, calls) = (runtime("media"), runtime("calls"));
    let pool = PortPool::new(LOOPBACK, 0..=0);
    let mut delays: Vec<f64> = (0..20).map(|_| calls.block_on(one_delay(&pool, media.handle()))).collect();
    delays.sort_by(f64::total_cmp);
    println!("packet out to frame heard: min {:.1} median {:.1} max {:.1} ms", delays[0], delays[10], delays[19]);
    assert!(delays[10] <= 20.0);
}

async fn one_delay(pool: &PortPool, media: &tokio::runtime::Handle) -> f64 {
    let (near, far) = (pool.bind().expect("a port"), pool.bind().expect("a port"));
    let (near_at, far_at) = (near.local_addr().expect("bound"), far.local_addr().expect("bound"));
    let mut speaker = Leg::start(near, Some(session(far_at)), LegOptions::default(), media);
    let mut listener = Leg::start(far, Some(session(near_at)), LegOptions::default(), media);
    tokio::time::sleep(Duration::from_millis(900)).await;
    for frame in Tone::new(1000.0, 0.5).take(10) {
        speaker.voice.play(frame).await;
    }
    loop {
        if let Heard::Frame(heard) = listener.ears.next().await
            && heard.frame.dbfs() > -30.0
        {
            let heard_at = Instant::now();
            speaker.voice.drained().await;
            let sent = speaker.voice.played().first_sent_since_idle.expect("sent");
            return (heard_at - sent).as_secs_f64() * 1000.0;
        }
    }
}
