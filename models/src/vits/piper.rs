//! A Piper voice's JSON, and its phonemes: those of espeak-ng, with the marks that end a clause.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use super::tokens::{Line, read};
use crate::{engine::EngineError, espeak::Espeak, queue::Standing};

/// What begins a text, stands between its phonemes, and ends it.
const MARKS: [&str; 3] = ["^", "_", "$"];

/// The JSON beside a Piper graph, as far as it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Settings {
    pub(super) audio: Audio,
    espeak: Option<EspeakVoice>,
    phoneme_type: Option<String>,
    num_symbols: Option<i64>,
    #[serde(default)]
    pub(super) num_speakers: usize,
    #[serde(default)]
    pub(super) speaker_id_map: HashMap<String, i64>,
    #[serde(default)]
    pub(super) inference: Inference,
    phoneme_id_map: HashMap<String, Vec<i64>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Audio {
    pub(super) sample_rate: u32,
}

#[derive(Debug, Deserialize)]
struct EspeakVoice {
    voice: String,
}

/// How the voice speaks by itself.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Inference {
    pub(super) noise_scale: f32,
    pub(super) length_scale: f32,
    pub(super) noise_w: f32,
}

impl Default for Inference {
    fn default() -> Self {
        Self { noise_scale: 0.667, length_scale: 1.0, noise_w: 0.8 }
    }
}

impl Settings {
    pub(super) fn load(file: &Path) -> Result<Self, EngineError> {
        serde_json::from_str(&read(file)?).map_err(|error| {
            EngineError::Load(format!("{} is not the JSON of a Piper voice ({error}); fetch it again", file.display()))
        })
    }
}

/// The phonemes that a voice knows, and who says them.
pub(super) struct Phonemes {
    ids: HashMap<char, Vec<i64>>,
    begin: Vec<i64>,
    between: Vec<i64>,
    end: Vec<i64>,
    /// espeak-ng and its voice; none, where the voice reads letters.
    said_by: Option<(Espeak, String)>,
}

impl Phonemes {
    pub(super) fn new(settings: &Settings, file: &Path, espeak: &Espeak) -> Result<Self, EngineError> {
        let wrong = |says: String| EngineError::Load(format!("{}: {says}", file.display()));
        let said_by = match settings.phoneme_type.as_deref().unwrap_or("espeak") {
            "espeak" => {
                let voice = settings.espeak.as_ref().map(|espeak| espeak.voice.clone());
                let voice =
                    voice.ok_or_else(|| wrong("espeak.voice is missing: whose phonemes does it read?".into()))?;
                espeak.phonemes("a", &voice, Standing::default()).map_err(|error| {
                    wrong(format!(
                        "espeak.voice = {voice:?}: the voice data of this Milo has none of that name ({error})"
                    ))
                })?;
                Some((espeak.clone(), voice))
            }
            "text" => None,
            other => {
                return Err(wrong(format!("phoneme_type = {other:?} is not known; \"espeak\" and \"text\" are")));
            }
        };
        let most = settings.num_symbols.unwrap_or(1 << 20);
        let too_high = |(_, ids): &(&String, &Vec<i64>)| ids.iter().any(|id| !(0..most).contains(id));
        if let Some((phoneme, ids)) = settings.phoneme_id_map.iter().find(too_high) {
            return Err(wrong(format!(
                "phoneme_id_map gives {phoneme:?} {ids:?}, and there are {most} symbols (num_symbols), counted from 0"
            )));
        }
        let marks = MARKS.map(|mark| {
            let ids = settings.phoneme_id_map.get(mark).cloned();
            ids.ok_or_else(|| wrong(format!("phoneme_id_map lacks {mark:?}, which every Piper voice has")))
        });
        let [begin, between, end] = marks;
        let letter = |(phoneme, ids): (&String, &Vec<i64>)| {
            let mut letters = phoneme.chars();
            letters.next().filter(|_| letters.next().is_none()).map(|letter| (letter, ids.clone()))
        };
        let ids = settings.phoneme_id_map.iter().filter_map(letter).collect();
        Ok(Self { ids, begin: begin?, between: between?, end: end?, said_by })
    }

    /// The highest id.
    pub(super) fn highest(&self) -> i64 {
        self.ids.values().flatten().copied().max().unwrap_or(0)
    }

    /// The tokens of a clause; none, where nothing of it is known.
    pub(super) fn line(&self, text: &str, standing: &Standing) -> Result<Line, EngineError> {
        let mut line = Line { ids: [&*self.begin, &*self.between].concat(), words: Vec::new() };
        let (mut is_known, mut are_counted) = (false, true);
        for (part, mark) in parts(text) {
            if !part.chars().any(char::is_alphanumeric) {
                continue;
            }
            let said = match &self.said_by {
                Some((espeak, voice)) => spoken_only(&espeak.phonemes(part, voice, standing.clone())?),
                None => part.to_lowercase(),
            };
            if is_known {
                self.add(' ', &mut line.ids);
            }
            let written: Vec<&str> = part.split_whitespace().collect();
            let said: Vec<&str> = said.split_whitespace().collect();
            // Where words are said as one, or one as several, nobody knows which is which.
            are_counted &= written.len() == said.len();
            for (at, word) in said.iter().enumerate() {
                if at > 0 {
                    self.add(' ', &mut line.ids);
                }
                let start = line.ids.len();
                let known = word.chars().filter(|phoneme| self.add(*phoneme, &mut line.ids)).count();
                is_known |= known > 0;
                if let Some(written) = written.get(at).filter(|_| known > 0) {
                    line.words.push(((*written).to_owned(), start..line.ids.len() - self.between.len()));
                }
            }
            mark.into_iter().for_each(|mark| {
                self.add(mark, &mut line.ids);
            });
        }
        if !is_known {
            return Ok(Line::default());
        }
        if !are_counted {
            line.words.clear();
        }
        line.ids.extend(&self.end);
        Ok(line)
    }

    /// Adds a phoneme and what stands behind each; whether it is known.
    fn add(&self, phoneme: char, to: &mut Vec<i64>) -> bool {
        let ids = self.ids.get(&phoneme);
        to.extend(ids.into_iter().flat_map(|ids| ids.iter().chain(&self.between)));
        ids.is_some()
    }
}

/// A text cut where espeak-ng would pause, with the mark at the end of each part: it says the phonemes without them.
fn parts(text: &str) -> Vec<(&str, Option<char>)> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let ends = letters.peek().is_none_or(|(_, next)| next.is_whitespace());
        if matches!(letter, '.' | ',' | ':' | ';' | '!' | '?') && ends {
            parts.push((&text[start..at], Some(letter)));
            start = at + letter.len_utf8();
        }
    }
    parts.push((&text[start..], None));
    parts
}

/// Without the names of languages in brackets, which espeak-ng puts around words of another one.
fn spoken_only(phonemes: &str) -> String {
    let mut depth = 0_u32;
    let mut within = |letter: &char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    phonemes.chars().filter(|letter| within(letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_cut_at_its_marks_and_not_within_words() {
        assert_eq!(parts("Eny, tsara ny a.b? Eny"), [("Eny", Some(',')), (" tsara ny a.b", Some('?')), (" Eny", None)]);
        assert_eq!(parts("Eny."), [("Eny", Some('.')), ("", None)]);
    }

    #[test]
    fn names_of_languages_are_not_spoken() {
        assert_eq!(spoken_only("(en)həlˈəʊ(mg) salˈama"), "həlˈəʊ salˈama");
    }
}
