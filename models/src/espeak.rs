//! The voice: espeak-ng as a library, with a Malagasy voice of the project's own (`models/espeak/`) and French.
//!
//! ```text
//! speak(clause) -> queue -> the one espeak-ng thread -> 22.05 kHz -> 16 kHz, level, trimmed silence -> Speech::next
//! ```
//!
//! libespeak-ng is one global state, so one thread of the process owns it and serves all calls. A clause is made hundreds
//! of times faster than it is heard and streams out in pieces of about 50 ms; the first piece is there within a
//! millisecond of the job's turn. Dropping [`Speech`] stops the making at the next piece.
//!
//! What reaches the listener: about -20 dBFS RMS whatever the variant, never clipped; silence before the first sound cut
//! to 5 ms, after the last one to what the punctuation asks for (`shape.rs`).

pub mod data;
mod ffi;
pub mod pronouncer;

use std::{
    collections::HashMap,
    ffi::CString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    engine::{EngineError, Language},
    queue::{self, Jobs, Queue, Standing, Waiting, Work, spawn_engine},
    shape::{self, Shaper},
    synthesizer::{MAX_TEXT, Piece, Speech, SpeechOptions, Synthesizer},
};
use ffi::Library;

/// The name in errors and of the thread.
const ENGINE: &str = "voice";
/// Clauses that may wait; at a few milliseconds each, the last one waits about a quarter of a second.
const DEPTH: usize = 64;
/// Room for the pieces of one job: over three minutes of speech, more than [`MAX_TEXT`] gives at the slowest speed but
/// for walls of digits. The library's thread never waits for a listener; a job that would need more ends with an error.
const MAX_PIECES: usize = 4_096;

/// A handle on the voice; cheap to clone.
#[derive(Clone)]
pub struct Espeak {
    queue: Queue<Job>,
    variants: Arc<[String]>,
}

/// The process's one worker. The lock is taken only by [`Espeak::load`]: the library's state is global, and two
/// loads at once must not start two owners of it.
static WORKER: Mutex<Option<(PathBuf, Espeak)>> = Mutex::new(None);

impl Espeak {
    /// Starts the voice on a data folder (the one that holds `phontab`); later calls with the same folder share it.
    ///
    /// # Errors
    /// [`EngineError::Load`] when a file is missing or not the one of this build, when the installed library is of
    /// another release, or when the voice already runs on another folder.
    pub fn load(data: &Path) -> Result<Self, EngineError> {
        data::check(data)?;
        let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
        let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((running, espeak)) = worker.as_ref() {
            return if *running == data {
                Ok(espeak.clone())
            } else {
                Err(EngineError::Load(format!(
                    "the voice already runs on {}: one process has one voice data folder, not {} too",
                    running.display(),
                    data.display()
                )))
            };
        }
        let variants = data::variants(&data)?.into();
        let folder = data.clone();
        let queue = spawn_engine(ENGINE, DEPTH, move |_| Library::open(&folder), serve)?;
        let espeak = Self { queue, variants };
        *worker = Some((data, espeak.clone()));
        Ok(espeak)
    }

    /// The names that [`SpeechOptions::variant`] takes, sorted.
    pub fn variants(&self) -> &[String] {
        &self.variants
    }

    /// The phonemes of a text (IPA) by one of the library's voices, "fr" or "mg". Blocks until the library's thread has said them: for
    /// threads of other voices.
    ///
    /// # Errors
    /// As [`Synthesizer::speak`]; [`EngineError::Failed`] when the data has no such voice.
    pub(crate) fn phonemes(&self, text: &str, voice: &str, standing: Standing) -> Result<String, EngineError> {
        let (answer, answered) = oneshot::channel();
        let text = CString::new(plain(text)).map_err(|_| EngineError::Input("the text holds a zero byte".into()))?;
        self.queue.submit(Job::Phonemes(Phonemes { text, voice: voice.into(), standing, answer }))?;
        answered.blocking_recv().map_err(|_| EngineError::Stopped { engine: ENGINE })?
    }
}

impl Synthesizer for Espeak {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        if text.len() > MAX_TEXT {
            let length = text.len();
            return Err(EngineError::Input(format!(
                "{length} bytes to say at once, {MAX_TEXT} at most: cut into clauses"
            )));
        }
        let plain = plain(text);
        if !plain.chars().any(char::is_alphanumeric) {
            return Err(EngineError::Input("there is nothing to say: the text has no letter and no digit".into()));
        }
        self.check(language, &options)?;
        let (pieces, speech) = mpsc::channel(MAX_PIECES);
        let voice = match &options.variant {
            Some(variant) => format!("{}+{variant}", language.code()),
            None => language.code().to_owned(),
        };
        let pause = shape::pause_after(&plain);
        let text = CString::new(plain).map_err(|_| EngineError::Input("the text holds a zero byte".into()))?;
        let SpeechOptions { speed, pitch, class, wanted, .. } = options;
        let standing = Standing::new(class, wanted);
        let clause = Clause { text, voice, language, speed, pitch, pause, standing, pieces };
        self.queue.submit(Job::Clause(clause))?;
        Ok(Speech::new(speech))
    }

    fn check(&self, _: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        let SpeechOptions { variant, speed, pitch, class: _, wanted: _ } = options;
        if let Some(variant) = variant
            && !self.variants.contains(variant)
        {
            return Err(EngineError::Input(format!(
                "the voice variant {variant:?} is not known; these are: {}",
                self.variants.join(", ")
            )));
        }
        if !(80..=450).contains(speed) {
            return Err(EngineError::Input(format!("the speed {speed} is outside 80 to 450 words a minute")));
        }
        if *pitch > 100 {
            return Err(EngineError::Input(format!("the pitch {pitch} is outside 0 to 100")));
        }
        Ok(())
    }

    fn waiting(&self) -> Waiting {
        self.queue.waiting()
    }

    fn work(&self) -> Work {
        self.queue.work()
    }

    fn stopped(&self) -> bool {
        self.queue.stopped()
    }
}

/// What the library's thread is asked for.
enum Job {
    Clause(Clause),
    Phonemes(Phonemes),
}

/// A clause to speak.
struct Clause {
    text: CString,
    /// The library's name: language and variant, "mg+f2".
    voice: String,
    language: Language,
    speed: u16,
    pitch: u8,
    /// Samples of silence to leave at the end.
    pause: usize,
    standing: Standing,
    pieces: mpsc::Sender<Result<Piece, EngineError>>,
}

/// A text whose phonemes another voice wants to know.
struct Phonemes {
    text: CString,
    voice: String,
    standing: Standing,
    answer: oneshot::Sender<Result<String, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        match self {
            Self::Clause(clause) => &clause.standing,
            Self::Phonemes(asked) => &asked.standing,
        }
    }

    fn is_left(&self) -> bool {
        match self {
            Self::Clause(clause) => clause.pieces.is_closed(),
            Self::Phonemes(asked) => asked.answer.is_closed(),
        }
    }
}

/// The library's thread: one job after the other until the last handle is gone.
fn serve(mut library: Library, jobs: Jobs<Job>) {
    let mut gains = HashMap::new();
    while let Some(job) = jobs.next() {
        match job {
            Job::Clause(clause) if clause.pieces.is_closed() => {}
            Job::Clause(clause) => {
                if let Err(error) = speak(&mut library, &mut gains, &clause, &jobs) {
                    tracing::warn!(voice = clause.voice, %error, "a clause was not spoken");
                    // Room is kept for this last one; a listener who is gone needs no error.
                    clause.pieces.try_send(Err(error)).ok();
                }
            }
            Job::Phonemes(Phonemes { text, voice, standing, answer }) => {
                let said = library.set_voice(&voice).and_then(|()| library.phonemes(&text, true));
                jobs.answered(&standing);
                answer.send(said).ok();
            }
        }
    }
}

fn speak(
    library: &mut Library,
    gains: &mut HashMap<String, f32>,
    job: &Clause,
    jobs: &Jobs<Job>,
) -> Result<(), EngineError> {
    library.set_voice(&job.voice)?;
    let gain = match gains.get(&job.voice) {
        Some(gain) => *gain,
        None => {
            let gain = calibrate(library, job.language)?;
            gains.insert(job.voice.clone(), gain);
            gain
        }
    };
    library.set_manner(i32::from(job.speed), i32::from(job.pitch))?;
    let mut shaper = Shaper::new(ENGINE, library.sample_rate(), gain, job.pause)?;
    let (mut any, mut full) = (false, false);
    let mut send = |piece: Vec<i16>| {
        if piece.is_empty() {
            return !job.pieces.is_closed();
        }
        if !any {
            jobs.answered(&job.standing);
        }
        any = true;
        full = job.pieces.capacity() <= 1;
        !full && job.pieces.try_send(Ok(piece.into())).is_ok()
    };
    let whole = library.synthesize(&job.text, |samples| {
        let mut piece = Vec::new();
        shaper.push(samples, &mut piece);
        send(piece)
    })?;
    if whole {
        let mut rest = Vec::new();
        shaper.finish(&mut rest);
        send(rest);
    }
    if full {
        let reason = "the clause is longer than three minutes".into();
        return Err(EngineError::Failed { engine: ENGINE, reason });
    }
    if !any && !job.pieces.is_closed() {
        let reason = "the library gave no sound for this text".into();
        return Err(EngineError::Failed { engine: ENGINE, reason });
    }
    Ok(())
}

/// Speaks a set sentence to nobody and says by what its samples must be multiplied to reach the level of speech.
fn calibrate(library: &mut Library, language: Language) -> Result<f32, EngineError> {
    let sentence = match language {
        Language::Mg => c"Miarahaba anao tompoko.",
        Language::Fr => c"Bonjour, comment allez-vous?",
    };
    let mut samples = Vec::new();
    library.set_manner(175, 50)?;
    library.synthesize(sentence, |piece| {
        samples.extend_from_slice(piece);
        true
    })?;
    Ok(shape::gain_for(&samples))
}

/// The text without what the library would take for a command: control characters begin its embedded commands, double
/// brackets its phoneme codes, and invisible or private characters would be named aloud.
fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '[' | ']' | '<' | '>' | '{' | '}' | '|' | '\\' | '`' | '^' | '~' | '_' | '*' | '#' => ' ',
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => ' ',
            '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fffd}' => ' ',
            letter if letter.is_control() => ' ',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, sync::OnceLock, time::Duration};

    use super::*;

    /// The build's own data, unpacked once for all tests of the process.
    pub(crate) fn voice() -> Espeak {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("milo-voice-{}", std::process::id()));
            unpack(&folder);
            folder
        });
        Espeak::load(folder).unwrap()
    }

    fn unpack(folder: &Path) {
        for (name, content) in data::FILES {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }

    async fn all(mut speech: Speech) -> Vec<i16> {
        let mut samples = Vec::new();
        while let Some(piece) = speech.next().await {
            let piece = piece.unwrap();
            assert!(!piece.is_empty());
            samples.extend(piece);
        }
        samples
    }

    async fn speech(text: &str, language: Language, options: SpeechOptions) -> Speech {
        let voice = voice();
        loop {
            // Another test fills the one queue of the process.
            match voice.speak(text, language, options.clone()) {
                Err(EngineError::Overloaded { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                speech => return speech.unwrap(),
            }
        }
    }

    async fn said(text: &str, language: Language, options: SpeechOptions) -> Vec<i16> {
        all(speech(text, language, options).await).await
    }

    fn variant(name: &str) -> SpeechOptions {
        SpeechOptions { variant: Some(name.into()), ..SpeechOptions::default() }
    }

    fn rms(samples: &[i16]) -> f64 {
        let loud: Vec<&[i16]> = samples.chunks(320).filter(|frame| frame.iter().any(|s| s.abs() > 300)).collect();
        let energy: f64 = loud.iter().flat_map(|frame| frame.iter()).map(|&s| f64::from(s) * f64::from(s)).sum();
        (energy / loud.iter().map(|frame| frame.len() as f64).sum::<f64>()).sqrt()
    }

    #[tokio::test]
    async fn both_languages_speak_at_one_level_in_every_common_variant() {
        let cases = [
            (Language::Mg, "Salama tompoko, inona no azoko atao ho anao?"),
            (Language::Fr, "Bonjour, que puis-je faire pour vous ?"),
        ];
        for (language, text) in cases {
            for options in [SpeechOptions::default(), variant("f2"), variant("m3"), variant("klatt")] {
                let samples = said(text, language, options.clone()).await;
                let seconds = samples.len() as f64 / 16_000.0;
                assert!((1.2..5.0).contains(&seconds), "{language} {options:?}: {seconds} s");
                let level = 20.0 * (rms(&samples) / 32_768.0).log10();
                assert!((-23.0..-17.0).contains(&level), "{language} {options:?}: {level} dBFS");
                assert!(samples.iter().all(|sample| sample.unsigned_abs() < 32_767), "clipped");
                assert!(samples[..320].iter().any(|sample| sample.abs() > 80), "not voiced within 20 ms");
            }
        }
    }

    #[tokio::test]
    async fn slower_is_longer_and_higher_is_another_pitch() {
        let text = "Misaotra betsaka tompoko.";
        let plain = said(text, Language::Mg, SpeechOptions::default()).await;
        let slow = said(text, Language::Mg, SpeechOptions { speed: 90, ..SpeechOptions::default() }).await;
        let high = said(text, Language::Mg, SpeechOptions { pitch: 90, ..SpeechOptions::default() }).await;
        assert!(slow.len() as f64 > plain.len() as f64 * 1.3, "{} and {}", slow.len(), plain.len());
        let crossings = |samples: &[i16]| samples.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        assert_ne!(crossings(&high), crossings(&plain));
    }

    #[tokio::test]
    async fn a_dropped_clause_stops_and_the_next_one_is_whole() {
        let whole = said("Eny tompoko.", Language::Mg, SpeechOptions::default()).await;
        let long = "misaotra betsaka ".repeat(100);
        let mut speech = speech(&long, Language::Mg, SpeechOptions::default()).await;
        assert!(speech.next().await.unwrap().is_ok());
        drop(speech);
        let after = said("Eny tompoko.", Language::Mg, SpeechOptions::default()).await;
        assert!(after.len().abs_diff(whole.len()) < 800, "{} and {}", after.len(), whole.len());
    }

    #[tokio::test]
    async fn markup_and_control_characters_are_harmless() {
        let plain = said("Salama tompoko.", Language::Mg, SpeechOptions::default()).await;
        for text in [
            "\u{1}400SSalama \u{1}99Ptompoko.\u{200f}",
            "[[Salama]] \u{7}tompoko.\u{0}",
            "<speak><prosody rate=\"x-slow\">Salama tompoko.</prosody></speak>",
        ] {
            let samples = said(text, Language::Mg, SpeechOptions::default()).await;
            assert!(samples.len() >= plain.len() * 9 / 10, "{text:?} said {} of {}", samples.len(), plain.len());
        }
        // The speed command, had it been obeyed, would stay.
        let again = said("Salama tompoko.", Language::Mg, SpeechOptions::default()).await;
        assert!(again.len().abs_diff(plain.len()) < 800);
    }

    #[tokio::test]
    async fn what_cannot_be_said_is_refused_with_a_sentence() {
        let voice = voice();
        for text in ["", "   ", "…!?", "\u{1}\u{2}", "🙂"] {
            let refused = voice.speak(text, Language::Mg, SpeechOptions::default());
            assert!(matches!(refused, Err(EngineError::Input(_))), "{text:?}");
        }
        assert!(matches!(
            voice.speak(&"a".repeat(2_001), Language::Fr, SpeechOptions::default()),
            Err(EngineError::Input(_))
        ));
        for options in [
            variant("nobody"),
            variant("../../etc/passwd"),
            SpeechOptions { speed: 30, ..SpeechOptions::default() },
            SpeechOptions { pitch: 101, ..SpeechOptions::default() },
        ] {
            assert!(matches!(voice.speak("Eny", Language::Mg, options), Err(EngineError::Input(_))));
        }
    }

    #[tokio::test]
    async fn many_callers_are_served_and_too_many_are_told_at_once() {
        let voice = voice();
        let text = "misaotra betsaka tompoko ".repeat(60);
        let speeches: Vec<_> =
            (0..DEPTH + 40).map(|_| voice.speak(&text, Language::Mg, SpeechOptions::default())).collect();
        let refused = speeches.iter().filter(|speech| matches!(speech, Err(EngineError::Overloaded { .. }))).count();
        // The process has one voice: tests beside this one may have a few clauses in its queue.
        assert!((1..=60).contains(&refused), "{refused} refused");
        let served = speeches.into_iter().flatten().next().unwrap();
        assert!(all(served).await.len() > 16_000);
    }

    #[test]
    fn missing_truncated_or_foreign_data_is_named() {
        let folder = std::env::temp_dir().join(format!("milo-voice-broken-{}", std::process::id()));
        let error = Espeak::load(&folder).err().unwrap().to_string();
        assert!(error.contains("cannot be read") && error.contains("unpacked anew"), "{error}");
        unpack(&folder);
        let phondata = fs::read(folder.join("phondata")).unwrap();
        fs::write(folder.join("phondata"), &phondata[..phondata.len() / 2]).unwrap();
        let error = Espeak::load(&folder).err().unwrap().to_string();
        assert!(error.contains("phondata is not the one of this build"), "{error}");
        fs::write(folder.join("phondata"), phondata).unwrap();
        fs::write(folder.join("mg_dict"), "").unwrap();
        let error = Espeak::load(&folder).err().unwrap().to_string();
        assert!(error.contains("mg_dict is empty"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
        let deep = folder.join("deep".repeat(40));
        assert!(Espeak::load(&deep).err().unwrap().to_string().contains("shorter"));
    }
}
