//! Recordings of calls: which calls are recorded, where their files lie, what is told of them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use milo_media::record::{Format, Outcome, Recorder, Recording};
use milo_models::engine::Language;

use super::{House, notes::Notes};
use crate::{
    agent::spoken,
    config::{self, Config, RecordingFormat},
    dialplan::Plan,
    engines::Mode,
    error::Error,
    metrics::Metrics,
    store::{LogWriter, RecordingState, Stamp},
    trunk::Trunk,
};

/// The folder of recordings: the configured one, or `recordings/` in the data folder.
pub fn recordings_folder(config: &Config) -> PathBuf {
    config.recording.path.clone().unwrap_or_else(|| config.data_dir.join("recordings"))
}

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
        let (folder, recording) = (recordings_folder(config), config.recording.clone());
        Ok(Self { recorder, folder, recording, log, metrics })
    }

    /// The folder they are in.
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

    /// The keys that pause a recording and resume it, if there are such keys.
    pub(super) fn pause_key(&self) -> &str {
        self.recording.pause_key.as_deref().unwrap_or_default()
    }

    /// What is said to those who are recorded, by the engines of this mode; nothing when nothing is to be said.
    pub(super) async fn announcement(
        &self,
        house: &House,
        (language, mode): (Language, Option<Mode>),
    ) -> Result<Option<Arc<[i16]>>, Error> {
        match (self.recording.announced_by(), &self.recording.announcement) {
            (Some(file), _) => Ok(Some(house.sound(file).await?)),
            (None, Some(words)) => Ok(Some(spoken(&house.engines.in_mode(mode).voice, words, language).await?)),
            (None, None) => Ok(None),
        }
    }

    /// Begins the file of a call, its `number`th, and says where it is within the folder.
    pub(super) fn begin(&self, notes: &Notes, number: usize) -> Result<(Recording, String), Error> {
        let format = match self.recording.format {
            RecordingFormat::Ogg => Format::Ogg,
            RecordingFormat::Wav => Format::Wav,
        };
        let key = notes.key();
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        let name = format!("{}/{key}{again}.{}", Stamp::now().day(), format.ending());
        let (log, metrics, path) = (self.log.clone(), Arc::clone(&self.metrics), self.folder.join(&name));
        let (id, file) = (key, name.clone());
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
            log.recording_ended(key, &file, state);
        };
        // Told first: the writer may say that it ended before this line is over.
        notes.recording(&name);
        self.metrics.recording_began();
        let recording = self.recorder.begin(path, format, Box::new(ended)).inspect_err(|error| {
            self.metrics.recording_ended(&Outcome { ms: 0, gap_ms: 0, fault: Some(error.to_string()) });
            self.log.recording_ended(key, &name, RecordingState::Failed);
        })?;
        Ok((recording, name))
    }
}
