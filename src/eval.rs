//! `milo eval`: how well Milo reads, says, hears, answers and translates, by the sets of `models/evaluation/`, as one table; how ears
//! do on anybody's recordings; and one word at a time: how the Malagasy voice says it, with the rules of this build or edited ones.

mod answering;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use milo_media::wav;
use milo_models::{
    demo,
    engine::EngineError,
    espeak::pronouncer::Pronouncer,
    evaluation::{
        Score, dialogue, phonemes,
        recordings::{self, Chosen},
        speech, text, translation, voice,
    },
    llama::Llama,
    queue::Class,
    silero::VoiceActivity,
    transcriber::Transcriber,
};

use crate::{
    agent::Persona,
    chat::{SURE, keeps_figures},
    config::Config,
    dialplan::Dialplans,
    engines::{self, Listening, Model, Talking},
};

/// What is evaluated; all of it when nothing is said.
#[derive(clap::Subcommand)]
pub enum Which {
    /// Text for speech and back: figures, dates, money, addresses, in both languages and directions.
    Text,
    /// How the Malagasy voice says words.
    Phonemes(Rules),
    /// The ears (stt): sentences in voices that no training had, through a telephone, clean and with noise; lines without speech; recordings.
    #[command(visible_alias = "stt")]
    Speech(Ears),
    /// The voice (tts): how much of what it says the ears understand by telephone, and how quick it is; both as they are configured.
    #[command(visible_alias = "tts")]
    Voice(Speaker),
    /// The mind (llm): replies, other business, later turns, and tool calls under their grammar.
    #[command(visible_alias = "llm")]
    Dialogue(Mind),
    /// Set phrases, Malagasy and French, and the translator (mt).
    #[command(visible_alias = "mt")]
    Translation(Texts),
    /// Who has answered a call: people, machines, menus of keys and networks, by their sound and their words.
    Answering(Answering),
    /// Say words with the Malagasy voice: phonemes, IPA and, if wanted, sound.
    Say(Words),
}

/// Which rules the voice has.
#[derive(clap::Args, Default)]
pub struct Rules {
    /// A folder with mg_rules and mg_list to use in place of those of this build: models/espeak
    #[arg(long, value_name = "FOLDER")]
    rules: Option<PathBuf>,
}

/// Whose ears, and what they hear.
#[derive(clap::Args, Default)]
pub struct Ears {
    /// The folder of another Whisper or wav2vec2 [default: the configured one, else the one that ships]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// Hear the recordings of a folder in Common Voice's layout (test.tsv and clips/) in place of the sets.
    #[arg(long, value_name = "FOLDER")]
    recordings: Option<PathBuf>,
    /// Their list, by its path or its name in the folder [default: test.tsv, then validated.tsv]
    #[arg(long, value_name = "FILE", requires = "recordings")]
    list: Option<PathBuf>,
    /// So many of them, drawn [default: all]
    #[arg(long, value_name = "N", requires = "recordings", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// What they are drawn from.
    #[arg(long, value_name = "S", default_value_t = 1, requires = "count")]
    seed: u64,
    #[command(flatten)]
    wrong: Wrong,
}

/// How much a voice says.
#[derive(clap::Args)]
pub struct Speaker {
    /// The first so many sentences of each language [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    #[command(flatten)]
    wrong: Wrong,
}

/// Whose mind.
#[derive(clap::Args, Default)]
pub struct Mind {
    /// Another GGUF file [default: the configured one, else the one that ships]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    wrong: Wrong,
}

/// Whose translations.
#[derive(clap::Args, Default)]
pub struct Texts {
    /// The folder of another translator, NLLB-200 or M2M100 [default: the configured one, else the one that ships]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    #[command(flatten)]
    wrong: Wrong,
}

/// Which half of a set.
#[derive(clap::Args, Default)]
pub struct Answering {
    /// The half that thresholds were tuned on, in place of the one that figures are published of.
    #[arg(long)]
    tuned: bool,
    #[command(flatten)]
    wrong: Wrong,
}

/// How much is shown of what models had wrong.
#[derive(clap::Args, Clone, Copy, Default)]
pub struct Wrong {
    /// Show so many wrong cases of each row of a model; those of rules are all shown.
    #[arg(long, value_name = "N", default_value_t = 0)]
    wrong: usize,
}

/// What is said.
#[derive(clap::Args)]
pub struct Words {
    /// Words or sentences.
    #[arg(required = true)]
    words: Vec<String>,
    #[command(flatten)]
    rules: Rules,
    /// Write the sound, 16 kHz mono.
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
}

/// Evaluates and prints; `config` is read where models are asked. Whether all rules were right: models have what they have.
///
/// # Errors
/// A set that is not as it must be, a model that cannot be loaded or fails, recordings that are none.
pub async fn run(which: Option<Which>, config: impl FnOnce() -> Result<Config>) -> Result<bool> {
    let mut table = Table::default();
    match which {
        Some(Which::Say(words)) => return say(&words).map(|()| true),
        Some(Which::Text) => table.rules(text::scores())?,
        Some(Which::Phonemes(rules)) => table.rules(phonemes::scores(&mut Voice::open(&rules)?.pronouncer))?,
        Some(Which::Translation(texts)) => of_translation(&mut table, &texts, &config()?).await?,
        Some(Which::Speech(ears)) => match &ears.recordings {
            Some(folder) => of_recordings(&mut table, folder, &ears, &config()?).await?,
            None => of_speech(&mut table, &mut Voice::open(&Rules::default())?, &ears, &config()?).await?,
        },
        Some(Which::Voice(speaker)) => of_voice(&mut table, &speaker, &config()?).await?,
        Some(Which::Dialogue(mind)) => of_dialogue(&mut table, &mind, &config()?).await?,
        Some(Which::Answering(half)) => {
            of_answering(&mut table, &mut Voice::open(&Rules::default())?, &half, &config()?).await?;
        }
        None => {
            let (config, mut voice) = (config()?, Voice::open(&Rules::default())?);
            table.rules(text::scores())?;
            table.rules(phonemes::scores(&mut voice.pronouncer))?;
            of_translation(&mut table, &Texts::default(), &config).await?;
            of_speech(&mut table, &mut voice, &Ears::default(), &config).await?;
            of_answering(&mut table, &mut voice, &Answering::default(), &config).await?;
            of_dialogue(&mut table, &Mind::default(), &config).await?;
        }
    }
    print!("{}", table.text());
    Ok(!table.rows.iter().any(|(_, score)| score.is_fault()))
}

/// The voice, on data of its own.
struct Voice {
    pronouncer: Pronouncer,
    _folder: tempfile::TempDir,
}

impl Voice {
    fn open(rules: &Rules) -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the voice data")?;
        let pronouncer = Pronouncer::open(folder.path(), rules.rules.as_deref())?;
        Ok(Self { pronouncer, _folder: folder })
    }
}

fn listener(ears: &Ears, config: &Config) -> Result<(Model, Arc<dyn Transcriber>)> {
    let ort = engines::runtime(config)?;
    let shipped = demo::unpack(&config.data_dir)?;
    let path = ears.model.as_deref();
    let model = named(engines::ears::models(path, config, &shipped, &demo::manifest()?));
    Ok((model, engines::ears::load(path, config, &ort, &shipped)?))
}

/// What the table calls those that do a job together.
fn named(mut models: Vec<Model>) -> Model {
    let name = models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
    Model { name, ..models.swap_remove(0) }
}

async fn of_translation(table: &mut Table, texts: &Texts, config: &Config) -> Result<()> {
    table.rules(translation::scores())?;
    let ort = engines::runtime(config)?;
    let shipped = demo::unpack(&config.data_dir)?;
    let path = texts.model.as_deref();
    let models = engines::ways::models(path, config, &shipped, &demo::manifest()?);
    let is_shipped = models.iter().any(|model| model.demonstration);
    let translator = engines::ways::load(path, config, &ort, &shipped)?;
    let translate = async |text: &str, from, to| {
        let said = translator.translate(text, from, to, Class::Interactive).await?;
        Ok::<_, EngineError>(translation::Said { text: said.text, confidence: Some(said.confidence) })
    };
    let least = config.engines.translate.min_confidence;
    let is_told = |text: &str, said: &translation::Said| {
        let sure = said.confidence.unwrap_or(0.0);
        sure > 0.0 && sure >= least && (!is_shipped || sure >= SURE && keeps_figures(text, &said.text))
    };
    let scores = translation::by_engine(translate, is_told, usize::MAX).await;
    table.model(&named(models), texts.wrong, scores.map_err(|error| anyhow!(error))?);
    Ok(())
}

async fn of_speech(table: &mut Table, voice: &mut Voice, ears: &Ears, config: &Config) -> Result<()> {
    let (model, hears) = listener(ears, config)?;
    let scores = speech::scores(&mut voice.pronouncer, &*hears, speech::Amount::WHOLE).await;
    table.model(&model, ears.wrong, scores.map_err(|error| anyhow!(error))?);
    Ok(())
}

async fn of_recordings(table: &mut Table, folder: &Path, ears: &Ears, config: &Config) -> Result<()> {
    let (model, hears) = listener(ears, config)?;
    let chosen = Chosen { list: ears.list.clone(), count: ears.count.map(|count| count as usize), seed: ears.seed };
    let heard = recordings::scores(folder, &chosen, &*hears).await.map_err(|error| anyhow!(error))?;
    table.model(&model, ears.wrong, heard.scores);
    if !heard.unheard.is_empty() {
        table.notes.push(format!("could not be heard: {}", heard.unheard.len()));
        table.notes.extend(heard.unheard);
    }
    Ok(())
}

/// The voice and the ears that a call would have, servers among them.
async fn of_voice(table: &mut Table, speaker: &Speaker, config: &Config) -> Result<()> {
    let (talking, ears) = (Talking::load(config)?, Listening::load(config)?.transcriber);
    let most = speaker.count.map_or(usize::MAX, |count| count as usize);
    let spoken = voice::scores(&*talking.voice, &*ears, most).await.map_err(|error| anyhow!(error))?;
    table.model(&talking.model, speaker.wrong, spoken.scores);
    let (pace, ms) = (spoken.pace, |time: std::time::Duration| time.as_secs_f64() * 1_000.0);
    table.notes.push(format!(
        "the voice: real-time factor {:.3}; the first sample after {:.1} ms in the middle, {:.1} ms in 95 of 100 sentences, one at a time",
        pace.real_time_factor(),
        ms(pace.first_sample(50)),
        ms(pace.first_sample(95)),
    ));
    if talking.stood_in() > 0 {
        table.notes.push(format!(
            "{} of the sentences are the local voice's: the server did not say them",
            talking.stood_in()
        ));
    }
    Ok(())
}

async fn of_answering(table: &mut Table, voice: &mut Voice, half: &Answering, config: &Config) -> Result<()> {
    let ort = engines::runtime(config)?;
    let shipped = demo::unpack(&config.data_dir)?;
    let path = config.engines.vad.path.as_ref().unwrap_or(&shipped.silero);
    let activity = VoiceActivity::load(path, &ort)?;
    let scores = answering::scores(&mut voice.pronouncer, &activity, half.tuned).await;
    for score in scores.map_err(|error| anyhow!(error))? {
        table.wrong.extend(score.wrong.iter().take(half.wrong.wrong).cloned());
        table.rows.push(("rules, on voice activity".into(), score));
    }
    Ok(())
}

async fn of_dialogue(table: &mut Table, mind: &Mind, config: &Config) -> Result<()> {
    let shipped = demo::unpack(&config.data_dir)?;
    let path = mind.model.as_ref().or(config.engines.llm.path.as_ref());
    let model = match path {
        Some(path) => Model::configured("llm", path),
        None => Model::shipped("llm", "milo-mind-demo", &shipped.llama, &demo::manifest()?),
    };
    let plans = Dialplans::shipped().map_err(|faults| anyhow!("{faults}"))?;
    let Persona { prompt, min_logprob, .. } =
        plans.persona("demo").context("the demonstration persona is not there")?;
    let options = engines::answering_options(config, path.is_none(), vec![prompt.clone()]);
    let llama = Llama::load(path.unwrap_or(&shipped.llama), options)?;
    let persona = dialogue::Persona { prompt, min_logprob: *min_logprob };
    let scores = dialogue::scores(&llama, persona, usize::MAX).await.map_err(|error| anyhow!(error))?;
    table.model(&model, mind.wrong, scores);
    Ok(())
}

/// What was scored, by whom.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Score)>,
    /// What is wrong and shown.
    wrong: Vec<String>,
    /// Sentences below the table.
    notes: Vec<String>,
}

impl Table {
    fn rules(&mut self, scores: Result<Vec<Score>, String>) -> Result<()> {
        for score in scores.map_err(|error| anyhow!(error))? {
            self.wrong.extend(score.wrong.iter().cloned());
            self.rows.push(("rules".into(), score));
        }
        Ok(())
    }

    fn model(&mut self, model: &Model, shown: Wrong, scores: impl IntoIterator<Item = Score>) {
        for score in scores {
            self.wrong.extend(score.wrong.iter().take(shown.wrong).cloned());
            self.rows.push((model.name.clone(), score));
        }
        if model.demonstration {
            self.notes.push(format!(
                "{}: a demonstration model, trained on synthetic speech and made-up sentences with a small vocabulary.",
                model.name
            ));
        }
    }

    /// One line a set; notes and what was wrong below: Markdown, so that it can be put into a document.
    fn text(&self) -> String {
        let mut out = String::from("| set | by | cases | right | figure |\n|---|---|---:|---:|---:|\n");
        for (by, score) in &self.rows {
            out += &format!("| {} | {by} | {} | {} | {} |\n", score.set, score.cases, score.right(), score.figure());
        }
        for part in [&self.notes, &self.wrong.iter().map(|wrong| format!("wrong: {wrong}")).collect()] {
            if !part.is_empty() {
                out += &format!("\n{}\n", part.join("\n"));
            }
        }
        out
    }
}

fn say(words: &Words) -> Result<()> {
    let mut opened = Voice::open(&words.rules)?;
    let voice = &mut opened.pronouncer;
    for word in &words.words {
        println!("{word}\t{}\t[{}]", voice.phonemes(word)?, voice.ipa(word)?);
    }
    if let Some(file) = &words.wav {
        wav::write(file, &voice.sound(&words.words.join(", "))?)?;
        println!("{}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use milo_models::evaluation::Figure;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        which: Option<Which>,
    }

    fn score(set: &'static str, cases: usize, wrong: &[&str], figure: Figure) -> Score {
        Score { set, cases, wrong: wrong.iter().map(|&wrong| wrong.into()).collect(), figure }
    }

    #[test]
    fn the_table_says_who_did_what_and_how_well_and_names_what_was_wrong() {
        let mut table = Table::default();
        let model = |name: &str, demonstration| Model {
            name: name.into(),
            demonstration,
            ..Model::configured("stt", Path::new("/"))
        };
        table.rules(Ok(vec![score("words", 4, &["line 3: a, not b"], Figure::Rules)])).unwrap();
        let heard = || score("speech", 3, &["one", "two"], Figure::Words { edits: 9, words: 8 });
        table.model(&model("demo-ears", true), Wrong { wrong: 1 }, [heard()]);
        table.model(&model("large-ears", false), Wrong { wrong: 0 }, [heard()]);
        assert_eq!(
            table.text(),
            "| set | by | cases | right | figure |\n|---|---|---:|---:|---:|\n\
             | words | rules | 4 | 3 | 75.0 % right |\n\
             | speech | demo-ears | 3 | 1 | 112.5 % WER |\n\
             | speech | large-ears | 3 | 1 | 112.5 % WER |\n\n\
             demo-ears: a demonstration model, trained on synthetic speech and made-up sentences with a small vocabulary.\n\n\
             wrong: line 3: a, not b\nwrong: one\n"
        );
        assert!(table.rows[0].1.is_fault() && !table.rows[1].1.is_fault(), "a model has what it has");
    }

    #[test]
    fn engines_are_called_by_their_jobs_too() {
        let read = |line: &str| Line::try_parse_from(line.split(' ')).unwrap().which.unwrap();
        assert!(matches!(read("eval stt --model ears"), Which::Speech(_)));
        assert!(matches!(read("eval tts --count 3 --wrong 1"), Which::Voice(_)));
        assert!(matches!(read("eval mt"), Which::Translation(_)) && matches!(read("eval llm"), Which::Dialogue(_)));
        assert!(Line::try_parse_from(["eval", "tts", "--count", "0"]).is_err());
    }

    #[test]
    fn what_belongs_to_recordings_needs_some() {
        let read = |line: &str| Line::try_parse_from(line.split(' ')).map(|line| line.which.is_some());
        assert!(read("eval speech --recordings mg --list dev.tsv --count 5 --seed 2 --model ears --wrong 3").unwrap());
        assert!(!read("eval").unwrap());
        for wrong in [
            "eval speech --count 5",
            "eval speech --list a",
            "eval speech --recordings mg --count 0",
            "eval speech --seed 2",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    /// The mind was trained with this prompt, and the sets were made with these words.
    #[test]
    fn the_personas_prompt_is_that_of_the_grammar() {
        let grammar = include_str!("../models/training/grammar.py").replace("\"\n    \"", "");
        let plans = Dialplans::shipped().unwrap();
        let prompt = &plans.persona("demo").unwrap().prompt;
        assert!(grammar.contains(&format!("\"{prompt}\"")), "{prompt}");
    }
}
