//! The scripts that make, train and judge models of other people's (models/training): each has a smoke mode, which is run here as far as the
//! Python of this machine can. `MILO_TRAINING_PYTHON` names one that has what requirements.txt lists.

use std::{env, path::Path, process::Command};

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

#[test]
fn models_are_exported_and_trained_further_where_torch_is() {
    let needs = "import torch, transformers, optimum.exporters.onnx, onnxruntime, soundfile";
    let there = Command::new(python()).args(["-c", needs]).output().is_ok_and(|tried| tried.status.success());
    if !there {
        eprintln!("not run: {} has no torch (models/training/requirements.txt)", python());
        return;
    }
    let said = run("smoke.py", &[]);
    let wrong: Vec<&str> = said.lines().filter(|line| !line.contains(" right ")).collect();
    assert!(wrong.is_empty() && said.lines().count() >= 8, "{said}");
}
