//! Which model is wanted in the place of another: of which engine, for which language, and where it may lie.

use std::path::{Path, PathBuf};

use milo_models::engine::Language;

use crate::config::Config;

/// What is to be put into its place.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The engine's table in `[engines]`.
    pub job: &'a str,
    /// Where it lies; none: what the configuration names, or what ships.
    pub path: Option<&'a Path>,
    /// What it hears or speaks, or from what it translates, where there is a model for each language; none: one does all.
    pub language: Option<Language>,
}

impl Order<'_> {
    /// The configuration with this model in it, from the one of the start and from what is in memory `now`. What is done by a model for each
    /// language is changed one by one, and the others stay as they are.
    ///
    /// # Errors
    /// The path leads where nothing may be read, or the engine has no models for single languages.
    pub(super) fn placed(self, start: &Config, now: &Config) -> Result<Config, String> {
        let mut config = now.clone();
        if self.language.is_none() {
            // The other engines keep what came since.
            let (engines, own) = (&mut config.engines, start.engines.clone());
            match self.job {
                "stt" => engines.stt = own.stt,
                "translate" => engines.translate = own.translate,
                "llm" => engines.llm = own.llm,
                _ => engines.tts = own.tts,
            }
        }
        let found = self.path.map(|path| self.permitted(start, path)).transpose()?;
        let by_start = self.place(&mut start.clone())?.clone();
        let place = self.place(&mut config)?;
        if let Some(found) = found {
            // It was trained on top of the model that the configuration names.
            let is_another = by_start.and_then(|named| named.canonicalize().ok()).is_none_or(|named| named != found);
            *place = Some(found);
            if self.job == "llm" && is_another {
                config.engines.llm.lora = None;
            }
        } else if self.language.is_some() {
            *place = by_start;
        }
        Ok(config)
    }

    /// Where the configuration names the model.
    fn place(self, config: &mut Config) -> Result<&mut Option<PathBuf>, String> {
        let engines = &mut config.engines;
        let all = |path: &Option<PathBuf>| match path {
            Some(path) => {
                Err(format!("one model does all languages of {}, {}: leave `language` out", self.job, path.display()))
            }
            None => Ok(()),
        };
        match (self.job, self.language) {
            ("stt", None) => Ok(&mut engines.stt.path),
            ("translate", None) => Ok(&mut engines.translate.path),
            ("llm", None) => Ok(&mut engines.llm.path),
            ("tts", None) => Ok(&mut engines.tts.path),
            ("tts", Some(Language::Mg)) => Ok(&mut engines.tts.voices.mg),
            ("tts", Some(Language::Fr)) => Ok(&mut engines.tts.voices.fr),
            ("stt", Some(language)) => {
                all(&engines.stt.path)?;
                Ok(if language == Language::Mg { &mut engines.stt.mg } else { &mut engines.stt.fr })
            }
            ("translate", Some(from)) => {
                all(&engines.translate.path)?;
                let ways = &mut engines.translate;
                if ways.mg_fr.is_none() || ways.fr_mg.is_none() {
                    return Err("one model translates both ways: leave `language` out".into());
                }
                Ok(if from == Language::Mg { &mut ways.mg_fr } else { &mut ways.fr_mg })
            }
            (job, _) => Err(format!("one model of {job} does all languages: leave `language` out")),
        }
    }

    /// Where a model lies that may be loaded: in the folder of models, or where the configuration names it. Whoever asks by the API reads no
    /// other files, and a link that leads out of there is followed before this is looked at.
    fn permitted(self, start: &Config, path: &Path) -> Result<PathBuf, String> {
        let models = start.data_dir.join("models");
        let found = models.join(path).canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        let named = self.place(&mut start.clone())?.clone();
        let places = [Some(models.clone()), named];
        let is_within = |place: &PathBuf| place.canonicalize().is_ok_and(|place| found.starts_with(place));
        if places.iter().flatten().any(is_within) {
            return Ok(found);
        }
        Err(format!(
            "{} is neither below {} nor what [engines.{}] names: a model is put there first, by `milo models pull` or by hand",
            path.display(),
            models.display(),
            self.job
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order<'a>(job: &'a str, path: &'a Path, language: Option<Language>) -> Order<'a> {
        Order { job, path: Some(path), language }
    }

    #[test]
    fn a_model_lies_in_the_folder_of_models_or_where_the_configuration_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, outside) = (folder.path().join("data"), folder.path().join("outside"));
        std::fs::create_dir_all(data.join("models/ears")).expect("a folder");
        std::fs::create_dir_all(outside.join("ears")).expect("a folder");
        std::os::unix::fs::symlink(&outside, data.join("models/link")).expect("a link");
        let mut config = Config { data_dir: data.clone(), ..Config::default() };
        let may = |config: &Config, path: &Path| order("stt", path, None).permitted(config, path);
        let whole = data.join("models/ears").canonicalize().expect("there");
        for path in [Path::new("ears"), &whole] {
            assert_eq!(may(&config, path), Ok(whole.clone()));
        }
        let elsewhere = outside.join("ears");
        for path in [&elsewhere, Path::new("../../outside/ears"), Path::new("link/ears"), Path::new("/etc/passwd")] {
            let refused = may(&config, path).expect_err("outside");
            assert!(refused.contains("is neither below") && refused.contains("[engines.stt] names"), "{refused}");
        }
        assert!(may(&config, Path::new("nowhere")).expect_err("nothing").contains("nowhere: "));
        config.engines.stt.path = Some(elsewhere.clone());
        assert_eq!(may(&config, &elsewhere), Ok(elsewhere.canonicalize().expect("there")));
        assert!(order("llm", &elsewhere, None).permitted(&config, &elsewhere).is_err(), "that is another engine's");
    }

    #[test]
    fn a_model_of_one_language_takes_its_place_beside_those_that_came_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let models = folder.path().join("models");
        for name in ["one", "two"] {
            std::fs::create_dir_all(models.join(name)).expect("a folder");
        }
        let there = |name: &str| Some(models.join(name).canonicalize().expect("there"));
        let start = Config { data_dir: folder.path().into(), ..Config::default() };
        let now = order("tts", Path::new("one"), Some(Language::Mg)).placed(&start, &start).expect("a voice");
        let both = order("tts", Path::new("two"), Some(Language::Fr)).placed(&start, &now).expect("another");
        assert_eq!(
            (both.engines.tts.voices.mg.clone(), both.engines.tts.voices.fr.clone()),
            (there("one"), there("two"))
        );
        let back = Order { job: "tts", path: None, language: Some(Language::Mg) }.placed(&start, &both).expect("back");
        assert_eq!((back.engines.tts.voices.mg, back.engines.tts.voices.fr), (None, there("two")));
        let beside = Order { job: "llm", path: None, language: None }.placed(&start, &both).expect("another engine's");
        assert_eq!(beside.engines.tts.voices.fr, there("two"), "it stays as it is");
        let whole = Order { job: "tts", path: None, language: None }.placed(&start, &both).expect("as at the start");
        assert_eq!(whole.engines.tts.voices.fr, None);
        let mut one = start.clone();
        one.engines.stt.path = there("one");
        for (start, job, says) in [
            (&one, "stt", "one model does all languages of stt"),
            (&start, "translate", "one model translates both ways"),
            (&start, "llm", "one model of llm does all languages"),
        ] {
            let refused = order(job, Path::new("two"), Some(Language::Mg)).placed(start, start).expect_err("refused");
            assert!(refused.starts_with(says), "{refused}");
        }
    }
}
