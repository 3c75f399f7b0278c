//! The recording of one call, and whoever begins, pauses, resumes and ends it: its plan, a key, the API.
//!
//! Nobody is recorded who was not told: an announcement, where one is configured, is heard by all who are on the line before
//! the file begins, and by whoever joins them later before the others are heard.

mod told;

use std::{
    convert::Infallible,
    fmt,
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use milo_media::{
    Announcer, Control,
    record::{Outcome, Recording},
};
use milo_models::engine::Language;
use serde::Serialize;
use serde_json::json;
use tokio::{select, sync::mpsc, time::timeout};

use super::{House, notes::Notes, registry::Order};
use crate::{dialplan::RecordingStep, error::Error};

/// How long a call that is over waits for the disk, to say how its recording ended.
const LAST_PAGES: Duration = Duration::from_secs(1);

/// Whether a call is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordingNow {
    /// It is.
    Live,
    /// Silence is recorded, or would be; the log keeps to itself what is said and pressed.
    Paused,
    /// Everybody is being told that it is about to be.
    Starting,
    /// It is not.
    Off,
}

/// The recording of one call. Cheap to clone.
///
/// The lock is taken when somebody wants something of the recording, and never on the 20 ms clock.
#[derive(Clone)]
pub(in crate::call) struct Reel {
    control: Control,
    caller: Announcer,
    notes: Notes,
    pause_key: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: Option<Recording>,
    begun: usize,
    /// The newest file, as a path within the folder of recordings.
    name: Option<String>,
    paused: bool,
    /// The one who was called and hears the caller.
    called: Option<Called>,
    /// Those who were called before.
    parted: usize,
    /// How much of the pause key has been pressed.
    pressed: usize,
}

/// Somebody who was called.
#[derive(Clone)]
struct Called {
    announcer: Announcer,
    /// It knows of the recording that runs or is about to.
    told: bool,
}

/// Whether a recording could be begun.
enum Begun {
    Yes,
    /// One runs already, or the disk refuses another.
    No,
    /// Somebody has joined who does not know of it.
    Untold,
}

impl State {
    fn now(&self) -> RecordingNow {
        match &self.running {
            _ if self.paused => RecordingNow::Paused,
            Some(_) => RecordingNow::Live,
            None => RecordingNow::Off,
        }
    }
}

impl fmt::Debug for Reel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reel").field("now", &self.lock().now()).finish_non_exhaustive()
    }
}

impl Reel {
    pub(in crate::call) fn new(control: Control, caller: Announcer, notes: Notes, pause_key: &str) -> Self {
        Self { control, caller, notes, pause_key: pause_key.into(), state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one runs.
    pub(in crate::call) fn is_running(&self) -> bool {
        self.lock().running.is_some()
    }

    /// The newest file, as a path within the folder of recordings.
    pub(in crate::call) fn name(&self) -> Option<String> {
        self.lock().name.clone()
    }

    /// Does what the API wants, for as long as the call lasts.
    pub(in crate::call) async fn serve(
        self,
        mut orders: mpsc::Receiver<Order>,
        house: &House,
        language: Language,
    ) -> Infallible {
        while let Some(Order { step, answer }) = orders.recv().await {
            // Whoever asked may have gone; what was wanted is done.
            if step != RecordingStep::Start || self.is_running() {
                answer.send(self.obey(step).await).ok();
                continue;
            }
            // An announcement takes its time, and on a line that is held it waits; nothing else waits for it.
            let mut starting = pin!(self.start(house, language));
            let done = loop {
                select! {
                    done = &mut starting => break done,
                    Some(Order { step, answer }) = orders.recv() => match step {
                        RecordingStep::Start => drop(answer.send(Ok(RecordingNow::Starting))),
                        RecordingStep::Stop => {
                            answer.send(Ok(RecordingNow::Off)).ok();
                            break Err("it was stopped before it began");
                        }
                        RecordingStep::Pause | RecordingStep::Resume => drop(answer.send(self.obey(step).await)),
                    },
                }
            };
            answer.send(done).ok();
        }
        pending().await
    }

    /// Does what takes no time.
    async fn obey(&self, step: RecordingStep) -> Result<RecordingNow, &'static str> {
        let (runs, paused) = {
            let state = self.lock();
            (state.running.is_some(), state.paused)
        };
        match (step, runs, paused) {
            (RecordingStep::Start, ..) => return Err("this call is recorded already"),
            (RecordingStep::Stop, false, _) => return Err("this call is not recorded"),
            (RecordingStep::Pause, _, true) => return Err("the recording of this call is paused already"),
            (RecordingStep::Resume, _, false) => return Err("the recording of this call is not paused"),
            (RecordingStep::Pause, ..) => self.pause("api"),
            (RecordingStep::Resume, ..) => self.resume("api"),
            (RecordingStep::Stop, ..) => self.finish().await,
        }
        Ok(self.lock().now())
    }

    /// Begins the file, if none runs; those who are on the line know of it. Says whether it did.
    pub(in crate::call) fn begin(&self, house: &House) -> bool {
        matches!(self.open(house, false), Begun::Yes)
    }

    /// The same. `announced`: nobody may be on the line who was not told.
    fn open(&self, house: &House, announced: bool) -> Begun {
        let mut state = self.lock();
        if state.running.is_some() {
            return Begun::No;
        }
        if announced && state.called.as_ref().is_some_and(|called| !called.told) {
            return Begun::Untold;
        }
        match house.recordings.begin(&self.notes, state.begun + 1) {
            Ok((recording, name)) => {
                state.begun += 1;
                self.notes.event("recording", json!({ "is": "started", "file": &name }));
                state.name = Some(name);
                // A card number is not recorded because somebody begins a recording meanwhile.
                if state.paused {
                    recording.pause();
                    self.notes.event("recording", json!({ "is": "paused" }));
                }
                self.control.record(recording.tap());
                state.running = Some(recording);
                Begun::Yes
            }
            Err(error) => {
                drop(state);
                self.failed(&error);
                Begun::No
            }
        }
    }

    fn failed(&self, error: &Error) {
        tracing::error!(call.id = %self.notes.key(), error = %error, "a call is not recorded");
        self.notes.event("recording", json!({ "is": "failed", "fault": error.to_string() }));
    }

    /// Silence in place of both sides from now on, in this file and in later ones, and for whoever listens; the timeline goes on. The
    /// log keeps to itself what is said and pressed.
    fn pause(&self, by: &str) {
        let mut state = self.lock();
        state.paused = true;
        self.notes.keep_private(true);
        self.control.keep_private(true);
        if let Some(recording) = &state.running {
            recording.pause();
            self.notes.event("recording", json!({ "is": "paused", "by": by }));
        }
    }

    /// Both sides again.
    fn resume(&self, by: &str) {
        let mut state = self.lock();
        state.paused = false;
        self.notes.keep_private(false);
        self.control.keep_private(false);
        if let Some(recording) = &state.running {
            recording.resume();
            self.notes.event("recording", json!({ "is": "resumed", "by": by }));
        }
    }

    /// A key was pressed: the last of the pause key pauses a recording that runs, or resumes it.
    pub(in crate::call) fn pressed(&self, key: char) {
        let (is_whole, paused) = {
            let mut state = self.lock();
            let wanted = |at: usize| self.pause_key.chars().nth(at);
            // The key that breaks off a row may begin the next one.
            let is_next = wanted(state.pressed) == Some(key);
            state.pressed = if is_next { state.pressed + 1 } else { usize::from(wanted(0) == Some(key)) };
            let is_whole = state.pressed > 0 && state.pressed == self.pause_key.chars().count();
            if is_whole {
                state.pressed = 0;
            }
            (is_whole && (state.running.is_some() || state.paused), state.paused)
        };
        match (is_whole, paused) {
            (true, false) => self.pause("key"),
            (true, true) => self.resume("key"),
            (false, _) => {}
        }
    }

    /// Waits until the one that runs is over, and says how: `stopped` by somebody, or `failed`, as on a full disk. Where none
    /// runs, none could be begun.
    pub(in crate::call) fn over(&self) -> impl Future<Output = &'static str> + use<> {
        let ended = self.lock().running.as_ref().map(Recording::ended);
        async move {
            match ended {
                Some(ended) => match ended.await {
                    Some(Outcome { fault: None, .. }) => "stopped",
                    Some(Outcome { fault: Some(_), .. }) | None => "failed",
                },
                None => "failed",
            }
        }
    }

    /// Where in the file stands what was heard or sent at this moment, in milliseconds.
    pub(in crate::call) fn position(&self, at: Instant) -> Option<i64> {
        let place = self.lock().running.as_ref()?.position(at)?;
        i64::try_from(place.as_millis()).ok()
    }

    /// Ends it now; its file is whole a moment later.
    pub(in crate::call) fn stop(&self) {
        self.lock().running.iter().for_each(Recording::stop);
    }

    /// Ends it, and writes down how it ended. What is paused stays so: whoever reads out a card number goes on with it.
    pub(in crate::call) async fn finish(&self) {
        let Some(recording) = self.lock().running.take() else { return };
        if let Ok(Some(Outcome { ms, gap_ms, fault })) = timeout(LAST_PAGES, recording.finish()).await {
            self.notes.event("recording", json!({ "is": "ended", "ms": ms, "gap_ms": gap_ms, "fault": fault }));
        }
    }
}
