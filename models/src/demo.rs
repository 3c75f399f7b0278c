//! The models that ship: carried by the binary, unpacked once into the data folder, checked at every start.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use sha2::{Digest, Sha256};

use crate::{
    engine::EngineError,
    espeak,
    manifest::{FILE_NAME, Manifest, Model, hexadecimal, sha256_of},
};

const MANIFEST: &str = include_str!("../manifest.toml");

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../demo/", $path)))),*]
    };
}

/// Every file of the manifest, by its path there.
static FILES: &[(&str, &[u8])] = shipped![
    "silero/silero_vad_op18_ifless.onnx",
    "ears/encoder_model.onnx",
    "ears/decoder_model_merged.onnx",
    "ears/tokenizer.json",
    "ears/config.json",
    "ears/generation_config.json",
    "ears/preprocessor_config.json",
    "translator/encoder_model.onnx",
    "translator/decoder_model_merged.onnx",
    "translator/tokenizer.json",
    "translator/config.json",
    "translator/generation_config.json",
    "mind/mind.gguf",
    "turn/turn.onnx",
];

/// The folder of the voice data below the unpacked models.
const VOICE: &str = "espeak";

/// Where the unpacked files lie.
#[derive(Clone, Debug)]
pub struct DemoFiles {
    /// The voice activity graph.
    pub silero: PathBuf,
    /// The folder of the transcriber.
    pub whisper: PathBuf,
    /// The folder of the translator.
    pub translator: PathBuf,
    /// The language model.
    pub llama: PathBuf,
    /// The end-of-turn graph.
    pub turn: PathBuf,
    /// The folder of the voice data.
    pub espeak: PathBuf,
}

/// The models that ship, as the manifest in the binary describes them.
pub fn manifest() -> Result<Manifest, EngineError> {
    Manifest::parse(MANIFEST, Path::new("models/manifest.toml"))
}

/// What the files of a model that ships take on disk, in bytes.
pub fn size(model: &Model) -> u64 {
    let is_listed = |name: &str| model.files.iter().any(|listed| listed.path == name);
    FILES.iter().filter(|(name, _)| is_listed(name)).map(|(_, content)| content.len() as u64).sum()
}

/// Unpacks the shipped files into `data_dir/models/demo-…` where they are not yet there, whole and unchanged. Each file is
/// written beside its place and renamed, so that a start that is cut short, or two starts at once, leave nothing half
/// written.
///
/// # Errors
/// [`EngineError::Load`] when the folder cannot be written.
pub fn unpack(data_dir: &Path) -> Result<DemoFiles, EngineError> {
    let folder = data_dir.join("models").join(format!("demo-{}", release()));
    let manifest = manifest()?;
    for (name, content) in FILES {
        let listed = manifest.files().find(|listed| listed.path == *name);
        let listed = listed.ok_or_else(|| EngineError::Load(format!("models/manifest.toml does not list {name}")))?;
        place(&folder.join(name), content, &listed.sha256)?;
    }
    for (name, content) in espeak::data::FILES {
        place(&folder.join(VOICE).join(name), content, &hexadecimal(&Sha256::digest(content)))?;
    }
    place(&folder.join(FILE_NAME), MANIFEST.as_bytes(), &hexadecimal(&Sha256::digest(MANIFEST)))?;
    Ok(DemoFiles {
        silero: folder.join("silero/silero_vad_op18_ifless.onnx"),
        whisper: folder.join("ears"),
        translator: folder.join("translator"),
        llama: folder.join("mind/mind.gguf"),
        turn: folder.join("turn/turn.onnx"),
        espeak: folder.join(VOICE),
    })
}

/// Eight letters that differ between any two sets of shipped files.
pub fn release() -> String {
    let mut hash = Sha256::new_with_prefix(MANIFEST);
    for (name, content) in espeak::data::FILES {
        hash.update(name);
        hash.update(content);
    }
    hexadecimal(&hash.finalize()[..4])
}

fn place(file: &Path, content: &[u8], sha256: &str) -> Result<(), EngineError> {
    let length = fs::metadata(file).map(|metadata| metadata.len());
    if length.is_ok_and(|length| length == content.len() as u64) && sha256_of(file).is_ok_and(|found| found == sha256) {
        return Ok(());
    }
    let failed = |error: io::Error| {
        EngineError::Load(format!(
            "the shipped model file {} cannot be written ({error}): free some space or choose another data folder \
             (MILO_DATA_DIR)",
            file.display()
        ))
    };
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", process::id()));
    let part = folder.join(name);
    let written = fs::write(&part, content).and_then(|()| fs::rename(&part, file));
    written.map_err(|error| {
        fs::remove_file(&part).ok();
        failed(error)
    })?;
    if sha256_of(file).map_err(failed)? != sha256 {
        return Err(EngineError::Load(format!(
            "{} is not what models/manifest.toml lists although it was just written: the disk or the build is at fault; \
             build anew",
            file.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
    }

    #[test]
    fn the_manifest_is_that_of_the_files() {
        let manifest = manifest().unwrap();
        let mut faults = Vec::new();
        for listed in manifest.files() {
            match sha256_of(&demo().join(&listed.path)) {
                Ok(found) if found == listed.sha256 => {}
                Ok(found) => faults.push(format!("path = {:?}\nsha256 = {found:?}", listed.path)),
                Err(error) => faults.push(format!("{}: {error}", listed.path)),
            }
            if !FILES.iter().any(|(name, _)| *name == listed.path) {
                faults.push(format!("{} is listed and not among FILES in src/demo.rs", listed.path));
            }
        }
        for model in &manifest.models {
            assert!(size(model) > 0 && model.memory_mb.is_some(), "{} has no size", model.name);
            let card = model.card.as_ref().map(|card| demo().join(card));
            if !card.is_some_and(|card| card.is_file()) {
                faults.push(format!("{} has no card", model.name));
            }
        }
        for folder in fs::read_dir(demo()).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                let name = file.strip_prefix(demo()).unwrap().to_string_lossy().into_owned();
                let weights = name.ends_with(".onnx") || name.ends_with(".gguf");
                if weights && !manifest.files().any(|listed| listed.path == name) {
                    let found = sha256_of(&file).unwrap();
                    faults.push(format!("not listed:\n[[model.file]]\npath = {name:?}\nsha256 = {found:?}"));
                }
            }
        }
        assert!(faults.is_empty(), "correct models/manifest.toml:\n\n{}\n", faults.join("\n\n"));
    }

    #[test]
    fn files_are_unpacked_once_and_damaged_ones_again() {
        let data = tempfile::tempdir().unwrap();
        let files = unpack(data.path()).unwrap();
        assert!(files.espeak.join("phontab").is_file());
        let written = fs::metadata(&files.silero).unwrap().modified().unwrap();
        unpack(data.path()).unwrap();
        assert_eq!(fs::metadata(&files.silero).unwrap().modified().unwrap(), written, "a whole file is left alone");

        let whole = fs::read(&files.silero).unwrap();
        fs::write(&files.silero, &whole[..1_000]).unwrap();
        unpack(data.path()).unwrap();
        assert_eq!(fs::read(&files.silero).unwrap(), whole);

        let mut changed = whole.clone();
        changed[5_000] ^= 1;
        fs::write(&files.silero, &changed).unwrap();
        assert!(crate::manifest::verify(&files.silero).is_err());
        unpack(data.path()).unwrap();
        crate::manifest::verify(&files.silero).unwrap();
        let left = fs::read_dir(files.silero.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing half-written stays");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_sentence() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("models"), "a file where a folder must be").unwrap();
        let error = unpack(data.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be written") && error.contains("MILO_DATA_DIR"), "{error}");
    }
}
