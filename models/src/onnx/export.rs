//! The folder of a model that Hugging Face optimum exported: which of its files is which graph.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use tokenizers::Tokenizer;

use super::{Graph, OrtRuntime};
use crate::{engine::EngineError, manifest, remote::RemoteOptions};

/// Which of a folder's files are preferred; the other kind is taken when only that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// int8: the smallest and, on a CPU, the fastest.
    Quantized,
    /// f32, else f16.
    Full,
    /// f16, else f32: half as large, and what a card is quickest in.
    Half,
}

/// Bytes of the graphs that are loaded of a folder, or of the one graph that a path names: a model takes no less in memory. 0, where there
/// are none.
pub fn weight(path: &Path, precision: Precision) -> u64 {
    if path.is_file() {
        return whole(path);
    }
    let graph = |stem: &str| find(path, precision, stem);
    let own = graph("encoder_model").into_iter().chain(graph("model")).map(|graph| whole(&graph)).sum::<u64>();
    let all = own + weight_of_decoders(path, precision);
    // A voice's graph may have any name.
    if all == 0 { only_graph(path).map_or(0, |graph| whole(&graph)) } else { all }
}

/// The graphs of a folder, or else those of its `onnx` subfolder.
pub(crate) fn graphs(folder: &Path) -> Vec<PathBuf> {
    let there = |folder: PathBuf| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|file| file.extension().is_some_and(|kind| kind == "onnx")).collect::<Vec<_>>()
    };
    let found = [folder.to_owned(), folder.join("onnx")].map(there);
    found.into_iter().find(|graphs| !graphs.is_empty()).unwrap_or_default()
}

fn only_graph(folder: &Path) -> Option<PathBuf> {
    <[PathBuf; 1]>::try_from(graphs(folder)).ok().map(|[graph]| graph)
}

/// The graph of a model that is one graph: `model` in the wanted precision, else in any other, else the only one that is there.
pub(crate) fn single(folder: &Path, precision: Precision) -> Option<PathBuf> {
    find(folder, precision, "model").or_else(|| only_graph(folder))
}

/// As [`weight`], of the decoders alone: what is loaded of a folder whose encoder runs elsewhere.
pub fn weight_of_decoders(path: &Path, precision: Precision) -> u64 {
    let graph = |stem: &str| find(path, precision, stem);
    match graph("decoder_model_merged") {
        Some(merged) => whole(&merged),
        None => {
            ["decoder_model", "decoder_with_past_model"].into_iter().filter_map(graph).map(|graph| whole(&graph)).sum()
        }
    }
}

/// Bytes of one graph. Weights of more than two gigabytes lie beside it.
pub(crate) fn whole(graph: &Path) -> u64 {
    let size = |file: &Path| fs::metadata(file).map_or(0, |file| file.len());
    size(graph) + size(&graph.with_extension("onnx_data")) + size(&graph.with_extension("onnx.data"))
}

/// The file of a graph in the wanted precision, else in any other; in the folder or in its `onnx` subfolder.
fn find(folder: &Path, precision: Precision, stem: &str) -> Option<PathBuf> {
    let suffixes = match precision {
        Precision::Quantized => ["_quantized", "_int8", "_uint8", "", "_fp16"],
        Precision::Full => ["", "_fp16", "_quantized", "_int8", "_uint8"],
        Precision::Half => ["_fp16", "", "_quantized", "_int8", "_uint8"],
    };
    let folders = [folder.to_owned(), folder.join("onnx")];
    let names = suffixes.map(|suffix| format!("{stem}{suffix}.onnx"));
    let paths = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.into_iter().find(|path| path.is_file())
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
    /// Who runs its encoder, or its one graph, for which engine; none: this process.
    server: Option<(&'static str, &'a RemoteOptions)>,
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
        let precision = ort.device().precision(precision);
        Ok(Self { folder, ort, precision, threads, server: None })
    }

    /// The same, and this server, if it is one, runs its encoder or its one graph, whose file need not be there. A decoder stays: it passes a
    /// cache from token to token, which grows and would cross the network with each.
    pub(crate) fn served_by(self, engine: &'static str, server: Option<&'a RemoteOptions>) -> Self {
        Self { server: server.map(|server| (engine, server)), ..self }
    }

    /// Where it lies, for messages and for what is no graph.
    pub(crate) fn folder(&self) -> &Path {
        self.folder
    }

    /// `model`, of a model that is one graph, in the folder or in its `onnx` subfolder, or on the server.
    pub(crate) fn model(&self) -> Result<Graph, EngineError> {
        self.placed("model")
    }

    /// `encoder_model`, in the folder or in its `onnx` subfolder, or on the server.
    pub(crate) fn encoder(&self) -> Result<Graph, EngineError> {
        self.placed("encoder_model")
    }

    fn placed(&self, stem: &str) -> Result<Graph, EngineError> {
        match self.server {
            Some((engine, server)) => Graph::there(engine, server),
            None => self.graph(self.find(stem).ok_or_else(|| self.lacks(&format!("{stem}.onnx")))?),
        }
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
        find(self.folder, self.precision, stem)
    }

    fn lacks(&self, file: &str) -> EngineError {
        EngineError::Load(format!(
            "the folder {} holds no {file}: export the model with `optimum-cli export onnx`, or correct the path",
            self.folder.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_weighs_what_of_it_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, size: usize| fs::write(folder.path().join(name), vec![0; size]).unwrap();
        fs::create_dir(folder.path().join("onnx")).unwrap();
        for (name, size) in
            [("encoder_model.onnx", 1_000), ("onnx/encoder_model_int8.onnx", 300), ("tokenizer.json", 9)]
        {
            write(name, size);
        }
        write("decoder_model.onnx", 20);
        write("decoder_model.onnx_data", 5_000);
        write("decoder_with_past_model.onnx", 4);
        let weigh = |precision| weight(folder.path(), precision);
        assert_eq!((weigh(Precision::Quantized), weigh(Precision::Full)), (5_324, 6_024));
        write("decoder_model_merged.onnx", 7);
        assert_eq!(weigh(Precision::Quantized), 307);
        assert_eq!(weight(&folder.path().join("decoder_model.onnx"), Precision::Full), 5_020, "one graph");
        assert_eq!(weight_of_decoders(folder.path(), Precision::Full), 7);
        assert_eq!(weight(&folder.path().join("nowhere"), Precision::Full), 0);
    }
}
