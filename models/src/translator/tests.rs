//! The engine against torch and transformers, on a translator of random weights (`models/tests/translator_tiny/`, made by
//! `models/training/make_golden_translator.py`), and against broken models.

use std::{fs, path::PathBuf};

use tokio::select;

use super::*;

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    translation: String,
    confidence: f32,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/translator_tiny")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

fn load(folder: &Path) -> Result<Translator, EngineError> {
    Translator::load(folder, &OrtRuntime::load(None).unwrap(), TranslatorOptions::default())
}

async fn french(translator: &Translator, text: &str) -> Translation {
    translator.translate(text, Language::Mg, Language::Fr, Class::Interactive).await.unwrap()
}

#[tokio::test]
async fn both_exports_say_what_torch_says_and_how_sure_it_is() {
    let golden = golden();
    for form in ["merged", "split"] {
        let translator = load(&folder().join(form)).unwrap();
        let told = french(&translator, &golden.text).await;
        assert_eq!(told.text, golden.translation, "{form}");
        assert!((told.confidence - golden.confidence).abs() < 1e-3, "{form}: {told:?}");
    }
}

#[tokio::test]
async fn set_phrases_are_known_and_lines_stay() {
    let translator = load(&folder().join("merged")).unwrap();
    let phrase = french(&translator, "Misaotra betsaka!\n\nVeloma.").await;
    assert_eq!(phrase, Translation { text: "Merci beaucoup !\n\nAu revoir.".into(), confidence: 1.0 });
    let golden = golden();
    let both = french(&translator, &format!("Misaotra betsaka! {}", golden.text)).await;
    assert_eq!(both.text, format!("Merci beaucoup ! {}", golden.translation));
    assert!((both.confidence - golden.confidence).abs() < 1e-3, "the least sure sentence counts: {both:?}");
}

#[tokio::test]
async fn a_sentence_longer_than_the_model_is_translated_in_pieces() {
    let translator = load(&folder().join("merged")).unwrap();
    let long = "misokatra ny varavarana fotsy, ".repeat(100);
    let told = french(&translator, &long).await;
    assert!(told.text.len() > 100 && told.confidence > 0.0, "{told:?}");
    let wall = french(&translator, &"x".repeat(3_000)).await;
    assert!((0.0..=1.0).contains(&wall.confidence), "{wall:?}");
}

#[tokio::test]
async fn a_batch_gives_way_and_is_finished_all_the_same() {
    let translator = load(&folder().join("merged")).unwrap();
    let golden = golden();
    let many = format!("{} ", golden.text).repeat(400);
    let mut batch = Box::pin(translator.translate(&many, Language::Mg, Language::Fr, Class::Batch));
    for _ in 0..5 {
        select! {
            biased;
            _ = &mut batch => panic!("a call waited for a batch"),
            told = translator.translate(&golden.text, Language::Mg, Language::Fr, Class::Call) => {
                assert_eq!(told.unwrap().text, golden.translation);
            }
        }
    }
    let whole = batch.await.unwrap().text;
    assert_eq!(whole, vec![golden.translation; 400].join(" "));
}

#[test]
fn what_looks_like_a_special_token_in_a_text_is_text() {
    let (folder, ort) = (folder().join("merged"), OrtRuntime::load(None).unwrap());
    let export = Export::open(&folder, "translator's", &ort, Precision::Full, 1).unwrap();
    let tokens = tokens::Tokens::load(&export, Way::Both).unwrap();
    let ids = tokens.source("aiza </s> fra_Latn ny birao", Language::Mg).unwrap();
    let special = [Some(tokens.end), tokens.language(Language::Fr), tokens.language(Language::Mg)].map(Option::unwrap);
    let found = ids.iter().enumerate().filter(|(_, id)| special.contains(id)).map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(found, [0, ids.len() - 1], "{ids:?}");
}

#[tokio::test]
async fn what_cannot_be_translated_is_said_to_be_so() {
    let translator = load(&folder().join("merged")).unwrap();
    for (text, target, says) in [("?!", Language::Fr, "empty"), ("salama", Language::Mg, "differ")] {
        let error = translator.translate(text, Language::Mg, target, Class::Call).await.unwrap_err();
        assert!(matches!(&error, EngineError::Input(told) if told.contains(says)), "{error}");
    }
}

fn marian() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/marian_tiny")
}

/// A copy of the Marian, with one of its files changed.
fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["encoder_model.onnx", "decoder_model_merged.onnx", "config.json", "generation_config.json"] {
        fs::copy(marian().join(name), copy.path().join(name)).unwrap();
    }
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let text = fs::read_to_string(marian().join(name)).unwrap();
        fs::write(copy.path().join(name), if name == file { text.replace(from, to) } else { text }).unwrap();
    }
    copy
}

/// One that goes the other way, by its own words.
fn back() -> tempfile::TempDir {
    changed(
        "tokenizer_config.json",
        r#""source_lang": "mg", "target_lang": "fr""#,
        r#""source_lang": "fr", "target_lang": "mg""#,
    )
}

fn load_ways(mg_fr: &Path, fr_mg: &Path) -> Result<Translator, EngineError> {
    Translator::load_ways([mg_fr, fr_mg], &OrtRuntime::load(None).unwrap(), TranslatorOptions::default())
}

#[tokio::test]
async fn a_marian_says_what_transformers_generates_and_each_way_has_its_own() {
    let golden: Golden = serde_json::from_slice(&fs::read(marian().join("golden.json")).unwrap()).unwrap();
    // The way back writes an x where the other writes a b.
    let other = back();
    let file = other.path().join("tokenizer.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"b\"", "\"0\"").replace("\"x\"", "\"b\"").replace("\"0\"", "\"x\"")).unwrap();
    let translator = load_ways(&marian(), other.path()).unwrap();
    let told = french(&translator, &golden.text).await;
    assert_eq!(told.text, golden.translation);
    assert!((told.confidence - golden.confidence).abs() < 1e-3, "{told:?}");
    let back = translator.translate(&golden.text, Language::Fr, Language::Mg, Class::Call).await.unwrap();
    assert_eq!(back.text, golden.translation.replace('b', "x"));
    let phrase = french(&translator, "Misaotra betsaka!").await;
    assert_eq!(phrase, Translation { text: "Merci beaucoup !".into(), confidence: 1.0 });
}

#[test]
fn a_marian_of_another_way_or_without_its_tokenizer_is_refused_with_the_mend() {
    let other = back();
    let fault = |mg_fr: &Path, fr_mg: &Path| load_ways(mg_fr, fr_mg).err().expect("must not load").to_string();
    let exchanged = fault(other.path(), &marian());
    assert!(exchanged.contains("from fr into mg, and is named as one from mg: exchange"), "{exchanged}");
    fs::remove_file(other.path().join("tokenizer.json")).unwrap();
    let bare = fault(&marian(), other.path());
    assert!(bare.contains("write it with `python models/training/marian_tokenizer.py"), "{bare}");
    let both = fault(&folder().join("merged"), &marian());
    assert!(both.contains("holds no Marian"), "{both}");
    let alone = load(&marian()).err().unwrap().to_string();
    assert!(alone.contains("translates one way: name one for each"), "{alone}");
}

#[test]
fn a_broken_folder_is_refused_with_its_name() {
    let refused = |change: &dyn Fn(&Path), says: &str| {
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(folder().join("merged")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        change(copy.path());
        let error = load(copy.path()).err().expect("must not load").to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{says}: {error}");
    };
    let without = |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
    refused(&without("encoder_model.onnx"), "holds no encoder_model.onnx");
    refused(&without("decoder_model_merged.onnx"), "holds no decoder_model_merged.onnx");
    refused(&without("tokenizer.json"), "tokenizer.json is not there");
    let no_malagasy = |folder: &Path| {
        let file = folder.join("tokenizer.json");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("plt_Latn", "plt_Arab")).unwrap();
    };
    refused(&no_malagasy, "plt_Latn");
    let whisper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whisper_tiny/merged/encoder_model.onnx");
    let whispers = |folder: &Path| {
        fs::copy(&whisper, folder.join("encoder_model.onnx")).unwrap();
    };
    refused(&whispers, "it is no NLLB-200, M2M100 or Marian");
    let half = |folder: &Path| {
        let file = folder.join("decoder_model_merged.onnx");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    };
    refused(&half, "no whole ONNX graph");
    assert!(load(Path::new("/nowhere/at/all")).err().unwrap().to_string().contains("is not there"));
}
