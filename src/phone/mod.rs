//! A telephone in the terminal: `milo call sip:… --play FILE.wav`. It places a real call over UDP, TCP or TLS, plays files as
//! turns, records what comes back and measures when which packet went and came.

mod line;
mod report;
mod talk;

use std::{
    fs,
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Instant,
};

use milo_media::{
    Codec, Control, EchoPath, Heard, Leg, MediaError, PortPool,
    codec::{PCMA, PCMU},
    wav,
};
use milo_models::transcriber::{Listen, Transcriber};
use milo_signaling::{Caller, Dialog, DialogEvent, Endpoint, EndpointConfig, Progress, Srtp, Transport, Trust, Uri};
use tokio::{select, time::timeout};

pub(crate) use line::{Line, voiced};
pub use report::{Report, Turn, Utterance};
pub(crate) use talk::milliseconds;

use crate::{error::Error, press::PressBy};
use talk::{SETTLE, Talk};

/// What to do in a call.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Whom to call.
    pub target: Uri,
    /// WAV files, played one a turn.
    pub play: Vec<PathBuf>,
    /// A last file, played into the reply to the one before it, one second after that began.
    pub interrupt: Option<PathBuf>,
    /// Keys pressed after the greeting and before the first file, and how; a turn of its own.
    pub digits: Option<(String, PressBy)>,
    /// Stay until the far side hangs up.
    pub wait: bool,
    /// Do not wait for a greeting before the first turn.
    pub no_greeting: bool,
    /// Where the far side's voice is written.
    pub record: Option<PathBuf>,
}

/// A telephone: one endpoint on a free local port.
pub struct Phone {
    endpoint: Endpoint,
    /// What places its calls.
    caller: Caller,
    transcriber: Option<Arc<dyn Transcriber>>,
}

impl Phone {
    /// A telephone of its own, on free ports; on loopback when the target is. It takes no calls, and speaks G.711, as the
    /// trunks do: what it measures stays comparable.
    pub fn new(
        target: &Uri,
        transcriber: Option<Arc<dyn Transcriber>>,
        media: tokio::runtime::Handle,
    ) -> Result<Self, Error> {
        Self::with(Self::usual_codecs(), Srtp::Off, target, transcriber, media)
    }

    /// What a telephone speaks that is not told otherwise, preferred first.
    pub fn usual_codecs() -> Vec<&'static Codec> {
        vec![&PCMU, &PCMA]
    }

    /// The same with codecs of choice, preferred first, and SRTP when and as this says.
    pub fn with(
        codecs: Vec<&'static Codec>,
        srtp: Srtp,
        target: &Uri,
        transcriber: Option<Arc<dyn Transcriber>>,
        media: tokio::runtime::Handle,
    ) -> Result<Self, Error> {
        let host = target.as_sip().and_then(|uri| uri.host.ip());
        let local: IpAddr = match host {
            Some(host) if host.is_loopback() && host.is_ipv6() => Ipv6Addr::LOCALHOST.into(),
            Some(host) if host.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            Some(host) if host.is_ipv6() => Ipv6Addr::UNSPECIFIED.into(),
            Some(_) => Ipv4Addr::UNSPECIFIED.into(),
            // A name: `localhost` is by far the likeliest one that is not reached from the outside.
            None if target.to_string().contains("@localhost") => Ipv4Addr::LOCALHOST.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        Self::at(local, codecs, srtp, transcriber, media)
    }

    /// Where it listens for SIP over UDP.
    pub fn udp(&self) -> Option<SocketAddr> {
        self.endpoint.local().iter().find(|(transport, _)| *transport == Transport::Udp).map(|(_, at)| *at)
    }

    /// The same at this address of the machine.
    pub fn at(
        local: IpAddr,
        codecs: Vec<&'static Codec>,
        srtp: Srtp,
        transcriber: Option<Arc<dyn Transcriber>>,
        media: tokio::runtime::Handle,
    ) -> Result<Self, Error> {
        // The far side's BYE may come from anywhere behind its proxy; calls are taken from nobody.
        let anybody = ["0.0.0.0/0", "::/0"].iter().filter_map(|block| block.parse().ok()).collect();
        let config = EndpointConfig {
            udp: vec![(local, 0).into()],
            tcp: vec![(local, 0).into()],
            trusted: anybody,
            codecs,
            max_calls: 10_000,
            user_agent: concat!("Milo phone/", env!("CARGO_PKG_VERSION")).into(),
            srtp,
            ..EndpointConfig::default()
        };
        let ports = Arc::new(PortPool::new(local, 0..=0));
        let (endpoint, _no_calls) = Endpoint::bind(config, ports, media)?;
        Ok(Self { caller: endpoint.caller().clone(), endpoint, transcriber })
    }

    /// The same, but over TLS these certificates are believed, and not those of the system's authorities.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { caller: self.caller.trusting(trust), ..self }
    }

    /// Places one call and sees it through.
    pub async fn call(&self, errand: &Errand) -> Result<Report, Error> {
        self.call_until(errand, pending()).await
    }

    /// Places one call and sees it through, or hangs up as soon as `stop` is there.
    ///
    /// # Errors
    /// A file cannot be read, holds no voice or cannot be written (all of it found before dialling), or the call did not come up.
    #[expect(clippy::disallowed_methods, reason = "the telephone measures with the wall clock")]
    pub async fn call_until(&self, errand: &Errand, stop: impl Future<Output = ()>) -> Result<Report, Error> {
        let mut sounds = Vec::new();
        for file in errand.play.iter().chain(&errand.interrupt) {
            let samples = wav::read(file)?;
            if !voiced(&samples) {
                return Err(
                    MediaError::Wav { path: file.clone(), reason: "holds no voice above −45 dBFS".into() }.into()
                );
            }
            sounds.push((file.clone(), samples));
        }
        if let Some(file) = &errand.record {
            writable(file).map_err(|source| MediaError::File { path: file.clone(), action: "write", source })?;
        }

        let mut stop = pin!(stop);
        let invited = Instant::now();
        let mut early = Vec::new();
        let up = select! {
            up = self.dial(&errand.target, |heard| early.push(heard)) => up,
            () = &mut stop => Err(Error::NotUp("it was given up before anybody answered".into())),
        };
        let (dialog, leg) = match (up, &errand.record) {
            (Ok(up), _) => up,
            // What was heard may say why nobody answered.
            (Err(error), Some(file)) if !early.is_empty() => {
                wav::write(file, &sound_of(&early))?;
                return Err(error);
            }
            (Err(error), _) => return Err(error),
        };
        let answered = Instant::now();
        let (line, mut held) = Held::new(dialog, leg, early);
        let mut call = Talk {
            line,
            answered,
            stretches: Vec::new(),
            report: Report {
                uri: errand.target.to_string(),
                setup_ms: milliseconds(answered - invited),
                ..Report::default()
            },
        };
        let hung_up = select! {
            hung_up = held.through(call.script(errand, &sounds)) => hung_up,
            () = &mut stop => None,
        };
        call.report.ended_by = match (hung_up, call.line.closed()) {
            (Some(reason), _) => format!("the far side ({reason})"),
            (None, Some(why)) => format!("the line ({why:?})"),
            (None, None) => "this telephone".into(),
        };
        call.report.duration_s = answered.elapsed().as_secs_f64();
        held.hang_up().await;
        self.finish(call, errand).await
    }

    /// Places one call; its line and its dialog, once it is up.
    pub(crate) async fn up(&self, target: &Uri) -> Result<(Line, Held), Error> {
        let mut early = Vec::new();
        let (dialog, leg) = self.dial(target, |heard| early.push(heard)).await?;
        Ok(Held::new(dialog, leg, early))
    }

    /// A call from hands-free equipment where nobody says a word: what is heard comes back on this path. Returns when the far
    /// side has hung up.
    pub async fn hands_free(&self, target: &Uri, mut path: EchoPath) -> Result<(), Error> {
        let (mut dialog, Leg { mut ears, mut voice, control }) = self.dial(target, drop).await?;
        let returned = async {
            while let Heard::Frame(heard) = ears.next().await {
                voice.play(path.push(&heard.frame)).await;
            }
        };
        select! {
            reason = hang_up_of(&mut dialog, &control) => tracing::debug!(reason, "the far side hung up"),
            () = returned => {}
        }
        dialog.hang_up().await.ok();
        Ok(())
    }

    /// Calls; what is heard before the answer goes to `early`.
    async fn dial(&self, target: &Uri, mut early: impl FnMut(Heard)) -> Result<(Dialog, Leg), Error> {
        let mut outgoing = self.caller.call(target, "telephone").await?;
        let mut heard_on: Option<Leg> = None;
        loop {
            let listening = async {
                match &mut heard_on {
                    Some(leg) => leg.ears.next().await,
                    None => pending().await,
                }
            };
            let progress = select! {
                progress = outgoing.next() => progress,
                heard = listening => {
                    if let Heard::Closed(why) = heard {
                        return Err(Error::NotUp(format!("the line ended before the answer ({why:?})")));
                    }
                    early(heard);
                    continue;
                }
            };
            match progress {
                Progress::Ringing(_) => {}
                Progress::Early(leg) => heard_on = Some(leg),
                Progress::Answered(dialog, leg) => return Ok((dialog, leg)),
                Progress::AnsweredEarly(dialog) => {
                    let lost = || Error::NotUp("the line ended before the answer".into());
                    return heard_on.map(|leg| (dialog, leg)).ok_or_else(lost);
                }
                // Also when no response came at all (RFC 3261 section 8.1.3.1).
                Progress::Rejected { code: 408, .. } => {
                    return Err(Error::NotUp(format!("nobody answered at {target}")));
                }
                Progress::Rejected { code, reason } => return Err(Error::Refused { code, reason }),
                Progress::Failed(why) => return Err(Error::NotUp(why.to_string())),
                Progress::Over => return Err(Error::NotUp("it had ended before".into())),
            }
        }
    }

    /// Ends the telephone.
    pub async fn shutdown(self) {
        self.endpoint.shutdown().await;
    }

    async fn finish(&self, mut call: Talk, errand: &Errand) -> Result<Report, Error> {
        let stats = call.line.stats();
        (call.report.received, call.report.lost) = (stats.received, stats.lost);
        call.report.keys = call.line.keys().to_owned();
        if let Some(file) = &errand.record {
            wav::write(file, call.line.heard())?;
        }
        if let Some(transcriber) = &self.transcriber {
            for (turn, stretch) in &call.stretches {
                let transcript = transcriber.transcribe(call.line.sound(*stretch).to_vec(), Listen::to(None)).await;
                if let Err(error) = &transcript {
                    tracing::warn!(%error, "what was heard could not be transcribed");
                }
                let utterance = match turn {
                    None => call.report.greeting.as_mut(),
                    Some(turn) => call.report.turns.get_mut(*turn).and_then(|turn| turn.reply.as_mut()),
                };
                if let Some(utterance) = utterance {
                    utterance.understood = transcript.ok().map(|transcript| transcript.text);
                }
            }
        }
        Ok(call.report)
    }
}

/// The dialog of a call that is up.
pub(crate) struct Held {
    dialog: Dialog,
    control: Control,
}

impl Held {
    /// `early` is what was heard before the answer.
    fn new(dialog: Dialog, leg: Leg, early: Vec<Heard>) -> (Line, Self) {
        let control = leg.control.clone();
        (Line::new(leg, dialog.keys(), early), Self { dialog, control })
    }

    /// The call's Call-ID.
    pub(crate) fn call_id(&self) -> &str {
        self.dialog.call_id()
    }

    /// Lets the script run until it is done, or until the far side has hung up: then says why.
    pub(crate) async fn through(&mut self, script: impl Future<Output = ()>) -> Option<String> {
        let mut script = pin!(script);
        select! {
            reason = hang_up_of(&mut self.dialog, &self.control) => {
                // What was being heard is heard to its end: the leg goes on with silence.
                timeout(SETTLE * 2, &mut script).await.ok();
                Some(reason)
            }
            () = &mut script => None,
        }
    }

    /// Hangs up. Gone when the far side was first.
    pub(crate) async fn hang_up(self) {
        self.dialog.hang_up().await.ok();
    }
}

/// The sound of what was heard, 16 kHz.
fn sound_of(heard: &[Heard]) -> Vec<i16> {
    let frames = heard.iter().filter_map(|heard| if let Heard::Frame(heard) = heard { Some(heard) } else { None });
    frames.flat_map(|heard| *heard.frame.samples()).collect()
}

/// Whether a file can be made in the place of this one; what is there stays.
fn writable(file: &Path) -> io::Result<()> {
    if file.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut name = file.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
    name.push(format!(".{}.probe", std::process::id()));
    let probe = file.with_file_name(name);
    fs::File::create(&probe)?;
    fs::remove_file(&probe)
}

/// Passes on what the dialog says until it says that the far side has hung up.
async fn hang_up_of(dialog: &mut Dialog, control: &Control) -> String {
    loop {
        match dialog.next().await {
            DialogEvent::MediaChange(session) => control.change(session),
            DialogEvent::Key(press) => control.hear_key(press.key, press.duration),
            DialogEvent::Transfer(_) => drop(dialog.refuse_transfer(603).await),
            DialogEvent::Text(_) | DialogEvent::Replaced(_) => {}
            DialogEvent::Ended(reason) => return reason.to_string(),
        }
    }
}
