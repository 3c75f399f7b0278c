//! Batches: many texts or sounds in one request, done while nobody else waits for an engine, as many at once as that does side by side.
//!
//! ```text
//! POST /api/v1/batch ─► Batches::add ─► files, rows ─► run: the oldest batch, some items at once ─► engines, last class ─► rows, files
//!                       GET, DELETE ──────────────────────▲
//! ```
//! Rows say what is to be done and what is done: after a crash or a restart the items that were running begin again. A batch is done
//! by the Milo that took it, in whose data folder its sounds lie.

mod files;
mod run;
mod task;

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, watch};

pub use task::{Sound, Task};

use crate::{
    chat::Chats,
    config,
    metrics::Metrics,
    store::{Key, NewBatch, Stamp, Store, StoreError},
};
use files::Files;

/// What the items of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BatchKind)]
pub enum Kind {
    /// Texts to be translated.
    Translate,
    /// Texts to be spoken.
    Tts,
    /// Sounds to be transcribed.
    Stt,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Translate, Self::Tts, Self::Stt];

    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Translate => "translate",
            Self::Tts => "tts",
            Self::Stt => "stt",
        }
    }
}

/// Why a batch is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Untaken {
    /// It holds what cannot be done.
    #[error("{0}")]
    Wrong(String),
    /// There is no room for it now.
    #[error("{0}")]
    Full(String),
    /// Its sounds cannot be kept.
    #[error("the sounds of the batch cannot be kept on disk")]
    Disk(#[source] std::io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The batches of this Milo. Cheap to clone.
#[derive(Clone)]
pub struct Batches {
    store: Store,
    node: Arc<str>,
    chats: Chats,
    files: Files,
    batch: config::Batch,
    metrics: Arc<Metrics>,
    /// Something is to be done.
    added: Arc<Notify>,
    /// Something was cancelled.
    cancelled: watch::Sender<()>,
    /// A place for each second of recordings that may be in memory.
    hearing: Arc<Semaphore>,
    /// Held while one is counted and added, so that two at once are not one too many.
    adding: Arc<tokio::sync::Mutex<()>>,
}

impl Batches {
    /// `chats` does what they ask for; their sounds lie in `batches/` of the data folder.
    pub fn new(config: &config::Config, (store, node): (Store, &str), chats: &Chats, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            node: node.into(),
            chats: chats.of_batches(),
            files: Files::new(config.data_dir.join("batches")),
            batch: config.batch.clone(),
            metrics,
            added: Arc::default(),
            cancelled: watch::Sender::new(()),
            hearing: Arc::new(Semaphore::new(run::HEARD_S)),
            adding: Arc::default(),
        }
    }

    /// How much one may hold.
    pub fn limits(&self) -> &config::Batch {
        &self.batch
    }

    /// Whether its sounds are here.
    pub fn is_here(&self, node: &str) -> bool {
        *self.node == *node
    }

    /// Takes a batch of so many items; `whose` is a key and its name.
    pub async fn add(&self, kind: Kind, tasks: Vec<Task>, whose: (Option<Key>, String)) -> Result<NewBatch, Untaken> {
        let wrong = |says: String| Err(Untaken::Wrong(says));
        if tasks.is_empty() {
            return wrong("`items` is empty: there is nothing to do".into());
        }
        if tasks.len() > self.batch.items {
            return wrong(format!("the batch has {} items; {} are the most", tasks.len(), self.batch.items));
        }
        for (number, listen) in tasks.iter().enumerate().filter_map(|(number, task)| Some((number, task.listen()?))) {
            let checked = self.chats.check(&listen);
            checked.map_err(|error| Untaken::Wrong(format!("items[{number}]: {error}")))?;
        }
        let _one_at_a_time = self.adding.lock().await;
        let (id, (key, who)) = (Key::new(), whose);
        let (open, own) = self.store.open_batches(&self.node, key).await?;
        // A key leaves half of the places to others.
        if open >= self.batch.waiting || (key.is_some() && own * 2 >= self.batch.waiting.max(2)) {
            let says =
                format!("{open} batches wait already, {own} of them yours; come again when some of them are done");
            return Err(Untaken::Full(says));
        }
        let (inputs, sounds): (Vec<Value>, Vec<_>) = tasks.into_iter().map(Task::kept).unzip();
        let sounds: HashMap<usize, Vec<u8>> =
            sounds.into_iter().enumerate().filter_map(|(number, sound)| Some((number, sound?))).collect();
        let bytes: u64 = sounds.values().map(|sound| sound.len() as u64).sum();
        if self.files.used().await.saturating_add(bytes) > self.most_bytes() {
            return Err(Untaken::Full(format!(
                "sounds of batches have {} MB here, and all are taken",
                self.batch.disk_mb
            )));
        }
        self.files.keep(id, sounds).await.map_err(Untaken::Disk)?;
        let new = NewBatch { id, key, who, kind: kind.as_str(), created: Stamp::now(), items: inputs };
        if let Err(error) = self.store.add_batch(&self.node, &new).await {
            // It may have been kept all the same, and only its answer was lost: nobody was told of it, so it shall not be done. Where
            // that cannot be had either, its sounds stay for it.
            if self.store.delete_batch(id).await.is_ok() {
                self.files.remove(id).await;
            }
            return Err(error.into());
        }
        self.added.notify_one();
        Ok(new)
    }

    /// Cancels what is left of a batch. False when it has ended already.
    pub async fn cancel(&self, id: Key) -> Result<bool, StoreError> {
        let is_cancelled = self.store.cancel_batch(id, Stamp::now()).await?;
        self.cancelled.send_replace(());
        if is_cancelled {
            self.files.drop_all_given(id).await;
        }
        Ok(is_cancelled)
    }

    /// Forgets a batch, with its sounds.
    pub async fn forget(&self, id: Key) -> Result<(), StoreError> {
        self.store.delete_batch(id).await?;
        self.files.remove(id).await;
        Ok(())
    }

    /// The sound that was made of an item; none when there is none.
    pub async fn sound(&self, id: Key, number: usize) -> Option<(Sound, Vec<u8>)> {
        self.files.sound(id, number).await
    }

    fn most_bytes(&self) -> u64 {
        self.batch.disk_mb << 20
    }
}
