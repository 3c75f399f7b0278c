//! What is known of a model in memory: how large its files are, and what its licence is.

use std::{
    fs::{self, File},
    path::Path,
};

use milo_models::{
    manifest::{FILE_NAME, Manifest},
    onnx,
};
use serde::Serialize;

use super::gguf::Gguf;
use crate::store::Stamp;

/// A model in memory.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = LoadedModel)]
pub struct Model {
    /// What it is called.
    #[schema(example = "milo-mind-demo")]
    pub name: String,
    /// What it is for: `vad`, `turn`, `stt`, `translate`, `llm` or `tts`.
    #[schema(example = "llm")]
    pub job: &'static str,
    /// Its form, as its config.json has it: `whisper`, `wav2vec2`, `m2m_100`; none, where it has none.
    #[schema(example = "whisper")]
    pub form: Option<String>,
    /// One of the small models that ship, which know a little only.
    pub demonstration: bool,
    /// What its files take on disk; none, where they cannot be read.
    #[schema(example = 20_000_000)]
    pub size_bytes: Option<u64>,
    /// As its manifest, its card or its own file names it, an SPDX expression in most cases; none, where nothing does.
    #[schema(example = "AGPL-3.0-only")]
    pub licence: Option<String>,
    /// When it took the place of another; null: it is the one of the start.
    #[schema(example = json!(null))]
    pub since: Option<Stamp>,
}

/// The voice is no file of the manifest, but a library and its data.
const ESPEAK: &str = "GPL-3.0-or-later";
/// A file beside weights that is larger is no card and no manifest, in bytes.
const LARGEST_CARD: u64 = 1 << 20;
/// How deep weights lie in their folder.
const DEPTH: usize = 4;

impl Model {
    /// One of those that ship: unpacked at `path`, and named in the manifest.
    pub(crate) fn shipped(job: &'static str, name: &str, path: &Path, manifest: &Manifest) -> Self {
        let listed = manifest.models.iter().find(|model| model.name == name);
        Self {
            name: name.into(),
            job,
            form: form(path),
            demonstration: listed.is_some_and(|model| model.demonstration),
            size_bytes: size(path, DEPTH),
            licence: Some(listed.map_or_else(|| ESPEAK.into(), |model| model.licence.clone())),
            since: None,
        }
    }

    /// Another, by the name of its file or folder.
    pub(crate) fn configured(job: &'static str, path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self {
            name,
            job,
            form: form(path),
            demonstration: false,
            size_bytes: size(path, DEPTH),
            licence: licence(path),
            since: None,
        }
    }
}

/// A folder that cannot say it is not loaded either, and told there.
fn form(path: &Path) -> Option<String> {
    path.is_dir().then(|| onnx::form(path).ok()).flatten().flatten()
}

/// What lies at a path, in bytes.
fn size(path: &Path, depth: usize) -> Option<u64> {
    let found = fs::metadata(path).ok()?;
    if !found.is_dir() {
        return Some(found.len());
    }
    let inside = fs::read_dir(path).ok()?.filter_map(Result::ok);
    // Nobody's weights lie deeper; a link that leads round in a circle would.
    Some(inside.filter_map(|entry| size(&entry.path(), depth.checked_sub(1)?)).sum())
}

/// What says under which terms weights may be used.
fn licence(path: &Path) -> Option<String> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let manifest = || {
        let manifest = Manifest::parse(&text(&folder.join(FILE_NAME))?, path).ok()?;
        let is_it = |listed: &str| path.is_dir() || path.ends_with(listed);
        let mut models = manifest.models.into_iter();
        models.find(|model| model.files.iter().any(|file| is_it(&file.path))).map(|model| model.licence)
    };
    let card = || front_matter(&text(&folder.join("README.md"))?);
    let gguf = || (path.extension()? == "gguf").then(|| Gguf::read(File::open(path).ok()?)?.licence).flatten();
    // A file says more of itself than a folder that holds others as well.
    manifest().or_else(gguf).or_else(card).filter(|licence| !licence.is_empty())
}

fn text(path: &Path) -> Option<String> {
    let is_card = fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST_CARD);
    is_card.then(|| fs::read_to_string(path).ok()).flatten()
}

/// `license:` of the YAML that a card begins with, as hubs of models have it.
fn front_matter(card: &str) -> Option<String> {
    let mut lines = card.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let named = lines.take_while(|line| line.trim_end() != "---").find_map(|line| line.strip_prefix("license:"))?;
    Some(named.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_it_by_its_manifest_or_its_card_and_otherwise_it_is_unknown() {
        let folder = std::env::temp_dir().join(format!("milo-model-{}", std::process::id()));
        fs::create_dir_all(folder.join("onnx")).unwrap();
        fs::write(folder.join("onnx/model.onnx"), [0; 1_000]).unwrap();
        let of = || Model::configured("stt", &folder);
        assert_eq!((of().size_bytes, of().licence, of().form), (Some(1_000), None, None));
        fs::write(folder.join("config.json"), r#"{"model_type": "wav2vec2"}"#).unwrap();
        assert_eq!(of().form.as_deref(), Some("wav2vec2"));
        fs::write(folder.join("README.md"), "---\nlanguage: mg\nlicense: \"mit\"\n---\n# A card\nlicense: no\n")
            .unwrap();
        assert_eq!(of().licence.as_deref(), Some("mit"));
        assert_eq!(front_matter("# A card\nlicense: no"), None);
        let manifest = "[[model]]\nname = 'ears'\nengine = 'stt'\nlicence = 'CC-BY-NC-4.0'\ndemonstration = false\n\
                        memory_mb = 1\n[[model.file]]\npath = 'onnx/model.onnx'\nsha256 = ''\n";
        fs::write(folder.join(FILE_NAME), manifest).unwrap();
        assert_eq!(of().licence.as_deref(), Some("CC-BY-NC-4.0"));
        assert_eq!(Model::configured("stt", &folder.join("nowhere")).size_bytes, None);
        fs::remove_dir_all(folder).unwrap();
    }
}
