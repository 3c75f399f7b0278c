//! What a dialplan can do with a call: one variant a verb.

use std::collections::BTreeMap;

use milo_media::tone::{Country, Pattern, Signal};
use milo_signaling::Uri;
use serde::{Deserialize, Serialize};

use super::{
    Bridge, Detect, Dial, Gather, Hold, Interpret, LookUp, Menu, Message, Queue, Request, Say, TextMessage, Transfer,
    Voicemail, Webhook,
    variables::{self, Place},
};
use crate::press::{self, PressBy};

/// A verb, and where in its file it stands.
pub type Step = toml::Spanned<Action>;
/// Verbs, one after the other.
pub type Block = Vec<Step>;

/// As often as a block can be repeated.
const TIMES: u32 = 100;

/// One step of a plan. After ringing, and what is heard early, a plan begins with `answer`, `reject` or `redirect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// 180 Ringing for so many seconds.
    Ring {
        /// Seconds, 1 to 60.
        seconds: u64,
    },
    /// 183 Session Progress: the caller hears what stands between here and `answer` or `reject` (`play`, `tone`, `music`)
    /// while nothing is charged. A caller that cannot be heard early rings instead.
    Early {},
    /// 200 OK: the call is up.
    Answer {},
    /// The agent talks until the conversation ends.
    Converse {
        /// A file of `dialplans/personas/`, without its ending.
        persona: String,
        /// The plan to go on with when engines fail again and again; without it, the call ends with the persona's goodbye.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
        /// Who has answered is found out while the agent talks, and this is done where it is no person ("Who has answered", above).
        /// Left out, the agent talks with whoever it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detect: Option<Detect>,
    },
    /// The caller hears themselves until they hang up.
    Echo {},
    /// Calls somebody else and joins the two.
    Dial(Dial),
    /// Sends the caller to somebody else: its telephone calls there itself (SIP REFER), and Milo hangs up when somebody answers; until it
    /// tells how it went the caller hears music. If nobody does, the plan goes on; what came of it stands in
    /// `{{transfer_result}}` and in the call's event `transferred`.
    Transfer(Transfer),
    /// The caller waits with music, for a while or until a `bridge` takes the call. Unlike with `music`, keys count, and its
    /// telephone may be told.
    Hold(Hold),
    /// The caller waits in a line, hears music and how the line moves, and speaks with whoever is free first: those who are
    /// rung, or who take the first in line by `bridge`. When they have spoken, the plan goes on.
    Queue(Queue),
    /// Joins this caller with one who waits: the first of a `queue`, or a certain call. When one of the two goes, each goes on
    /// with its own plan.
    Bridge(Bridge),
    /// Sends a text (SIP MESSAGE) and waits up to ten seconds for its answer, which stands in the call's event `message_sent`; the
    /// plan goes on whatever it is.
    Message(TextMessage),
    /// A sound file (WAV, Ogg, MP3, FLAC), as a path within the folder of dialplans.
    Play(String),
    /// Music, for whoever waits: these files of the folder of dialplans, over and over, or the built-in music.
    Music {
        /// Seconds, 1 to 3,600.
        seconds: u64,
        /// Sound files, one after the other.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
    },
    /// A signal of a country's telephone network.
    Tone {
        /// Two letters: `mg`, `fr`, `re`, `za`, `gb`, `de`, `us`, `ca`.
        country: String,
        /// `dial`, `ringback`, `busy` or `congestion`.
        signal: String,
        /// Seconds, 1 to 3,600.
        seconds: u64,
    },
    /// Begins, pauses, resumes or ends the call's recording.
    Recording(RecordingStep),
    /// Reads back the digits that are pressed; ends after `#` or ten seconds of nothing.
    Digits {},
    /// Presses keys, for machines that answer with a menu.
    SendDigits {
        /// `0` to `9`, `*`, `#`, `A` to `D`; 1 to 64 of them.
        digits: String,
        /// `agreed` (telephone-event, or tones where it was not agreed on), `info` (SIP INFO) or `tones`.
        #[serde(default)]
        by: PressBy,
    },
    /// BYE.
    Hangup {
        /// Why, as a cause of Q.850 (1 to 127), in its Reason: 21 is "call rejected".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<u8>,
    },
    /// A final refusal instead of an answer.
    Reject {
        /// A SIP status of 400 to 699 (RFC 3261 section 21).
        status: u16,
        /// Why, as a cause of Q.850 (1 to 127), in its Reason: 17 is "user busy".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<u8>,
    },
    /// Says words.
    Say(Say),
    /// Asks for digits, by keys or by words, or for words, and keeps them in a variable.
    Gather(Gather),
    /// Asks for one key, or for the words that stand for one, each of which leads somewhere else.
    Menu(Menu),
    /// Tells a program of the operator's about the call, by HTTP: what it answers sets variables, and may name the plan to go
    /// on with. Where that takes longer than `[conversation] filler_ms`, the caller hears the `wait` of the persona that spoke last, or of the
    /// first there is, and again every five seconds; keys that are pressed meanwhile are kept.
    Webhook(Webhook),
    /// Looks something up in the texts and tables of a folder of `knowledge/`.
    LookUp(LookUp),
    /// Keeps what the caller wants of people who are not on the line: a message, or a call back. It stands in
    /// `GET /api/v1/requests` until somebody marks it as done, goes with its call, and webhooks are told of it (`requested`).
    Request(Request),
    /// Gives variables their values: `set = { office = "Toamasina" }`.
    Set(BTreeMap<String, String>),
    /// Goes on with another plan, named so, and does not come back.
    Goto(String),
    /// Does the same several times.
    Repeat {
        /// How often, 1 to 100.
        times: u32,
        /// What.
        actions: Block,
    },
    /// Silence.
    Wait {
        /// Seconds, 1 to 3,600.
        seconds: u64,
    },
    /// Takes a message of the caller, after a beep.
    Record(Message),
    /// A greeting, then a message.
    Voicemail(Voicemail),
    /// 302 instead of an answer: whoever calls may call there (RFC 3261 section 21.3.3).
    Redirect {
        /// A SIP address.
        to: String,
    },
}

/// What the verb `recording` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingStep {
    /// From here on the call is recorded, whatever else says so; after the announcement, if one is configured.
    Start,
    /// Silence is recorded in place of both sides: for card numbers.
    Pause,
    /// Both sides again.
    Resume,
    /// The recording ends; `start` begins another file.
    Stop,
}

impl Action {
    /// The signal that `tone` names, once it was checked.
    pub fn pattern(country: &str, signal: &str) -> Option<Pattern> {
        Some(Country::of_code(country)?.pattern(Signal::named(signal)?))
    }

    /// Whether it may stand before the answer, behind `early`.
    pub(super) fn is_heard_early(&self) -> bool {
        matches!(self, Self::Play(_) | Self::Music { .. } | Self::Tone { .. })
    }

    /// Its name in the file.
    pub fn verb(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(one)) => one.into_iter().next().map(|(verb, _)| verb).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// The sound files it plays, those of the verbs within it left out.
    pub(super) fn sounds(&self) -> Vec<&String> {
        match self {
            Self::Play(file) => vec![file],
            Self::Music { files, .. } => files.iter().collect(),
            Self::Dial(dial) => dial.music_files.iter().collect(),
            Self::Transfer(transfer) => transfer.music_files.iter().collect(),
            Self::Hold(Hold { files, .. }) | Self::Queue(Queue { files, .. }) | Self::Bridge(Bridge { files, .. }) => {
                files.iter().collect()
            }
            Self::Gather(gather) => gather.prompts().filter_map(|prompt| prompt.sound()).collect(),
            Self::Menu(menu) => menu.prompts().filter_map(|prompt| prompt.sound()).collect(),
            Self::Voicemail(voicemail) => voicemail.greeting.sound().into_iter().collect(),
            Self::Converse { detect: Some(detect), .. } => detect.sound().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The line in which it lets the caller wait.
    pub(super) fn line(&self) -> Option<&str> {
        match self {
            Self::Queue(queue) => Some(&queue.name),
            _ => None,
        }
    }

    /// Between whom Milo is to interpret.
    pub(super) fn interpret(&self) -> Option<&Interpret> {
        match self {
            Self::Dial(dial) => dial.interpret.as_ref(),
            Self::Transfer(transfer) => transfer.interpret.as_ref(),
            Self::Queue(queue) => queue.interpret.as_ref(),
            Self::Bridge(bridge) => bridge.interpret.as_ref(),
            _ => None,
        }
    }

    /// The blocks of verbs within it.
    pub(super) fn blocks(&self) -> Vec<&Block> {
        match self {
            Self::Menu(menu) => menu.keys.values().chain([&menu.otherwise]).collect(),
            Self::Repeat { actions, .. } => vec![actions],
            _ => Vec::new(),
        }
    }

    /// The verb without those within it.
    pub fn alone(&self) -> Self {
        match self {
            Self::Menu(menu) => {
                let keys = menu.keys.keys().map(|key| (*key, Block::new())).collect();
                Self::Menu(Menu { keys, otherwise: Block::new(), ..menu.clone() })
            }
            Self::Repeat { times, .. } => Self::Repeat { times: *times, actions: Block::new() },
            whole => whole.clone(),
        }
    }

    /// Its own texts in which variables have their place, those of the verbs within it left out.
    pub(super) fn texts(&mut self) -> Vec<(Place, &mut String)> {
        match self {
            Self::Dial(dial) => {
                let from = dial.from.iter_mut().map(|from| (Place::Caller, from));
                let fields = dial.headers.values_mut().map(|value| (Place::Words, value));
                [(Place::Address, &mut dial.to)].into_iter().chain(from).chain(fields).collect()
            }
            Self::Transfer(transfer) => {
                let from = transfer.from.iter_mut().map(|from| (Place::Caller, from));
                let fields = transfer.headers.values_mut().map(|value| (Place::Words, value));
                let said = transfer.announce.iter_mut().map(|words| (Place::Words, words));
                [(Place::Address, &mut transfer.to)].into_iter().chain(from).chain(fields).chain(said).collect()
            }
            Self::Message(message) => {
                let from = message.from.iter_mut().map(|from| (Place::Caller, from));
                let own = [(Place::Address, &mut message.to), (Place::Words, &mut message.text)];
                own.into_iter().chain(from).collect()
            }
            Self::Redirect { to } => vec![(Place::Address, to)],
            Self::Queue(queue) => queue.from.iter_mut().map(|from| (Place::Caller, from)).collect(),
            Self::Bridge(bridge) => bridge.call.iter_mut().map(|call| (Place::Words, call)).collect(),
            Self::SendDigits { digits, .. } => vec![(Place::Words, digits)],
            Self::Say(say) => vec![(Place::Words, &mut say.text)],
            Self::Set(values) => values.values_mut().map(|value| (Place::Words, value)).collect(),
            Self::LookUp(look_up) => vec![(Place::Words, &mut look_up.about)],
            Self::Request(request) => request.words().map(|words| (Place::Words, words)).into(),
            Self::Gather(gather) => gather.texts_mut(),
            Self::Menu(menu) => menu.prompts_mut().filter_map(|prompt| prompt.words()).collect(),
            Self::Voicemail(voicemail) => voicemail.greeting.words().into_iter().collect(),
            Self::Converse { detect: Some(detect), .. } => detect.words().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The variables that it sets.
    pub(super) fn sets(&self) -> Vec<&str> {
        match self {
            Self::Set(values) => values.keys().map(String::as_str).collect(),
            Self::LookUp(look_up) => vec![&look_up.into],
            Self::Gather(gather) => gather.sets().map(String::as_str).collect(),
            Self::Queue(Queue { into, .. }) | Self::Bridge(Bridge { into, .. }) => {
                into.iter().map(String::as_str).collect()
            }
            Self::Webhook(webhook) => webhook.names().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it may be over in no time: what only such verbs lead round to would never end.
    pub(super) fn is_instant(&self) -> bool {
        match self {
            // A line may be full, nobody there who answers, and a text refused.
            Self::Answer {}
            | Self::Recording(_)
            | Self::Set(_)
            | Self::LookUp(_)
            | Self::Request(_)
            | Self::Goto(_) => true,
            Self::Queue(_) | Self::Webhook(_) | Self::Message(_) => true,
            Self::Repeat { actions, .. } => actions.iter().all(|step| step.get_ref().is_instant()),
            _ => false,
        }
    }

    /// What is impossible about this action, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Ring { seconds } if !(1..=60).contains(seconds) => {
                Some(format!("ring: seconds = {seconds} is not within 1 to 60"))
            }
            Self::Music { seconds, .. } if !(1..=3_600).contains(seconds) => {
                Some(format!("music: seconds = {seconds} is not within 1 to 3600"))
            }
            Self::Tone { seconds, .. } if !(1..=3_600).contains(seconds) => {
                Some(format!("tone: seconds = {seconds} is not within 1 to 3600"))
            }
            Self::Tone { country, .. } if Country::of_code(country).is_none() => Some(format!(
                "tone: country = {country:?} is not one of {}",
                Country::ALL.map(Country::code).join(", ")
            )),
            Self::Tone { signal, .. } if Signal::named(signal).is_none() => {
                Some(format!("tone: signal = {signal:?} is not one of {}", Signal::ALL.map(Signal::name).join(", ")))
            }
            Self::SendDigits { digits, .. } => {
                press::fault(digits).map(|fault| format!("send_digits: digits = {digits:?}: {fault}"))
            }
            Self::Hangup { cause: Some(cause) } | Self::Reject { cause: Some(cause), .. }
                if !(1..=127).contains(cause) =>
            {
                Some(format!("{}: cause = {cause} is not within 1 to 127 (Q.850)", self.verb()))
            }
            Self::Reject { status, .. } if !(400..700).contains(status) => {
                Some(format!("reject: status = {status} is not within 400 to 699"))
            }
            Self::Converse { persona, .. } if persona.is_empty() || persona.contains(['/', '\\', '.']) => {
                Some(format!("converse: persona = {persona:?} is not the name of a file in personas/ (without .toml)"))
            }
            Self::Converse { detect: Some(detect), .. } => detect.fault(),
            Self::Dial(dial) => dial.fault(),
            Self::Transfer(transfer) => transfer.fault(),
            Self::Hold(hold) => hold.fault(),
            Self::Queue(queue) => queue.fault(),
            Self::Bridge(bridge) => bridge.fault(),
            Self::Webhook(webhook) => webhook.fault(),
            Self::LookUp(look_up) => look_up.fault(),
            Self::Request(request) => request.fault(),
            Self::Message(message) => message.fault(),
            Self::Say(say) => say.fault(),
            Self::Gather(gather) => gather.fault(),
            Self::Menu(menu) => menu.fault(),
            Self::Set(values) => values.keys().find_map(|name| variables::unfit(name).map(|why| format!("set: {why}"))),
            Self::Repeat { times, .. } if !(1..=TIMES).contains(times) => {
                Some(format!("repeat: times = {times} is not within 1 to {TIMES}"))
            }
            Self::Wait { seconds } if !(1..=3_600).contains(seconds) => {
                Some(format!("wait: seconds = {seconds} is not within 1 to 3600"))
            }
            Self::Record(message) => message.fault().map(|fault| format!("record: {fault}")),
            Self::Voicemail(voicemail) => voicemail.fault(),
            Self::Redirect { to } => match to.parse::<Uri>() {
                Ok(uri) if uri.as_sip().is_some() => None,
                _ => Some(format!("redirect: to = {to:?} is no SIP address; one looks like sip:100@192.0.2.7:5060")),
            },
            _ => None,
        }
    }
}
