//! The scripts that make, train and judge models, the project's own and other people's (models/training): each has a smoke mode, which is run
//! here as far as the Python of this machine can. `MILO_TRAINING_PYTHON` names one that has what requirements.txt lists.

use std::{env, fs, path::Path, process::Command};

/// What a script says at the end when all of it was right.
const RIGHT: &str = "smoke: right";

fn python() -> String {
    env::var("MILO_TRAINING_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Runs a script of models/training and returns what it printed.
fn run(script: &str, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/training");
    let mut command = Command::new(python());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", "1").arg(folder.join(script)).args(arguments);
    let ran = command.output().expect("a Python, as the other scenarios have it");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{script}: {said}\n{}", String::from_utf8_lossy(&ran.stderr));
    said
}

#[test]
fn a_language_model_on_a_server_is_tested_and_transcripts_are_compared_without_any_package() {
    let said = run("finetune/test_llm.py", &["--smoke"]);
    assert!(said.trim_end().ends_with(RIGHT), "{said}");
    assert!(run("finetune/normalise.py", &[]).contains("the rules hold"));
}

/// Whether this Python has the packages; where not, that is said.
fn has(packages: &str) -> bool {
    let tried = Command::new(python()).args(["-c", &format!("import {packages}")]).output();
    let there = tried.is_ok_and(|tried| tried.status.success());
    if !there {
        eprintln!("not run: {} lacks one of {packages} (models/training/requirements.txt)", python());
    }
    there
}

/// Every file in a folder, with what is in it.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |file: std::io::Result<fs::DirEntry>| {
        let file = file.expect("a file");
        (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).expect("it is read"))
    };
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(read).collect();
    files.sort();
    files
}

#[test]
fn the_models_that_ship_are_made_from_an_empty_folder_where_torch_is() {
    if !has("torch, transformers, optimum.exporters.onnx, onnxruntime, gguf, jiwer, scipy, tokenizers") {
        return;
    }
    let work = env::temp_dir().join(format!("milo-training-{}", std::process::id()));
    for model in ["ears", "mind", "translator", "turn"] {
        let ships = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(model);
        let before = files(&ships);
        let said = run("build.py", &[model, "--work", work.to_str().unwrap(), "--smoke"]);
        assert!(said.trim_end().ends_with("card written"), "{model}: {said}");
        let made = files(&work.join("smoke").join(model).join("demo"));
        let card = made.iter().find(|(name, _)| name == "CARD.md").map(|(_, card)| String::from_utf8_lossy(card));
        let card = card.unwrap_or_else(|| panic!("{model} has no card: {said}"));
        for (name, _) in before.iter().filter(|(name, _)| name != "CARD.md") {
            assert!(made.iter().any(|(made, content)| made == name && !content.is_empty()), "{model} lacks {name}");
            assert!(card.contains(&format!("| `{name}` |")), "{model}: {name} is not on its card: {card}");
        }
        assert!(before == files(&ships), "the smoke mode changed {}", ships.display());
    }
    fs::remove_dir_all(&work).unwrap();
}

#[test]
fn models_are_exported_and_trained_further_where_torch_is() {
    if !has("torch, transformers, optimum.exporters.onnx, onnxruntime, soundfile") {
        return;
    }
    let said = run("smoke.py", &[]);
    let wrong: Vec<&str> = said.lines().filter(|line| !line.contains(" right ")).collect();
    assert!(wrong.is_empty() && said.lines().count() >= 8, "{said}");
}
