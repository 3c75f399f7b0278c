//! What a voice is worth on the telephone: it says the sentences of `models/evaluation/speech/`, a telephone line carries them, and ears
//! write them down. What the ears have wrong of a voice, beside what they have wrong of others, is how hard it is to understand; how
//! long it takes is measured on the way.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{Figure, Score, line::telephone, rows, speech::judge};
use crate::{
    engine::Language,
    synthesizer::{SpeechOptions, Synthesizer},
    text::speakable,
    transcriber::{Listen, Transcriber},
};

const SETS: [(Language, &str, &str); 2] = [
    (Language::Mg, "the voice, understood by telephone, Malagasy", include_str!("../../evaluation/speech/mg.tsv")),
    (Language::Fr, "the voice, understood by telephone, French", include_str!("../../evaluation/speech/fr.tsv")),
];
/// Samples in a second.
const RATE: f64 = 16_000.0;

/// What a voice scored.
#[derive(Debug)]
pub struct Spoken {
    /// Words that the ears had wrong, by language.
    pub scores: Vec<Score>,
    /// How quick it was.
    pub pace: Pace,
}

/// How quick a voice is that says one sentence after the other.
#[derive(Debug, Default)]
pub struct Pace {
    /// From a sentence to its first sample, one each.
    firsts: Vec<Duration>,
    /// From a sentence to its last sample, all together.
    made: Duration,
    /// How long all of it sounds, in seconds.
    seconds: f64,
}

impl Pace {
    /// One sentence: when its first and its last sample came, and how many there are.
    fn add(&mut self, first: Duration, last: Duration, samples: usize) {
        self.firsts.push(first);
        self.made += last;
        self.seconds += samples as f64 / RATE;
    }

    /// The share of the time that it sounds in which it is made.
    pub fn real_time_factor(&self) -> f64 {
        self.made.as_secs_f64() / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// The time to the first sample that so many of a hundred sentences keep.
    pub fn first_sample(&self, of_a_hundred: usize) -> Duration {
        let mut firsts = self.firsts.clone();
        firsts.sort_unstable();
        let at = (firsts.len() * of_a_hundred).div_ceil(100).max(1) - 1;
        firsts.get(at).copied().unwrap_or_default()
    }
}

/// Has a voice say the first `most` sentences of each language, and ears that know the language write them down.
///
/// # Errors
/// A line of a set that is not as it must be, a voice or ears that fail.
pub async fn scores(voice: &dyn Synthesizer, ears: &dyn Transcriber, most: usize) -> Result<Spoken, String> {
    let mut spoken = Spoken { scores: Vec::new(), pace: Pace::default() };
    for (language, name, file) in SETS {
        let mut score = Score::new(name, Figure::Words { edits: 0, words: 0 });
        for (line, [.., said, wanted]) in rows::<7>(file)?.into_iter().take(most) {
            let place = format!("speech/{language}.tsv, line {line}");
            let samples = say(voice, said, language, &mut spoken.pace).await;
            let samples = samples.map_err(|why| format!("{place}: {why}"))?;
            let line = telephone(&samples, None, &mut StdRng::seed_from_u64(line as u64));
            let heard = ears.transcribe(line, Listen::to(Some(language))).await;
            judge(&mut score, &place, wanted, &heard.map_err(|error| format!("{place}: {error}"))?.text, language);
        }
        spoken.scores.push(score);
    }
    Ok(spoken)
}

/// All of a sentence's samples.
async fn say(voice: &dyn Synthesizer, text: &str, language: Language, pace: &mut Pace) -> Result<Vec<i16>, String> {
    let (begun, mut samples, mut first) = (Instant::now(), Vec::new(), None);
    let speech = voice.speak(&speakable(text, language), language, SpeechOptions::default());
    let mut speech = speech.map_err(|error| error.to_string())?;
    while let Some(piece) = speech.next().await {
        samples.extend(piece.map_err(|error| error.to_string())?);
        first.get_or_insert_with(|| begun.elapsed());
    }
    let first = first.ok_or("the voice said nothing")?;
    pace.add(first, begun.elapsed(), samples.len());
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        engine::EngineError,
        queue::{Waiting, Work},
        synthesizer::Speech,
        transcriber::{Transcribing, Transcript},
    };

    /// A voice that says one second in two pieces, or nothing.
    struct Humming(bool);

    impl Synthesizer for Humming {
        fn speak(&self, _: &str, _: Language, _: SpeechOptions) -> Result<Speech, EngineError> {
            let (says, pieces) = mpsc::channel(2);
            for _ in 0..if self.0 { 2 } else { 0 } {
                says.try_send(Ok(vec![900; 8_000].into())).unwrap();
            }
            Ok(Speech::new(pieces))
        }

        fn check(&self, _: Language, _: &SpeechOptions) -> Result<(), EngineError> {
            Ok(())
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    /// Ears that write the same whatever they hear, and look at how long it is.
    struct Writing(&'static str);

    impl Transcriber for Writing {
        fn transcribe(&self, samples: Vec<i16>, listen: Listen) -> Transcribing {
            // A second, and the silence of a line around it.
            assert_eq!(samples.len(), 16_000 + 4_000 + 4_800);
            let transcript = Transcript::written(self.0.into(), listen.language.unwrap());
            Box::pin(async move { Ok(transcript) })
        }

        fn knows_words(&self) -> bool {
            false
        }

        fn takes_prompt(&self) -> bool {
            false
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn what_ears_write_of_a_voice_is_judged_by_language() {
        let spoken = scores(&Humming(true), &Writing("eka marina"), 2).await.unwrap();
        let [malagasy, french] = &spoken.scores[..] else { panic!("{spoken:?}") };
        assert_eq!((malagasy.cases, malagasy.right(), french.cases, french.right()), (2, 1, 2, 0), "{spoken:?}");
        assert!((spoken.pace.seconds - 4.0).abs() < 1e-9 && spoken.pace.real_time_factor() < 1.0);
        let why = scores(&Humming(false), &Writing(""), 1).await.unwrap_err();
        assert!(why.contains("speech/mg.tsv, line ") && why.ends_with("the voice said nothing"), "{why}");
    }

    #[test]
    fn the_first_sample_is_told_of_the_sentences_in_the_middle_and_of_nearly_all() {
        let mut pace = Pace::default();
        for ms in [30, 10, 20, 40] {
            pace.add(Duration::from_millis(ms), Duration::from_millis(100), 16_000);
        }
        assert_eq!(pace.first_sample(50), Duration::from_millis(20));
        assert_eq!(pace.first_sample(95), Duration::from_millis(40));
        assert!((pace.real_time_factor() - 0.1).abs() < 1e-9);
        assert_eq!(Pace::default().first_sample(95), Duration::ZERO);
    }
}
