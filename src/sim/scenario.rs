//! A scenario as its file has it: a caller's turns, and what is expected of Milo. Whatever cannot be played is found here, before anybody
//! is called.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use milo_models::engine::Language;
use serde::Deserialize;

use super::expected::{By, End, Expected};
use crate::{
    dialplan::{Fault, Faults},
    press,
};

/// What a caller who hesitates leaves out: the mark of a pause within what is said.
pub(super) const HESITATION: &str = "…";
/// No pause, hesitation or wait before an interruption is longer, in milliseconds.
const LONGEST_PAUSE: u64 = 60_000;
/// Nobody is silent for longer, in seconds.
const LONGEST_SILENCE: f64 = 300.0;
/// No more of the packets is lost, in per cent: rows of several are no longer possible as told.
const MOST_LOSS: f64 = 50.0;
/// So many are lost in a row on average, at most: a second.
const LONGEST_BURST: f64 = 50.0;
/// No packet is later, in milliseconds.
const MOST_JITTER: f64 = 500.0;
/// Noise lies so far below the voice at most, in dB: what is fainter nobody hears.
const FAINTEST_NOISE: f64 = 60.0;
/// Turns of one scenario.
const MOST_TURNS: usize = 100;

/// A caller, what they do turn by turn, and what is expected of Milo.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// The file it was read from.
    #[serde(skip)]
    pub(super) file: PathBuf,
    /// What it is about, for whoever reads the report.
    #[serde(default)]
    pub(super) about: String,
    /// Which number is called; that of `--target`, or `milo`, when none is said.
    pub(super) number: Option<String>,
    /// Who speaks.
    #[serde(default)]
    pub(super) voice: Voice,
    /// What noise and loss are drawn from.
    #[serde(default)]
    pub(super) seed: u64,
    /// Packets of the caller's that never come, in per cent, in turns that say nothing else.
    #[serde(default)]
    pub(super) loss: Option<f64>,
    /// So many in a row, on average.
    #[serde(default)]
    pub(super) loss_burst: Option<f64>,
    /// The others come up to so many milliseconds late.
    #[serde(default)]
    pub(super) jitter_ms: Option<f64>,
    /// Whether whoever answers speaks first.
    #[serde(default = "yes")]
    pub(super) greets: bool,
    /// What is expected of the greeting.
    #[serde(default)]
    pub(super) greeting: Expected,
    pub(super) turns: Vec<Turn>,
    /// What is expected of the whole call.
    #[serde(default)]
    pub(super) end: End,
}

/// Whose voice it is, and how it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Voice {
    pub(super) language: Language,
    /// One of espeak-ng's variants.
    pub(super) variant: String,
    /// Words a minute.
    pub(super) speed: u16,
    /// 0 to 100.
    pub(super) pitch: u16,
    /// How far the pitch moves, 0 to 100.
    pub(super) range: u16,
    /// Pause between words, in units of 10 ms.
    pub(super) gap: u16,
}

impl Default for Voice {
    fn default() -> Self {
        Self { language: Language::Mg, variant: "f4".into(), speed: 150, pitch: 50, range: 50, gap: 0 }
    }
}

/// One thing that the caller does: exactly one of `say`, `play`, `press`, `silence_s` and `hang_up`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Turn {
    /// Words, spoken by the voice; `…` is a hesitation.
    pub(super) say: Option<String>,
    /// A WAV file; relative paths begin at the scenario's folder.
    pub(super) play: Option<PathBuf>,
    /// Keys.
    pub(super) press: Option<String>,
    /// Nothing, for so many seconds.
    pub(super) silence_s: Option<f64>,
    /// The end.
    pub(super) hang_up: bool,
    /// Another voice than the scenario's, for `say`.
    pub(super) voice: Option<Voice>,
    /// Waited once the far side has finished, in milliseconds.
    pub(super) pause_ms: u64,
    /// How long each `…` of `say` is, in milliseconds.
    pub(super) hesitation_ms: Option<u64>,
    /// White noise under `say` or `play`, so many dB below the voice.
    pub(super) noise_db: Option<f64>,
    /// The line from the beginning of this turn to that of the next, where it is another than the scenario's.
    pub(super) loss: Option<f64>,
    pub(super) loss_burst: Option<f64>,
    pub(super) jitter_ms: Option<f64>,
    /// Begins so many milliseconds into what the far side says, and does not wait for its end.
    pub(super) barge_in_ms: Option<u64>,
    pub(super) expect: Expected,
}

impl Turn {
    /// What it does, for the report.
    pub(super) fn deed(&self) -> Deed<'_> {
        Deed(self)
    }

    fn deeds(&self) -> Vec<&'static str> {
        let deeds = [
            ("say", self.say.is_some()),
            ("play", self.play.is_some()),
            ("press", self.press.is_some()),
            ("silence_s", self.silence_s.is_some()),
            ("hang_up", self.hang_up),
        ];
        deeds.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }

    /// Which of its keys is wrong, and what would be right; `before` is the turn before.
    fn fault(&self, before: Option<&Self>, scenario: &Scenario) -> Option<(&'static str, String)> {
        let deeds = self.deeds();
        let [deed] = deeds[..] else {
            let there = if deeds.is_empty() { "none".into() } else { deeds.join(" and ") };
            return Some(("", format!("one of say, play, press, silence_s and hang_up is wanted; {there} is there")));
        };
        let speaks = matches!(deed, "say" | "play");
        let wrong = |key, says: &str| Some((key, says.to_owned()));
        if let Some(keys) = &self.press
            && let Some(fault) = press::fault(keys)
        {
            return Some(("press", fault));
        }
        if let Some(text) = &self.say {
            if !text.chars().any(char::is_alphanumeric) {
                return wrong("say", "there is nothing to say: it has no letter and no digit");
            }
            if text.contains(HESITATION) != self.hesitation_ms.is_some() {
                return wrong("hesitation_ms", "it says how long each … within say is: both are there, or neither");
            }
        } else if self.hesitation_ms.is_some() {
            return wrong("hesitation_ms", "only who says something hesitates: it goes with say");
        }
        if self.voice.is_some() && self.say.is_none() {
            return wrong("voice", "it speaks what say says, and goes with it");
        }
        if self.expect.wrong_words.is_some() && self.say.is_none() {
            return wrong("expect.wrong_words", "words are counted against those of say, and there are none");
        }
        if self.noise_db.is_some() && !speaks {
            return wrong("noise_db", "it lies under a voice, and goes with say or play");
        }
        if self.noise_db.is_some_and(|noise| !(0.0..=FAINTEST_NOISE).contains(&noise)) {
            return Some(("noise_db", format!("0 to {FAINTEST_NOISE} dB below the voice are possible")));
        }
        if self.silence_s.is_some_and(|seconds| !(0.0..=LONGEST_SILENCE).contains(&seconds)) {
            return Some(("silence_s", format!("0 to {LONGEST_SILENCE} seconds are possible")));
        }
        let pauses = [("pause_ms", Some(self.pause_ms)), ("hesitation_ms", self.hesitation_ms)];
        let pauses = pauses.into_iter().chain([("barge_in_ms", self.barge_in_ms)]);
        if let Some((key, _)) = pauses.into_iter().find(|(_, long)| long.is_some_and(|long| long > LONGEST_PAUSE)) {
            return Some((key, format!("{LONGEST_PAUSE} ms are the longest")));
        }
        if let Some(fault) = road_fault([self.loss, self.loss_burst, self.jitter_ms], scenario.loss) {
            return Some(fault);
        }
        if self.barge_in_ms.is_some() {
            let nothing = before.map_or(!scenario.greets, |before| before.silence_s.is_some());
            if nothing {
                return wrong("barge_in_ms", "nobody speaks then: there is no reply to speak into");
            }
            if self.pause_ms > 0 {
                return wrong("pause_ms", "who speaks into a reply does not wait for its end: barge_in_ms says when");
            }
        }
        if self.hang_up && self.expect != Expected::default() {
            return wrong("expect", "nothing follows hang_up; what is expected of the whole call stands in end");
        }
        if before.is_some_and(|before| before.hang_up) {
            return wrong("", "nothing is possible after hang_up");
        }
        None
    }
}

/// The way of the caller's packets to Milo.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Road {
    /// Per cent.
    pub(super) loss: f64,
    pub(super) burst: f64,
    pub(super) jitter_ms: f64,
}

impl Road {
    /// Whether every packet comes when it should.
    pub(super) fn is_good(&self) -> bool {
        self.loss == 0.0 && self.jitter_ms == 0.0
    }
}

/// Which of `loss`, `loss_burst` and `jitter_ms` is wrong, where `around` is lost if nothing is said.
fn road_fault([loss, burst, jitter_ms]: [Option<f64>; 3], around: Option<f64>) -> Option<(&'static str, String)> {
    let outside =
        |value: Option<f64>, least: f64, most: f64| value.is_some_and(|value| !(least..=most).contains(&value));
    if outside(loss, 0.0, MOST_LOSS) {
        return Some(("loss", format!("0 to {MOST_LOSS} per cent of the packets can be lost")));
    }
    if outside(burst, 1.0, LONGEST_BURST) {
        return Some(("loss_burst", format!("1 to {LONGEST_BURST} packets in a row, on average, are possible")));
    }
    if burst.is_some() && loss.or(around).unwrap_or_default() == 0.0 {
        return Some(("loss_burst", "nothing is lost: it goes with a loss above 0".into()));
    }
    outside(jitter_ms, 0.0, MOST_JITTER).then(|| ("jitter_ms", format!("0 to {MOST_JITTER} ms are possible")))
}

/// A turn's deed in words.
pub(super) struct Deed<'a>(&'a Turn);

impl fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Turn { say, play, press, silence_s, .. } = self.0;
        match (say, play, press, silence_s) {
            (Some(text), ..) => f.write_str(text),
            (_, Some(file), ..) => write!(f, "({})", file.display()),
            (_, _, Some(keys), _) => write!(f, "({keys} pressed)"),
            (.., Some(seconds)) => write!(f, "({seconds} s of silence)"),
            _ => f.write_str("(hangs up)"),
        }
    }
}

impl Scenario {
    /// By which name the report has it: its file's.
    pub(super) fn name(&self) -> String {
        self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// A file beside the scenario.
    pub(super) fn beside(&self, file: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(file)
    }

    /// How long the caller stays for Milo to hang up, when that is expected.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.end.by.filter(|by| *by == By::Milo).map(|_| Duration::from_secs(30))
    }

    /// What the caller's packets meet in this turn, or before the first.
    pub(super) fn road(&self, turn: Option<&Turn>) -> Road {
        let own = turn.map(|turn| [turn.loss, turn.loss_burst, turn.jitter_ms]).unwrap_or_default();
        let [loss, burst, jitter_ms] = own;
        Road {
            loss: loss.or(self.loss).unwrap_or_default(),
            burst: burst.or(self.loss_burst).unwrap_or(1.0),
            jitter_ms: jitter_ms.or(self.jitter_ms).unwrap_or_default(),
        }
    }

    fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.turns.is_empty() || self.turns.len() > MOST_TURNS {
            faults.push(format!("turns: 1 to {MOST_TURNS} are possible"));
        }
        if !self.greets && self.greeting != Expected::default() {
            faults.push("greeting: with greets: false nobody waits for it".into());
        }
        if let Some((key, says)) = road_fault([self.loss, self.loss_burst, self.jitter_ms], None) {
            faults.push(format!("{key}: {says}"));
        }
        if self.greeting.wrong_words.is_some() {
            faults.push("greeting.wrong_words: words are counted against those of a turn's say".into());
        }
        for (number, turn) in self.turns.iter().enumerate() {
            let before = number.checked_sub(1).map(|before| &self.turns[before]);
            if let Some((key, says)) = turn.fault(before, self) {
                let dot = if key.is_empty() { "" } else { "." };
                faults.push(format!("turns[{number}]{dot}{key}: {says}"));
            }
        }
        faults
    }
}

fn yes() -> bool {
    true
}

/// A scenario out of its text; `file` is where it was read.
fn parse(file: &Path, text: &str) -> Result<Scenario, Vec<Fault>> {
    let mut place = String::new();
    let read = serde_saphyr::with_deserializer_from_str(text, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            place = error.path().to_string();
            error.into_inner()
        })
    });
    let fault = |line, fault| Fault { file: file.into(), line, fault };
    let mut scenario: Scenario = read.map_err(|error: serde_saphyr::Error| {
        let line = error.location().map(|at| at.line() as usize).filter(|line| *line > 0);
        let said = error.without_snippet().to_string();
        let said = said.lines().next().unwrap_or_default();
        let said = said.split(" at line ").next().unwrap_or_default();
        // "." is the file as a whole.
        let place = if matches!(&*place, "" | "." | "?") { String::new() } else { format!("{place}: ") };
        vec![fault(line, format!("{place}{said}"))]
    })?;
    scenario.file = file.into();
    let faults: Vec<_> = scenario.check().into_iter().map(|says| fault(None, says)).collect();
    if faults.is_empty() { Ok(scenario) } else { Err(faults) }
}

/// The scenarios of these files, and of the `.yaml` files of these folders in the order of their names.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Scenario>, Faults> {
    let (mut scenarios, mut faults) = (Vec::new(), Vec::new());
    let unread = |file: &Path, says: String| Fault { file: file.into(), line: None, fault: says };
    for path in paths {
        let mut files = vec![path.clone()];
        if path.is_dir() {
            match fs::read_dir(path) {
                Ok(entries) => {
                    files = entries.flatten().map(|entry| entry.path()).filter(|file| is_one(file)).collect()
                }
                Err(error) => faults.push(unread(path, format!("the folder cannot be read: {error}"))),
            }
            files.sort();
            if files.is_empty() {
                faults.push(unread(path, "there is no .yaml file in the folder".into()));
            }
        }
        for file in files {
            match fs::read_to_string(&file) {
                Ok(text) => match parse(&file, &text) {
                    Ok(scenario) => scenarios.push(scenario),
                    Err(wrong) => faults.extend(wrong),
                },
                Err(error) => faults.push(unread(&file, format!("it cannot be read: {error}"))),
            }
        }
    }
    if faults.is_empty() { Ok(scenarios) } else { Err(Faults(faults)) }
}

fn is_one(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "
about: what a caller asks
voice: { variant: m6, speed: 170 }
turns:
  - say: amin'ny ora firy … no misokatra ny birao
    hesitation_ms: 600
    noise_db: 20
    expect: { heard: misokatra, wrong_words: 2, said: [valo ora, huit heures], events: [paused, { kind: digit, detail: { digit: '1' } }] }
  - press: '12#'
    barge_in_ms: 500
  - silence_s: 2.5
  - hang_up: true
end: { by: caller }
";

    fn faults(text: &str) -> String {
        Faults(parse(Path::new("here/one.yaml"), text).unwrap_err()).to_string()
    }

    #[test]
    fn a_scenario_says_what_a_caller_does_and_what_is_expected() {
        let scenario = parse(Path::new("here/one.yaml"), RIGHT).unwrap();
        assert_eq!((scenario.name().as_str(), scenario.turns.len(), scenario.greets), ("one", 4, true));
        assert_eq!((scenario.voice.variant.as_str(), scenario.voice.pitch), ("m6", 50));
        let expected = &scenario.turns[0].expect;
        assert_eq!((expected.heard.0.len(), expected.said.0.len(), expected.events.len()), (1, 2, 2));
        assert_eq!(scenario.turns[1].deed().to_string(), "(12# pressed)");
        assert_eq!(scenario.beside(Path::new("a.wav")), Path::new("here/a.wav"));
        assert_eq!(scenario.patience(), None);
    }

    #[test]
    fn a_turn_has_the_line_of_its_scenario_where_it_says_no_other() {
        let text = "loss: 5\nloss_burst: 2\njitter_ms: 30\nturns:\n  - say: salama\n  - say: salama\n    loss: 0\n    jitter_ms: 0\n  - say: salama\n    loss: 10\n";
        let scenario = parse(Path::new("here/one.yaml"), text).unwrap();
        let road = |turn: Option<usize>| scenario.road(turn.map(|turn| &scenario.turns[turn]));
        assert_eq!(road(None), Road { loss: 5.0, burst: 2.0, jitter_ms: 30.0 });
        assert_eq!(road(Some(0)), road(None));
        assert!(road(Some(1)).is_good() && !road(Some(0)).is_good());
        assert_eq!(road(Some(2)), Road { loss: 10.0, ..road(None) });
    }

    #[test]
    fn what_cannot_be_played_is_told_with_file_and_field() {
        for (text, says) in [
            ("turns: []\n", "turns: 1 to 100"),
            ("turns:\n  - say: salama\n    press: '1'\n", "turns[0]: one of say, play, press, silence_s and hang_up"),
            ("turns:\n  - expect: { reply: true }\n", "none is there"),
            ("turns:\n  - say: salama … tompoko\n", "turns[0].hesitation_ms: "),
            ("turns:\n  - press: 1x\n", "turns[0].press: 'x' is no key"),
            ("turns:\n  - say: '...'\n", "turns[0].say: there is nothing to say"),
            ("turns:\n  - press: '1'\n    noise_db: 10\n", "turns[0].noise_db: "),
            ("turns:\n  - silence_s: 1\n  - say: salama\n    barge_in_ms: 5\n", "turns[1].barge_in_ms: nobody speaks"),
            ("turns:\n  - hang_up: true\n  - say: salama\n", "turns[1]: nothing is possible"),
            ("turns:\n  - say: salama\n    loss: 60\n", "turns[0].loss: 0 to 50 per cent"),
            (
                "loss: 5\nturns:\n  - say: salama\n    loss: 0\n    loss_burst: 2\n",
                "turns[0].loss_burst: nothing is lost",
            ),
            ("loss: 5\nloss_burst: 0.5\nturns:\n  - say: salama\n", "loss_burst: 1 to 50 packets"),
            ("jitter_ms: 900\nturns:\n  - say: salama\n", "jitter_ms: 0 to 500 ms"),
            ("greets: false\ngreeting: { said: salama }\nturns:\n  - say: salama\n", "greeting: "),
        ] {
            let faults = faults(text);
            assert!(faults.starts_with("here/one.yaml: ") && faults.contains(says), "{text}: {faults}");
        }
    }

    #[test]
    fn what_is_no_scenario_is_told_with_its_line() {
        for (text, says) in [
            ("turns:\n  - say: salama\n    loud: 3\n", "loud"),
            ("turns:\n  - say: salama\n    pause_ms: soon\n", "pause_ms"),
            ("turns:\n  - say: salama\nvoice: { language: en }\n", "voice"),
            ("turns: [\n", ""),
        ] {
            let faults = faults(text);
            assert!(faults.starts_with("here/one.yaml, line ") && faults.contains(says), "{text}: {faults}");
        }
    }
}
