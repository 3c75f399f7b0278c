//! `milo eval`: how well the rules read, hear and translate, by the sets of `models/evaluation/`, as one table. And one word at a time:
//! how the Malagasy voice says it, with the rules of this build or edited ones.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use milo_media::wav;
use milo_models::{
    espeak::pronouncer::Pronouncer,
    evaluation::{Score, phonemes, text, translation},
};

/// What is evaluated; all of it when nothing is said.
#[derive(clap::Subcommand)]
pub enum Which {
    /// Text for speech and back: figures, dates, money, addresses, in both languages and directions.
    Text,
    /// How the Malagasy voice says words.
    Phonemes(Rules),
    /// The set phrases, Malagasy and French.
    Translation,
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

/// Evaluates and prints. Whether everything was right.
pub fn run(which: Option<Which>) -> Result<bool> {
    let scores = match which {
        Some(Which::Say(words)) => return say(&words).map(|()| true),
        Some(Which::Text) => text::scores(),
        Some(Which::Phonemes(rules)) => of_phonemes(&rules),
        Some(Which::Translation) => translation::scores(),
        None => text::scores().and_then(|mut scores| {
            scores.extend(of_phonemes(&Rules::default())?);
            scores.extend(translation::scores()?);
            Ok(scores)
        }),
    }
    .map_err(|error| anyhow!(error))?;
    print!("{}", table(&scores));
    Ok(scores.iter().all(|score| score.wrong.is_empty()))
}

fn of_phonemes(rules: &Rules) -> Result<Vec<Score>, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for the voice data: {error}"))?;
    let mut voice = Pronouncer::open(folder.path(), rules.rules.as_deref()).map_err(|error| error.to_string())?;
    phonemes::scores(&mut voice)
}

/// One line a set; what was wrong below, as Markdown, so that it can be put into a document.
fn table(scores: &[Score]) -> String {
    let mut out = String::from("| set | cases | right | % |\n|---|---:|---:|---:|\n");
    for score in scores {
        let percent = 100.0 * score.right() as f64 / score.cases.max(1) as f64;
        out += &format!("| {} | {} | {} | {percent:.1} |\n", score.set, score.cases, score.right());
    }
    for wrong in scores.iter().flat_map(|score| &score.wrong) {
        out += &format!("\nwrong: {wrong}");
    }
    if scores.iter().any(|score| !score.wrong.is_empty()) {
        out.push('\n');
    }
    out
}

fn say(words: &Words) -> Result<()> {
    let folder = tempfile::tempdir().context("no folder for the voice data")?;
    let mut voice = Pronouncer::open(folder.path(), words.rules.rules.as_deref())?;
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
    use super::*;

    #[test]
    fn the_table_says_what_was_right_and_names_what_was_not() {
        let scores = [
            Score { set: "words", cases: 4, wrong: vec!["line 3: a, not b".into()] },
            Score { set: "none", cases: 0, wrong: Vec::new() },
        ];
        assert_eq!(
            table(&scores),
            "| set | cases | right | % |\n|---|---:|---:|---:|\n| words | 4 | 3 | 75.0 |\n| none | 0 | 0 | 0.0 |\n\nwrong: line 3: a, not b\n"
        );
    }
}
