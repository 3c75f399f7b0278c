//! The manifest of weights: which files a model has, their sha256, licence and memory.
//!
//! `models/manifest.toml` lists what ships. Any folder of weights may hold a `manifest.toml` of the same form, as those that
//! `milo models pull` makes do; what it lists is then checked before it is loaded ([`verify`]).

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::engine::EngineError;

/// The name of a manifest in a folder of weights.
pub const FILE_NAME: &str = "manifest.toml";
/// How many folders above a file its manifest may lie.
const ABOVE: usize = 2;

/// All models of a folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models.
    #[serde(rename = "model", default)]
    pub models: Vec<Model>,
}

/// One model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// The engine that runs it: vad, turn, stt, translate, llm or tts.
    pub engine: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// True for a small model made to show that the house works, not to serve callers.
    pub demonstration: bool,
    /// Memory that it takes when loaded, in MB; none, where nobody has measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Its card, relative to the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Its files.
    #[serde(rename = "file", default)]
    pub files: Vec<Listed>,
}

/// One file of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Relative to the manifest.
    pub path: String,
    /// In hexadecimal, small letters.
    pub sha256: String,
}

impl Manifest {
    /// Reads a manifest's text; `file` is for the message.
    ///
    /// # Errors
    /// [`EngineError::Load`] with the place of the fault.
    pub fn parse(text: &str, file: &Path) -> Result<Self, EngineError> {
        read_toml(text, file)
    }

    /// Every file of every model.
    pub fn files(&self) -> impl Iterator<Item = &Listed> {
        self.models.iter().flat_map(|model| &model.files)
    }
}

/// Compares a file, or all files below a folder, with the manifest beside it or up to two folders above. What no manifest
/// lists is not checked.
///
/// # Errors
/// [`EngineError::Load`] when a listed file is missing or differs, or the manifest cannot be read.
pub fn verify(path: &Path) -> Result<(), EngineError> {
    let Some((folder, manifest)) = nearest(path)? else { return Ok(()) };
    for listed in manifest.files() {
        let file = folder.join(&listed.path);
        if !file.starts_with(path) {
            continue;
        }
        let found = sha256_of(&file)
            .map_err(|error| EngineError::Load(format!("{} cannot be read: {error}", file.display())))?;
        if found != listed.sha256 {
            return Err(EngineError::Load(format!(
                "{} is damaged or another version: its sha256 is {found} and {} wants {}; fetch it again or correct the \
                 manifest",
                file.display(),
                folder.join(FILE_NAME).display(),
                listed.sha256
            )));
        }
    }
    Ok(())
}

/// Reads a list of models; a fault is told with its line.
pub(crate) fn read_toml<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, EngineError> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        EngineError::Load(format!("{}, line {place}: {}", file.display(), error.message()))
    })
}

fn nearest(path: &Path) -> Result<Option<(PathBuf, Manifest)>, EngineError> {
    for folder in path.ancestors().skip(usize::from(!path.is_dir())).take(ABOVE + 1) {
        let file = folder.join(FILE_NAME);
        if file.is_file() {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| EngineError::Load(format!("{} cannot be read: {error}", file.display())))?;
            return Ok(Some((folder.to_owned(), Manifest::parse(&text, &file)?)));
        }
    }
    Ok(None)
}

/// The sha256 of a file's content, in hexadecimal.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Bytes as small hexadecimal letters.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ENTRY: &str = "[[model]]\nname = \"x\"\nengine = \"llm\"\nlicence = \"MIT\"\ndemonstration = false\n\
                         memory_mb = 1\n[[model.file]]\npath = \"mind/x.gguf\"\nsha256 = ";

    #[test]
    fn a_configured_file_that_differs_from_its_manifest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mind/x.gguf");
        fs::create_dir(folder.path().join("mind")).unwrap();
        fs::write(&file, "abc").unwrap();
        verify(&file).expect("without a manifest nothing is checked");
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::write(folder.path().join(FILE_NAME), format!("{ENTRY}\"{right}\"")).unwrap();
        verify(&file).unwrap();
        verify(&folder.path().join("mind")).unwrap();
        verify(folder.path()).unwrap();
        fs::write(&file, "ab").unwrap();
        let error = verify(&file).unwrap_err().to_string();
        assert!(error.contains("x.gguf is damaged") && error.contains(right), "{error}");
        fs::write(folder.path().join("mind/y.gguf"), "unlisted").unwrap();
        verify(&folder.path().join("mind/y.gguf")).expect("what is not listed is not checked");
        fs::remove_file(&file).unwrap();
        assert!(verify(&folder.path().join("mind")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_manifest_that_was_written_is_read_as_it_was() {
        let once = Manifest::parse(&format!("{ENTRY}\"00\""), Path::new("m.toml")).unwrap();
        let mut unmeasured = once.clone();
        unmeasured.models[0].memory_mb = None;
        for manifest in [once, unmeasured] {
            let text = toml::to_string(&manifest).unwrap();
            let again = Manifest::parse(&text, Path::new("m.toml")).unwrap();
            assert_eq!(format!("{again:?}"), format!("{manifest:?}"), "{text}");
        }
    }

    #[test]
    fn a_broken_manifest_names_its_line() {
        let error = Manifest::parse("[[model]]\nname = 3\n", Path::new("m.toml")).unwrap_err().to_string();
        assert!(error.starts_with("m.toml, line "), "{error}");
        assert!(Manifest::parse(&format!("{ENTRY}\"\"\nsize = 3"), Path::new("m.toml")).is_err());
    }
}
