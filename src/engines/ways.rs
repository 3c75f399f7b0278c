//! The translator in this process: one model for both ways, or one for each.

use std::path::{Path, PathBuf};

use milo_models::{
    demo::DemoFiles,
    manifest::Manifest,
    onnx::OrtRuntime,
    translator::{Translator, TranslatorOptions},
};

use super::{Model, threads};
use crate::{
    config::{Config, Translate},
    error::Error,
};

/// Loads what lies in `path`, else what is configured, else the one that ships.
///
/// # Errors
/// What lies there is no translator, or cannot be loaded.
pub(crate) fn load(
    path: Option<&Path>,
    config: &Config,
    ort: &OrtRuntime,
    shipped: &DemoFiles,
) -> Result<Translator, Error> {
    let translate = &config.engines.translate;
    let threads = threads(translate.threads);
    let batch = translate.batch;
    let options = |by_clause| TranslatorOptions { threads, by_clause, batch, ..TranslatorOptions::default() };
    Ok(match (path.or(translate.path.as_deref()), each(translate)) {
        (None, Some(ways)) => Translator::load_ways(ways.map(PathBuf::as_path), ort, options(false))?,
        (Some(path), _) => Translator::load(path, ort, options(false))?,
        // The small one was taught single clauses.
        (None, None) => Translator::load(&shipped.translator, ort, options(true))?,
    })
}

/// The folders of both ways, where each has one.
fn each(translate: &Translate) -> Option<[&PathBuf; 2]> {
    Some([translate.mg_fr.as_ref()?, translate.fr_mg.as_ref()?])
}

/// What translates, for health and the log.
pub(crate) fn models(path: Option<&Path>, config: &Config, shipped: &DemoFiles, manifest: &Manifest) -> Vec<Model> {
    let translate = &config.engines.translate;
    match (path.or(translate.path.as_deref()), each(translate)) {
        (None, Some(ways)) => ways.map(|folder| Model::configured("translate", folder)).into(),
        (Some(path), _) => vec![Model::configured("translate", path)],
        (None, None) => vec![Model::shipped("translate", "milo-translator-demo", &shipped.translator, manifest)],
    }
}
