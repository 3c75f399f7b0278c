//! The verbs that take a message: `record`, `voicemail`. A message is a recording of its own, or a part of the one that runs.

use std::time::Duration;

use milo_media::{FRAME_MS, Frame, Heard, dbfs, tone::Tone};
use milo_models::engine::Language;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    House, Record,
    verbs::{Line, heard},
};
use crate::dialplan::{Message, Voicemail};

/// Below this level nobody speaks.
const SILENCE_DBFS: f32 = -45.0;
/// 400 ms.
const BEEP_FRAMES: usize = 20;
const BEEP_HERTZ: f64 = 1_000.0;

impl Line {
    /// The verb `voicemail`.
    pub(super) async fn voicemail(&mut self, voicemail: &Voicemail, house: &House, language: Language, log: &Record) {
        self.utter(&voicemail.greeting, false, (house, language, log)).await;
        if !self.lost() {
            self.message((&voicemail.message, "voicemail"), house, language, log).await;
        }
    }

    /// The verb `record`; `kind` is how the message is called in the log. The caller hears that it is recorded as on any
    /// call, then the beep. The plan goes on at once when there is nothing to keep the message in.
    pub(super) async fn message(
        &mut self,
        (message, kind): (&Message, &str),
        house: &House,
        language: Language,
        log: &Record,
    ) {
        if !self.reel.is_running() && !self.announce_recording(house, language, log).await {
            return log.event(kind, json!({ "ended": "failed" }));
        }
        if message.beep {
            let beep: Vec<Frame> = Tone::new(BEEP_HERTZ, 0.3).take(BEEP_FRAMES).collect();
            let length = Duration::from_millis(u64::from(FRAME_MS) * (BEEP_FRAMES as u64 + 20));
            let Self { ears, voice, until, .. } = self;
            let beeping = async {
                for frame in beep {
                    voice.play(frame).await;
                }
                voice.drained().await;
            };
            let late = (*until).min(Instant::now() + length);
            select! {
                () = beeping => {}
                () = async { while heard(ears, late).await.is_some() {} } => {}
            }
        }
        if self.lost() {
            return;
        }
        let is_own = self.reel.begin(house);
        let over = self.reel.over();
        let began = Instant::now();
        let ended = select! {
            ended = self.until_said(message, log) => ended,
            ended = over => ended,
        };
        let took = began.elapsed().as_millis() as u64;
        log.event(kind, json!({ "file": self.reel.name(), "ms": took, "ended": ended, "within": !is_own }));
        // One that somebody else has begun meanwhile is theirs.
        if is_own && ended != "stopped" {
            self.reel.finish().await;
        }
    }

    /// Listens to a message; says why it is over.
    async fn until_said(&mut self, message: &Message, log: &Record) -> &'static str {
        let quiet = (message.silence_seconds * 1_000 / u64::from(FRAME_MS)) as usize;
        let late = self.until.min(Instant::now() + Duration::from_secs(message.seconds));
        let mut silent = 0;
        loop {
            let heard = select! {
                heard = heard(&mut self.ears, self.until) => heard,
                () = sleep_until(late) => return "time",
            };
            match heard {
                None => return "hung up",
                Some(Heard::Digit(key)) => {
                    log.digit(key);
                    if message.ends.contains(key) {
                        return "key";
                    }
                }
                Some(Heard::Frame(heard)) => {
                    silent = if dbfs(heard.frame.samples()) < SILENCE_DBFS { silent + 1 } else { 0 };
                    if silent >= quiet {
                        return "silence";
                    }
                }
                Some(_) => {}
            }
        }
    }
}
