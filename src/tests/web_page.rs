//! A client of `GET /api/v1/conversation`, as a page is one: it sends at its own pace, and keeps what comes with the moment it came.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use milo::bench::Running;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::house::recording;

/// What came.
#[derive(Clone, Debug)]
pub enum Seen {
    Said(Value),
    Sound(Vec<i16>),
    /// The close code and its reason; without a goodbye 1006 (RFC 6455 section 7.4.1).
    Closed(u16, String),
}

/// An open page.
pub struct Page {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    seen: Arc<Mutex<Vec<(Instant, Seen)>>>,
    reading: JoinHandle<()>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Opens it, with these header fields besides; or the status that refuses it.
pub async fn open_with(milo: &Running, path: &str, headers: &[(&'static str, &str)]) -> Result<Page, u16> {
    let host = milo.http.trim_start_matches("http://").trim_end_matches('/');
    let mut request = format!("ws://{host}{path}").into_client_request().expect("an address");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("plain text"));
    }
    let stream = TcpStream::connect(host).await.expect("Milo listens");
    let socket = match client_async(request, stream).await {
        Ok((socket, _)) => socket,
        Err(tungstenite::Error::Http(response)) => return Err(response.status().as_u16()),
        Err(error) => panic!("{path}: {error}"),
    };
    let (sink, mut stream) = socket.split();
    let seen: Arc<Mutex<Vec<(Instant, Seen)>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let keep = move |what: Seen| kept.lock().expect("nobody panics with it").push((Instant::now(), what));
    let reading = tokio::spawn(async move {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(text))) => keep(Seen::Said(serde_json::from_str(&text).expect("JSON"))),
                Some(Ok(Message::Binary(bytes))) => {
                    let samples = bytes.as_chunks::<2>().0.iter().map(|two| i16::from_le_bytes(*two)).collect();
                    keep(Seen::Sound(samples));
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    keep(Seen::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return keep(Seen::Closed(1006, String::new())),
            }
        }
    });
    Ok(Page { sink, seen, reading })
}

pub async fn open(milo: &Running, query: &str) -> Page {
    let path = format!("/api/v1/conversation?{query}");
    open_with(milo, &path, &[]).await.unwrap_or_else(|status| panic!("{path}: {status}"))
}

impl Page {
    /// Sends a message as it is; whether Milo still reads does not matter.
    pub async fn put(&mut self, message: Message) {
        self.sink.send(message).await.ok();
    }

    pub async fn text(&mut self, text: &str) {
        self.put(Message::text(text)).await;
    }

    /// Sends 16 kHz sound in pieces of so many samples, each when it has been spoken.
    pub async fn speak(&mut self, samples: &[i16], piece: usize) {
        let began = Instant::now();
        for (at, piece_of) in samples.chunks(piece).enumerate() {
            sleep_until(began + Duration::from_micros((at * piece) as u64 * 1_000_000 / 16_000)).await;
            let bytes: Vec<u8> = piece_of.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            self.put(Message::binary(bytes)).await;
        }
    }

    /// All that came so far.
    pub fn all(&self) -> Vec<(Instant, Seen)> {
        self.seen.lock().expect("nobody panics with it").clone()
    }

    /// Messages of this type that came so far, in order.
    pub fn said(&self, kind: &str) -> Vec<Value> {
        let all = self.all().into_iter();
        all.filter_map(|(_, seen)| if let Seen::Said(said) = seen { Some(said) } else { None })
            .filter(|said| said["type"] == kind)
            .collect()
    }

    /// The types of all messages, in order.
    pub fn kinds(&self) -> Vec<String> {
        let all = self.all().into_iter();
        all.filter_map(|(_, seen)| match seen {
            Seen::Said(said) => said["type"].as_str().map(str::to_owned),
            Seen::Sound(_) | Seen::Closed(..) => None,
        })
        .collect()
    }

    /// The sound that came since then.
    pub fn sound_since(&self, since: Instant) -> Vec<i16> {
        let all = self.all().into_iter().filter(|(at, _)| *at >= since);
        all.filter_map(|(_, seen)| if let Seen::Sound(samples) = seen { Some(samples) } else { None })
            .flatten()
            .collect()
    }

    /// Waits for a message for which this holds; when it came.
    pub async fn until(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> (Instant, Seen) {
        for _ in 0..1_500 {
            if let Some(found) = self.all().into_iter().find(|(_, seen)| is_it(seen)) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{what} did not come within thirty seconds: {:?}", self.kinds());
    }

    /// Waits for the `count`th message of a type.
    pub async fn nth(&self, count: usize, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1_500 {
            if let Some(found) = self.said(kind).into_iter().filter(|said| is_it(said)).nth(count - 1) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{kind} did not come {count} times within thirty seconds: {:?}", self.kinds());
    }

    /// Waits for the end: code and reason.
    pub async fn closed(&self) -> (u16, String) {
        match self.until("the end", |seen| matches!(seen, Seen::Closed(..))).await {
            (_, Seen::Closed(code, reason)) => (code, reason),
            _ => unreachable!("it was looked for"),
        }
    }

    /// Says goodbye, and waits for the answer.
    pub async fn close(mut self) -> (u16, String) {
        self.sink.close().await.ok();
        self.closed().await
    }

    /// The call's identifier in the log.
    pub async fn call(&self) -> Value {
        self.nth(1, "session", |_| true).await["call_id"].clone()
    }
}

/// A committed recording at 16 kHz, with so many milliseconds of silence behind it.
pub fn spoken(name: &str, silence_ms: usize) -> Vec<i16> {
    let mut samples = milo_media::wav::read(&recording(name)).expect("it is committed");
    samples.extend(std::iter::repeat_n(0, silence_ms * 16));
    samples
}

/// Waits until no call is up.
pub async fn quiet(milo: &Running) {
    for _ in 0..100 {
        if crate::house::get(milo, "/api/v1/health")["live_calls"] == 0 {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("calls are left: {}", crate::house::get(milo, "/api/v1/calls"));
}
