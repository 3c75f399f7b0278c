//! How the Malagasy voice says words: every line of `evaluation/phonemes/mg.tsv`, asked of the dictionary that the build compiled, and of one
//! that is compiled on the spot. A process of its own, since the library's state is global.

use std::fs;

use milo_models::{espeak::pronouncer::Pronouncer, evaluation::phonemes};

#[test]
fn every_listed_word_has_its_phonemes_and_a_corrected_one_is_heard_at_once() {
    let folder = std::env::temp_dir().join(format!("milo-ph-{}", std::process::id()));
    let mut voice = Pronouncer::open(&folder, None).unwrap();
    let scores = phonemes::scores(&mut voice).unwrap();
    let wrong: Vec<&String> = scores.iter().flat_map(|score| &score.wrong).collect();
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    assert!(scores.iter().map(|score| score.cases).sum::<usize>() >= 400);
    let held_out = scores.iter().find(|score| score.set.contains("held out")).unwrap();
    assert!(held_out.cases >= 200, "{} words held out", held_out.cases);
    assert_eq!(voice.ipa("salama").unwrap(), "salˈama");
    assert!(voice.sound("Salama tompoko").unwrap().len() > 8_000, "half a second of sound");
    drop(voice);

    // One line in a copy of the list, and the word is another.
    let source = folder.join("edited");
    fs::create_dir_all(&source).unwrap();
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("espeak");
    fs::copy(own.join("mg_rules"), source.join("mg_rules")).unwrap();
    let list = fs::read_to_string(own.join("mg_list")).unwrap();
    fs::write(source.join("mg_list"), format!("{list}\nsalama s'alama\n")).unwrap();
    let mut voice = Pronouncer::open(&folder, Some(&source)).unwrap();
    assert_eq!(voice.phonemes("salama").unwrap().replace(',', ""), "s'alama");
    assert_eq!(voice.phonemes("veloma").unwrap(), "vel'uma");
    drop(voice);

    // Missing rules are named.
    let error = Pronouncer::open(&folder, Some(&folder.join("nowhere"))).err().unwrap().to_string();
    assert!(error.contains("mg_rules") && error.contains("models/espeak"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}
