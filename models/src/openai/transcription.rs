//! A transcriber: `audio/transcriptions`.

use reqwest::{
    header::AUTHORIZATION,
    multipart::{Form, Part},
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    engine::{EngineError, Language, RemoteFault},
    queue::{Waiting, Work},
    remote::{Remote, RemoteOptions},
    text::tongue,
    transcriber::{Listen, Segment, Transcriber, Transcribing, Transcript, Word, check},
};

/// An answer is no longer, in bytes: an hour of words with all figures fits.
const LONGEST: usize = 4 << 20;
const SAMPLES_PER_MS: usize = 16;
/// A segment of such figures is no speech: as the local transcriber has it.
const NO_SPEECH: f64 = 0.6;
const POOR_LOGPROB: f64 = -1.0;

/// Asks one model; cheap to clone.
#[derive(Clone)]
pub struct Transcription {
    remote: Remote,
    model: String,
    /// What stands before every utterance, and what behind it unless whoever asks has another.
    hot_words: String,
    prompt: String,
}

/// What comes back: the words, and more of it where the server knows more.
#[derive(Deserialize)]
struct Answer {
    text: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    segments: Option<Vec<Spoken>>,
    /// All words, where they were asked for; some servers put them into the segments.
    #[serde(default)]
    words: Option<Vec<SpokenWord>>,
}

/// A word; seconds from the beginning.
#[derive(Clone, Deserialize)]
struct SpokenWord {
    word: String,
    start: f64,
    end: f64,
}

/// A part of it; seconds from the beginning.
#[derive(Deserialize)]
struct Spoken {
    start: f64,
    end: f64,
    text: String,
    #[serde(default)]
    avg_logprob: Option<f64>,
    #[serde(default)]
    no_speech_prob: Option<f64>,
    #[serde(default)]
    words: Option<Vec<SpokenWord>>,
}

impl Transcription {
    /// A model on a server, which is not asked before the first utterance.
    ///
    /// # Errors
    /// [`EngineError::Load`]: address, key, proxy or authorities are not what they should be.
    pub fn new(options: &RemoteOptions) -> Result<Self, EngineError> {
        let remote = Remote::new("remote transcriber", options, (AUTHORIZATION, "Bearer "))?;
        Ok(Self { remote, model: options.model.clone(), hot_words: String::new(), prompt: String::new() })
    }

    /// The same, and the server is told what stands before every utterance ([`crate::whisper::WhisperOptions`]).
    #[must_use]
    pub fn told(self, hot_words: &[String], prompt: Option<&str>) -> Self {
        Self { hot_words: hot_words.join(", "), prompt: prompt.unwrap_or_default().into(), ..self }
    }

    async fn ask(&self, samples: &[i16], asked: Listen) -> Result<Transcript, EngineError> {
        check(samples)?;
        let Listen { language, words, prompt, class: _, wanted: _ } = asked;
        if words && !self.knows_words() {
            let says = format!("the model {} tells no times of words", self.model);
            return Err(EngineError::Input(says));
        }
        let _place = self.remote.place()?;
        let (began, until) = (Instant::now(), self.remote.deadline());
        // OpenAI's newer models tell the words and nothing more, and refuse to be asked for more.
        let format = if self.is_terse() { "json" } else { "verbose_json" };
        let (sound, before) = (milo_media::wav::bytes(samples), self.before(prompt.as_deref()));
        let question = || {
            let sound = Part::bytes(sound.clone()).file_name("speech.wav").mime_str("audio/wav").ok()?;
            let mut form = Form::new()
                .part("file", sound)
                .text("model", self.model.clone())
                .text("response_format", format)
                .text("temperature", "0");
            if let Some(language) = language {
                form = form.text("language", language.code());
            }
            if !before.is_empty() {
                form = form.text("prompt", before.clone());
            }
            if words {
                form = form.text("timestamp_granularities[]", "word").text("timestamp_granularities[]", "segment");
            }
            Some(self.remote.post("audio/transcriptions").multipart(form))
        };
        let first = question().expect("audio/wav is the name of a type");
        let response = self.remote.send_or_again(first, question, until).await?;
        let body = self.remote.body(response, LONGEST, until).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| self.remote.fault(RemoteFault::Broken, format!("answers with no transcript: {error}")))?;
        let duration_ms = u32::try_from(samples.len() / SAMPLES_PER_MS).unwrap_or(u32::MAX);
        let processing_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let heard = answer.transcript(language, duration_ms, processing_ms);
        if words && heard.segments.iter().any(|segment| segment.words.is_none()) {
            return Err(self.remote.fault(RemoteFault::Broken, "tells no times of words, which it was asked for"));
        }
        Ok(heard)
    }

    /// What the server is told to stand before the utterance.
    fn before(&self, asked: Option<&str>) -> String {
        let text = asked.unwrap_or(&self.prompt);
        [&self.hot_words, text].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Whether the model tells the words alone.
    fn is_terse(&self) -> bool {
        self.model.starts_with("gpt-")
    }
}

impl Transcriber for Transcription {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        let this = self.clone();
        Box::pin(async move { this.ask(&samples, asked).await })
    }

    fn knows_words(&self) -> bool {
        !self.is_terse()
    }

    fn takes_prompt(&self) -> bool {
        true
    }

    /// None: a request finds a place at once, or is refused.
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

impl Answer {
    fn transcript(self, asked: Option<Language>, duration_ms: u32, processing_ms: u32) -> Transcript {
        let whole = |text: String| Spoken {
            start: 0.0,
            end: f64::from(duration_ms) / 1e3,
            text,
            avg_logprob: None,
            no_speech_prob: None,
            words: None,
        };
        let mut parts = self.segments.unwrap_or_default();
        if parts.is_empty() {
            parts.push(whole(self.text));
        }
        place(self.words, &mut parts);
        let no_speech_prob = parts.iter().filter_map(|part| part.no_speech_prob).reduce(f64::min);
        parts.retain(|part| !part.is_no_speech() && !part.text.trim().is_empty());
        let text = parts.iter().map(|part| part.text.trim()).collect::<Vec<_>>().join(" ");
        let at = |seconds: f64| ((seconds * 1e3) as u32).min(duration_ms);
        // Each segment counts as much as it is long; one without a figure leaves the whole without one.
        let length = |part: &Spoken| (part.end - part.start).max(0.01);
        let sum: Option<f64> = parts.iter().map(|part| Some(part.avg_logprob? * length(part))).sum();
        let total: f64 = parts.iter().map(length).sum();
        let avg_logprob = sum.filter(|_| total > 0.0).map(|sum| (sum / total).min(0.0));
        let told = self.language.as_deref().and_then(known);
        Transcript {
            language: asked.or(told).or_else(|| tongue(&text)).unwrap_or(Language::Mg),
            text,
            language_probability: None,
            confidence: avg_logprob.map(|mean| mean.exp() as f32),
            avg_logprob: avg_logprob.map(|mean| mean as f32),
            no_speech_prob: no_speech_prob.map(|probability| probability as f32),
            segments: parts
                .iter()
                .map(|part| Segment {
                    start_ms: at(part.start),
                    end_ms: at(part.end),
                    text: part.text.trim().into(),
                    words: part.words.as_ref().map(|words| {
                        let word = |word: &SpokenWord| Word {
                            word: word.word.trim().into(),
                            start_ms: at(word.start),
                            end_ms: at(word.end),
                        };
                        words.iter().filter(|word| !word.word.trim().is_empty()).map(word).collect()
                    }),
                })
                .collect(),
            processing_ms,
        }
    }
}

/// Puts each word into the segment in which its middle lies, or else into the nearest; those that segments have stay.
fn place(words: Option<Vec<SpokenWord>>, parts: &mut [Spoken]) {
    let Some(words) = words else { return };
    if parts.iter().any(|part| part.words.is_some()) {
        return;
    }
    parts.iter_mut().for_each(|part| part.words = Some(Vec::new()));
    for word in words {
        let middle = f64::midpoint(word.start, word.end);
        let away = |part: &Spoken| (part.start - middle).max(middle - part.end).max(0.0);
        let nearest = parts.iter_mut().min_by(|one, other| away(one).total_cmp(&away(other)));
        if let Some(words) = nearest.and_then(|part| part.words.as_mut()) {
            words.push(word);
        }
    }
}

impl Spoken {
    fn is_no_speech(&self) -> bool {
        self.no_speech_prob.is_some_and(|probability| probability > NO_SPEECH)
            && self.avg_logprob.is_none_or(|mean| mean < POOR_LOGPROB)
    }
}

/// A language by its code or its English name: servers say either.
fn known(name: &str) -> Option<Language> {
    match name.to_ascii_lowercase().as_str() {
        "mg" | "mlg" | "malagasy" => Some(Language::Mg),
        "fr" | "fra" | "french" => Some(Language::Fr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(json: &str, asked: Option<Language>) -> Transcript {
        serde_json::from_str::<Answer>(json).expect("an answer").transcript(asked, 4_000, 7)
    }

    #[test]
    fn words_alone_are_a_transcript_that_does_not_say_how_sure_it_is() {
        let heard = transcript(r#"{"text":" Bonjour, je voudrais les horaires. "}"#, None);
        assert_eq!((heard.text.as_str(), heard.language), ("Bonjour, je voudrais les horaires.", Language::Fr));
        assert_eq!((heard.confidence, heard.segments[0].end_ms, heard.processing_ms), (None, 4_000, 7));
        let silent = transcript(r#"{"text":""}"#, None);
        assert_eq!((silent.text.as_str(), silent.segments.len(), silent.language), ("", 0, Language::Mg));
    }

    #[test]
    fn a_request_has_a_prompt_of_its_own_behind_the_hot_words() {
        let second = std::time::Duration::from_secs(1);
        let options = RemoteOptions {
            url: "http://127.0.0.1:9/v1".into(),
            model: "whisper-1".into(),
            key: None,
            proxy: None,
            ca: None,
            connect: second,
            first: second,
            between: second,
            parallel: 1,
            again: std::sync::Arc::default(),
        };
        let plain = Transcription::new(&options).unwrap();
        assert_eq!((plain.before(None), plain.before(Some("Salama"))), (String::new(), "Salama".into()));
        let told = plain.told(&["Jirama".into(), "Ivato".into()], Some("Miantso ny birao."));
        assert_eq!(told.before(None), "Jirama, Ivato Miantso ny birao.");
        assert_eq!(told.before(Some("Salama")), "Jirama, Ivato Salama");
    }

    #[test]
    fn words_stand_in_their_segments_whoever_puts_them_there() {
        let all = r#"{"text":"Salama tompoko. Eny.","words":[{"word":"Salama","start":0.5,"end":0.9},
            {"word":"tompoko","start":0.9,"end":1.6},{"word":"Eny","start":2.4,"end":2.6},{"word":" ","start":2.6,"end":2.6}],
            "segments":[{"start":0.5,"end":1.5,"text":" Salama tompoko."},{"start":2.5,"end":3.0,"text":" Eny."}]}"#;
        let within = r#"{"text":"Salama tompoko. Eny.","segments":[
            {"start":0.5,"end":1.5,"text":" Salama tompoko.","words":[{"word":" Salama","start":0.5,"end":0.9,"probability":0.9},
                {"word":" tompoko","start":0.9,"end":1.6}]},
            {"start":2.5,"end":3.0,"text":" Eny.","words":[{"word":" Eny","start":2.4,"end":2.6}]}]}"#;
        for json in [all, within] {
            let heard = transcript(json, None);
            let words: Vec<Vec<_>> = heard
                .segments
                .iter()
                .map(|part| {
                    let words = part.words.iter().flatten();
                    words.map(|word| (word.word.as_str(), word.start_ms, word.end_ms)).collect()
                })
                .collect();
            assert_eq!(words, [vec![("Salama", 500, 900), ("tompoko", 900, 1_600)], vec![("Eny", 2_400, 2_600)]]);
        }
        assert!(transcript(r#"{"text":"Salama"}"#, None).segments[0].words.is_none());
    }

    #[test]
    fn segments_bring_times_and_figures_and_what_is_no_speech_is_left_out() {
        let json = r#"{"task":"transcribe","language":"malagasy","duration":4.0,"text":"Salama tompoko. Merci.","segments":[
            {"id":0,"start":0.5,"end":1.5,"text":" Salama","avg_logprob":-0.1,"no_speech_prob":0.01,"tokens":[1]},
            {"id":1,"start":1.5,"end":3.5,"text":" tompoko.","avg_logprob":-0.4,"no_speech_prob":0.02},
            {"id":2,"start":3.5,"end":9e9,"text":" Merci.","avg_logprob":-1.4,"no_speech_prob":0.9}]}"#;
        let heard = transcript(json, None);
        assert_eq!((heard.text.as_str(), heard.language), ("Salama tompoko.", Language::Mg));
        assert_eq!((heard.segments[1].start_ms, heard.segments[1].end_ms), (1_500, 3_500));
        let mean = heard.avg_logprob.expect("told");
        assert!((mean + 0.3).abs() < 1e-6 && heard.confidence == Some((-0.3_f64).exp() as f32), "{mean}");
        assert_eq!(transcript(json, Some(Language::Fr)).language, Language::Fr, "what was asked for");
        let wild = transcript(r#"{"text":"x","segments":[{"start":-3,"end":1e300,"text":"x"}]}"#, None);
        assert_eq!((wild.segments[0].start_ms, wild.segments[0].end_ms), (0, 4_000));
    }
}
