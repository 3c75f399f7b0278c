//! Pressing keys on a line: the dialplan's verb `send_digits`, and `milo call --digits`.

use std::time::Duration;

use milo_media::{Control, Voice, dtmf};
use milo_signaling::{InfoKeys, SignalingError};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::error::Error;

/// How long a key is down, and how long none is between two that are told by INFO (the leg keeps its own pauses).
const PRESS: Duration = Duration::from_millis(120);
const PAUSE: Duration = Duration::from_millis(80);
/// As many as are pressed at a time.
const KEYS: usize = 64;

/// By which way keys are pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PressBy {
    /// As telephone-event (RFC 4733) when both sides agreed on it, else as tones.
    #[default]
    Agreed,
    /// By SIP INFO; as tones from the first key that the far side refuses so.
    Info,
    /// As tones in the audio.
    Tones,
}

/// What is impossible about these keys, in one sentence.
pub fn fault(keys: &str) -> Option<String> {
    if let Some(strange) = keys.chars().find(|key| !dtmf::is_key(*key)) {
        return Some(format!("{strange:?} is no key; there are 0 to 9, *, # and A to D"));
    }
    (!(1..=KEYS).contains(&keys.chars().count())).then(|| format!("give 1 to {KEYS} keys"))
}

/// Presses these keys one after the other and waits until the last one is up. Returns the way it went, as the call log
/// has it: `telephone-event`, `tones` or `info`. While the call is on hold, it waits.
///
/// # Errors
/// The call is over, or one of them is no key ([`fault`]).
pub async fn press(
    voice: &mut Voice,
    control: &Control,
    info: &InfoKeys,
    (keys, by): (&str, PressBy),
) -> Result<&'static str, Error> {
    let mut left = keys.chars();
    let mut by = by;
    if by == PressBy::Info {
        loop {
            let rest = left.clone();
            let Some(key) = left.next() else { return Ok("info") };
            match info.press(key, PRESS).await {
                Ok(()) => sleep(PAUSE).await,
                // The far side takes no keys by SIP INFO: they follow as tones.
                Err(SignalingError::Key { .. }) => {
                    (left, by) = (rest, PressBy::Tones);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let (as_agreed, way) = match by {
        PressBy::Agreed if control.has_key_events() => (dtmf::PressBy::Agreement, "telephone-event"),
        PressBy::Agreed => (dtmf::PressBy::Agreement, "tones"),
        PressBy::Info | PressBy::Tones => (dtmf::PressBy::Tones, "tones"),
    };
    for key in left {
        voice.press(key, PRESS, as_agreed).await?;
    }
    voice.drained().await;
    Ok(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_before_anybody_is_called() {
        assert_eq!(fault("0123456789*#ABCDabcd"), None);
        assert!(fault("12 3").is_some_and(|fault| fault.contains("' ' is no key")));
        assert!(fault("").is_some_and(|fault| fault.contains("1 to 64")));
        assert!(fault(&"1".repeat(65)).is_some());
    }
}
