//! One person speaks with one caller. It owns their headset: however this ends, the agent has the call again.

use std::{future::pending, time::Duration};

use axum::body::Bytes;
use futures_util::{StreamExt, stream::SplitStream};
use milo_media::{L16, Paced, Pacer};
use serde_json::{Value, json};
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    super::{
        conversation::messages::{fault, swapped},
        socket::{Close, LARGEST, Outbox, Socket, close},
    },
    GONE, PING,
};
use crate::{call::Headset, store::Key};

/// How long it may take until the agent has let go: it may be waiting for the first word of a model.
const LETTING_GO: Duration = Duration::from_secs(15);

/// Carries the sound of both, until the client gives the call back or is gone, or the call is over.
pub(super) async fn carry(socket: Socket, key: Key, headset: Headset) {
    let outbox = &Outbox::default();
    let (mut sink, stream) = socket.split();
    let now = Instant::now();
    let mut speaking =
        Speaking { key, headset, stream, outbox, pacer: Pacer::new(&L16, now.into_std()), heard_of: now };
    let why = select! {
        why = speaking.run() => why,
        gone = outbox.send(&mut sink) => gone,
    };
    let Speaking { headset, stream, .. } = speaking;
    // The caller waits for nobody's goodbye.
    drop(headset);
    if let Ok(socket) = stream.reunite(sink) {
        close(socket, outbox, &why).await;
    }
}

struct Speaking<'o> {
    key: Key,
    headset: Headset,
    stream: SplitStream<Socket>,
    outbox: &'o Outbox,
    pacer: Pacer,
    /// When the client was last heard of.
    heard_of: Instant,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Sound, as L16: two bytes a sample, the greater first.
    Sound(Vec<u8>),
    GiveBack,
    /// It is alive.
    Nothing,
    /// Something that is not understood, and why.
    Strange(&'static str),
}

impl Speaking<'_> {
    /// Speaks until there is nothing more to say; says why.
    async fn run(&mut self) -> Close {
        match self.speak().await {
            Ok(close) | Err(close) => close,
        }
    }

    async fn speak(&mut self) -> Result<Close, Close> {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let late = Instant::now() + LETTING_GO;
        let mut is_taken = false;
        loop {
            let due = self.pacer.due().map(Instant::from_std);
            let reads = !self.pacer.is_full();
            let Headset { sound, taken, .. } = &mut self.headset;
            let paced = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            select! {
                biased;
                taken = taken, if !is_taken => match taken {
                    Ok(()) => {
                        is_taken = true;
                        self.tell(&json!({ "type": "taken_over", "call_id": self.key }))?;
                    }
                    Err(_) => return Err(Close::later("no agent speaks in this call any more")),
                },
                () = sleep_until(late), if !is_taken => return Err(Close::later("the agent does not let go of the call")),
                heard = sound.next() => match heard {
                    // Until the caller is there, nobody is.
                    Some(_) if !is_taken => {}
                    Some(heard) => self.put(self.outbox.put_sound(Message::binary(swapped(&heard))))?,
                    None => return Ok(Close::done("the call is over")),
                },
                () = paced => self.pace(),
                message = self.stream.next(), if reads => match self.take(message, is_taken)? {
                    None => {}
                    Some(close) => return Ok(close),
                },
                now = pings.tick() => {
                    if !reads {
                        self.heard_of = now;
                    }
                    if now > self.heard_of + GONE {
                        return Err(Close::done("the client is gone"));
                    }
                    self.put(self.outbox.put(Message::Ping(Bytes::new())))?;
                }
            }
        }
    }

    fn tell(&self, message: &Value) -> Result<(), Close> {
        self.put(self.outbox.put(Message::text(message.to_string())))
    }

    fn put(&self, there_was_room: bool) -> Result<(), Close> {
        if there_was_room { Ok(()) } else { Err(Close::policy("the client does not read what it is sent")) }
    }

    /// What is due of the client's sound goes to the leg.
    fn pace(&mut self) {
        let now = Instant::now().into_std();
        while let Some(Paced { payload, after_ms }) = self.pacer.take(now) {
            self.headset.sound.bring(&payload, after_ms, now);
        }
        if self.pacer.begins_to_rest(now) {
            self.headset.sound.rest(now);
        }
    }

    /// The client has sent something, or is gone. The end, if this is one.
    fn take(&mut self, message: Option<Result<Message, Error>>, is_taken: bool) -> Result<Option<Close>, Close> {
        let now = Instant::now();
        self.heard_of = now;
        let said = match message {
            Some(Ok(message)) => read(message)?,
            Some(Err(Error::Capacity(_))) => {
                return Err(Close::too_big(format!("a message has {} kB at most", LARGEST >> 10)));
            }
            Some(Err(Error::Utf8(_))) => return Err(Close::invalid("a text message is UTF-8")),
            None | Some(Err(_)) => return Err(Close::done("the client is gone")),
        };
        match said {
            // What is said before the caller hears it is said to nobody.
            Said::Sound(sound) if is_taken => self.pacer.push(&sound, now.into_std()),
            Said::Sound(_) | Said::Nothing => {}
            Said::GiveBack => {
                self.headset.give_back();
                self.tell(&json!({ "type": "given_back" }))?;
                return Ok(Some(Close::done("the agent has the call again")));
            }
            Said::Strange(says) => self.tell(&fault(says))?,
        }
        Ok(None)
    }
}

/// What a message of a client says.
///
/// # Errors
/// Why there is nothing more to be said to each other.
fn read(message: Message) -> Result<Said, Close> {
    match message {
        Message::Binary(bytes) if bytes.len() % 2 != 0 => {
            let says = format!("sound is PCM of 16 bits: {} bytes are no whole number of samples", bytes.len());
            Err(Close::invalid(says))
        }
        Message::Binary(bytes) => Ok(Said::Sound(swapped(&bytes))),
        Message::Text(text) => {
            let message = serde_json::from_str::<Value>(&text).unwrap_or_default();
            Ok(match message["type"].as_str() {
                Some("give_back") => Said::GiveBack,
                _ => Said::Strange("a text message is {\"type\":\"give_back\"}; sound goes in binary messages"),
            })
        }
        Message::Close(_) => Err(Close::done("the client is gone")),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Said::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_binary_and_the_rest_is_said_by_its_type() {
        assert_eq!(read(Message::binary(vec![1, 2, 3, 4])), Ok(Said::Sound(vec![2, 1, 4, 3])));
        assert!(read(Message::binary(vec![1, 2, 3])).is_err_and(|close| close.reason().contains("3 bytes")));
        assert_eq!(read(Message::text(r#"{"type":"give_back"}"#)), Ok(Said::GiveBack));
        for strange in ["x", "[]", r#"{"type":"hangup"}"#] {
            assert!(matches!(read(Message::text(strange)), Ok(Said::Strange(_))), "{strange}");
        }
        assert_eq!(read(Message::Ping(Bytes::new())), Ok(Said::Nothing));
        assert!(read(Message::Close(None)).is_err());
    }
}
