//! A voice: `audio/speech`, streamed, WAV or plain samples.

use std::time::Duration;

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Serialize;
use tokio::{select, sync::mpsc, time::Instant};

use super::sound::{RATE, Sound};
use crate::{
    engine::{EngineError, Language, RemoteFault},
    queue::{Waiting, Work},
    remote::{Remote, RemoteOptions},
    synthesizer::{MAX_TEXT, Piece, Speech, SpeechOptions, Synthesizer},
};

/// Words a minute of a server's voice at its own speed.
const PACE: f32 = 155.0;
/// Pieces that may wait for their listener; then the server waits.
const ROOM: usize = 256;
/// A clause lasts no longer, in samples: three minutes.
const LONGEST: usize = 3 * 60 * 16_000;
/// A server that sends less sound than this, in terms of how long it was waited for, is not listened to: a caller hears each gap…
const SLOWEST: f64 = 0.5;
/// …once it was waited for so long.
const AT_FIRST: Duration = Duration::from_secs(1);
/// Samples a second.
const HERTZ: f64 = 16_000.0;

/// What a server is asked to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A WAV file, which says itself at which rate it is.
    #[default]
    Wav,
    /// Samples alone: 16 bits, mono, 24 kHz unless the server says another rate.
    Pcm,
}

/// Asks one voice; cheap to clone.
#[derive(Clone)]
pub struct Speaker {
    remote: Remote,
    model: String,
    voice: String,
    format: Format,
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a str,
    voice: &'a str,
    response_format: Format,
    speed: f32,
}

impl Speaker {
    /// A voice on a server, which is not asked before the first clause.
    ///
    /// # Errors
    /// [`EngineError::Load`]: address, key, proxy or authorities are not what they should be.
    pub fn new(options: &RemoteOptions, voice: &str, format: Format) -> Result<Self, EngineError> {
        let remote = Remote::new("remote voice", options, (AUTHORIZATION, "Bearer "))?;
        Ok(Self { remote, model: options.model.clone(), voice: voice.into(), format })
    }
}

impl Synthesizer for Speaker {
    fn speak(&self, text: &str, _: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        if text.len() > MAX_TEXT {
            let length = text.len();
            return Err(EngineError::Input(format!(
                "{length} bytes to say at once, {MAX_TEXT} at most: cut into clauses"
            )));
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err(EngineError::Input("there is nothing to say: the text has no letter and no digit".into()));
        }
        let question = Question {
            model: &self.model,
            input: text,
            // A variant that was asked for may be another voice's: a server's refusal would be the asker's fault.
            voice: &self.voice,
            response_format: self.format,
            speed: (f32::from(options.speed) / PACE).clamp(0.25, 4.0),
        };
        let body = serde_json::to_vec(&question).map_err(|error| EngineError::Input(error.to_string()))?;
        let asked = self.remote.post("audio/speech").header(CONTENT_TYPE, "application/json").body(body);
        let place = self.remote.place()?;
        let (pieces, speech) = mpsc::channel(ROOM);
        let (remote, format) = (self.remote.clone(), self.format);
        tokio::spawn(async move {
            let _place = place;
            let spoken = select! {
                biased;
                () = pieces.closed() => return,
                spoken = say(&remote, asked, format, &pieces) => spoken,
            };
            if let Err(error) = spoken {
                pieces.send(Err(error)).await.ok();
            }
        });
        Ok(Speech::new(speech))
    }

    fn check(&self, _: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        let SpeechOptions { variant, pitch, .. } = options;
        if let Some(variant) = variant.as_ref().filter(|variant| **variant != self.voice) {
            let says =
                format!("the voice variant {variant:?} is not the server's, which is asked for {:?} alone", self.voice);
            return Err(EngineError::Input(says));
        }
        if *pitch != 50 {
            return Err(EngineError::Input(format!("the pitch {pitch} is told to no server: its voice has one, 50")));
        }
        Ok(())
    }

    /// None: a request finds a place at once, or is refused.
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

/// Passes the sound on as it comes.
async fn say(
    remote: &Remote,
    request: RequestBuilder,
    format: Format,
    pieces: &mpsc::Sender<Result<Piece, EngineError>>,
) -> Result<(), EngineError> {
    let broken = |says: String| remote.fault(RemoteFault::Broken, says);
    let mut until = remote.deadline();
    let mut response = remote.send(request, until).await?;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let mut sound = match format {
        Format::Wav => Sound::wav(),
        Format::Pcm => Sound::pcm(rate(&kind)),
    }
    .map_err(broken)?;
    let (mut said, mut waited) = (0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let Some(bytes) = remote.chunk(&mut response, until).await? else { break };
        // Not while nobody takes what has come: that is the listener's time.
        waited += if said > 0 { asked.elapsed() } else { Duration::ZERO };
        if waited > AT_FIRST && (said as f64) < waited.as_secs_f64() * SLOWEST * HERTZ {
            return Err(remote.fault(RemoteFault::Late, "sends its sound more slowly than anybody speaks"));
        }
        let samples = sound.push(&bytes).map_err(|says| match kind.is_empty() {
            true => broken(says),
            false => broken(format!("{says} (it calls it {:?})", kind.chars().take(60).collect::<String>())),
        })?;
        if !samples.is_empty() {
            said += samples.len();
            if said > LONGEST {
                return Err(broken("speaks on without an end".into()));
            }
            pieces.send(Ok(samples.into())).await.ok();
            until = Instant::now() + remote.between();
        }
    }
    let rest = sound.finish().map_err(broken)?;
    if !rest.is_empty() {
        pieces.send(Ok(rest.into())).await.ok();
    }
    Ok(())
}

/// The rate that `audio/pcm;rate=22050` names (RFC 2586 section 4 has it so for L16), or OpenAI's own.
fn rate(kind: &str) -> u32 {
    let named = kind.split(';').find_map(|parameter| parameter.trim().strip_prefix("rate=")?.trim().parse().ok());
    named.unwrap_or(RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_one_that_is_named() {
        for (kind, hertz) in
            [("audio/pcm", RATE), ("audio/pcm; rate=22050", 22_050), ("audio/L16;rate=x", RATE), ("", RATE)]
        {
            assert_eq!(rate(kind), hertz, "{kind}");
        }
    }
}
