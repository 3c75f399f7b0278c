//! One conversation over one WebSocket, from its opening to its end. It owns the far end of the call: however this ends, so does the
//! call.

use std::{future::pending, time::Duration};

use axum::body::Bytes;
use futures_util::{FutureExt, StreamExt, stream::SplitStream};
use milo_media::{Codec, PCMU, Paced, Pacer};
use milo_signaling::{EndReason, FarWish};
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    super::socket::{Close, LARGEST, Outbox, Socket, close},
    memory::Memory,
    messages::{self, PRESS, Said, read, swapped, told},
    stream::Streaming,
};
use crate::{
    agent::{Happened, Manner},
    call::{Over, Room, SHUT_DOWN, Visitor, WebCalls, WebLine},
    chat::{Chats, SessionName},
    store::HangupBy,
};

/// How often a client is asked whether it lives, and how long it may say nothing at all.
const PING: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(15);
/// So much longer than the pause that ends a turn is the silence after `stop`.
const BESIDES: Duration = Duration::from_millis(200);

/// How the two speak.
#[derive(Debug)]
pub(super) enum Tongue {
    /// In the messages of the Python system.
    Page(Manner),
    /// In those of hosted telephony.
    Stream(Streaming),
}

impl Tongue {
    /// What the sound of hosted telephony is packed in.
    pub(super) const STREAM: &Codec = &PCMU;

    fn read(&self, message: Message) -> Result<Said, Close> {
        match self {
            Self::Page(_) => read(message),
            Self::Stream(_) => Streaming::read(&message),
        }
    }

    /// 20 ms of Milo's voice; nothing for whoever has it in one piece.
    fn sound(&self, sound: &[u8]) -> Option<Message> {
        match self {
            Self::Page(Manner::Live) => Some(Message::binary(swapped(sound))),
            Self::Page(Manner::Patient) => None,
            Self::Stream(stream) => Some(stream.sound(sound)),
        }
    }

    fn told(&mut self, happened: &Happened) -> Vec<Message> {
        match self {
            Self::Page(manner) => told(happened, *manner),
            Self::Stream(stream) => stream.told(happened).into_iter().collect(),
        }
    }

    /// A page is told more than hosted telephony has words for.
    fn page(&self, message: impl FnOnce() -> Message) -> Option<Message> {
        matches!(self, Self::Page(_)).then(message)
    }
}

/// Carries a conversation. What is said is remembered in the session, where there is one.
pub(super) async fn carry(
    socket: Socket,
    tongue: Tongue,
    (web, room, visitor): (WebCalls, Room, Visitor),
    memory: Option<(Chats, SessionName)>,
) {
    let outbox = &Outbox::default();
    let codec = visitor.codec;
    let line = match web.begin(room, visitor) {
        Ok(line) => line,
        Err(why) => {
            if let Some(message) = tongue.page(|| messages::text(&messages::not_begun(&why))) {
                outbox.put(message);
            }
            return close(socket, outbox, &Close::later(why.says())).await;
        }
    };
    if let Some((_, session)) = &memory {
        let mut begun = messages::session(session.called(), &line.id.to_string());
        begun["sample_rate"] = 16_000.into();
        outbox.put(messages::text(&begun));
    }
    let (memory, remembering) = Memory::of(memory);
    let (mut sink, stream) = socket.split();
    let now = Instant::now();
    let mut talk = Talk {
        line,
        stream,
        outbox,
        pacer: Pacer::new(codec, now.into_std()),
        tongue,
        is_muted: false,
        memory,
        heard_of: now,
    };
    let talking = async move {
        let ended = select! {
            ended = talk.run() => ended,
            gone = outbox.send(&mut sink) => gone,
        };
        // However long it takes to remember what was said.
        if let Ok(socket) = talk.stream.reunite(sink) {
            close(socket, outbox, &ended).await;
        }
    };
    tokio::join!(talking, remembering);
}

fn slow() -> Close {
    Close::policy("the client does not read what it is sent")
}

struct Talk<'o> {
    line: WebLine,
    stream: SplitStream<Socket>,
    outbox: &'o Outbox,
    pacer: Pacer,
    tongue: Tongue,
    /// The caller's sound is not listened to.
    is_muted: bool,
    memory: Memory,
    /// When the client was last heard of.
    heard_of: Instant,
}

impl Talk<'_> {
    /// Talks until one of the two has enough; says why.
    async fn run(&mut self) -> Close {
        match self.talk().await {
            Err(close) => close,
            Ok(over) => self.over(over),
        }
    }

    /// Talks until the call is over.
    async fn talk(&mut self) -> Result<Option<Over>, Close> {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sounds, mut is_up, mut is_ending) = (true, true, false);
        loop {
            let due = self.pacer.due().map(Instant::from_std);
            let reads = !self.pacer.is_full();
            let WebLine { sound, far, happened, over, ending, .. } = &mut self.line;
            let paced = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            select! {
                biased;
                sound = sound.next(), if sounds => match sound {
                    Some(sound) => self.play(&sound)?,
                    None => sounds = false,
                },
                Some(happened) = happened.recv() => self.happened(&happened)?,
                over = over => return Ok(over.ok()),
                () = paced => self.pace(),
                message = self.stream.next(), if reads => self.take(message)?,
                wish = far.next(), if is_up => match wish {
                    FarWish::Key(press) => self.put(self.tongue.page(|| messages::key(press.key)))?,
                    FarWish::HungUp => is_up = false,
                },
                () = async { drop(ending.wait_for(|ending| *ending).await) }, if !is_ending => {
                    is_ending = true;
                    self.line.far.end(EndReason::Shutdown);
                }
                now = pings.tick() => self.look_after(now, reads)?,
            }
        }
    }

    fn put(&self, message: impl IntoIterator<Item = Message>) -> Result<(), Close> {
        let all_put = message.into_iter().all(|message| self.outbox.put(message));
        if all_put { Ok(()) } else { Err(slow()) }
    }

    /// 20 ms of Milo's voice.
    fn play(&self, sound: &[u8]) -> Result<(), Close> {
        let put = self.tongue.sound(sound).is_none_or(|message| self.outbox.put_sound(message));
        if put { Ok(()) } else { Err(slow()) }
    }

    fn happened(&mut self, happened: &Happened) -> Result<(), Close> {
        self.memory.happened(happened);
        match happened {
            Happened::Cleared => self.outbox.take_back_sound(),
            Happened::Speaking(false) => self.pacer.heard_out(),
            _ => {}
        }
        let told = self.tongue.told(happened);
        self.put(told)
    }

    /// What is due of the caller's sound goes to the leg.
    fn pace(&mut self) {
        let now = Instant::now().into_std();
        while let Some(Paced { payload, after_ms }) = self.pacer.take(now) {
            self.line.sound.bring(&payload, after_ms, now);
        }
        if self.pacer.begins_to_rest(now) {
            self.line.sound.rest(now);
        }
    }

    /// The client has sent something, or is gone.
    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<(), Close> {
        let now = Instant::now();
        self.heard_of = now;
        let said = match message {
            Some(Ok(message)) => self.tongue.read(message),
            Some(Err(Error::Capacity(_))) => Err(Close::too_big(format!("a message has {} kB at most", LARGEST >> 10))),
            Some(Err(Error::Utf8(_))) => Err(Close::invalid("a text message is UTF-8")),
            None | Some(Err(_)) => return Err(Close::done("the client is gone")),
        };
        match said {
            Ok(Said::Sound(mut sound)) => {
                if self.is_muted {
                    // Only pages say so, and theirs is L16.
                    sound.fill(0);
                }
                self.pacer.push(&sound, now.into_std());
            }
            Ok(Said::Mute(muted)) => self.is_muted = muted,
            Ok(Said::Say(text)) => {
                if self.line.typed.try_send(text).is_err() {
                    self.put(self.tongue.page(|| messages::text(&messages::unread())))?;
                }
            }
            Ok(Said::Stop) => self.pacer.finish(self.line.end_of_turn + BESIDES, now.into_std()),
            Ok(Said::Key(key)) => self.line.far.press(key, PRESS),
            Ok(Said::HangUp) => self.line.far.end(EndReason::RemoteHangup),
            Ok(Said::Nothing) => {}
            Ok(Said::Strange(says)) => self.put(self.tongue.page(|| messages::text(&messages::fault(&says))))?,
            Err(close) => {
                self.put(self.tongue.page(|| messages::text(&messages::fault(close.reason()))))?;
                return Err(close);
            }
        }
        Ok(())
    }

    /// Asks whether the client lives, and lets go of one that has said nothing for long, unless it was not listened to.
    fn look_after(&mut self, now: Instant, reads: bool) -> Result<(), Close> {
        if !reads {
            self.heard_of = now;
        }
        if now > self.heard_of + GONE {
            return Err(Close::done("the client is gone"));
        }
        self.put([Message::Ping(Bytes::new())])
    }

    /// The call is over: what was said last is sent.
    fn over(&mut self, over: Option<Over>) -> Close {
        let rest = |talk: &mut Self| -> Result<(), Close> {
            while let Some(Some(sound)) = talk.line.sound.next().now_or_never() {
                talk.play(&sound)?;
            }
            while let Ok(happened) = talk.line.happened.try_recv() {
                talk.happened(&happened)?;
            }
            Ok(())
        };
        if let Err(close) = rest(self) {
            return close;
        }
        let is_ending = *self.line.ending.borrow();
        match over {
            None => Close::failed("the call was cut off"),
            Some(over) if is_ending || over.reason == SHUT_DOWN => Close::away("Milo is ending"),
            Some(Over { by: HangupBy::Network, .. }) => {
                let says = "no sound came for too long";
                self.put(self.tongue.page(|| messages::text(&messages::coded("no_sound", says)))).ok();
                Close::policy(says)
            }
            Some(Over { reason, .. }) => Close::done(reason),
        }
    }
}
