//! What a call was like, for people and for programs.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// One placed call. Times are milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Who was called.
    pub uri: String,
    /// From INVITE to 200 OK.
    pub setup_ms: f64,
    /// What the far side said before the first turn.
    pub greeting: Option<Utterance>,
    /// One entry for the keys that were pressed, then one a played file.
    pub turns: Vec<Turn>,
    /// The keys that the far side pressed.
    pub keys: String,
    /// Who ended the call, and why.
    pub ended_by: String,
    /// How long the call was up, in seconds.
    pub duration_s: f64,
    /// RTP packets received and lost.
    pub received: u64,
    /// Of those expected.
    pub lost: u64,
}

/// A stretch of the far side's voice.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Utterance {
    /// Since the answer.
    pub began_ms: f64,
    /// How long it lasted.
    pub lasted_ms: f64,
    /// What the telephone's own transcriber understood; absent when it was not asked to.
    pub understood: Option<String>,
}

/// One file played, or some keys pressed, and what came back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Turn {
    /// The file; empty when keys were pressed.
    pub file: PathBuf,
    /// The keys, when keys were pressed.
    pub digits: Option<String>,
    /// The way they went: `telephone-event`, `tones` or `info`; absent when the call ended meanwhile.
    pub by: Option<&'static str>,
    /// When its last voiced packet left, or the last key was up, since the answer.
    pub stopped_ms: Option<f64>,
    /// Last voiced packet sent → first voiced packet of the reply received; the same measure as the outside yardsticks.
    pub wire_ms: Option<f64>,
    /// The far side spoke before the file was over.
    pub spoke_early: bool,
    /// What came back.
    pub reply: Option<Utterance>,
    /// When this file interrupted the far side: its first voiced packet sent → the far side's last voiced packet received.
    pub barge_stop_ms: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} answered after {:.0} ms", self.uri, self.setup_ms)?;
        if let Some(greeting) = &self.greeting {
            writeln!(f, "  greeting  {greeting}")?;
        }
        for (index, turn) in self.turns.iter().enumerate() {
            match &turn.digits {
                Some(keys) => {
                    writeln!(f, "  turn {}    pressed {keys} ({})", index + 1, turn.by.unwrap_or("not all of them"))?;
                }
                None => writeln!(f, "  turn {}    played {}", index + 1, turn.file.display())?,
            }
            if turn.spoke_early {
                writeln!(f, "            the far side spoke before it was over")?;
            }
            if let Some(stop) = turn.barge_stop_ms {
                writeln!(f, "            interrupted: silent after {stop:.0} ms")?;
            }
            match (&turn.reply, turn.wire_ms) {
                (Some(reply), Some(wire)) => writeln!(f, "            reply after {wire:.0} ms, {reply}")?,
                (Some(reply), None) => writeln!(f, "            reply {reply}")?,
                (None, _) => writeln!(f, "            no reply")?,
            }
        }
        if !self.keys.is_empty() {
            writeln!(f, "  pressed   {} by the far side", self.keys)?;
        }
        write!(
            f,
            "  ended     {} after {:.1} s; {} packets, {} lost",
            self.ended_by, self.duration_s, self.received, self.lost
        )
    }
}

impl fmt::Display for Utterance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.lasted_ms / 1_000.0)?;
        match &self.understood {
            Some(text) if text.is_empty() => f.write_str(", no words understood"),
            Some(text) => write!(f, ", understood: {text:?}"),
            None => Ok(()),
        }
    }
}
