//! A text of any length as sound, clause by clause as it is made, or as it was made before.

use std::{collections::VecDeque, time::Duration};

use milo_models::{
    engine::{EngineError, Language},
    synthesizer::{Speech, SpeechOptions},
    text::{clauses::Clauses, speakable, tongue},
};
use serde::{Deserialize, Serialize};
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{Chats, known::Known};
use crate::engines::Engines;

/// How long a text that has begun waits for its place in the voice's queue.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it asks.
const AGAIN: Duration = Duration::from_millis(20);
/// A clause longer than this is cut between words; the voice takes 2,000 bytes at once.
const LONGEST: usize = 1_500;
/// Clauses that are known are no longer than this, in samples: a quarter of a minute.
const KNOWN: usize = 15 * 16_000;

/// The longest text, in characters.
const LONGEST_TEXT: usize = 10_000;
/// Words a minute at speed 1.
const PACE: f32 = 155.0;
/// How much slower and quicker than that it may be.
const SPEEDS: std::ops::RangeInclusive<f32> = 0.6..=2.5;

/// A text that is to be said.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Speakable)]
pub struct Say {
    /// The words; figures are read out.
    #[schema(min_length = 1, max_length = 10000)]
    pub text: String,
    /// What they are; told from them when it is left out.
    #[schema(value_type = Option<crate::engines::Tongue>)]
    pub language: Option<Language>,
    /// A variant of the voice.
    pub voice: Option<String>,
    /// 1 is the voice's own.
    #[schema(minimum = 0.6, maximum = 2.5)]
    pub speed: Option<f32>,
}

impl Say {
    /// # Errors
    /// [`EngineError::Input`]: there is nothing to say, or too much, or the speed is out of its range.
    pub fn check(&self) -> Result<(), EngineError> {
        let wrong = |says: String| Err(EngineError::Input(says));
        if !self.text.chars().any(char::is_alphanumeric) {
            return wrong("the text is empty: there is nothing to say".into());
        }
        let length = self.text.chars().count();
        if length > LONGEST_TEXT {
            return wrong(format!("the text has {length} characters; {LONGEST_TEXT} are the most"));
        }
        match self.speed {
            Some(speed) if !SPEEDS.contains(&speed) => {
                wrong(format!("speed = {speed} is not within {} to {}", SPEEDS.start(), SPEEDS.end()))
            }
            _ => Ok(()),
        }
    }
}

impl Chats {
    /// Begins to say a text, clause by clause, in the language that comes back.
    ///
    /// # Errors
    /// As [`Say::check`].
    pub fn say(&self, say: &Say) -> Result<(Aloud, Language), EngineError> {
        say.check()?;
        let language = say.language.or_else(|| tongue(&say.text)).unwrap_or(Language::Mg);
        let speed = (PACE * say.speed.unwrap_or(1.0)).round() as u16;
        let options = SpeechOptions { variant: say.voice.clone(), speed, ..SpeechOptions::default() };
        Ok((self.aloud(&say.text, language, options), language))
    }
}

/// A text being said. Dropping it cancels the rest.
pub struct Aloud {
    engines: Engines,
    known: Known,
    language: Language,
    options: SpeechOptions,
    clauses: VecDeque<String>,
    /// The clause that is being said, as far as nobody has heard it.
    speech: Option<mpsc::Receiver<Result<Vec<i16>, EngineError>>>,
    has_begun: bool,
}

impl Aloud {
    pub(super) fn new(
        (engines, known): (Engines, Known),
        text: &str,
        language: Language,
        options: SpeechOptions,
    ) -> Self {
        let mut cutter = Clauses::new();
        let mut clauses = cutter.push(text);
        clauses.extend(cutter.finish());
        let clauses = clauses
            .iter()
            .map(|clause| speakable(clause, language))
            .filter(|clause| clause.chars().any(char::is_alphanumeric))
            .flat_map(|clause| cut(&clause))
            .collect();
        Self { engines, known, language, options, clauses, speech: None, has_begun: false }
    }

    /// The words as they will be said: figures, money and dates read out.
    pub fn words(&self) -> String {
        self.clauses.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The next samples at 16 kHz; `None` at the end.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when the voice's queue is full: at once as it begins, after ten seconds later;
    /// [`EngineError::Input`] for options out of their range; nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<Vec<i16>, EngineError>> {
        loop {
            if let Some(speech) = &mut self.speech {
                match speech.recv().await {
                    Some(Ok(samples)) => return Some(Ok(samples)),
                    Some(Err(error)) => return self.fail(error),
                    None => self.speech = None,
                }
            }
            let clause = self.clauses.pop_front()?;
            let name = self.name(&clause);
            if let Some(known) = self.known.get(&name).await {
                self.has_begun = true;
                return Some(Ok(samples(&known)));
            }
            let until = Instant::now() + PATIENCE;
            let stood_in = self.engines.voice_stood_in();
            let speech = loop {
                match self.engines.voice.speak(&clause, self.language, self.options.clone()) {
                    Ok(speech) => break speech,
                    Err(EngineError::Overloaded { .. }) if self.has_begun && Instant::now() < until => {
                        sleep(AGAIN).await
                    }
                    Err(error) => return self.fail(error),
                }
            };
            let made =
                Made { known: self.known.clone(), name, engines: self.engines.clone(), stood_in, samples: Vec::new() };
            self.speech = Some(drained(speech, made));
            self.has_begun = true;
        }
    }

    /// What the clause is known by: all that its sound depends on.
    fn name(&self, clause: &str) -> String {
        let SpeechOptions { variant, speed, pitch, class: _, wanted: _ } = &self.options;
        let kept = if self.engines.is_local() { " local" } else { "" };
        let how = format!("{speed} {pitch}{kept}{}", self.engines.made_by(&["tts"]));
        self.known.name(&[clause, self.language.code(), variant.as_deref().unwrap_or_default(), &how])
    }

    fn fail(&mut self, error: EngineError) -> Option<Result<Vec<i16>, EngineError>> {
        self.clauses.clear();
        self.speech = None;
        Some(Err(error))
    }
}

/// A clause that is being made, to be known from then on.
struct Made {
    known: Known,
    name: String,
    engines: Engines,
    stood_in: u64,
    samples: Vec<i16>,
}

impl Made {
    fn more(&mut self, samples: &[i16]) {
        if self.samples.len() <= KNOWN {
            self.samples.extend(samples);
        }
    }

    /// It is whole, and known here from now on: its bytes; none where it is long, or another voice may have stood in.
    fn whole(&self) -> Option<Vec<u8>> {
        let is_right = (1..=KNOWN).contains(&self.samples.len()) && self.engines.voice_stood_in() == self.stood_in;
        let bytes =
            is_right.then(|| self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())?;
        self.known.keep(&self.name, &bytes);
        Some(bytes)
    }
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// Takes a clause from the voice as quickly as that makes it, whoever listens: whoever reads slowly keeps no place at a server. What
/// waits for the listener is no more than the clause: three minutes. Ends with the listener.
fn drained(mut speech: Speech, mut whole: Made) -> mpsc::Receiver<Result<Vec<i16>, EngineError>> {
    let (pieces, heard) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut is_over, mut made) = (false, Vec::new());
        loop {
            select! {
                biased;
                () = pieces.closed() => return,
                piece = speech.next(), if !is_over => match piece {
                    Some(Ok(samples)) => {
                        whole.more(&samples);
                        made.extend(samples);
                    }
                    Some(Err(error)) => {
                        drop(speech);
                        if !made.is_empty() {
                            pieces.send(Ok(made)).await.ok();
                        }
                        pieces.send(Err(error)).await.ok();
                        return;
                    }
                    None => is_over = true,
                },
                room = pieces.reserve(), if !made.is_empty() => match room {
                    Ok(room) => room.send(Ok(std::mem::take(&mut made))),
                    Err(_) => return,
                },
            }
            if is_over && made.is_empty() {
                break;
            }
        }
        let bytes = whole.whole();
        // Nobody waits for Redis.
        drop(pieces);
        if let Some(bytes) = bytes {
            whole.known.share(&whole.name, &bytes).await;
        }
    });
    heard
}

/// A clause in pieces that the voice takes, cut between words where there are any.
fn cut(clause: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = clause;
    while rest.len() > LONGEST {
        let most = rest.floor_char_boundary(LONGEST);
        let at = rest[..most].rfind(char::is_whitespace).filter(|at| *at > 0).unwrap_or(most);
        pieces.push(rest[..at].to_owned());
        rest = rest[at..].trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_clauses_are_cut_between_words_and_walls_anywhere() {
        let words = "salama ".repeat(500);
        let pieces = cut(words.trim());
        assert!(pieces.iter().all(|piece| piece.len() <= LONGEST && !piece.starts_with(' ') && piece.ends_with('a')));
        assert_eq!(pieces.join(" "), words.trim());
        let wall = "é".repeat(2_000);
        assert_eq!(cut(&wall).concat(), wall);
    }
}
