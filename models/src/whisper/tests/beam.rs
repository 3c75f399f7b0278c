//! Beam search, and what stands before an utterance, against transformers.

use super::*;

#[derive(serde::Deserialize)]
pub(super) struct Golden {
    width: usize,
    prompt_text: String,
    /// What stands before the prompt where that text is told.
    before: Vec<u32>,
    searches: Vec<Search>,
    /// Behind that text: the likeliest token each time, and a beam.
    prompted: [Search; 2],
}

#[derive(serde::Deserialize)]
struct Search {
    /// The token that ends it: the model's own, or one that is sooner said.
    end: u32,
    tokens: Vec<u32>,
    score: Option<f32>,
}

impl Search {
    /// Transformers stopped there, whether or not it had come to an end.
    const LONGEST: usize = 16;

    fn assert_said(&self, (mut tokens, mean): (Vec<u32>, f32)) {
        let sum = mean * (tokens.len() + 1) as f32;
        if tokens.len() < Self::LONGEST {
            tokens.push(self.end);
        }
        assert_eq!(tokens, self.tokens);
        if let Some(score) = self.score {
            assert!((sum / tokens.len() as f32 - score).abs() < 1e-4, "{sum} {score}");
        }
    }
}

/// The golden model, the utterance's states and the decoder's first rows behind `before` and the prompt.
fn begun(before: &[u32]) -> (Decoder, ort::value::DynValue, Cache, Vec<f32>) {
    let Worker { mut decoder, mel, .. } = worker("merged", WhisperOptions::default());
    let features = mel.features(&golden_speech(), PCM, decoder.model.frames());
    let hidden = decoder.model.encode(features).unwrap();
    let mut cache = Cache::default();
    let prompt = [before, &golden().prompt].concat();
    let mut rows = decoder.model.decoder.run(&hidden, &prompt, &mut cache).unwrap();
    let first = rows.pop().unwrap();
    (decoder, hidden, cache, first)
}

#[test]
fn a_beam_finds_what_transformers_finds_and_is_as_sure_of_it() {
    let golden = golden().beam;
    let (mut decoder, hidden, cache, first) = begun(&[]);
    for search in &golden.searches {
        decoder.tokens.end = search.end;
        let sizes = (golden.width, Search::LONGEST);
        let said = decoder.search(&hidden, (cache.clone(), &first), sizes, &never).unwrap().unwrap();
        search.assert_said(said);
    }
    decoder.tokens.end = golden.searches[0].end;
    let sizes = (1, Search::LONGEST);
    let narrow = decoder.search(&hidden, (cache.clone(), &first), sizes, &never).unwrap().unwrap();
    let greedy = decoder.continue_prompt(&hidden, cache, &first, 0.0, Search::LONGEST, &never).unwrap().unwrap();
    assert_eq!(narrow.0, greedy.0, "one beginning is the likeliest token each time");
}

#[test]
fn nobody_waits_and_the_search_ends() {
    let (mut decoder, hidden, cache, first) = begun(&[]);
    for patience in [0, 1, 4] {
        let asked = Cell::new(0);
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        assert!(decoder.search(&hidden, (cache.clone(), &first), (3, 16), &cancelled).unwrap().is_none());
        assert_eq!(asked.get(), patience + 1);
    }
}

#[test]
fn what_stands_before_an_utterance_is_what_transformers_puts_there() {
    let golden = golden().beam;
    let [greedy, beam] = &golden.prompted;
    let told = WhisperOptions { prompt: Some(golden.prompt_text.clone()), ..WhisperOptions::default() };
    let Worker { decoder, before, .. } = worker("merged", told);
    assert_eq!(before.tokens(None, &decoder.tokens).unwrap(), golden.before);
    let (mut decoder, hidden, cache, first) = begun(&golden.before);
    let said = decoder.continue_prompt(&hidden, cache.clone(), &first, 0.0, Search::LONGEST, &never).unwrap().unwrap();
    greedy.assert_said(said);
    let sizes = (golden.width, Search::LONGEST);
    beam.assert_said(decoder.search(&hidden, (cache, &first), sizes, &never).unwrap().unwrap());
}

#[tokio::test]
async fn a_request_has_a_prompt_of_its_own_and_hot_words_stay_before_it() {
    let text = golden().beam.prompt_text;
    let options = WhisperOptions { hot_words: vec!["bonjour".into(), "fax".into()], ..WhisperOptions::default() };
    let Worker { decoder, before, .. } = worker("merged", options.clone());
    let tokens = &decoder.tokens;
    let words = before.tokens(None, tokens).unwrap();
    let both = before.tokens(Some(&text), tokens).unwrap();
    assert!(both.starts_with(&words) && both.ends_with(&golden().beam.before[1..]), "{both:?}");
    let endless = before.tokens(Some(&text.repeat(50)), tokens).unwrap();
    assert_eq!(endless.len(), decoder.model.positions() / 2, "its end, where there is no room for all of it");
    assert!(endless.starts_with(&words));
    let special = before.tokens(Some("<|endoftext|><|fr|><|0.20|>"), tokens).unwrap();
    assert!(special.starts_with(&words), "{special:?}");
    assert!(
        special.len() <= words.len() + 1,
        "of what looks like special tokens the space before it stays: {special:?}"
    );

    let listen = |prompt: Option<&str>, options| {
        let ears = Whisper::load(&golden_folder().join("merged"), &ort(), options).unwrap();
        let asked = Listen { prompt: prompt.map(Into::into), ..Listen::to(Some(Language::Mg)) };
        ears.transcribe(golden_speech(), asked)
    };
    let plain = WhisperOptions::default();
    let heard = listen(None, plain.clone()).await.unwrap();
    let prompted = listen(Some(&text), plain.clone()).await.unwrap();
    assert_ne!(heard.text, prompted.text, "it is heard otherwise");
    let configured = WhisperOptions { prompt: Some(text), ..plain };
    assert_eq!(listen(None, configured).await.unwrap().text, prompted.text);
}

#[test]
fn a_text_that_has_no_place_is_refused_at_the_start() {
    let fault = |options: WhisperOptions, folder: &Path| {
        Whisper::load(folder, &ort(), options).err().expect("must not load").to_string()
    };
    let merged = golden_folder().join("merged");
    let long = WhisperOptions { hot_words: vec!["salama tompoko".into(); 9], ..WhisperOptions::default() };
    assert!(fault(long, &merged).contains("and this Whisper takes 19"));
    let folder = copy("merged");
    let file = folder.path().join("tokenizer.json");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("<|startofprev|>", "<|before|>")).unwrap();
    let told = WhisperOptions { prompt: Some("salama".into()), ..WhisperOptions::default() };
    assert!(fault(told, folder.path()).contains("has <|startofprev|>: this one lacks it"));
}
