//! The folder of a model that Hugging Face optimum exported: which of its files is which graph.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use tokenizers::Tokenizer;

use super::{Graph, OrtRuntime};
use crate::{engine::EngineError, manifest};

/// Which of a folder's files are preferred; the other kind is taken when only that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// int8: the smallest and, on a CPU, the fastest.
    Quantized,
    /// f32, else f16.
    Full,
}

/// A folder's file of settings. A missing one is an empty one (the graphs tell most); a broken one is an error.
pub(crate) fn settings<T: DeserializeOwned + Default>(folder: &Path, name: &str) -> Result<T, EngineError> {
    let file = folder.join(name);
    if !file.is_file() {
        return Ok(T::default());
    }
    let text = fs::read_to_string(&file)
        .map_err(|error| EngineError::Load(format!("{} cannot be read: {error}", file.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        EngineError::Load(format!("{} is no model configuration ({error}); fetch it again", file.display()))
    })
}

/// What form of model a folder holds, as its config.json names it (`model_type`); none where it does not say.
///
/// # Errors
/// [`EngineError::Load`]: config.json cannot be read, or is none.
pub fn form(folder: &Path) -> Result<Option<String>, EngineError> {
    #[derive(Deserialize, Default)]
    struct Config {
        model_type: Option<String>,
    }
    settings::<Config>(folder, "config.json").map(|config| config.model_type)
}

/// A model's folder, and how its graphs are opened.
pub(crate) struct Export<'a> {
    folder: &'a Path,
    ort: &'a OrtRuntime,
    precision: Precision,
    threads: usize,
}

impl<'a> Export<'a> {
    /// A folder that is there, and holds what the manifest beside it lists; `what` it should hold is for the message.
    pub(crate) fn open(
        folder: &'a Path,
        what: &str,
        ort: &'a OrtRuntime,
        precision: Precision,
        threads: usize,
    ) -> Result<Self, EngineError> {
        if !folder.is_dir() {
            return Err(EngineError::Load(format!("the {what} folder {} is not there", folder.display())));
        }
        manifest::verify(folder)?;
        Ok(Self { folder, ort, precision, threads })
    }

    /// Where it lies, for messages and for what is no graph.
    pub(crate) fn folder(&self) -> &Path {
        self.folder
    }

    /// `model`, of a model that is one graph, in the folder or in its `onnx` subfolder.
    pub(crate) fn model(&self) -> Result<Graph, EngineError> {
        self.graph(self.find("model").ok_or_else(|| self.lacks("model.onnx"))?)
    }

    /// `encoder_model`, in the folder or in its `onnx` subfolder.
    pub(crate) fn encoder(&self) -> Result<Graph, EngineError> {
        self.graph(self.find("encoder_model").ok_or_else(|| self.lacks("encoder_model.onnx"))?)
    }

    /// `decoder_model_merged`, or `decoder_model` for what comes first and `decoder_with_past_model` for what follows.
    pub(crate) fn decoders(&self) -> Result<(Graph, Option<Graph>), EngineError> {
        if let Some(merged) = self.find("decoder_model_merged") {
            return Ok((self.graph(merged)?, None));
        }
        let lacks = || self.lacks("decoder_model_merged.onnx or decoder_model.onnx");
        let first = self.find("decoder_model").ok_or_else(lacks)?;
        let following =
            self.find("decoder_with_past_model").ok_or_else(|| self.lacks("decoder_with_past_model.onnx"))?;
        Ok((self.graph(first)?, Some(self.graph(following)?)))
    }

    /// A file of settings of this folder.
    pub(crate) fn settings<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, EngineError> {
        settings(self.folder, name)
    }

    /// `tokenizer.json`, and where it lies, for messages.
    pub(crate) fn tokenizer(&self) -> Result<(Tokenizer, PathBuf), EngineError> {
        let file = self.folder.join("tokenizer.json");
        if !file.is_file() {
            return Err(EngineError::Load(format!(
                "the tokenizer {} is not there: put the model's own tokenizer.json beside its graphs",
                file.display()
            )));
        }
        let tokenizer = Tokenizer::from_file(&file).map_err(|error| {
            EngineError::Load(format!("{} is no tokenizer ({error}); fetch it again", file.display()))
        })?;
        Ok((tokenizer, file))
    }

    fn graph(&self, file: PathBuf) -> Result<Graph, EngineError> {
        self.ort.graph(&file, self.threads)
    }

    /// The file of a graph in the wanted precision, else in any other.
    fn find(&self, stem: &str) -> Option<PathBuf> {
        let suffixes = match self.precision {
            Precision::Quantized => ["_quantized", "_int8", "_uint8", "", "_fp16"],
            Precision::Full => ["", "_fp16", "_quantized", "_int8", "_uint8"],
        };
        let folders = [self.folder.to_owned(), self.folder.join("onnx")];
        let names = suffixes.map(|suffix| format!("{stem}{suffix}.onnx"));
        let paths = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        paths.into_iter().find(|path| path.is_file())
    }

    fn lacks(&self, file: &str) -> EngineError {
        EngineError::Load(format!(
            "the folder {} holds no {file}: export the model with `optimum-cli export onnx`, or correct the path",
            self.folder.display()
        ))
    }
}
