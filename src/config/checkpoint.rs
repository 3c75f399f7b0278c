//! `WHISPER_MODEL_ID`, `NLLB_MODEL_ID` and `MMS_TTS_MODEL_ID`: the Python system loaded Hugging Face checkpoints by them, Milo runs the
//! graphs that were exported of one. A folder with graphs is the path of its engine; of any other value the command is told that makes
//! one.

use std::{fs, path::Path};

use super::{Fault, Place, fault::Origins};

/// Each variable, the setting that it stands for, and those that stand in that one's place.
const NAMES: [(&str, &str, &[&str]); 3] = [
    ("WHISPER_MODEL_ID", "engines.stt.path", &["engines.stt.mg", "engines.stt.fr"]),
    ("NLLB_MODEL_ID", "engines.translate.path", &["engines.translate.mg_fr", "engines.translate.fr_mg"]),
    ("MMS_TTS_MODEL_ID", "engines.tts.voices.mg", &[]),
];

/// What is to become of the variables that are set.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Settings and the folders that they name.
    pub(super) paths: Vec<(&'static str, &'static str, String)>,
    /// Values that have no effect, because the setting itself is there.
    pub(super) notes: Vec<String>,
}

/// Reads the variables; `is_set` says whether a setting has a value of its own, `data_dir` is where exports are proposed to go.
pub(super) fn read<'v>(
    variable: &impl Fn(&str) -> Option<&'v str>,
    is_set: &impl Fn(&str) -> bool,
    data_dir: &str,
    faults: &mut Vec<Fault>,
) -> Read {
    let mut read = Read::default();
    for (name, key, others) in NAMES {
        let Some(value) = variable(name) else { continue };
        if let Some(key) = std::iter::once(&key).chain(others).find(|key| is_set(key)) {
            // The path that somebody wrote for Milo is younger than the Python system's variable.
            read.notes
                .push(format!("{name} is set, and {key} is too: the path counts, and the variable has no effect"));
        } else if holds_graphs(Path::new(value)) {
            read.paths.push((name, key, value.to_owned()));
        } else {
            faults.push(Fault { place: Place::Variable(name.into()), says: advice(name, key, value, data_dir) });
        }
    }
    read
}

/// Puts the origin of what was taken where its faults will look for it.
pub(super) fn remember(read: &Read, origins: &mut Origins) {
    for (name, key, _) in &read.paths {
        origins.set(key, Place::Variable((*name).into()));
    }
}

/// Whether ONNX graphs lie in a folder, or in its `onnx` subfolder as on the hub.
fn holds_graphs(folder: &Path) -> bool {
    [folder.to_owned(), folder.join("onnx")].iter().any(|folder| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.map(|file| file.path()).any(|file| file.extension().is_some_and(|ending| ending == "onnx"))
    })
}

/// The command that makes of the value what Milo runs.
fn advice(name: &str, key: &str, value: &str, data_dir: &str) -> String {
    let is_folder = Path::new(value).is_dir();
    let what = if is_folder {
        "is a folder without ONNX graphs"
    } else {
        "is a checkpoint's name and no folder with ONNX graphs"
    };
    let last = value.trim_end_matches('/').rsplit('/').next().unwrap_or(value);
    let to = format!("{}/models/{last}", data_dir.trim_end_matches('/'));
    let (table, setting) = key.rsplit_once('.').unwrap_or_default();
    format!(
        "{key}: {value:?} {what}; export it with `python models/training/export.py {} {}`, and set {name}, or {setting} in [{table}], \
         to {to}",
        quoted(value),
        quoted(&to),
    )
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-@+".contains(letter);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word.into();
    }
    // A folder whose name begins like an option is named from where we stand.
    let word = if word.starts_with('-') { format!("./{word}") } else { word.to_owned() };
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(variables: &[(&str, &str)], set: &[&str]) -> (Read, Vec<String>) {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let variable = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let mut faults = Vec::new();
        let read = read(&variable, &|key: &str| set.contains(&key), "/var/lib/milo", &mut faults);
        (read, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_name_on_the_hub_is_answered_with_the_command_that_exports_it() {
        let (read, faults) = read_of(&[("WHISPER_MODEL_ID", "openai/whisper-small")], &[]);
        assert!(read.paths.is_empty());
        assert_eq!(
            faults,
            [
                "environment, WHISPER_MODEL_ID: engines.stt.path: \"openai/whisper-small\" is a checkpoint's name and no folder with ONNX \
              graphs; export it with `python models/training/export.py openai/whisper-small /var/lib/milo/models/whisper-small`, and \
              set WHISPER_MODEL_ID, or path in [engines.stt], to /var/lib/milo/models/whisper-small"
            ]
        );
    }

    #[test]
    fn a_folder_with_graphs_is_the_path_and_one_without_is_answered_with_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap();
        let (_, faults) = read_of(&[("NLLB_MODEL_ID", at)], &[]);
        assert!(faults[0].contains("is a folder without ONNX graphs"), "{faults:?}");
        assert!(
            faults[0].contains(&format!("`python models/training/export.py {at} /var/lib/milo/models/")),
            "{faults:?}"
        );
        // As on the hub, the graphs lie one folder below.
        fs::create_dir(folder.path().join("onnx")).unwrap();
        fs::write(folder.path().join("onnx/encoder_model.onnx"), b"").unwrap();
        for (name, key, others) in NAMES {
            for other in others {
                let (read, faults) = read_of(&[(name, "openai/whisper-small")], &[*other]);
                assert!(faults.is_empty() && read.paths.is_empty() && read.notes[0].contains(other), "{read:?}");
            }
            let (read, faults) = read_of(&[(name, at)], &[]);
            assert_eq!((read.paths, faults), (vec![(name, key, at.to_owned())], Vec::new()));
        }
    }

    #[test]
    fn a_path_that_is_set_counts_and_the_variable_is_noted() {
        let (read, faults) = read_of(&[("MMS_TTS_MODEL_ID", "facebook/mms-tts-mlg")], &["engines.tts.voices.mg"]);
        assert_eq!((read.paths.len(), faults.len()), (0, 0));
        assert!(
            read.notes[0].starts_with("MMS_TTS_MODEL_ID is set, and engines.tts.voices.mg is too"),
            "{:?}",
            read.notes
        );
    }

    #[test]
    fn the_command_can_be_pasted_whatever_the_folder_is_called() {
        for (word, wanted) in [
            ("openai/whisper-small", "openai/whisper-small"),
            ("/srv/my models/it's", r"'/srv/my models/it'\''s'"),
            ("-rf", "'./-rf'"),
            ("$(reboot)", "'$(reboot)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), wanted);
        }
    }
}
