//! Nobody is recorded who was not told: the announcement, to whom it is said, and when.

use std::sync::Arc;

use milo_media::{Announcer, record::Recording};
use milo_models::engine::Language;

use super::{Begun, Called, RecordingNow, Reel};
use crate::{
    call::{House, Line, Record},
    dialplan::RecordingStep,
};

impl Reel {
    /// Tells everybody, and begins. Dropped, it begins nothing.
    pub(super) async fn start(&self, house: &House, language: Language) -> Result<RecordingNow, &'static str> {
        let sound = house.recordings.announcement(house, (language, self.notes.mode())).await.map_err(|error| {
            self.failed(&error);
            "the announcement cannot be played, so this call is not recorded; the log says why"
        })?;
        if let Some(sound) = &sound
            && !self.tell_all(sound).await
        {
            return Err("the announcement was not heard to its end, so this call is not recorded");
        }
        loop {
            match self.open(house, sound.is_some()) {
                Begun::Untold if !self.tell_called(sound.as_ref()).await => {
                    return Err("the announcement was not heard to its end, so this call is not recorded");
                }
                Begun::Untold => {}
                Begun::Yes => return Ok(self.lock().now()),
                Begun::No => return Err("no recording could be begun; the log says why"),
            }
        }
    }

    /// Everybody on the line hears this to its end.
    async fn tell_all(&self, sound: &Arc<[i16]>) -> bool {
        self.lock().called.iter_mut().for_each(|called| called.told = false);
        let (caller, called) = tokio::join!(self.caller.say(sound), self.tell_called(Some(sound)));
        caller && called
    }

    /// The one who was called hears this to its end, if there is one that has not.
    async fn tell_called(&self, sound: Option<&Arc<[i16]>>) -> bool {
        let (called, parted) = {
            let state = self.lock();
            (state.called.clone().filter(|called| !called.told), state.parted)
        };
        let (Some(called), Some(sound)) = (called, sound) else { return true };
        let heard = called.announcer.say(sound).await;
        let mut state = self.lock();
        if state.parted != parted {
            // It is gone, and who is there now is asked about next.
            return true;
        }
        state.called.iter_mut().for_each(|called| called.told = heard);
        heard
    }

    /// Somebody was called and is about to hear the caller: if a recording runs, it is told first, and where that fails, the
    /// recording ends.
    pub(in crate::call) async fn introduce(&self, called: Announcer, house: &House, language: Language) {
        let is_running = {
            let mut state = self.lock();
            let told = state.running.is_some();
            state.called = Some(Called { announcer: called.clone(), told });
            told
        };
        if !is_running {
            return;
        }
        match house.recordings.announcement(house, (language, self.notes.mode())).await {
            Ok(None) => {}
            Ok(Some(sound)) => {
                if !called.say(&sound).await {
                    self.finish().await;
                }
            }
            Err(error) => {
                self.failed(&error);
                self.finish().await;
            }
        }
    }

    /// Somebody else sits where one sat who knew of it: silence is recorded until they have heard of it to its end, and where they
    /// do not, the recording ends.
    pub(in crate::call) async fn tell_newcomer(&self, newcomer: &Announcer, house: &House, language: Language) {
        if !self.is_running() {
            return;
        }
        let told = match house.recordings.announcement(house, (language, self.notes.mode())).await {
            Ok(None) => true,
            Ok(Some(sound)) => {
                self.lock().running.iter().for_each(Recording::pause);
                // They may hang up within it: then nobody is there who has not heard of it.
                let _again = Unheard(self);
                newcomer.say(&sound).await
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        };
        if !told {
            self.finish().await;
        }
    }

    /// The one who was called hears the caller no longer.
    pub(in crate::call) fn part(&self) {
        let mut state = self.lock();
        state.parted += 1;
        state.called = None;
    }
}

/// Silence is recorded while somebody hears that the call is recorded. Dropped, it goes on.
struct Unheard<'r>(&'r Reel);

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        let state = self.0.lock();
        state.running.iter().filter(|_| !state.paused).for_each(Recording::resume);
    }
}

impl Line {
    /// The verb `recording`.
    pub(in crate::call) async fn turn_recording(
        &mut self,
        step: RecordingStep,
        house: &House,
        language: Language,
        log: &Record,
    ) {
        match step {
            RecordingStep::Start => self.record(house, language, log).await,
            RecordingStep::Pause => self.reel.pause("plan"),
            RecordingStep::Resume => self.reel.resume("plan"),
            RecordingStep::Stop => self.reel.finish().await,
        }
    }

    /// Announces and begins a recording, if none runs. What goes wrong is written down; the call goes on without.
    pub(in crate::call) async fn record(&mut self, house: &House, language: Language, log: &Record) {
        if !self.reel.is_running() && self.announce_recording(house, language, log).await {
            self.reel.begin(house);
        }
    }

    /// The caller hears that a recording is about to begin. False: it did not, which is written down, and none may begin.
    pub(in crate::call) async fn announce_recording(
        &mut self,
        house: &House,
        language: Language,
        log: &Record,
    ) -> bool {
        match house.recordings.announcement(house, (language, log.notes().mode())).await {
            Ok(None) => {}
            Ok(Some(sound)) => {
                self.play(&sound, |key| log.pressed(key)).await;
            }
            Err(error) => {
                self.reel.failed(&error);
                return false;
            }
        }
        !self.lost()
    }
}
