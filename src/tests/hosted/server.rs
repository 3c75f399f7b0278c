//! A server of models as Milo meets them, on loopback: both protocols' streams of words, transcripts and speech, and all that can be
//! wrong with them.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, time::sleep};

/// The key that Milo shows it.
pub const KEY: &str = "sk-of-a-scenario-0123456789";

/// What it says when it is to speak: a tone of so many Hz, for a second.
pub const TONE: f64 = 500.0;

/// What it does when it is asked.
#[derive(Clone, Debug)]
pub enum Conduct {
    /// Says these words, the first after so long, and each of the others after so long again.
    Says(&'static str, Duration, Duration),
    /// Says these words, and that it could have said more.
    Longest(&'static str),
    /// Says so many of these words, and then nothing more.
    Stalls(&'static str, usize),
    /// Says so many of these words, and cuts the connection.
    Cuts(&'static str, usize),
    /// Answers with this status, this header and this body.
    Refuses(u16, (&'static str, &'static str), &'static str),
    /// Wants these tools called, with these arguments.
    Calls(&'static [(&'static str, &'static str)]),
    /// Sends these bytes as its events.
    Sends(Vec<u8>),
    /// Says, or hears, what this makes of a request and of how many came before it, after so long.
    Makes(fn(usize, &Asked) -> (Duration, String)),
    /// Says these words, or a second of sound, bit by bit: after so long each time one byte, or five thousandths of a second.
    Drips(&'static str, Duration),
    /// Never answers.
    Hangs,
}

impl Conduct {
    /// Says these words at once.
    pub fn says(words: &'static str) -> Self {
        Self::Says(words, Duration::ZERO, Duration::ZERO)
    }
}

/// The text of a message, or of instructions: alone, or as the first part of several.
pub fn text(content: &Value) -> &str {
    content.as_str().or(content[0]["text"].as_str()).expect("text")
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub uri: Uri,
    pub headers: HeaderMap,
    /// Null where it is no JSON.
    pub body: Value,
    pub bytes: Bytes,
}

/// A running one. It ends with its test.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// One a request; the last one stays.
    conduct: Mutex<VecDeque<Conduct>>,
    asked: Mutex<Vec<Asked>>,
    /// Answers whose listener left before their end.
    left: watch::Sender<usize>,
}

impl Server {
    pub async fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            conduct: Mutex::new([conduct].into()),
            asked: Mutex::default(),
            left: watch::Sender::new(0),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// From the next request on it does this.
    pub fn now(&self, conduct: Conduct) {
        self.then([conduct]);
    }

    /// One after the other, and then the last.
    pub fn then(&self, conduct: impl IntoIterator<Item = Conduct>) {
        *self.shared.conduct.lock().expect("no panic") = conduct.into_iter().collect();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// How many listeners have left before the end.
    pub fn left_so_far(&self) -> usize {
        *self.shared.left.borrow()
    }

    /// Waits until so many have.
    pub async fn left(&self, count: usize) {
        let mut left = self.shared.left.subscribe();
        let wait = left.wait_for(|left| *left >= count);
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("somebody leaves").expect("it runs");
    }

    /// The variables of a Milo that asks it by this protocol, `anthropic` or `openai`.
    pub fn variables(&self, engine: &'static str) -> Vec<(&'static str, String)> {
        let url = if engine == "openai" { format!("{}/v1", self.url) } else { self.url.clone() };
        vec![
            ("MILO__ENGINES__LLM__ENGINE", engine.into()),
            ("MILO__ENGINES__LLM__URL", url),
            ("MILO__ENGINES__LLM__MODEL", "model-of-a-scenario".into()),
            (if engine == "openai" { "OPENAI_API_KEY" } else { "ANTHROPIC_API_KEY" }, KEY.into()),
        ]
    }
}

/// Tells when a listener leaves.
struct Listener {
    shared: Arc<Shared>,
    is_served: bool,
}

impl Listener {
    /// It has heard all.
    fn served(&mut self) {
        self.is_served = true;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.is_served {
            self.shared.left.send_modify(|left| *left += 1);
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    let path = uri.path().to_owned();
    let is_anthropic = path == "/v1/messages";
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    // The form's part of that name.
    let wants_words = String::from_utf8_lossy(&bytes).contains("timestamp_granularities[]\"\r\n\r\nword");
    let (number, request) = {
        let mut asked = shared.asked.lock().expect("no panic");
        asked.push(Asked { uri, headers, body: body.clone(), bytes });
        (asked.len() - 1, asked[asked.len() - 1].clone())
    };
    if path == "/v1/embeddings" {
        return axum::Json(vectors(&body["input"])).into_response();
    }
    let conduct = {
        let mut conduct = shared.conduct.lock().expect("no panic");
        if conduct.len() > 1 { conduct.pop_front() } else { conduct.front().cloned() }.expect("one stays")
    };
    let mut listener = Listener { shared, is_served: false };
    let events: VecDeque<(Duration, Option<Bytes>)> = match conduct {
        Conduct::Hangs => std::future::pending().await,
        Conduct::Refuses(status, (name, value), body) => {
            listener.served();
            return (StatusCode::from_u16(status).expect("a status"), [(name, value)], body).into_response();
        }
        Conduct::Says(words, first, _) if path == "/v1/audio/transcriptions" => {
            sleep(first).await;
            listener.served();
            return axum::Json(transcript(words, wants_words)).into_response();
        }
        Conduct::Makes(make) if path == "/v1/audio/transcriptions" => {
            let (after, words) = make(number, &request);
            sleep(after).await;
            listener.served();
            return axum::Json(transcript(&words, wants_words)).into_response();
        }
        Conduct::Makes(make) => {
            let (after, words) = make(number, &request);
            let mut events = said(&words, usize::MAX, is_anthropic, Duration::ZERO);
            events[0].0 = after;
            events.extend(end(is_anthropic, false));
            events
        }
        Conduct::Drips(words, each) => {
            let (whole, bit): (VecDeque<_>, usize) = match path.as_str() {
                "/v1/audio/speech" => (sound(usize::MAX, body["response_format"] == "wav"), 240),
                "/v1/audio/transcriptions" => {
                    let transcript = transcript(words, wants_words).to_string();
                    ([(Duration::ZERO, Some(Bytes::from(transcript)))].into(), 1)
                }
                _ => (said(words, usize::MAX, is_anthropic, Duration::ZERO), 1),
            };
            let bytes: Vec<u8> = whole.into_iter().filter_map(|(_, bytes)| bytes).flatten().collect();
            bytes.chunks(bit).map(|bit| (each, Some(Bytes::copy_from_slice(bit)))).collect()
        }
        Conduct::Says(..) if path == "/v1/audio/speech" => sound(usize::MAX, body["response_format"] == "wav"),
        Conduct::Cuts(_, count) if path == "/v1/audio/speech" => {
            let mut events = sound(count, true);
            events.push_back((Duration::from_millis(200), None));
            events
        }
        Conduct::Sends(bytes) => [(Duration::ZERO, Some(bytes.into()))].into(),
        Conduct::Says(words, first, between) => {
            let mut events = said(words, usize::MAX, is_anthropic, between);
            events[0].0 = first;
            events.extend(end(is_anthropic, false));
            events
        }
        Conduct::Calls(calls) => {
            let mut events = said("", 0, is_anthropic, Duration::ZERO);
            events.extend(calls.iter().enumerate().flat_map(|(n, call)| called(n, *call, is_anthropic)));
            events.extend(end(is_anthropic, false));
            events
        }
        Conduct::Longest(words) => {
            let mut events = said(words, usize::MAX, is_anthropic, Duration::ZERO);
            events.extend(end(is_anthropic, true));
            events
        }
        Conduct::Stalls(words, count) => {
            let mut events = said(words, count, is_anthropic, Duration::ZERO);
            events.push_back((Duration::from_secs(60), Some(Bytes::from_static(b": late\n\n"))));
            events
        }
        Conduct::Cuts(words, count) => {
            let mut events = said(words, count, is_anthropic, Duration::ZERO);
            // What was said must be on its way before the connection goes.
            events.push_back((Duration::from_millis(200), None));
            events
        }
    };
    let bytes = stream::unfold((events, listener), |(mut events, mut listener)| async move {
        let Some((delay, bytes)) = events.pop_front() else {
            listener.served();
            return None;
        };
        sleep(delay).await;
        Some((bytes.ok_or_else(|| io::Error::other("cut")), (events, listener)))
    });
    let kind = if path == "/v1/audio/speech" { "audio/wav" } else { "text/event-stream; charset=utf-8" };
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(bytes)).into_response()
}

/// What texts mean to it: books in either language are alike, and so is bread; the first text is told last.
fn vectors(texts: &Value) -> Value {
    let meant = |text: &str| match text {
        text if text.contains("boky") || text.contains("livre") => json!([2.0, 0.0, 0.0]),
        text if text.contains("mofo") || text.contains("pain") => json!([0.0, 1.0, 0.0]),
        _ => json!([0.0, 0.0, 0.5]),
    };
    let texts = texts.as_array().expect("texts").iter().enumerate();
    let one = |(n, text): (usize, &Value)| json!({ "object": "embedding", "index": n, "embedding": meant(text.as_str().expect("text")) });
    json!({ "object": "list", "model": "vectors", "data": texts.map(one).rev().collect::<Vec<_>>() })
}

/// A transcript as OpenAI's server gives it with all that it knows: each word of it takes two tenths of a second.
fn transcript(words: &str, are_timed: bool) -> Value {
    let segment = json!({ "id": 0, "seek": 0, "start": 0.1, "end": 1.5, "text": words, "tokens": [1, 2], "temperature": 0.0,
        "avg_logprob": -0.25, "compression_ratio": 1.1, "no_speech_prob": 0.01 });
    let mut whole =
        json!({ "task": "transcribe", "language": "malagasy", "duration": 3.0, "text": words, "segments": [segment] });
    if are_timed {
        let word = |(number, word): (usize, &str)| {
            let start = 0.1 + 0.2 * number as f64;
            json!({ "word": word, "start": start, "end": start + 0.2 })
        };
        whole["words"] = words.split(' ').enumerate().map(word).collect();
    }
    whole
}

/// So many tenths of a second, one at most, of a tone at 24 kHz: alone, or as a WAV file whose length nobody knows.
fn sound(tenths: usize, is_wav: bool) -> VecDeque<(Duration, Option<Bytes>)> {
    let sample = |at: usize| ((at as f64 * TONE * std::f64::consts::TAU / 24_000.0).sin() * 8_000.0) as i16;
    let head =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\xc0\x5d\0\0\x80\xbb\0\0\x02\0\x10\0data\xff\xff\xff\xff";
    let head = is_wav.then(|| Bytes::from_static(head));
    let tenth = |n: usize| (n * 2_400..(n + 1) * 2_400).flat_map(|at| sample(at).to_le_bytes()).collect();
    let pieces = head.into_iter().chain((0..tenths.min(10)).map(tenth));
    pieces.map(|bytes| (Duration::ZERO, Some(bytes))).collect()
}

fn event(name: Option<&str>, data: &Value) -> Bytes {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    Bytes::from(format!("{name}data: {data}\n\n"))
}

/// The beginning of a reply, as the two protocols' own servers send it.
fn said(words: &str, count: usize, is_anthropic: bool, between: Duration) -> VecDeque<(Duration, Option<Bytes>)> {
    let head = if is_anthropic {
        let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": null, "usage": { "input_tokens": 25, "output_tokens": 1 } });
        let block =
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
        vec![
            event(Some("message_start"), &json!({ "type": "message_start", "message": message })),
            event(Some("content_block_start"), &block),
            event(Some("ping"), &json!({ "type": "ping" })),
        ]
    } else {
        vec![event(
            None,
            &json!({ "id": "c", "object": "chat.completion.chunk", "model": "m",
            "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" }, "finish_reason": null }] }),
        )]
    };
    let delta = |word: &str| match is_anthropic {
        true => event(
            Some("content_block_delta"),
            &json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word } }),
        ),
        false => {
            event(None, &json!({ "choices": [{ "index": 0, "delta": { "content": word }, "finish_reason": null }] }))
        }
    };
    let words = words.split_inclusive(' ').take(count).map(|word| (between, Some(delta(word))));
    head.into_iter().map(|event| (Duration::ZERO, Some(event))).chain(words).collect()
}

/// A call, its arguments in two pieces.
fn called(n: usize, (tool, arguments): (&str, &str), is_anthropic: bool) -> Vec<(Duration, Option<Bytes>)> {
    let (first, second) = arguments.split_at(arguments.len() / 2);
    let events = if is_anthropic {
        let block = json!({ "type": "tool_use", "id": format!("toolu_{n}"), "name": tool, "input": {} });
        let piece = |text: &str| {
            let delta = json!({ "type": "input_json_delta", "partial_json": text });
            event(
                Some("content_block_delta"),
                &json!({ "type": "content_block_delta", "index": n + 1, "delta": delta }),
            )
        };
        let start = json!({ "type": "content_block_start", "index": n + 1, "content_block": block });
        let stop = json!({ "type": "content_block_stop", "index": n + 1 });
        vec![
            event(Some("content_block_start"), &start),
            piece(first),
            piece(second),
            event(Some("content_block_stop"), &stop),
        ]
    } else {
        let piece =
            |call: Value| event(None, &json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }));
        let function = json!({ "name": tool, "arguments": first });
        vec![
            piece(json!({ "index": n, "id": format!("call_{n}"), "type": "function", "function": function })),
            piece(json!({ "index": n, "function": { "arguments": second } })),
        ]
    };
    events.into_iter().map(|event| (Duration::ZERO, Some(event))).collect()
}

fn end(is_anthropic: bool, is_cut: bool) -> Vec<(Duration, Option<Bytes>)> {
    let events = if is_anthropic {
        let why = if is_cut { "max_tokens" } else { "end_turn" };
        let over = json!({ "type": "message_delta", "delta": { "stop_reason": why, "stop_sequence": null },
            "usage": { "output_tokens": 15 } });
        vec![
            event(Some("content_block_stop"), &json!({ "type": "content_block_stop", "index": 0 })),
            event(Some("message_delta"), &over),
            event(Some("message_stop"), &json!({ "type": "message_stop" })),
        ]
    } else {
        let why = if is_cut { "length" } else { "stop" };
        vec![
            event(None, &json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": why }] })),
            event(
                None,
                &json!({ "choices": [], "usage": { "prompt_tokens": 25, "completion_tokens": 15, "total_tokens": 40 } }),
            ),
            Bytes::from_static(b"data: [DONE]\n\n"),
        ]
    };
    events.into_iter().map(|event| (Duration::ZERO, Some(event))).collect()
}
