//! What is known of a model in memory: how large its files are, and what its licence is.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
};

use milo_models::{
    manifest::{FILE_NAME, Manifest},
    onnx,
};
use serde::Serialize;

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
    let gguf = || (path.extension()? == "gguf").then(|| gguf_licence(File::open(path).ok()?)).flatten();
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

/// `general.license` of a GGUF file. Whatever is no such file has none.
fn gguf_licence(file: impl Read) -> Option<String> {
    let mut fields = Fields(BufReader::new(file));
    if fields.bytes::<4>().ok()? != *b"GGUF" {
        return None;
    }
    let (_version, _tensors) = (fields.u32().ok()?, fields.u64().ok()?);
    for _ in 0..fields.u64().ok()? {
        let (key, kind) = (fields.string().ok()?, fields.u32().ok()?);
        if key == "general.license" && kind == STRING {
            return fields.string().ok();
        }
        fields.skip(kind).ok()?;
    }
    None
}

/// The kinds of value that are no number.
const STRING: u32 = 8;
const LIST: u32 = 9;
/// A name or a text of a model is never longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// What stands before the weights of a GGUF file: names and values, little-endian.
struct Fields<R>(BufReader<R>);

impl<R: Read> Fields<R> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = String::new();
        (&mut self.0).take(length).read_to_string(&mut text)?;
        Ok(text)
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        let passed = io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn skip(&mut self, kind: u32) -> io::Result<()> {
        match kind {
            0 | 1 | 7 => self.pass(1),
            2 | 3 => self.pass(2),
            4..=6 => self.pass(4),
            10..=12 => self.pass(8),
            STRING => {
                let length = self.u64()?;
                self.pass(length)
            }
            LIST => {
                let (kind, count) = (self.u32()?, self.u64()?);
                match kind {
                    // There are none in lists, and so nothing is read for ever.
                    LIST => Err(io::ErrorKind::InvalidData.into()),
                    kind => (0..count).try_for_each(|_| self.skip(kind)),
                }
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gguf(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(7u64.to_le_bytes());
        file.extend((fields.len() as u64).to_le_bytes());
        for (key, value) in fields {
            file.extend((key.len() as u64).to_le_bytes());
            file.extend(key.as_bytes());
            file.extend(*value);
        }
        file
    }

    fn string(text: &str) -> Vec<u8> {
        [&STRING.to_le_bytes()[..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn a_file_of_weights_names_its_licence_behind_whatever_else_it_says() {
        let list = [&LIST.to_le_bytes()[..], &4u32.to_le_bytes(), &2u64.to_le_bytes(), &[1; 8]].concat();
        let number = [&4u32.to_le_bytes()[..], &[9; 4]].concat();
        let (name, licence) = (string("a model"), string("apache-2.0"));
        let file = gguf(&[("general.name", &name), ("a", &number), ("b", &list), ("general.license", &licence)]);
        assert_eq!(gguf_licence(&file[..]).as_deref(), Some("apache-2.0"));
        assert_eq!(gguf_licence(&gguf(&[("general.name", &name)])[..]), None);
        for cut in [0, 3, 20, 40, file.len() - 1] {
            let found = gguf_licence(&file[..cut]);
            assert!(found.as_deref().is_none_or(|found| found == "apache-2."), "{cut}: {found:?}");
        }
        let endless = [&STRING.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(gguf_licence(&gguf(&[("a", &endless)])[..]), None);
    }

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
