//! An engine whose graph a server runs. Until that server has been reached once, nobody knows what the graph takes, and there is no engine: a
//! thread asks again and again, and the start does not wait for it.
//!
//! ```text
//! start ─► loaded? ── yes ──────────────────────────────► in its place, for good
//!             │ the server is away                          ▲
//!             └──► a thread: rest, load, rest, load, … ─────┘ ends with it, or with whoever would have asked the engine
//! ```
//! What is wrong otherwise (no such model, a graph of another kind) is a fault of the configuration, and refuses the start.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use milo_models::{
    engine::{EngineError, Language},
    queue::{Waiting, Work},
    synthesizer::{Speech, SpeechOptions, Synthesizer},
    transcriber::{Listen, Transcriber, Transcribing},
};

/// Loads it; asked again while the server is away.
type Load<T> = Box<dyn Fn() -> Result<Arc<T>, EngineError> + Send>;

/// One such engine.
pub(super) struct Awaited<T: ?Sized> {
    /// As errors call it.
    engine: &'static str,
    there: OnceLock<Arc<T>>,
    /// Why it is not there: a sentence. Its lock is held for a look.
    why: Mutex<String>,
    /// Dropped with this: the thread that waits for the server wakes up and ends.
    _waits: SyncSender<()>,
}

impl<T: ?Sized + Send + Sync + 'static> Awaited<T> {
    /// Loads it, or else sees to it that it is loaded once its server is there, after such a rest each time.
    ///
    /// # Errors
    /// [`EngineError::Load`]: it cannot be loaded, and not for want of the server.
    pub(super) fn load(
        engine: &'static str,
        rest: Duration,
        load: impl Fn() -> Result<Arc<T>, EngineError> + Send + 'static,
    ) -> Result<Arc<Self>, EngineError> {
        let (waits, over) = sync_channel(1);
        let (there, why) = match load() {
            Ok(loaded) => (OnceLock::from(loaded), None),
            Err(error @ EngineError::Remote { .. }) => (OnceLock::new(), Some(error)),
            Err(error) => return Err(error),
        };
        let told = why.as_ref().map(ToString::to_string).unwrap_or_default();
        let awaited = Arc::new(Self { engine, there, why: Mutex::new(told), _waits: waits });
        if let Some(error) = why {
            tracing::warn!(engine, %error, "an engine waits for the server that is to run its graph");
            let (weak, load): (_, Load<T>) = (Arc::downgrade(&awaited), Box::new(load));
            let wait = move || wait(&weak, &over, rest, &load);
            let thread = thread::Builder::new().name(format!("{engine}, away")).spawn(wait);
            thread.map_err(|error| EngineError::Load(format!("no thread for the {engine}: {error}")))?;
        }
        Ok(awaited)
    }

    /// The engine.
    ///
    /// # Errors
    /// [`EngineError::Stopped`]: its server has not been there yet.
    pub(super) fn get(&self) -> Result<&T, EngineError> {
        self.there.get().map(|there| &**there).ok_or(EngineError::Stopped { engine: self.engine })
    }

    /// Why it is not there yet, a sentence; none where it is.
    pub(super) fn absent(&self) -> Option<String> {
        let is_there = self.there.get().is_some();
        (!is_there).then(|| self.why.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn set_why(&self, why: String) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Loads it as soon as that goes.
fn wait<T: ?Sized + Send + Sync + 'static>(
    awaited: &Weak<Awaited<T>>,
    over: &Receiver<()>,
    rest: Duration,
    load: &Load<T>,
) {
    while over.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        let loaded = load();
        let Some(awaited) = awaited.upgrade() else { return };
        let engine = awaited.engine;
        match loaded {
            Ok(loaded) => {
                awaited.there.set(loaded).ok();
                tracing::info!(engine, "the server that runs an engine's graph is there");
                return;
            }
            // It may be put right there.
            Err(error) => {
                tracing::debug!(engine, %error, "an engine still waits for its server");
                awaited.set_why(error.to_string());
            }
        }
    }
}

impl Transcriber for Awaited<dyn Transcriber> {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        match self.get() {
            Ok(there) => there.transcribe(samples, asked),
            Err(away) => Box::pin(async move { Err(away) }),
        }
    }

    fn knows_words(&self) -> bool {
        self.get().is_ok_and(Transcriber::knows_words)
    }

    fn takes_prompt(&self) -> bool {
        self.get().is_ok_and(Transcriber::takes_prompt)
    }

    fn waiting(&self) -> Waiting {
        self.get().map(Transcriber::waiting).unwrap_or_default()
    }

    fn work(&self) -> Work {
        self.get().map(Transcriber::work).unwrap_or_default()
    }

    fn stopped(&self) -> bool {
        self.get().is_ok_and(Transcriber::stopped)
    }
}

impl Synthesizer for Awaited<dyn Synthesizer> {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        self.get()?.speak(text, language, options)
    }

    /// One whose server was never there knows nothing that it could refuse.
    fn check(&self, language: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        self.get().map_or(Ok(()), |voice| voice.check(language, options))
    }

    fn waiting(&self) -> Waiting {
        self.get().map(Synthesizer::waiting).unwrap_or_default()
    }

    fn work(&self) -> Work {
        self.get().map(Synthesizer::work).unwrap_or_default()
    }

    fn stopped(&self) -> bool {
        self.get().is_ok_and(Synthesizer::stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use milo_models::engine::RemoteFault;

    use super::*;

    const REST: Duration = Duration::from_millis(5);

    fn away() -> EngineError {
        let (at, says) = ("h:8000".into(), "cannot be asked: refused".into());
        EngineError::Remote { engine: "voice", at, fault: RemoteFault::Down, says }
    }

    fn until(is_so: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if is_so() {
                return;
            }
            thread::sleep(REST);
        }
        panic!("it never was");
    }

    #[test]
    fn an_engine_whose_server_is_away_at_the_start_is_there_as_soon_as_that_is() {
        let tries = Arc::new(AtomicUsize::new(0));
        let tried = Arc::clone(&tries);
        let load = move || match tried.fetch_add(1, Ordering::SeqCst) {
            0..3 => Err(away()),
            _ => Ok(Arc::new(7)),
        };
        let awaited = Awaited::load("voice", REST, load).expect("it starts");
        assert!(matches!(awaited.get(), Err(EngineError::Stopped { engine: "voice" })));
        assert_eq!(awaited.absent(), Some("the voice at h:8000 cannot be asked: refused".into()));
        until(|| awaited.get().is_ok());
        assert_eq!((awaited.get().ok(), awaited.absent(), tries.load(Ordering::SeqCst)), (Some(&7), None, 4));
    }

    #[test]
    fn a_fault_of_the_configuration_refuses_the_start_and_nobody_waits_for_whom_nobody_asks() {
        let wrong = || Err::<Arc<u8>, _>(EngineError::Load("no such model".into()));
        assert!(Awaited::load("voice", REST, wrong).is_err_and(|error| error.to_string() == "no such model"));
        let known = Arc::new(());
        let held = Arc::clone(&known);
        let load = move || {
            let _held = &held;
            Err::<Arc<u8>, _>(away())
        };
        let awaited = Awaited::load("voice", Duration::from_secs(600), load).expect("it starts");
        assert_eq!(Arc::strong_count(&known), 2);
        drop(awaited);
        until(|| Arc::strong_count(&known) == 1);
    }
}
