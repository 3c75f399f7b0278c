//! `[recording]`: calls kept as sound.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Faults;

/// Recordings of calls; off unless somebody decides otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    /// Every answered call is recorded, unless its plan says `record = false`.
    pub enabled: bool,
    /// The folder; unset, `recordings/` in the data folder.
    pub path: Option<PathBuf>,
    /// Ogg Opus, or WAV of 16 kHz.
    pub format: RecordingFormat,
    /// Recordings older than so many days are deleted; 0 keeps them.
    pub retention_days: u64,
    /// What the caller hears before a recording begins: a sound file, or words that are spoken in the plan's language.
    pub announcement: Option<String>,
    /// Keys that pause a call's recording, and resume it when they are pressed again; none unless they are named.
    pub pause_key: Option<String>,
}

/// How recordings are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingFormat {
    /// Ogg Opus, some 32 kbit/s.
    #[default]
    Ogg,
    /// WAV, 16 kHz stereo.
    Wav,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            enabled: false,
            path: None,
            format: RecordingFormat::Ogg,
            retention_days: 90,
            announcement: None,
            pause_key: None,
        }
    }
}

impl Recording {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("recording.retention_days", self.retention_days, 0..=36_500);
        if let Some(keys) = &self.pause_key
            && !((1..=4).contains(&keys.len()) && keys.chars().all(|key| "0123456789*#ABCD".contains(key)))
        {
            faults.add("recording.pause_key", "is one to four of the keys 0 to 9, *, # and A to D".into());
        }
        if self.announcement.as_ref().is_some_and(|announcement| announcement.trim().is_empty()) {
            faults
                .add("recording.announcement", "is empty: name a sound file, write a sentence, or leave it out".into());
        }
    }

    /// The announcement as a file, when it is one.
    pub fn announced_by(&self) -> Option<PathBuf> {
        let announcement = PathBuf::from(self.announcement.as_ref()?);
        let ending = announcement.extension()?.to_str()?.to_ascii_lowercase();
        ["wav", "ogg", "oga", "opus", "mp3", "flac"].contains(&ending.as_str()).then_some(announcement)
    }
}
