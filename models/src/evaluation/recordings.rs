//! What ears hear of real recordings: a folder as Common Voice lays it out, judged by the normaliser of all transcripts, as it was
//! recorded and as a telephone carries it.
//!
//! ```text
//! FOLDER/test.tsv     columns client_id, path, sentence, … locale: `path` and `sentence` are read, and `locale` where it is there
//! FOLDER/clips/       the sound files that `path` names: MP3, WAV, Ogg, FLAC
//! ```

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use milo_media::prompt;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Figure, Score,
    line::narrow,
    speech::{hear, judge},
};
use crate::{
    engine::Language,
    transcriber::{Transcriber, Transcript},
};

/// The lists that are looked for; the first that is there is read.
const LISTS: [&str; 2] = ["test.tsv", "validated.tsv"];
/// The folder of the sound files.
const CLIPS: &str = "clips";
/// A list of more bytes is none.
const LARGEST: u64 = 1 << 30;

/// Which of a folder's recordings are heard.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// The list, by its path or its name in the folder; else test.tsv or validated.tsv.
    pub list: Option<PathBuf>,
    /// So many of them, drawn; else all.
    pub count: Option<usize>,
    /// What they are drawn from.
    pub seed: u64,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clip {
    file: PathBuf,
    sentence: String,
    locale: Option<String>,
}

/// What ears scored.
#[derive(Debug)]
pub struct Heard {
    /// As recorded, and as a telephone carries it.
    pub scores: [Score; 2],
    /// The clips that could not be heard, a sentence each.
    pub unheard: Vec<String>,
}

/// Hears the recordings of a folder.
///
/// # Errors
/// No such folder or list, a list without the columns, no clip that can be heard; the sentence says what would be right.
pub async fn scores(folder: &Path, chosen: &Chosen, ears: &dyn Transcriber) -> Result<Heard, String> {
    let names = ["recordings, as recorded (16 kHz)", "recordings, by telephone (8 kHz, G.711)"];
    let mut scores = names.map(|name| Score::new(name, Figure::Words { edits: 0, words: 0 }));
    let (clips, nameless) = clips(folder, chosen)?;
    let mut unheard = Vec::new();
    if nameless > 0 {
        unheard.push(format!("{nameless} lines of the list lack a path or a sentence"));
    }
    for clip in clips {
        match hear_both(&clip, ears).await {
            Ok((language, heard)) => {
                let name = clip.file.file_name().unwrap_or_default().to_string_lossy();
                for (score, heard) in scores.iter_mut().zip(heard) {
                    // Ears that fail have heard none of its words.
                    let text = heard.as_ref().map_or("", |heard| heard.text.as_str());
                    judge(score, &name, &clip.sentence, text, language);
                    unheard.extend(heard.err().map(|why| format!("{}: {why}", clip.file.display())));
                }
            }
            Err(why) => unheard.push(why),
        }
    }
    if scores[0].cases == 0 {
        let first = unheard.first().map_or("", |why| why.as_str());
        return Err(format!("none of the {} clips of {} can be heard: {first}", unheard.len(), folder.display()));
    }
    Ok(Heard { scores, unheard })
}

/// The language of a clip, and what was heard of it as recorded and by telephone.
async fn hear_both(clip: &Clip, ears: &dyn Transcriber) -> Result<(Language, [Result<Transcript, String>; 2]), String> {
    let named = |why: String| format!("{}: {why}", clip.file.display());
    let language = match clip.locale.as_deref() {
        None => Language::Mg,
        Some(locale) => locale
            .split(['-', '_'])
            .next()
            .unwrap_or(locale)
            .parse()
            .map_err(|_| named(format!("its locale {locale:?} is neither mg nor fr")))?,
    };
    if clip.file.components().any(|part| part == Component::ParentDir) {
        return Err(named("it lies outside of the folder".into()));
    }
    if fs::metadata(&clip.file).is_ok_and(|found| !found.is_file()) {
        return Err(named("it is no file".into()));
    }
    // The reader's own words name the file.
    let samples = prompt::read(&clip.file).map_err(|error| error.to_string())?;
    let by_telephone = hear(ears, narrow(&samples)).await;
    Ok((language, [hear(ears, samples).await, by_telephone]))
}

/// The clips that are chosen, and how many lines of the list name none.
fn clips(folder: &Path, chosen: &Chosen) -> Result<(Vec<Clip>, usize), String> {
    let shown = folder.display();
    if !folder.is_dir() {
        return Err(format!("{shown} is no folder; name one in Common Voice's layout, with test.tsv and clips/"));
    }
    let list = match &chosen.list {
        Some(list) if folder.join(list).is_file() => folder.join(list),
        Some(list) => list.clone(),
        None => LISTS.map(|name| folder.join(name)).into_iter().find(|list| list.is_file()).ok_or_else(|| {
            format!("{shown} holds neither test.tsv nor validated.tsv; name the list of its clips with --list")
        })?,
    };
    let unread = |why: String| format!("the list {} cannot be read: {why}", list.display());
    let length = fs::metadata(&list).map_err(|error| unread(error.to_string()))?.len();
    if length > LARGEST {
        return Err(unread(format!("it has {length} bytes")));
    }
    let text = fs::read(&list).map_err(|error| unread(error.to_string()))?;
    let (mut clips, nameless) = listed(&String::from_utf8_lossy(&text), folder).map_err(unread)?;
    if clips.is_empty() {
        return Err(format!("the list {} names no clip", list.display()));
    }
    if let Some(count) = chosen.count.filter(|count| *count < clips.len()) {
        let mut random = StdRng::seed_from_u64(chosen.seed);
        for at in 0..count {
            let other = random.random_range(at..clips.len());
            clips.swap(at, other);
        }
        clips.truncate(count);
    }
    Ok((clips, nameless))
}

/// The clips of a list, whose first line names its columns.
fn listed(text: &str, folder: &Path) -> Result<(Vec<Clip>, usize), String> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').map(str::trim).collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let wanted = |name: &str| {
        column(name).ok_or_else(|| {
            format!(
                "its first line must name the columns, path and sentence among them; it has {:?}",
                columns.join(", ")
            )
        })
    };
    let (path, sentence, locale) = (wanted("path")?, wanted("sentence")?, column("locale"));
    let clip = |line: &str| {
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        let cell = |at: usize| cells.get(at).copied().filter(|cell| !cell.is_empty());
        Some(Clip {
            file: folder.join(CLIPS).join(cell(path)?.trim_start_matches('/')),
            sentence: cell(sentence)?.into(),
            locale: locale.and_then(cell).map(str::to_owned),
        })
    };
    let rows: Vec<Option<Clip>> = lines.filter(|line| !line.trim().is_empty()).map(clip).collect();
    let nameless = rows.iter().filter(|row| row.is_none()).count();
    Ok((rows.into_iter().flatten().collect(), nameless))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use milo_media::wav;

    use super::*;
    use crate::{
        engine::EngineError,
        queue::{Waiting, Work},
        transcriber::{Listen, Transcribing},
    };

    /// Ears that hear one word for each tenth of a second, and are deaf to what is quiet.
    struct Counting;

    impl Transcriber for Counting {
        fn transcribe(&self, samples: Vec<i16>, _: Listen) -> Transcribing {
            let words = samples.len().div_ceil(1_600);
            let is_loud = samples.iter().any(|sample| sample.unsigned_abs() > 1_000);
            Box::pin(async move {
                if !is_loud {
                    return Err(EngineError::Input("too quiet".into()));
                }
                Ok(Transcript::written(vec!["Eny"; words].join(" "), Language::Mg))
            })
        }

        fn knows_words(&self) -> bool {
            false
        }

        fn takes_prompt(&self) -> bool {
            false
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    fn tone(tenths: usize, level: f64) -> Vec<i16> {
        (0..tenths * 1_600).map(|n| ((n as f64 * 0.3).sin() * level) as i16).collect()
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(CLIPS)).unwrap();
        let clip = |name: &str| folder.path().join(CLIPS).join(name);
        wav::write(&clip("right.wav"), &tone(3, 9_000.0)).unwrap();
        wav::write(&clip("wrong.wav"), &tone(4, 9_000.0)).unwrap();
        wav::write(&clip("quiet.wav"), &tone(2, 9.0)).unwrap();
        fs::write(clip("broken.mp3"), b"ID3 and then nothing of an MP3").unwrap();
        fs::write(clip("empty.mp3"), b"").unwrap();
        let mut mp3 = Vec::new();
        let container = milo_media::sound_file::Container::mp3().unwrap_or(milo_media::sound_file::Container::Ogg);
        let mut writer = milo_media::sound_file::Writer::new(container).unwrap();
        mp3.extend(writer.write(&tone(10, 9_000.0)).unwrap());
        mp3.extend(writer.finish().unwrap());
        fs::write(clip("coded.mp3"), mp3).unwrap();
        let list = "\u{feff}client_id\tpath\tsentence_id\tsentence\tlocale\r\n\
            a\tright.wav\t1\tEny, eny — ENY!\tmg\r\n\
            a\twrong.wav\t2\teny tsia eny eny\t\r\n\
            a\tcoded.mp3\t3\toui\tfr\r\n\
            a\tquiet.wav\t4\teny\tmg\r\n\
            a\tbroken.mp3\t5\teny\tmg\r\n\
            a\tempty.mp3\t6\teny\tmg\r\n\
            a\tmissing.mp3\t7\teny\tmg\r\n\
            a\tright.wav\t8\tja\tde\r\n\
            a\t\t9\teny\tmg\r\n\
            cut off\r\n";
        fs::write(folder.path().join("test.tsv"), list).unwrap();
        folder
    }

    #[tokio::test]
    async fn clips_are_heard_as_recorded_and_by_telephone_and_broken_ones_are_named() {
        let folder = folder();
        let heard = scores(folder.path(), &Chosen::default(), &Counting).await.unwrap();
        for score in &heard.scores {
            assert_eq!((score.cases, score.right()), (4, 1), "{score:?}");
            let Figure::Words { edits, words } = score.figure else { panic!("{score:?}") };
            // One word of four, of the one French word ten or eleven others (an MP3 has silence around it), and the one of the clip at
            // which the ears fail.
            assert!(words == 9 && (12..=15).contains(&edits), "{score:?}");
        }
        let named: Vec<bool> = ["quiet.wav", "broken.mp3", "empty.mp3", "missing.mp3", "\"de\"", "2 lines"]
            .iter()
            .map(|name| heard.unheard.iter().any(|why| why.contains(name)))
            .collect();
        assert!(named.iter().all(|named| *named) && heard.unheard.len() == 7, "{:#?}", heard.unheard);
    }

    #[tokio::test]
    async fn so_many_are_drawn_from_the_seed() {
        let folder = folder();
        let drawn = |count, seed| {
            let chosen = Chosen { count: Some(count), seed, list: Some("test.tsv".into()) };
            clips(folder.path(), &chosen).unwrap().0.into_iter().map(|clip| clip.sentence).collect::<Vec<_>>()
        };
        assert_eq!(drawn(3, 1), drawn(3, 1));
        assert_eq!(drawn(3, 1).iter().collect::<BTreeSet<_>>().len(), 3);
        assert!((2..20).any(|seed| drawn(3, seed) != drawn(3, 1)));
        assert_eq!(drawn(100, 1).len(), 8);
    }

    #[tokio::test]
    async fn a_folder_that_is_none_of_recordings_is_a_sentence() {
        let folder = folder();
        let at = folder.path();
        fs::write(at.join("columns.tsv"), "file\ttext\na.mp3\teny\n").unwrap();
        fs::write(at.join("nothing.tsv"), "path\tsentence\n\n").unwrap();
        fs::write(at.join("gone.tsv"), "path\tsentence\n../../gone.mp3\teny\n").unwrap();
        fs::write(at.join("bytes.tsv"), [0xff, 0xfe, 0, 9, 10]).unwrap();
        let empty = tempfile::tempdir().unwrap();
        let list = |name: &str| Chosen { list: Some(name.into()), ..Chosen::default() };
        for (folder, chosen, why) in [
            (&at.join("nowhere"), Chosen::default(), "is no folder"),
            (&at.join("test.tsv"), Chosen::default(), "is no folder"),
            (&empty.path().to_path_buf(), Chosen::default(), "neither test.tsv nor validated.tsv"),
            (&at.to_path_buf(), list("elsewhere.tsv"), "elsewhere.tsv cannot be read"),
            (&at.to_path_buf(), list("columns.tsv"), "\"file, text\""),
            (&at.to_path_buf(), list("bytes.tsv"), "path and sentence"),
            (&at.to_path_buf(), list("nothing.tsv"), "names no clip"),
            (&at.to_path_buf(), list("gone.tsv"), "none of the 1 clips"),
        ] {
            let told = scores(folder, &chosen, &Counting).await.unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
