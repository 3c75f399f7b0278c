//! One person listens to one call. It owns their place among those who listen: however this ends, they have left.

use axum::body::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use milo_media::{FRAME_SAMPLES, Frame, HeardFrame, SAMPLE_RATE};
use serde_json::{Value, json};
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    super::socket::{Close, Outbox, Socket, WRITE, close},
    GONE, PING,
};
use crate::{
    agent::Happened,
    call::{Listener, Overheard},
    store::Key,
};

/// Carries what is heard to the client, until the call is over or the client is gone.
pub(super) async fn carry(socket: Socket, key: Key, mut listener: Listener) {
    let (mut sink, mut stream) = socket.split();
    let why = listen((&mut sink, &mut stream), key, &mut listener).await;
    drop(listener);
    if let Ok(socket) = stream.reunite(sink) {
        close(socket, &Outbox::default(), &why).await;
    }
}

/// Says why it is over.
async fn listen(
    (sink, stream): (&mut SplitSink<Socket, Message>, &mut SplitStream<Socket>),
    key: Key,
    listener: &mut Listener,
) -> Close {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_of = Instant::now();
    let begun = json!({ "type": "listening", "call_id": key, "sample_rate": SAMPLE_RATE, "channels": 2 });
    let mut message = text(&begun);
    loop {
        // While the client does not read, the listener's queue gives up its oldest, and says so next.
        match timeout(WRITE, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Close::done("the client is gone"),
            Err(_) => return Close::policy("the client does not read what it is sent"),
        }
        message = loop {
            select! {
                overheard = listener.next() => break match overheard {
                    Overheard::Frame(heard) => Message::binary(stereo(&heard)),
                    Overheard::Words(happened) => match words(happened) {
                        Some(words) => text(&words),
                        None => continue,
                    },
                    Overheard::Missed(long) => {
                        text(&json!({ "type": "missed", "ms": long.as_millis() as u64 }))
                    }
                    Overheard::Over => return Close::done("the call is over"),
                },
                came = stream.next() => match came {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Close::done("the client is gone"),
                    Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                        return Close::unsupported("whoever listens says nothing here: there is /takeover to speak");
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => heard_of = Instant::now(),
                },
                now = pings.tick() => {
                    if now > heard_of + GONE {
                        return Close::done("the client is gone");
                    }
                    break Message::Ping(Bytes::new());
                }
            }
        };
    }
}

/// What is read beside the sound, as a conversation over a WebSocket tells it.
fn words(happened: Happened) -> Option<Value> {
    match happened {
        Happened::Heard { text, language, is_partial } => {
            Some(json!({ "type": "transcript", "text": text, "language": language, "partial": is_partial }))
        }
        // As much as was heard of it.
        Happened::Said { heard, .. } => Some(json!({ "type": "reply_text", "text": heard })),
        Happened::Clause(_) | Happened::Speaking(_) | Happened::Whole { .. } | Happened::Cleared | Happened::Failed => {
            None
        }
    }
}

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

/// The caller left, what they are sent right: 16 bits, little-endian.
fn stereo(heard: &HeardFrame) -> Vec<u8> {
    let sent = heard.sent.unwrap_or(Frame::SILENCE);
    let pairs = heard.frame.samples().iter().zip(sent.samples());
    let mut bytes = Vec::with_capacity(4 * FRAME_SAMPLES);
    bytes.extend(pairs.flat_map(|(left, right)| [left.to_le_bytes(), right.to_le_bytes()]).flatten());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_left_and_what_they_are_sent_right() {
        let now = Instant::now().into_std();
        let frame = Frame::new([1; FRAME_SAMPLES]);
        let heard = |sent| HeardFrame { frame, arrived: now, at: now, concealed: false, sent };
        let both = stereo(&heard(Some(Frame::new([-2; FRAME_SAMPLES]))));
        assert_eq!((both.len(), &both[..6]), (4 * FRAME_SAMPLES, &[1, 0, 0xfe, 0xff, 1, 0][..]));
        assert_eq!(stereo(&heard(None))[..4], [1, 0, 0, 0], "nothing was sent");
    }
}
