//! Doing batches: one task, the oldest batch, its items in order, as many at once as its engine does side by side.

use std::time::Duration;

use futures_util::future::join_all;
use milo_media::{SAMPLE_RATE, prompt, sound_file::Writer, wav};
use milo_models::{
    engine::{EngineError, Language, RemoteFault},
    transcriber::Listen,
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    select,
    time::{Instant, interval, sleep},
};

use super::{
    Batches,
    task::{Sound, Task, Translate, Tts, What, plain},
};
use crate::{
    chat::{By, Transcribed, Untranslated},
    store::{BatchRow, Key, Stamp, StoreError},
};

/// How long it waits before a database or an engine that had no room is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it looks for work that nobody has told it of.
const LOOK: Duration = Duration::from_secs(30);
/// How often what is old is looked for, at most.
const SWEEP: Duration = Duration::from_secs(60);
/// The longest recording, in seconds: as one alone.
const LONGEST_S: usize = 3_660;
/// Seconds of recordings that are in memory at once.
pub(super) const HEARD_S: usize = 2 * LONGEST_S;

/// Why an item is not done.
enum Fault {
    /// An engine has no room: later.
    Later,
    /// It never will be: a sentence.
    Never(String),
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Overloaded { .. } => Self::Later,
            EngineError::Input(says) => Self::Never(says),
            EngineError::Remote { engine, fault: RemoteFault::Unfit, says, .. } => {
                Self::Never(format!("the {engine} {says}"))
            }
            error => {
                tracing::warn!(%error, "an engine failed an item of a batch");
                Self::Never("an engine failed; the log says how".into())
            }
        }
    }
}

/// A text in the other language.
#[derive(Serialize)]
struct Translated {
    translation: String,
    confidence: Option<f32>,
    by: By,
    source: Language,
    target: Language,
    processing_ms: u64,
}

/// What was said; the sound is a file.
#[derive(Serialize)]
struct Spoken {
    format: Sound,
    sample_rate: u32,
    language: Language,
    spoken: String,
    bytes: usize,
    duration_ms: u64,
    processing_ms: u64,
}

impl Batches {
    /// Does what is to be done, and forgets what is old, until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.work(), self.sweep());
    }

    async fn work(&self) {
        self.resume().await;
        loop {
            match self.store.next_batch(&self.node).await {
                Ok(Some(batch)) => {
                    if let Err(error) = self.batch(&batch).await {
                        away(&error);
                        sleep(AGAIN).await;
                        // The database may have begun an item, and its answer was lost.
                        self.resume().await;
                    }
                }
                Ok(None) => select! {
                    () = self.added.notified() => {}
                    () = sleep(LOOK) => {}
                },
                Err(error) => {
                    away(&error);
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// What had begun begins again.
    async fn resume(&self) {
        while self.store.resume_batches(&self.node).await.inspect_err(away).is_err() {
            sleep(AGAIN).await;
        }
    }

    /// Does the items of one that are left, until it is cancelled. Then the engines stop.
    async fn batch(&self, batch: &BatchRow) -> Result<(), StoreError> {
        select! {
            done = self.items(batch) => done?,
            () = self.cancelled(batch.id) => return Ok(()),
        }
        self.store.end_batch(batch.id, Stamp::now()).await
    }

    /// Does them, several side by side. All are under way together: one that holds the database's lock is never left standing while another
    /// waits for it. Where the next one cannot be begun, those that are being done are ended all the same.
    async fn items(&self, batch: &BatchRow) -> Result<(), StoreError> {
        let lanes = (0..self.chats.side_by_side(&batch.kind)).map(|_| self.one_by_one(batch));
        join_all(lanes).await.into_iter().collect()
    }

    /// Does one after the other, as long as there are any.
    async fn one_by_one(&self, batch: &BatchRow) -> Result<(), StoreError> {
        while let Some((number, input)) = self.store.begin_item(batch.id, Stamp::now()).await? {
            self.one(batch, number, input).await;
        }
        Ok(())
    }

    /// Does one, and notes what came of it.
    async fn one(&self, batch: &BatchRow, number: i32, input: Value) {
        let at = usize::try_from(number).unwrap_or_default();
        let came = self.item(batch, at, input).await;
        let result = if came.is_ok() { "done" } else { "failed" };
        // What is done is not done again for a database that is away a moment.
        while self.store.end_item(batch.id, number, &came).await.inspect_err(away).is_err() {
            sleep(AGAIN).await;
        }
        self.metrics.batch_item(&batch.kind, result);
        self.files.drop_given(batch.id, at).await;
    }

    /// Waits until a batch is cancelled, or deleted.
    async fn cancelled(&self, id: Key) {
        let mut cancelled = self.cancelled.subscribe();
        loop {
            // Other nodes cancel in the table only.
            select! {
                _ = cancelled.changed() => {}
                () = sleep(LOOK) => {}
            }
            match self.store.batch(id, None).await {
                // Nobody has cancelled it, or nobody knows.
                Ok(Some(BatchRow { ended: None, .. })) | Err(_) => {}
                Ok(Some(_)) => return,
                Ok(None) => return self.files.remove(id).await,
            }
        }
    }

    /// Tries until an engine has room.
    async fn item(&self, batch: &BatchRow, number: usize, input: Value) -> Result<Value, String> {
        let what = Task::of_row(&batch.kind, input)?;
        loop {
            let came = match &what {
                What::Translate(wanted) => self.translate(wanted).await,
                What::Tts(wanted) => self.speak(batch.id, number, wanted).await,
                What::Stt(wanted, _) => self.transcribe(batch.id, number, wanted.listen()).await,
            };
            match came {
                Ok(value) => return Ok(plain(value)),
                Err(Fault::Never(says)) => return Err(says.replace('\0', "\u{fffd}")),
                Err(Fault::Later) => sleep(AGAIN).await,
            }
        }
    }

    async fn translate(&self, wanted: &Translate) -> Result<Value, Fault> {
        let began = Instant::now();
        let Translate { text, source, target } = wanted;
        let said = self.chats.translate(text, *source, *target).await.map_err(|why| match why {
            Untranslated::Engine(error) => error.into(),
            other => Fault::Never(other.to_string()),
        })?;
        let processing_ms = began.elapsed().as_millis() as u64;
        let (translation, confidence, by) = (said.text, said.confidence, said.by);
        Ok(value(&Translated { translation, confidence, by, source: *source, target: *target, processing_ms }))
    }

    async fn speak(&self, id: Key, number: usize, wanted: &Tts) -> Result<Value, Fault> {
        let began = Instant::now();
        let (mut aloud, language) = self.chats.say(&wanted.say())?;
        let spoken = aloud.words();
        let mut samples = Vec::new();
        while let Some(more) = aloud.next().await {
            samples.extend(more?);
        }
        let duration_ms = samples.len() as u64 * 1_000 / u64::from(SAMPLE_RATE);
        let sound = wanted.format;
        let file = tokio::task::spawn_blocking(move || file(sound, &samples));
        let file =
            file.await.ok().flatten().ok_or_else(|| Fault::Never("the sound could not be made into a file".into()))?;
        let bytes = file.len();
        if self.files.used().await.saturating_add(bytes as u64) > self.most_bytes() {
            let most = self.batch.disk_mb;
            return Err(Fault::Never(format!("sounds of batches have {most} MB here, and all are taken: delete some")));
        }
        self.files.made(id, number, sound, file).await.map_err(|error| {
            tracing::error!(%error, "the sound of a batch cannot be kept");
            Fault::Never("the sound could not be kept on disk".into())
        })?;
        let processing_ms = began.elapsed().as_millis() as u64;
        let (format, sample_rate) = (sound, SAMPLE_RATE);
        Ok(value(&Spoken { format, sample_rate, language, spoken, bytes, duration_ms, processing_ms }))
    }

    async fn transcribe(&self, id: Key, number: usize, asked: Listen) -> Result<Value, Fault> {
        // Until it is read nobody knows how long it is.
        let Ok(mut room) = self.hearing.acquire_many(LONGEST_S as u32).await else { return Err(Fault::Later) };
        let began = Instant::now();
        let given = self.files.given(id, number);
        let read = tokio::task::spawn_blocking(move || prompt::read_within(&given, LONGEST_S));
        let samples = match read.await {
            Ok(Ok(samples)) => samples,
            Ok(Err(milo_media::MediaError::Sound { reason, .. })) => {
                return Err(Fault::Never(format!("the recording {reason}")));
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a recording of a batch cannot be read");
                return Err(Fault::Never("the recording is not there any more".into()));
            }
            Err(_) => return Err(Fault::Never("the recording could not be read".into())),
        };
        drop(room.split(LONGEST_S.saturating_sub(samples.len() / SAMPLE_RATE as usize)));
        let mut listening = self.chats.listen(samples, asked)?;
        while let Some(progress) = listening.next().await {
            progress?;
        }
        let whole: Transcribed = listening.whole(began.elapsed());
        Ok(value(&whole))
    }

    /// Forgets what is old, and the folders of batches that no row names any more.
    async fn sweep(&self) {
        let keep = Duration::from_secs(self.batch.keep_s);
        let mut clock = interval(keep.min(SWEEP));
        loop {
            clock.tick().await;
            let before = Stamp::from_millis(Stamp::now().millis() - keep.as_millis() as i64);
            for id in self.store.forget_batches(before).await.inspect_err(away).unwrap_or_default() {
                tracing::info!(batch.id = %id, "a batch older than they are kept was deleted");
                self.files.remove(id).await;
            }
            for id in self.files.batches().await {
                if self.store.batch(id, None).await.is_ok_and(|batch| batch.is_none()) {
                    self.files.remove(id).await;
                }
            }
        }
    }
}

fn away(error: &StoreError) {
    tracing::warn!(%error, "batches wait for the database");
}

fn value(what: &impl Serialize) -> Value {
    serde_json::to_value(what).unwrap_or_default()
}

/// A whole sound file.
fn file(sound: Sound, samples: &[i16]) -> Option<Vec<u8>> {
    if sound == Sound::Wav {
        return Some(wav::bytes(samples));
    }
    let mut writer = Writer::new(sound.container()?).ok()?;
    let mut bytes = Vec::new();
    // An encoder wants no more at once than it has room for.
    for piece in samples.chunks(16_000) {
        bytes.extend(writer.write(piece).ok()?);
    }
    bytes.extend(writer.finish().ok()?);
    Some(bytes)
}
