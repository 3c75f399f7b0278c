//! Recordings, silences and telephone signals, one after the other, as the detector hears them.

use std::{iter::repeat_n, path::Path};

use milo_media::{
    tone::{Country, Signal, Signals, Tone},
    wav,
};

use super::*;
use crate::dialplan::Dialplans;

/// Above this somebody speaks, in dBFS: the recordings are clean.
const VOICE: f32 = -45.0;

/// One that listens, what it has told, and where it is.
struct Line {
    detector: Detector,
    notices: mpsc::Receiver<Notice>,
}

impl Line {
    fn new() -> Self {
        let (detector, notices) = Detector::new(Dialplans::shipped().expect("they ship").wordings(), None);
        Self { detector, notices }
    }

    fn hear(&mut self, frames: impl IntoIterator<Item = Frame>, is_voice: bool, is_ours: bool) -> &mut Self {
        for frame in frames {
            self.detector.judge(if is_voice && frame.dbfs() > VOICE { 0.95 } else { 0.05 });
            self.detector.hear(&frame, is_ours);
        }
        self
    }

    /// Somebody speaks: a recording without the silence around it.
    fn says(&mut self, names: &[&str]) -> &mut Self {
        for name in names {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/recordings");
            let samples = wav::read(&folder.join(format!("{name}.wav"))).expect("committed");
            let frames: Vec<_> = Frame::cut(&samples).collect();
            let loud = |frame: &Frame| frame.dbfs() > VOICE;
            let from = frames.iter().position(loud).expect("a voice");
            let to = frames.iter().rposition(loud).expect("a voice");
            self.hear(frames[from..=to].iter().copied(), true, false);
        }
        self
    }

    fn silence(&mut self, ms: u32) -> &mut Self {
        self.hear(repeat_n(Frame::SILENCE, frames(ms) as usize), false, false)
    }

    /// Milo speaks, and nobody else.
    fn milo(&mut self, ms: u32) -> &mut Self {
        self.hear(repeat_n(Frame::SILENCE, frames(ms) as usize), false, true)
    }

    fn tone(&mut self, hertz: f64, ms: u32) -> &mut Self {
        self.hear(Tone::new(hertz, 0.3).take(frames(ms) as usize), false, false)
    }

    fn signal(&mut self, signal: Signal, ms: u32) -> &mut Self {
        let pattern = Country::Madagascar.pattern(signal);
        self.hear(Signals::new(pattern).take(frames(ms) as usize), false, false)
    }

    fn reads(&mut self, words: &str) -> &mut Self {
        self.detector.read(words);
        self
    }

    /// What was told since this was asked last: who it is, `beep` or `silence` where a message may be spoken, `wait`.
    fn told(&mut self) -> Vec<&'static str> {
        let mut told = Vec::new();
        while let Ok(notice) = self.notices.try_recv() {
            told.push(match notice {
                Notice::Answered(verdict) => verdict.who.as_str(),
                Notice::Speak(cue) => cue.as_str(),
                Notice::Wait => "wait",
            });
        }
        told
    }
}

/// Eight seconds and more.
const GREETING: [&str; 4] = ["mg_appointment", "mg_hours", "mg_price", "mg_goodbye"];

#[test]
fn whoever_says_a_word_and_waits_is_a_person_and_stays_one_who_answers() {
    let mut line = Line::new();
    assert_eq!(line.silence(600).says(&["mg_yes"]).silence(900).told(), ["person"]);
    line.milo(3_000).silence(500).says(&["mg_hours"]).silence(1_000);
    line.milo(3_000).silence(300).says(&["mg_price"]).silence(1_000);
    assert!(line.detector.is_settled() && line.told().is_empty());
    // What comes now changes nothing.
    line.reads("laissez un message après le bip").says(&GREETING).silence(300).tone(1_000.0, 400).silence(1_000);
    assert!(line.told().is_empty());
}

#[test]
fn whoever_hears_milo_out_and_then_speaks_at_length_is_a_person() {
    let mut line = Line::new();
    line.milo(3_500).silence(400).says(&["mg_appointment", "mg_hours"]).silence(1_000);
    assert_eq!(line.told(), ["person"]);
}

#[test]
fn a_long_greeting_is_a_machines_and_the_message_is_for_behind_the_beep() {
    let mut line = Line::new();
    assert_eq!(line.silence(800).milo(400).says(&GREETING).told(), ["machine"]);
    let after = line.detector.listened();
    assert!(after >= Duration::from_secs(8), "it listens on");
    assert_eq!(line.silence(500).tone(1_000.0, 400).told(), [""; 0], "it may be longer");
    assert_eq!(line.silence(300).told(), ["beep"]);
    // Whatever is heard now, the message is spoken to its end.
    assert_eq!(line.says(&["mg_yes"]).silence(1_000).tone(1_000.0, 400).silence(5_000).told(), [""; 0]);
}

#[test]
fn a_beep_makes_a_machine_of_whoever_greets_shortly_and_one_without_words_of_nobody() {
    let mut line = Line::new();
    let told = line.silence(500).says(&["mg_hours"]).silence(300).tone(440.0, 300).silence(900).told();
    assert!(told.ends_with(&["machine", "beep"]), "{told:?}");
    assert_eq!(Line::new().silence(500).tone(1_000.0, 400).silence(1_000).told(), [""; 0]);
}

#[test]
fn without_a_beep_the_message_waits_for_silence_and_begins_anew_where_that_was_too_soon() {
    let mut line = Line::new();
    assert_eq!(line.says(&GREETING).silence(3_500).told(), ["machine"]);
    assert_eq!(line.silence(1_000).told(), ["silence"]);
    assert_eq!(line.silence(1_000).says(&["mg_appointment"]).told(), ["wait"], "the greeting goes on");
    assert_eq!(line.silence(4_500).told(), ["silence"]);
    assert_eq!(line.milo(1_000).tone(1_400.0, 200).silence(300).told(), ["beep"]);
}

#[test]
fn who_was_taken_for_a_machine_and_speaks_in_turns_is_a_person() {
    let mut line = Line::new();
    assert_eq!(line.says(&GREETING).silence(2_500).says(&["mg_yes"]).silence(2_500).told(), ["machine"]);
    assert_eq!(line.says(&["mg_yes"]).silence(1_000).told(), ["person"]);
    // And into the message that nobody has asked for.
    let mut line = Line::new();
    assert_eq!(line.says(&GREETING).silence(4_500).milo(500).told(), ["machine", "silence"]);
    assert_eq!(line.says(&["mg_yes"]).silence(1_000).told(), ["person"]);
    // Its length says no more what it is, and a beep does.
    assert_eq!(line.says(&GREETING).told(), [""; 0]);
    assert_eq!(line.silence(300).tone(1_000.0, 400).silence(300).told(), ["machine", "beep"]);
}

#[test]
fn the_network_and_faxes_are_told_by_their_tones() {
    assert_eq!(Line::new().silence(300).signal(Signal::Busy, 4_000).told(), ["network"]);
    assert_eq!(Line::new().silence(300).signal(Signal::Ringback, 9_000).told(), [""; 0], "it rings on");
    let mut line = Line::new();
    for hertz in [950.0, 1_400.0, 1_800.0] {
        line.tone(hertz, 340);
    }
    assert_eq!(line.says(&GREETING).told(), ["network"]);
    assert_eq!(Line::new().silence(300).tone(2_100.0, 3_000).told(), ["fax"]);
    let (detector, mut notices) = Detector::new(Arc::default(), Some(LineTone::SpecialInformation));
    assert!(detector.is_settled() && matches!(notices.try_recv(), Ok(Notice::Answered(_))));
    assert!(!Detector::new(Arc::default(), Some(LineTone::Busy)).0.is_settled());
}

#[test]
fn words_tell_who_it_is_and_an_announcement_may_end_with_a_beep() {
    let mut line = Line::new();
    line.says(&["mg_hours"]).reads("vous êtes bien sur la messagerie de Rasoa");
    assert_eq!(line.told(), ["machine"]);
    let mut line = Line::new();
    line.says(&["mg_hours"]).silence(300).reads("pour le service commercial tapez 1").says(&GREETING).silence(900);
    assert_eq!(line.told(), ["ivr"], "however long it reads out");
    let announced = "le numéro que vous avez demandé n'est pas attribué";
    let mut line = Line::new();
    line.says(&["mg_hours"]).silence(300).reads(announced).silence(300);
    assert!(!line.told().contains(&"network"));
    assert_eq!(line.silence(3_000).told().last(), Some(&"network"));
    let mut line = Line::new();
    line.says(&["mg_hours"]).silence(300).reads("votre correspondant n'est pas joignable").silence(200);
    line.reads("laissez un message après le bip").silence(300);
    assert_eq!(line.told(), ["machine"]);
    assert_eq!(line.tone(1_000.0, 400).silence(300).told(), ["beep"]);
}

#[test]
fn what_its_length_made_a_machine_is_what_its_words_say_when_they_are_there() {
    let mut line = Line::new();
    assert_eq!(line.says(&GREETING).silence(500).told(), ["machine"]);
    assert_eq!(line.reads("pour joindre un conseiller tapez 1").told(), ["ivr"]);
    let mut line = Line::new();
    line.says(&GREETING).silence(500).reads("le numéro que vous avez demandé n'est pas attribué").silence(3_200);
    assert_eq!(line.told(), ["machine", "network"]);
    // A mailbox says more than one of these.
    let mut line = Line::new();
    line.says(&GREETING).silence(300).reads("votre correspondant n'est pas joignable laissez un message");
    line.reads("pour réécouter votre message tapez 1").silence(4_500);
    assert_eq!(line.told(), ["machine", "silence"]);
}

#[test]
fn nothing_is_told_of_a_line_on_which_nothing_is_heard() {
    let mut line = Line::new();
    assert_eq!(line.milo(4_000).silence(27_000).told(), [""; 0]);
    assert_eq!((line.detector.who(), line.detector.is_settled()), (Answerer::Unknown, true));
}
