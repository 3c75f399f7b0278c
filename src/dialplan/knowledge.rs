//! What is known: texts and tables in the folders of `dialplans/knowledge/`, and what of them fits a question (the verb `look_up`).
//!
//! Each section of a Markdown file and each row of a CSV file is a piece; pieces are ranked by BM25 (Robertson and Zaragoza 2009) over
//! words without accents, of which those that begin alike count for less. Where pieces have vectors, those nearest to the question's are
//! ranked besides, and the two ranks are made one (reciprocal rank fusion: Cormack, Clarke and Büttcher 2009).

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    sync::Arc,
};

use milo_models::text::heard;
use serde::{Deserialize, Serialize};

use super::{
    fault::{Fault, Source},
    variables,
};

/// Pieces of one folder, characters of one piece, and bytes of one file.
const MOST_PIECES: usize = 20_000;
const LONGEST: usize = 700;
const LARGEST: u64 = 4 << 20;
/// BM25's constants, as in the paper.
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// Words that begin with the same letters, so many, are akin: "fisokafana", "fisokafan'ny".
const STEM: usize = 5;
/// How much a kindred word counts.
const KINDRED: f32 = 0.6;
/// Reciprocal rank fusion's constant, as in the paper; and so many of each rank take part.
const K: f32 = 60.0;
const RANKED: usize = 20;

/// What texts mean: vectors of length one.
pub type Vectors = HashMap<Arc<str>, Arc<[f32]>>;

/// What a question means, beside the pieces.
pub struct Near {
    /// Of length one.
    pub question: Vec<f32>,
    /// Those of the pieces, by their texts.
    pub vectors: Arc<Vectors>,
    /// A piece less alike than this, 0 to 1, is of other things.
    pub least: f32,
}

/// Looks something up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookUp {
    /// A folder of `knowledge/`, with `.md` and `.csv` files; left out, the only one that there is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub within: String,
    /// What is looked for: words, a question.
    pub about: String,
    /// The variable that holds what was found, the best first; empty when nothing fits.
    pub into: String,
    /// How many pieces at most, 1 to 5.
    #[serde(default = "three")]
    pub most: usize,
}

fn three() -> usize {
    3
}

impl LookUp {
    pub(super) fn fault(&self) -> Option<String> {
        if let Some(why) = variables::unfit(&self.into) {
            return Some(format!("look_up: into: {why}"));
        }
        (!(1..=5).contains(&self.most)).then(|| format!("look_up: most = {} is not within 1 to 5", self.most))
    }
}

/// One folder's pieces, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    pieces: Vec<Piece>,
    /// In how many pieces a word stands, by its whole and by its beginning.
    words: BTreeMap<String, usize>,
    stems: BTreeMap<String, usize>,
    mean_length: f32,
}

#[derive(Clone, Debug)]
struct Piece {
    text: Arc<str>,
    words: BTreeMap<String, usize>,
    stems: BTreeMap<String, usize>,
    length: usize,
}

/// Every folder of `knowledge/`, by name; what cannot be read is added to `faults`.
pub(super) fn folders(dialplans: &Path, faults: &mut Vec<Fault>) -> BTreeMap<String, Knowledge> {
    let entries = fs::read_dir(dialplans.join("knowledge")).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), Knowledge::read(&entry.path(), faults)))
        .collect()
}

impl Knowledge {
    /// The files of a folder; what cannot be read is added to `faults`.
    pub(super) fn read(folder: &Path, faults: &mut Vec<Fault>) -> Self {
        let mut paths: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let mut knowledge = Self::default();
        for path in paths {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
            let is_table = ending == "csv";
            if !is_table && ending != "md" {
                continue;
            }
            let mut wrong = |line: Option<usize>, fault: String| {
                faults.push(Fault { line, ..Source::new(&path, "").fault(None, fault) });
            };
            if fs::metadata(&path).is_ok_and(|about| about.len() > LARGEST) {
                wrong(None, format!("is larger than {} MiB", LARGEST >> 20));
                continue;
            }
            match fs::read_to_string(&path) {
                Ok(text) if is_table => match rows(&text) {
                    Ok(rows) => rows.into_iter().for_each(|row| knowledge.add(row)),
                    Err((line, fault)) => wrong(line, fault),
                },
                Ok(text) => sections(&text).into_iter().for_each(|section| knowledge.add(section)),
                Err(error) => wrong(None, error.to_string()),
            }
            if knowledge.pieces.len() > MOST_PIECES {
                wrong(None, format!("with it there are more than {MOST_PIECES} sections and rows"));
                break;
            }
        }
        let all: usize = knowledge.pieces.iter().map(|piece| piece.length).sum();
        knowledge.mean_length = all as f32 / knowledge.pieces.len().max(1) as f32;
        knowledge
    }

    fn add(&mut self, text: String) {
        let (mut words, mut stems, mut length) = (BTreeMap::new(), BTreeMap::new(), 0);
        for word in terms(&text) {
            *stems.entry(stem(&word)).or_default() += 1;
            *words.entry(word).or_default() += 1;
            length += 1;
        }
        if length == 0 {
            return;
        }
        words.keys().for_each(|word| *self.words.entry(String::clone(word)).or_default() += 1);
        stems.keys().for_each(|stem| *self.stems.entry(String::clone(stem)).or_default() += 1);
        self.pieces.push(Piece { text: text.into(), words, stems, length });
    }

    /// The texts of all pieces.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pieces.iter().map(|piece| &piece.text)
    }

    /// What fits best, `most` pieces, each on a line; by what it means too, where that is known.
    pub fn find(&self, about: &str, most: usize, near: Option<&Near>) -> String {
        let (by_words, nearest) = (self.by_words(about), near.map(|near| self.nearest(near)).unwrap_or_default());
        let mut fused: BTreeMap<usize, f32> = BTreeMap::new();
        for ranked in [&by_words, &nearest] {
            for (rank, at) in ranked.iter().take(RANKED).enumerate() {
                *fused.entry(*at).or_default() += 1.0 / (K + rank as f32 + 1.0);
            }
        }
        let mut fused: Vec<_> = fused.into_iter().collect();
        fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        fused.into_iter().take(most).map(|(at, _)| &*self.pieces[at].text).collect::<Vec<_>>().join("\n")
    }

    /// The pieces whose vectors are nearest to the question's, the nearest first; none where one of them has no vector yet: what is
    /// ranked must all be there.
    fn nearest(&self, Near { question, vectors, least }: &Near) -> Vec<usize> {
        let alike = |piece: &Piece| {
            let vector = vectors.get(&piece.text).filter(|vector| vector.len() == question.len())?;
            Some(vector.iter().zip(question).map(|(a, b)| a * b).sum::<f32>())
        };
        let Some(alike) = self.pieces.iter().map(alike).collect::<Option<Vec<_>>>() else { return Vec::new() };
        let mut near: Vec<_> = alike.into_iter().enumerate().filter(|(_, alike)| alike >= least).collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.into_iter().map(|(at, _)| at).collect()
    }

    /// The pieces that share words with a question, the best first.
    fn by_words(&self, about: &str) -> Vec<usize> {
        let asked = terms(about);
        let mut scored: Vec<(f32, usize)> = self
            .pieces
            .iter()
            .enumerate()
            .map(|(at, piece)| (asked.iter().map(|word| self.score(piece, word)).sum(), at))
            .filter(|(score, _)| *score > 0.0)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // What is far less fitting than the best is of other things.
        let least = scored.first().map_or(0.0, |(best, _)| best / 3.0);
        scored.into_iter().filter(|(score, _)| *score >= least).map(|(_, at)| at).collect()
    }

    fn score(&self, piece: &Piece, word: &str) -> f32 {
        let weigh = |count: Option<&usize>, holding: Option<&usize>| {
            let (Some(&count), Some(&holding)) = (count, holding) else { return 0.0 };
            let (all, holding, count) = (self.pieces.len() as f32, holding as f32, count as f32);
            let rare = (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln();
            rare * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * piece.length as f32 / self.mean_length))
        };
        let whole = weigh(piece.words.get(word), self.words.get(word));
        let kindred = || weigh(piece.stems.get(&stem(word)), self.stems.get(&stem(word)));
        if whole > 0.0 || word.chars().count() < STEM { whole } else { KINDRED * kindred() }
    }
}

/// Words as they are compared: small, without accents, not of one or two letters.
fn terms(text: &str) -> Vec<String> {
    let whole = heard::words(text);
    let words = whole.iter().flat_map(|word| word.split(|letter: char| !letter.is_alphanumeric()));
    words
        .filter(|word| word.chars().count() > 2 || word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn stem(word: &str) -> String {
    word.chars().take(STEM).collect()
}

/// The sections of a Markdown text, each with the headings above it, in pieces that are not too long.
fn sections(text: &str) -> Vec<String> {
    let (mut sections, mut headings, mut body): (Vec<String>, Vec<(usize, String)>, String) = Default::default();
    let mut close = |headings: &[(usize, String)], body: &mut String| {
        let above = headings.iter().map(|(_, heading)| heading.as_str()).collect::<Vec<_>>().join(", ");
        let whole = body.split_whitespace().collect::<Vec<_>>().join(" ");
        body.clear();
        for part in cut(&whole) {
            sections.push(if above.is_empty() { part } else { format!("{above}: {part}") });
        }
    };
    for line in text.lines() {
        let depth = line.chars().take_while(|letter| *letter == '#').count();
        match line[depth..].strip_prefix(' ').filter(|_| (1..=6).contains(&depth)) {
            Some(heading) => {
                close(&headings, &mut body);
                headings.retain(|(above, _)| *above < depth);
                headings.push((depth, heading.trim().to_owned()));
            }
            None => {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    close(&headings, &mut body);
    sections
}

/// A text in parts of a bounded length, between sentences or words.
fn cut(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((limit, _)) = rest.char_indices().nth(LONGEST) {
        let end = rest[..limit].rfind(". ").map(|at| at + 1).or_else(|| rest[..limit].rfind(' ')).unwrap_or(limit);
        parts.push(rest[..end].trim().to_owned());
        rest = rest[end..].trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest.to_owned());
    }
    parts
}

/// The rows of a table, each value with its column's name.
fn rows(text: &str) -> Result<Vec<String>, (Option<usize>, String)> {
    let fault = |error: csv::Error| {
        (
            error.position().map(|position| position.line() as usize),
            format!("is no table of comma-separated values: {error}"),
        )
    };
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let names = table.headers().map_err(fault)?.clone();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(fault)?;
        let values = names.iter().zip(record.iter()).filter(|(_, value)| !value.trim().is_empty());
        let whole =
            values.map(|(name, value)| format!("{}: {}", name.trim(), value.trim())).collect::<Vec<_>>().join("; ");
        Ok(whole.chars().take(LONGEST).collect())
    };
    table.records().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knowledge(files: &[(&str, &str)]) -> (Knowledge, Vec<Fault>) {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("milo-knowledge-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("written");
        }
        let mut faults = Vec::new();
        let knowledge = Knowledge::read(&folder, &mut faults);
        fs::remove_dir_all(&folder).ok();
        (knowledge, faults)
    }

    const OFFICE: &str = "# Birao\nEto Antananarivo ny birao.\n## Ora fisokafana\nMisokatra amin'ny valo maraina\nny birao.\n## \
                          Fandoavana\nAzo aloa amin'ny karatra. Les cartes étrangères sont acceptées.\n";
    const PRICES: &str = "zavatra,vidiny\nboky,5000\n\"vary, mena\",3000\nkaretsaka,\n";

    #[test]
    fn what_fits_a_question_is_found_in_texts_and_tables() {
        let (known, faults) = knowledge(&[("office.md", OFFICE), ("prices.csv", PRICES), ("notes.txt", "boky boky")]);
        assert!(faults.is_empty(), "{faults:?}");
        let find = |about: &str, most| known.find(about, most, None);
        assert_eq!(find("ohatrinona ny boky", 1), "zavatra: boky; vidiny: 5000");
        assert_eq!(find("vary", 3), "zavatra: vary, mena; vidiny: 3000");
        assert_eq!(
            find("inona ny ora fisokafan'ny birao?", 1),
            "Birao, Ora fisokafana: Misokatra amin'ny valo maraina ny birao."
        );
        assert!(find("carte etrangere", 1).contains("Fandoavana"), "accents and plurals are no matter");
        assert_eq!((find("helikoptera", 3), find("", 3)), (String::new(), String::new()));
    }

    #[test]
    fn what_means_the_same_is_found_beside_what_shares_a_word() {
        let (known, _) = knowledge(&[("prices.csv", "zavatra,vidiny\nboky,5000\nvary,3000\nmofo,600\n")]);
        let texts: Vec<_> = known.texts().cloned().collect();
        let vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|vector: [f32; 3]| Arc::from(vector));
        let all: Vectors = texts.iter().cloned().zip(vectors).collect();
        let near = |question: [f32; 3], vectors: &Vectors| Near {
            question: question.into(),
            vectors: Arc::new(vectors.clone()),
            least: 0.3,
        };
        let find = |about: &str, near: &Near| known.find(about, 3, Some(near));
        // No word of it is there; what is far from it is not found.
        assert_eq!(
            find("combien coûte le livre", &near([0.95, 0.31, 0.0], &all)),
            "zavatra: boky; vidiny: 5000\nzavatra: vary; vidiny: 3000"
        );
        // Both ranks name it: it stands before what one of them has first.
        let both = near([0.0, 0.6, 0.8], &all);
        assert!(find("vary", &both).starts_with("zavatra: vary"), "{}", find("vary", &both));
        assert_eq!(find("helikoptera", &near([-1.0, 0.0, 0.0], &all)), "");
        // A piece without a vector, or of another length: words alone.
        let mut some = all.clone();
        some.remove(&texts[2]);
        assert_eq!(find("livre", &near([1.0, 0.0, 0.0], &some)), "");
        let longer = Near { question: vec![1.0; 4], ..near([1.0, 0.0, 0.0], &all) };
        assert_eq!(find("vary", &longer), "zavatra: vary; vidiny: 3000");
    }

    #[test]
    fn a_long_section_is_several_pieces_and_a_broken_table_is_told_with_its_line() {
        let long = format!("# A\n{}", "Teny maro be eto. ".repeat(100));
        let (known, _) = knowledge(&[("long.md", &long)]);
        assert!(known.pieces.len() > 2 && known.pieces.iter().all(|piece| piece.text.chars().count() <= LONGEST + 3));
        assert!(known.pieces.iter().all(|piece| piece.text.starts_with("A: ") && piece.text.ends_with('.')));
        let (_, faults) = knowledge(&[("bad.csv", "a,b\n1,2\n3\n")]);
        assert_eq!((faults.len(), faults[0].line), (1, Some(3)), "{faults:?}");
        assert!(faults[0].file.ends_with("bad.csv") && faults[0].fault.contains("comma-separated"), "{faults:?}");
    }
}
