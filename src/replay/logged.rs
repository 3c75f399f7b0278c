//! A call as the log has it, in the time of its recording: when turns were over, what was said into replies, and when Milo did not
//! listen.

use std::{ops::Range, path::PathBuf};

use milo_models::engine::Language;

use crate::{
    agent,
    store::{CallRow, EventRow, TurnRow},
};

/// After the last turn Milo listens for so long yet, in milliseconds.
const AFTER: f64 = 30_000.0;
/// Milo did not listen to the caller from an event of these kinds to one of those.
const LEAVES: [&str; 6] = ["held", "bridged", "dialled", "taken", "taken_over", "queued"];
const COMES_BACK: [&str; 3] = ["resumed", "parted", "given_back"];

/// A turn that was over, as it was logged. Milliseconds from the beginning of the recording.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Then {
    pub(super) from_ms: f64,
    pub(super) to_ms: f64,
    /// How long the caller had been silent when it was decided that they had finished.
    pub(super) waited_ms: Option<f64>,
    /// Where the answer's first sound is.
    pub(super) answered_ms: Option<f64>,
    /// From the caller's last sound to it.
    pub(super) total_ms: Option<f64>,
    /// How much of that was the model's, the voice's and the line's.
    pub(super) rest_ms: f64,
    pub(super) heard: String,
}

/// What was said into a reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Into {
    pub(super) at_ms: f64,
    /// Why the reply went on; none: it ended.
    pub(super) went_on: Option<String>,
    pub(super) heard: String,
}

/// A call and its recording.
#[derive(Debug, Default)]
pub(super) struct Logged {
    /// Its identifier; the file's name where the log does not know it.
    pub(super) name: String,
    pub(super) recording: PathBuf,
    pub(super) turns: Vec<Then>,
    pub(super) into: Vec<Into>,
    /// What Milo said.
    pub(super) said: Vec<agent::Logged>,
    /// From when to when it was the assistant that listened; none: nobody says when.
    pub(super) within: Option<Range<f64>>,
    /// When it did not.
    pub(super) away: Vec<Range<f64>>,
    /// From when on which persona talked, the first one first.
    pub(super) personas: Vec<(f64, String)>,
}

impl Logged {
    /// A call of the log. `recording` is its newest file: turns of others before it are left out.
    pub(super) fn of(call: &CallRow, turns: &[TurnRow], events: &[EventRow], recording: PathBuf) -> Self {
        let began = events.iter().rfind(|event| event.kind == "recording" && event.detail["is"] == "started");
        let began = began.map_or(call.answered.unwrap_or(call.started), |event| event.at).millis();
        let place = |event: &EventRow| (event.at.millis() - began) as f64;
        let mut logged = Self { name: call.id.to_string(), recording, ..Self::default() };
        let ms = |at: Option<i64>| at.map(|at| at as f64);
        for turn in turns.iter().filter(|turn| turn.at.millis() >= began) {
            let places = &turn.recording_at_ms;
            let (from, to, said_from) = (ms(places.heard_from), ms(places.heard_to), ms(places.said_from));
            let (begins, ends) = (from.or(said_from), said_from.or(to));
            if let (Some(begins), Some(ends)) = (begins, ends) {
                let within = logged.within.get_or_insert(begins..begins);
                (within.start, within.end) = (within.start.min(begins), within.end.max(ends + AFTER));
            }
            // Of what was said between the caller and somebody else no threshold decides.
            if turn.said_by.is_some() || turn.heard_from.is_some() || turn.said.is_none() {
                continue;
            }
            if let (Some(from_ms), Some(to_ms), Some(heard)) = (from, to, &turn.heard) {
                logged.turns.push(Then {
                    from_ms,
                    to_ms,
                    waited_ms: turn.stages.vad_ms.zip(turn.stages.end_of_turn_ms).map(|(vad, end)| vad + end),
                    answered_ms: said_from,
                    total_ms: turn.stages.total_ms,
                    rest_ms: rest(turn),
                    heard: heard.clone(),
                });
            }
            if let (Some(from_ms), Some(text)) = (said_from, &turn.said) {
                let heard = turn.said_heard.as_deref().unwrap_or(text).chars().count();
                logged.said.push(agent::Logged {
                    from_ms,
                    text: text.clone(),
                    unheard: text.chars().count().saturating_sub(heard),
                    language: turn.language.as_deref().and_then(|code| code.parse().ok()).unwrap_or(Language::Mg),
                });
            }
        }
        let talks = events.iter().filter(|event| event.kind == "verb");
        let talks =
            talks.filter_map(|event| Some((place(event), event.detail["converse"]["persona"].as_str()?.to_owned())));
        logged.personas = talks.collect();
        let mut left: Option<f64> = None;
        for event in events.iter().filter(|event| event.at.millis() >= began) {
            let (kind, at) = (event.kind.as_str(), place(event));
            match kind {
                "interrupted" => logged.into.push(Into { at_ms: at, went_on: None, heard: String::new() }),
                "interruption_withdrawn" => {
                    let text = |name: &str| event.detail[name].as_str().unwrap_or_default().to_owned();
                    logged.into.push(Into { at_ms: at, went_on: Some(text("why")), heard: text("heard") });
                }
                "dialled" if event.detail["result"] != "answered" => {}
                _ if LEAVES.contains(&kind) => left = left.or(Some(at)),
                _ if COMES_BACK.contains(&kind) => logged.away.extend(left.take().map(|left| left..at)),
                _ => {}
            }
        }
        logged.away.extend(left.map(|left| left..f64::INFINITY));
        logged
    }

    /// A recording that the log does not know.
    pub(super) fn unknown(recording: PathBuf) -> Self {
        let name = recording.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { name, recording, ..Self::default() }
    }

    /// Whether the assistant listened then.
    pub(super) fn is_listened_to(&self, at: f64) -> bool {
        self.within.as_ref().is_none_or(|within| within.contains(&at))
            && !self.away.iter().any(|away| away.contains(&at))
    }
}

/// What of a turn's time no threshold changes.
fn rest(turn: &TurnRow) -> f64 {
    let stages = &turn.stages;
    [stages.llm_first_token_ms, stages.tts_first_sample_ms, stages.packet_out_ms].into_iter().flatten().sum()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::{Key, Places, Stages, Stamp};

    fn at(ms: i64) -> Stamp {
        Stamp::from_millis(1_700_000_000_000 + ms)
    }

    fn call() -> CallRow {
        CallRow {
            id: Key::new(),
            call_id: "a".into(),
            direction: "in".into(),
            caller: "034".into(),
            called: "milo".into(),
            dialplan: None,
            language: None,
            started: at(0),
            answered: Some(at(100)),
            ended: Some(at(60_000)),
            end_reason: None,
            hangup_by: None,
            outcome: None,
            sip_status: None,
            recording: Some("2026-11-30/a-2.wav".into()),
            recording_state: Some("complete".into()),
            quality: None,
            turn_count: 2,
        }
    }

    fn turn(number: i32, ms: i64, heard: Option<&str>, places: [Option<i64>; 3]) -> TurnRow {
        let [heard_from, heard_to, said_from] = places;
        TurnRow {
            number,
            at: at(ms),
            heard: heard.map(str::to_owned),
            said: Some("Inona no azoko atao?".into()),
            said_heard: Some("Inona no".into()),
            interrupted: false,
            said_by: None,
            heard_from: None,
            said_in: None,
            confidence: None,
            language: Some("mg".into()),
            mode: None,
            stages: Stages {
                vad_ms: Some(200.0),
                end_of_turn_ms: Some(50.0),
                llm_first_token_ms: Some(30.0),
                tts_first_sample_ms: Some(20.0),
                total_ms: Some(340.0),
                ..Stages::default()
            },
            recording_at_ms: Places { heard_from, heard_to, said_from },
        }
    }

    fn event(number: i32, ms: i64, kind: &str, detail: Value) -> EventRow {
        EventRow { number, at: at(ms), kind: kind.into(), detail }
    }

    #[test]
    fn a_call_is_in_the_time_of_its_newest_recording() {
        let turns = [
            turn(1, 500, Some("of the file before"), [Some(100), Some(400), Some(600)]),
            turn(2, 10_100, None, [None, None, Some(120)]),
            turn(3, 14_000, Some("salama"), [Some(3_000), Some(3_900), Some(4_300)]),
        ];
        let started = json!({ "is": "started" });
        let events = [
            event(1, 90, "recording", started.clone()),
            event(9, 9_000, "verb", json!({ "converse": { "persona": "demo" } })),
            event(2, 10_000, "recording", started),
            event(3, 13_600, "interrupted", Value::Null),
            event(4, 15_200, "interruption_withdrawn", json!({ "why": "back-channel", "heard": "eny" })),
            event(10, 17_000, "verb", json!({ "converse": { "persona": "patient" } })),
            event(5, 20_000, "held", Value::Null),
            event(6, 22_000, "resumed", Value::Null),
            event(7, 30_000, "dialled", json!({ "result": "busy" })),
            event(8, 31_000, "dialled", json!({ "result": "answered" })),
        ];
        let logged = Logged::of(&call(), &turns, &events, "a-2.wav".into());
        let [turn] = &logged.turns[..] else { panic!("one turn: {:?}", logged.turns) };
        assert_eq!((turn.from_ms, turn.to_ms, turn.waited_ms, turn.rest_ms), (3_000.0, 3_900.0, Some(250.0), 50.0));
        assert_eq!(logged.into.iter().map(|into| into.at_ms).collect::<Vec<_>>(), [3_600.0, 5_200.0]);
        assert_eq!(
            (logged.into[0].went_on.as_deref(), logged.into[1].went_on.as_deref()),
            (None, Some("back-channel"))
        );
        assert_eq!((logged.said.len(), logged.said[1].unheard), (2, 12));
        for (ms, listens) in
            [(50.0, false), (5_000.0, true), (10_500.0, false), (12_500.0, true), (20_500.0, true), (21_500.0, false)]
        {
            assert_eq!(logged.is_listened_to(ms), listens, "{ms}");
        }
        assert_eq!(logged.personas, [(-1_000.0, "demo".to_owned()), (7_000.0, "patient".to_owned())]);
        let unknown = Logged::unknown("folder/x.wav".into());
        assert!(unknown.is_listened_to(0.0) && unknown.name == "x.wav");
    }
}
