//! Recordings of calls: which calls are recorded, where their files lie, what is told of them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use milo_media::{
    Control,
    record::{Format, Outcome, Recorder, Recording},
};
use milo_models::engine::Language;
use serde_json::json;
use tokio::time::timeout;

use super::{House, Line, Record};
use crate::{
    agent::announce,
    config::{self, Config, RecordingFormat},
    dialplan::{Plan, RecordingStep},
    error::Error,
    metrics::Metrics,
    store::{LogWriter, RecordingState, Stamp},
    trunk::Trunk,
};

/// How long a call that is over waits for the disk, to say how its recording ended.
const LAST_PAGES: Duration = Duration::from_secs(1);

/// What all recordings share.
pub struct Recordings {
    recorder: Recorder,
    folder: PathBuf,
    recording: config::Recording,
    log: LogWriter,
    metrics: Arc<Metrics>,
}

impl Recordings {
    /// Starts the thread that writes them; it ends after the last call and this are gone.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(config: &Config, log: LogWriter, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let (recorder, _) = Recorder::start()?;
        let folder = config.recording.path.clone().unwrap_or_else(|| config.data_dir.join("recordings"));
        let recording = config.recording.clone();
        Ok(Self { recorder, folder, recording, log, metrics })
    }

    /// The folder they are in: the configured one, or `recordings/` in the data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until none is being written.
    pub async fn idle(&self) {
        self.recorder.idle().await;
    }

    /// Whether calls of this plan are recorded from the answer on: what the plan says, else their trunk, else `[recording]`.
    pub(super) fn wanted(&self, plan: &Plan, trunk: Option<&Trunk>) -> bool {
        plan.record.or(trunk.and_then(Trunk::recording)).unwrap_or(self.recording.enabled)
    }

    /// Begins the file of a call, its `number`th, and says where it is within the folder.
    fn begin(&self, record: &Record, number: usize) -> Result<(Recording, String), Error> {
        let format = match self.recording.format {
            RecordingFormat::Ogg => Format::Ogg,
            RecordingFormat::Wav => Format::Wav,
        };
        let key = record.key();
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        let name = format!("{}/{key}{again}.{}", Stamp::now().day(), format.ending());
        let (log, metrics, path) = (self.log.clone(), Arc::clone(&self.metrics), self.folder.join(&name));
        let id = record.id();
        let ended = move |outcome: &Outcome| {
            metrics.recording_ended(outcome);
            let state = match &outcome.fault {
                None => RecordingState::Complete,
                Some(fault) => {
                    tracing::error!(call.id = %id, fault, "a recording ended before its call; the call goes on");
                    RecordingState::Failed
                }
            };
            if outcome.gap_ms > 0 {
                tracing::warn!(call.id = %id, gap_ms = outcome.gap_ms, "the disk was too slow for a recording");
            }
            log.recording_ended(key, state);
        };
        // Told first: the writer may say that it ended before this line is over.
        record.recording(&name);
        self.metrics.recording_began();
        let recording = self.recorder.begin(path, format, Box::new(ended)).inspect_err(|error| {
            self.metrics.recording_ended(&Outcome { ms: 0, gap_ms: 0, fault: Some(error.to_string()) });
            self.log.recording_ended(key, RecordingState::Failed);
        })?;
        Ok((recording, name))
    }
}

/// The recording of one call.
pub(super) struct Reel {
    control: Control,
    running: Option<Recording>,
    begun: usize,
    /// The newest file.
    name: Option<String>,
}

impl Reel {
    pub(super) fn new(control: Control) -> Self {
        Self { control, running: None, begun: 0, name: None }
    }

    /// Whether one runs.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The newest file, as a path within the folder of recordings.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Silence in place of both sides from now on; the timeline goes on.
    pub(super) fn pause(&self, log: &Record) {
        self.tell(log, "paused");
        self.running.iter().for_each(Recording::pause);
    }

    /// Both sides again.
    pub(super) fn resume(&self, log: &Record) {
        self.running.iter().for_each(Recording::resume);
        self.tell(log, "resumed");
    }

    /// Ends it now; its file is whole a moment later.
    pub(super) fn stop(&self) {
        self.running.iter().for_each(Recording::stop);
    }

    /// Ends it, and writes down how it ended.
    pub(super) async fn finish(&mut self, log: &Record) {
        let Some(recording) = self.running.take() else { return };
        if let Ok(Some(Outcome { ms, gap_ms, fault })) = timeout(LAST_PAGES, recording.finish()).await {
            log.event("recording", json!({ "is": "ended", "ms": ms, "gap_ms": gap_ms, "fault": fault }));
        }
    }

    fn tell(&self, log: &Record, what: &str) {
        if self.running.is_some() {
            log.event("recording", json!({ "is": what }));
        }
    }
}

impl Line {
    /// The verb `recording`.
    pub(super) async fn turn_recording(
        &mut self,
        step: RecordingStep,
        house: &House,
        language: Language,
        log: &Record,
    ) {
        match step {
            RecordingStep::Start => self.record(house, language, log).await,
            RecordingStep::Pause => {
                log.keep_private(true);
                self.reel.pause(log);
            }
            RecordingStep::Resume => {
                log.keep_private(false);
                self.reel.resume(log);
            }
            RecordingStep::Stop => {
                log.keep_private(false);
                self.reel.finish(log).await;
            }
        }
    }

    /// Announces and begins a recording, if none runs. What goes wrong is written down; the call goes on without.
    pub(super) async fn record(&mut self, house: &House, language: Language, log: &Record) {
        if self.reel.running.is_some() {
            return;
        }
        if let Err(error) = self.announce_recording(house, language).await {
            // Nobody is recorded who was not told.
            tracing::error!(call.id = %log.id(), error = %error, "a recording could not be announced, so it is not made");
            log.event("recording", json!({ "is": "failed", "fault": error.to_string() }));
            return;
        }
        if !self.lost() {
            self.begin(house, log);
        }
    }

    /// Begins a recording whose caller knows of it, if none runs.
    pub(super) fn begin(&mut self, house: &House, log: &Record) {
        if self.reel.is_running() {
            return;
        }
        match house.recordings.begin(log, self.reel.begun + 1) {
            Ok((recording, name)) => {
                self.reel.begun += 1;
                log.event("recording", json!({ "is": "started", "file": &name }));
                self.reel.control.record(recording.tap());
                (self.reel.running, self.reel.name) = (Some(recording), Some(name));
            }
            Err(error) => {
                tracing::error!(call.id = %log.id(), error = %error, "a call is not recorded");
                log.event("recording", json!({ "is": "failed", "fault": error.to_string() }));
            }
        }
    }

    async fn announce_recording(&mut self, house: &House, language: Language) -> Result<(), Error> {
        let recording = &house.recordings.recording;
        match (recording.announced_by(), &recording.announcement) {
            (Some(file), _) => {
                let sound = house.sound(file).await?;
                self.play(&sound, |_| {}).await;
            }
            (None, Some(words)) => announce(words, language, &house.engines.voice, &mut self.voice).await?,
            (None, None) => {}
        }
        Ok(())
    }
}
