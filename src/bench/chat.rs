//! `milo bench chat`: what Milo adds to a language model on a server, by text. The server is one of fixed delay in this process; as
//! many messages are under way to Milo as go to the server itself, in the same seconds.

use std::{env, net::SocketAddr, process, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, header},
    response::IntoResponse,
    routing::post,
};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{Running, caller::now, percentile};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Messages under way at once, to Milo and to the server itself each.
    #[arg(long, default_value_t = 100)]
    parallel: usize,
    /// The server's first word comes after so many milliseconds.
    #[arg(long, default_value_t = 200)]
    delay_ms: u64,
    /// How long is measured, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// The reply: so many words, so long apart.
const WORDS: usize = 10;
const APART: Duration = Duration::from_millis(10);
/// Before this, nothing is counted: connections are made, and code is read from disk.
const WARM: Duration = Duration::from_secs(2);

/// Milliseconds from the request to the first word and to the end, of each message.
#[derive(Default)]
struct Times {
    first: Vec<f64>,
    whole: Vec<f64>,
}

/// Who is asked: where, how, and what stands in the answer when its first word comes.
#[derive(Clone)]
struct Asked {
    address: SocketAddr,
    path: &'static str,
    body: Bytes,
    word: &'static str,
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let delay = Duration::from_millis(arguments.delay_ms);
    let router = Router::new().route("/v1/chat/completions", post(move || reply(delay)));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = env::temp_dir().join(format!("milo-bench-chat-{}", process::id()));
    let url = format!("http://{server}/v1");
    let parallel = (arguments.parallel * 2).to_string();
    let variables = [
        ("MILO__ENGINES__LLM__ENGINE", "openai"),
        ("MILO__ENGINES__LLM__URL", url.as_str()),
        ("MILO__ENGINES__LLM__MODEL", "fixed-delay"),
        ("MILO__ENGINES__LLM__PARALLEL", parallel.as_str()),
    ];
    let milo = Running::start(&env::current_exe()?, &folder, &variables).await?;
    let address = milo.http.trim_start_matches("http://").trim_end_matches('/').parse().context("Milo's address")?;
    let by_milo = json!({ "message": "amin'ny ora firy no misokatra ny birao", "stream": true }).to_string();
    let direct =
        json!({ "model": "fixed-delay", "stream": true, "messages": [{ "role": "user", "content": "salama" }] });
    let by_milo = Asked { address, path: "/api/v1/chat", body: by_milo.into(), word: "event: token" };
    let direct =
        Asked { address: server, path: "/v1/chat/completions", body: direct.to_string().into(), word: "\"content\"" };
    let until = Instant::now() + WARM + Duration::from_secs(arguments.seconds);
    let measured = tokio::try_join!(measure(&by_milo, &arguments, until), measure(&direct, &arguments, until));
    milo.stop().await.ok();
    serving.abort();
    std::fs::remove_dir_all(&folder).ok();
    let (mut by_milo, mut direct) = measured?;
    println!(
        "chat: {} messages at once, an engine of {} ms, {} s; {} by Milo and {} direct",
        arguments.parallel,
        arguments.delay_ms,
        arguments.seconds,
        by_milo.whole.len(),
        direct.whole.len()
    );
    for (what, ours, theirs) in
        [("first word", &mut by_milo.first, &mut direct.first), ("whole reply", &mut by_milo.whole, &mut direct.whole)]
    {
        let figures = [0.5, 0.99].map(|share| percentile(ours, share).zip(percentile(theirs, share)));
        let [Some((ours50, theirs50)), Some((ours99, theirs99))] = figures else { continue };
        println!(
            "  {what}: p50 {ours50:.2} ms, direct {theirs50:.2}: {:+.2} ms; p99 {ours99:.2} ms, direct {theirs99:.2}: {:+.2} ms",
            ours50 - theirs50,
            ours99 - theirs99
        );
    }
    Ok(())
}

/// The server's reply, as OpenAI's protocol streams it.
async fn reply(delay: Duration) -> impl IntoResponse {
    let began = Instant::now();
    let events = stream::unfold(0, move |number| async move {
        let event = match number {
            0..WORDS => {
                json!({ "choices": [{ "index": 0, "delta": { "content": format!("word{number} ") } }] }).to_string()
            }
            WORDS => json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }).to_string(),
            _ if number == WORDS + 1 => "[DONE]".into(),
            _ => return None,
        };
        sleep_until(began + delay + APART * number.min(WORDS - 1) as u32).await;
        Some((Ok::<_, std::io::Error>(Bytes::from(format!("data: {event}\n\n"))), number + 1))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
}

/// Asks on so many connections, one message after the other on each.
async fn measure(asked: &Asked, arguments: &Arguments, until: Instant) -> Result<Times> {
    let warm = Instant::now() + WARM;
    let mut askers = JoinSet::new();
    for number in 0..arguments.parallel {
        let asked = asked.clone();
        // Arrivals are spread over the time of a reply.
        let reply = Duration::from_millis(arguments.delay_ms) + APART * WORDS as u32;
        let spread = reply * number as u32 / arguments.parallel.max(1) as u32;
        askers.spawn(async move {
            sleep(spread).await;
            let stream = TcpStream::connect(asked.address).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
            let driving = tokio::spawn(connection);
            let mut times = Times::default();
            while Instant::now() < until {
                let (first, whole) = ask(&mut sender, &asked).await?;
                if Instant::now() > warm {
                    times.first.push(first);
                    times.whole.push(whole);
                }
            }
            driving.abort();
            anyhow::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(times) = askers.join_next().await {
        let Times { first, whole } = times??;
        all.first.extend(first);
        all.whole.extend(whole);
    }
    Ok(all)
}

/// One message: milliseconds to the first word and to the end.
async fn ask(sender: &mut SendRequest<Body>, asked: &Asked) -> Result<(f64, f64)> {
    let request = Request::post(asked.path)
        .header(header::HOST, asked.address.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(asked.body.clone()))?;
    sender.ready().await?;
    let began = now();
    let mut response = sender.send_request(request).await?;
    ensure!(response.status().is_success(), "{} answers {}", asked.path, response.status());
    let (mut first, mut text) = (None, Vec::new());
    while let Some(frame) = response.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            text.extend_from_slice(&bytes);
            let word = asked.word.as_bytes();
            if first.is_none() && text.windows(word.len()).any(|part| part == word) {
                first = Some(began.elapsed());
            }
        }
    }
    let whole = began.elapsed();
    let said = String::from_utf8_lossy(&text);
    let first = first.with_context(|| format!("no word came: {said}"))?;
    ensure!(!said.contains("\"local\""), "the local model answered in place of the server: {said}");
    Ok((first.as_secs_f64() * 1e3, whole.as_secs_f64() * 1e3))
}
