//! What a GGUF file says before its weights: under which terms they may be used, how many there are, and what a token costs in the cache.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
};

/// The kinds of value that are no number.
const STRING: u32 = 8;
const LIST: u32 = 9;
/// A name or a text of a model is never longer, in bytes.
const LONGEST: u64 = 1 << 20;
/// As many numbers of one list are read, one a layer; longer lists are vocabularies.
const LAYERS: u64 = 1_024;
/// More tensors, or more dimensions of one, no model has.
const TENSORS: u64 = 100_000;
const DIMENSIONS: u32 = 4;
/// Bytes of a cached key or value: f16.
const CACHED: u64 = 2;

/// What is read of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gguf {
    pub(super) licence: Option<String>,
    /// How many weights there are; none, where the file ends before it says so.
    pub(super) weights: Option<u64>,
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, Vec<u64>>,
}

impl Gguf {
    /// Whatever is no such file has nothing.
    pub(super) fn read(file: impl Read) -> Option<Self> {
        let mut fields = Fields(BufReader::new(file));
        if fields.bytes::<4>().ok()? != *b"GGUF" {
            return None;
        }
        let _version = fields.u32().ok()?;
        let (tensors, count) = (fields.u64().ok()?, fields.u64().ok()?);
        let mut found = Self::default();
        for _ in 0..count {
            // What is cut off says nothing more.
            if found.field(&mut fields).is_err() {
                return Some(found);
            }
        }
        found.weights = fields.weights(tensors).ok();
        Some(found)
    }

    fn field<R: Read>(&mut self, fields: &mut Fields<R>) -> io::Result<()> {
        let (key, kind) = (fields.string()?, fields.u32()?);
        match kind {
            STRING => {
                let text = fields.string()?;
                match key.as_str() {
                    "general.license" => self.licence = Some(text),
                    "general.architecture" => drop(self.texts.insert(key, text)),
                    _ => {}
                }
            }
            LIST => {
                let (kind, count) = (fields.u32()?, fields.u64()?);
                if count > LAYERS || number_width(kind).is_none() {
                    return fields.skip_all(kind, count);
                }
                let numbers = (0..count).map(|_| fields.number(kind)).collect::<io::Result<_>>()?;
                self.numbers.insert(key, numbers);
            }
            kind => {
                let number = fields.number(kind)?;
                self.numbers.insert(key, vec![number]);
            }
        }
        Ok(())
    }

    fn of_its_kind(&self, key: &str) -> Option<&[u64]> {
        let kind = self.texts.get("general.architecture")?;
        self.numbers.get(&format!("{kind}.{key}")).map(Vec::as_slice)
    }

    fn one(&self, key: &str) -> Option<u64> {
        self.of_its_kind(key)?.first().copied()
    }

    /// Layers, with the one behind the last that gives the words.
    pub(super) fn layers(&self) -> Option<u64> {
        Some(self.one("block_count")? + 1)
    }

    /// The longest conversation that it was trained for, in tokens.
    pub(super) fn context(&self) -> Option<u64> {
        self.one("context_length")
    }

    /// Bytes that a token takes in the cache; none, where the file does not say it, or some layers keep less than the whole conversation.
    pub(super) fn bytes_a_token(&self) -> Option<u64> {
        if self.one("attention.sliding_window").is_some_and(|window| window > 0) {
            return None;
        }
        let (layers, heads) = (self.one("block_count")?, self.one("attention.head_count")?);
        let width = self.one("embedding_length")?.checked_div(heads)?;
        let (key, value) = ["attention.key_length", "attention.value_length"].map(|key| self.one(key)).into();
        let pair = key.unwrap_or(width).checked_add(value.unwrap_or(width))?;
        let cached_heads = match self.of_its_kind("attention.head_count_kv") {
            None => layers.checked_mul(heads)?,
            Some([of_each]) => layers.checked_mul(*of_each)?,
            Some(all) => all.iter().try_fold(0u64, |sum, heads| sum.checked_add(*heads))?,
        };
        cached_heads.checked_mul(pair)?.checked_mul(CACHED)
    }
}

/// What stands before the weights of a GGUF file: names and values, little-endian.
struct Fields<R>(BufReader<R>);

/// Bytes of a number of this kind.
fn number_width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

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

    /// A whole number as it is; the bits of others, which nobody looks at.
    fn number(&mut self, kind: u32) -> io::Result<u64> {
        let width = number_width(kind).ok_or(io::ErrorKind::InvalidData)? as usize;
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes[..width])?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = String::new();
        let read = (&mut self.0).take(length).read_to_string(&mut text)?;
        if read as u64 == length { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        let passed = io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn skip_all(&mut self, kind: u32, count: u64) -> io::Result<()> {
        match (kind, number_width(kind)) {
            (STRING, _) => (0..count).try_for_each(|_| {
                let length = self.u64()?;
                self.pass(length)
            }),
            // There are no lists in lists, and so nothing is read for ever.
            (_, Some(width)) => self.pass(width.saturating_mul(count)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The weights of so many tensors together.
    fn weights(&mut self, tensors: u64) -> io::Result<u64> {
        if tensors > TENSORS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut all = 0u64;
        for _ in 0..tensors {
            let _name = self.string()?;
            let dimensions = self.u32()?;
            if dimensions > DIMENSIONS {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut weights = 1u64;
            for _ in 0..dimensions {
                weights = weights.saturating_mul(self.u64()?);
            }
            let (_kind, _offset) = (self.u32()?, self.u64()?);
            all = all.saturating_add(weights);
        }
        Ok(all)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of these fields, and of tensors of these dimensions.
    pub(crate) fn gguf(fields: &[(&str, Vec<u8>)], tensors: &[&[u64]]) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((tensors.len() as u64).to_le_bytes());
        file.extend((fields.len() as u64).to_le_bytes());
        for (key, value) in fields {
            file.extend((key.len() as u64).to_le_bytes());
            file.extend(key.as_bytes());
            file.extend(value);
        }
        for dimensions in tensors {
            file.extend(1u64.to_le_bytes());
            file.extend(b"t");
            file.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|size| file.extend(size.to_le_bytes()));
            file.extend([0; 12]);
        }
        file
    }

    pub(crate) fn string(text: &str) -> Vec<u8> {
        [&STRING.to_le_bytes()[..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    pub(crate) fn number(value: u32) -> Vec<u8> {
        [4u32.to_le_bytes(), value.to_le_bytes()].concat()
    }

    fn numbers(values: &[u32]) -> Vec<u8> {
        let head = [&LIST.to_le_bytes()[..], &4u32.to_le_bytes(), &(values.len() as u64).to_le_bytes()].concat();
        head.into_iter().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect()
    }

    #[test]
    fn a_file_of_weights_names_its_licence_behind_whatever_else_it_says() {
        let (name, licence) = (string("a model"), string("apache-2.0"));
        let fields =
            [("general.name", name.clone()), ("a", number(9)), ("b", numbers(&[1, 2])), ("general.license", licence)];
        let file = gguf(&fields, &[]);
        let licence_of = |file: &[u8]| Gguf::read(file).and_then(|found| found.licence);
        assert_eq!(licence_of(&file).as_deref(), Some("apache-2.0"));
        assert_eq!(licence_of(&gguf(&[("general.name", name)], &[])), None);
        for cut in [0, 3, 20, 40, file.len() - 1] {
            assert_eq!(licence_of(&file[..cut]), None, "{cut}");
        }
        let endless = [&STRING.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(licence_of(&gguf(&[("a", endless)], &[])), None);
    }

    #[test]
    fn what_a_token_costs_is_told_by_layers_heads_and_their_width() {
        let of = |more: &[(&str, Vec<u8>)]| {
            let base = [
                ("general.architecture", string("llama")),
                ("llama.block_count", number(32)),
                ("llama.embedding_length", number(4_096)),
                ("llama.attention.head_count", number(32)),
            ];
            Gguf::read(&gguf(&[&base[..], more].concat(), &[&[4_096, 100], &[7]])[..]).expect("a file")
        };
        // Mistral 7B: 32 layers, 8 heads that are cached of 128, keys and values, f16.
        let mistral = of(&[("llama.attention.head_count_kv", number(8)), ("llama.context_length", number(32_768))]);
        assert_eq!((mistral.bytes_a_token(), mistral.layers()), (Some(32 * 8 * 256 * 2), Some(33)));
        assert_eq!((mistral.context(), mistral.weights), (Some(32_768), Some(409_607)));
        assert_eq!(of(&[]).bytes_a_token(), Some(32 * 32 * 256 * 2), "each head has its own");
        let uneven: Vec<u32> = (0..32).map(|layer| if layer < 30 { 0 } else { 4 }).collect();
        assert_eq!(of(&[("llama.attention.head_count_kv", numbers(&uneven))]).bytes_a_token(), Some(8 * 256 * 2));
        assert_eq!(of(&[("llama.attention.key_length", number(64))]).bytes_a_token(), Some(32 * 32 * 192 * 2));
        assert_eq!(of(&[("llama.attention.sliding_window", number(512))]).bytes_a_token(), None, "it is less");
        assert_eq!(Gguf::default().bytes_a_token(), None);
        let no_heads = of(&[("llama.attention.head_count", number(0))]);
        assert_eq!(no_heads.bytes_a_token(), None, "nothing of a file divides by zero");
    }
}
