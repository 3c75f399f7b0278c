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

/// Of different lengths, some of several sentences, set phrases among them, and some the other way.
fn texts(text: &str) -> Vec<(String, [Language; 2])> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let of = |n: usize| match n % 6 {
        0 => text.to_owned(),
        1 => words[n % words.len()].to_owned(),
        2 => format!("{} {}", words[0], text.repeat(1 + n % 3)),
        3 => format!("{text} Misaotra betsaka! {} {text}", words[words.len() - 1]),
        4 => format!("{text}\n\n{}", words.iter().rev().copied().collect::<Vec<_>>().join(" ")),
        _ => "misokatra ny varavarana fotsy, ".repeat(n * 4),
    };
    let ways = [[Language::Mg, Language::Fr], [Language::Fr, Language::Mg]];
    (0..18).map(|n| (of(n), ways[usize::from(n % 5 == 4)])).collect()
}

/// Each is what it is alone, whoever is translated beside it.
async fn assert_same_at_once(load: impl Fn(usize) -> Translator, text: &str) {
    let (alone, together) = (load(1), load(4));
    let mut one_by_one = Vec::new();
    for (text, [source, target]) in texts(text) {
        one_by_one.push(alone.translate(&text, source, target, Class::Interactive).await.unwrap());
    }
    let at_once = texts(text).into_iter().enumerate().map(|(n, (text, [source, target]))| {
        let class = if n % 4 == 3 { Class::Batch } else { Class::Interactive };
        tokio::spawn(together.translate(&text, source, target, class))
    });
    for (alone, told) in one_by_one.iter().zip(at_once.collect::<Vec<_>>()) {
        let told = told.await.unwrap().unwrap();
        assert_eq!(told.text, alone.text);
        assert!((told.confidence - alone.confidence).abs() < 1e-3, "{told:?} {alone:?}");
    }
    let all: std::collections::BTreeSet<_> = one_by_one.iter().map(|told| told.text.clone()).collect();
    assert!(all.len() > 8, "they differ: {all:?}");
    let work = together.work();
    let served = [Class::Interactive, Class::Batch].map(|class| work.classes[class as usize].jobs);
    assert_eq!((served, together.waiting()), ([14, 4], [0; 4]));
}

#[tokio::test]
async fn many_at_once_are_translated_as_each_is_alone() {
    for form in ["merged", "split"] {
        let load = |batch| {
            let options = TranslatorOptions { batch, ..TranslatorOptions::default() };
            Translator::load(&folder().join(form), &OrtRuntime::load(None).unwrap(), options).unwrap()
        };
        assert_same_at_once(load, &golden().text).await;
    }
    let golden: Golden = serde_json::from_slice(&fs::read(marian().join("golden.json")).unwrap()).unwrap();
    let other = back();
    let load = |batch| {
        let options = TranslatorOptions { batch, ..TranslatorOptions::default() };
        let ways = [&*marian(), other.path()];
        Translator::load_ways(ways, &OrtRuntime::load(None).unwrap(), options).unwrap()
    };
    assert_same_at_once(load, &golden.text).await;
}

#[test]
fn graphs_that_choose_the_scale_of_a_run_and_models_without_a_filler_translate_one_after_the_other() {
    let rows = |folder: &Path, way| {
        let ort = OrtRuntime::load(None).unwrap();
        let export = Export::open(folder, "translator's", &ort, Precision::Full, 1).unwrap();
        [1, 8].map(|batch| Model::load(&export, way, batch).unwrap().rows)
    };
    for form in ["merged", "split"] {
        assert_eq!(rows(&folder().join(form), Way::Both), [1, 8]);
    }
    assert_eq!(rows(&marian(), Way::From(Language::Mg)), [1, 8]);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/translator");
    assert_eq!(rows(&shipped, Way::Both), [1, 1], "the scale of its int8 is that of all rows");
    let copy = copy();
    let file = copy.path().join("config.json");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("pad_token_id", "old_token_id")).unwrap();
    assert_eq!(rows(copy.path(), Way::Both), [1, 1]);
}

#[tokio::test]
async fn one_of_many_that_leaves_costs_the_others_nothing() {
    let translator = load(&folder().join("merged")).unwrap();
    let golden = golden();
    let ask = |text: &str| translator.translate(text, Language::Mg, Language::Fr, Class::Interactive);
    let stays = tokio::spawn(ask(&golden.text));
    let many = format!("{} ", golden.text).repeat(50);
    let leaves: Vec<_> = (0..6).map(|_| tokio::spawn(ask(&many))).collect();
    // They have been begun.
    while translator.waiting() != [0; 4] {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    leaves.iter().for_each(tokio::task::JoinHandle::abort);
    let after = ask(&golden.text).await.unwrap();
    assert_eq!([stays.await.unwrap().unwrap().text, after.text], [(); 2].map(|()| golden.translation.clone()));
}

/// `MILO_TRANSLATOR=folder cargo test -p milo-models --release measures_what_translating_side_by_side -- --ignored --nocapture`
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a measure")]
#[ignore = "a measure, of an export in full precision that MILO_TRANSLATOR names"]
async fn measures_what_translating_side_by_side_brings() {
    let folder = std::env::var_os("MILO_TRANSLATOR").map_or_else(|| folder().join("merged"), PathBuf::from);
    let texts = [
        "Amin'ny ora firy no misokatra ny birao?",
        "Te hanova ny fotoana aho.",
        "Hoatrinona ny vidin'ny mofo roa?",
        "Very ny karatro omaly, inona no hataoko?",
    ];
    let mut alone = Vec::new();
    for batch in [1, 2, 4, 8] {
        let options = TranslatorOptions { batch, precision: Precision::Full, ..TranslatorOptions::default() };
        let translator = Translator::load(&folder, &OrtRuntime::load(None).unwrap(), options).unwrap();
        french(&translator, texts[0]).await;
        let begun = std::time::Instant::now();
        let asked = (0..16)
            .map(|n| tokio::spawn(translator.translate(texts[n % 4], Language::Mg, Language::Fr, Class::Interactive)));
        let mut told = Vec::new();
        for one in asked.collect::<Vec<_>>() {
            told.push(one.await.unwrap().unwrap().text);
        }
        println!("{batch} side by side: 16 texts in {:.3} s", begun.elapsed().as_secs_f64());
        if batch == 1 {
            alone = told;
        } else {
            assert_eq!(told, alone, "each is what it is alone");
        }
    }
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

/// A copy of an export that a test may damage.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder().join("merged")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[test]
fn a_broken_folder_is_refused_with_its_name() {
    let refused = |change: &dyn Fn(&Path), says: &str| {
        let copy = copy();
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
