//! How often it is known who has answered: `models/evaluation/answering/`, spoken by espeak-ng through a telephone,
//! while Milo greets.

use milo_media::{FRAME_MS, FRAME_SAMPLES, Frame, PCMU, SAMPLE_RATE, resample::resample, tone::Tone};
use milo_models::{
    engine::Language,
    espeak::pronouncer::Pronouncer,
    evaluation::{Figure, Score, rows, speech::spoken},
    silero::VoiceActivity,
};

use crate::{
    agent::{Answerer, Detector},
    dialplan::Dialplans,
};

const SET: &str = include_str!("../../models/evaluation/answering/mg-fr.tsv");
/// Silence before the first word, and behind the last.
const BEFORE_MS: usize = 700;
const BEHIND_MS: usize = 3_600;
/// Milo greets from the beginning, for so long; it falls silent while somebody speaks.
const GREETING_MS: u32 = 4_000;

/// Who is told apart, by what, and the names of the rows.
const ROWS: [(Answerer, bool, &str); 6] = [
    (Answerer::Person, false, "answered by a person, by sound"),
    (Answerer::Machine, false, "answered by a machine, by sound"),
    (Answerer::Person, true, "answered by a person, by sound and words"),
    (Answerer::Machine, true, "answered by a machine, by sound and words"),
    (Answerer::Ivr, true, "answered by a menu of keys, by sound and words"),
    (Answerer::Network, true, "answered by the network, by sound and words"),
];

/// One line of the set.
struct Case {
    line: usize,
    who: Answerer,
    sound: Vec<Frame>,
    /// What is understood by which frame, without a fault: the figures are not of the ears.
    words: Vec<(usize, String)>,
}

/// What is right of one half of the set.
///
/// # Errors
/// A line that is not as it must be, a voice or a detector that fails.
pub(super) async fn scores(
    voice: &mut Pronouncer,
    activity: &VoiceActivity,
    is_tuned: bool,
) -> Result<Vec<Score>, String> {
    let cases = cases(voice, if is_tuned { "tuned" } else { "measured" })?;
    let mut scores = Vec::new();
    for (who, with_words, set) in ROWS {
        let mut score = Score { set, cases: 0, wrong: Vec::new(), figure: Figure::Right };
        for case in cases.iter().filter(|case| case.who == who) {
            let told = told(case, activity, with_words).await?;
            score.cases += 1;
            if told != who {
                score.wrong.push(format!("answering/mg-fr.tsv, line {}: {}", case.line, told.as_str()));
            }
        }
        scores.push(score);
    }
    Ok(scores)
}

/// Who it was taken for in the end.
async fn told(case: &Case, activity: &VoiceActivity, with_words: bool) -> Result<Answerer, String> {
    let plans = Dialplans::shipped().map_err(|faults| faults.to_string())?;
    let (mut detector, mut notices) = Detector::new(plans.wordings(), None);
    let (mut stream, mut is_voice, mut greeted) = (activity.stream(), false, 0);
    for (at, frame) in case.sound.iter().enumerate() {
        if let Some(probability) = stream.push(frame).await.map_err(|error| error.to_string())? {
            detector.judge(probability);
            is_voice = probability >= 0.5;
        }
        let is_ours = !is_voice && greeted < GREETING_MS / FRAME_MS;
        greeted += u32::from(is_ours);
        detector.hear(frame, is_ours);
        for (_, words) in case.words.iter().filter(|(by, _)| with_words && *by == at) {
            detector.read(words);
        }
        // Nobody follows them here.
        while notices.try_recv().is_ok() {}
    }
    Ok(detector.who())
}

fn cases(voice: &mut Pronouncer, half: &str) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for (line, [of, who, tone, pause, language, said @ ..]) in rows::<11>(SET)? {
        let wrong = |what: String| format!("answering/mg-fr.tsv, line {line}: {what}");
        if of != half {
            continue;
        }
        let known = [Answerer::Person, Answerer::Machine, Answerer::Ivr, Answerer::Network];
        let known = known.into_iter().find(|known| known.as_str() == who);
        let who = known.ok_or_else(|| wrong(format!("{who:?} is nobody who is told apart")))?;
        let language: Language = language.parse().map_err(|_| wrong(format!("{language:?} is no language")))?;
        let pause: usize = pause.parse().map_err(|_| wrong(format!("{pause:?} is no pause")))?;
        let mut samples = silence(BEFORE_MS);
        if tone == "sit" {
            [950.0, 1_400.0, 1_800.0].into_iter().for_each(|hertz| samples.extend(sounds(hertz, 340)));
        }
        let (mut words, mut so_far) = (Vec::new(), String::new());
        for part in said[5].split(" | ") {
            let columns = [said[0], said[1], said[2], said[3], said[4], part];
            samples.extend(spoken(voice, language, &columns).map_err(wrong)?);
            samples.extend(silence(pause));
            so_far = format!("{so_far} {part}");
            words.push((samples.len() / FRAME_SAMPLES, so_far.clone()));
        }
        if tone == "beep" {
            samples.extend(sounds(1_000.0, 400));
        }
        samples.extend(silence(BEHIND_MS));
        cases.push(Case { line, who, sound: by_telephone(&samples), words });
    }
    Ok(cases)
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * SAMPLE_RATE as usize / 1_000]
}

fn sounds(hertz: f64, ms: u32) -> impl Iterator<Item = i16> {
    Tone::new(hertz, 0.3).take((ms / FRAME_MS) as usize).flat_map(|frame| *frame.samples())
}

fn by_telephone(samples: &[i16]) -> Vec<Frame> {
    let (mut payload, mut back) = (Vec::new(), Vec::new());
    (PCMU.encoder)().encode(&resample(samples, SAMPLE_RATE, PCMU.sample_rate), &mut payload);
    (PCMU.decoder)().decode(&payload, &mut back);
    Frame::cut(&resample(&back, PCMU.sample_rate, SAMPLE_RATE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_half_has_some_of_everybody_and_every_line_can_be_spoken() {
        let rows = rows::<11>(SET).expect("a set");
        for half in ["tuned", "measured"] {
            for (who, least) in [("person", 12), ("machine", 12), ("ivr", 3), ("network", 3)] {
                let mine = rows.iter().filter(|(_, columns)| columns[0] == half && columns[1] == who).count();
                assert!(mine >= least, "{half} {who}: {mine}");
            }
        }
        for (line, columns) in rows {
            assert!(["-", "beep", "sit"].contains(&columns[2]), "line {line}");
            assert!(
                columns[6..10].iter().chain([&columns[3]]).all(|number| number.parse::<u16>().is_ok()),
                "line {line}"
            );
            assert!(columns[4].parse::<Language>().is_ok(), "line {line}");
        }
    }
}
