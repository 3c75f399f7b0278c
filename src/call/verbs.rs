//! What a dialplan's verbs do on an answered line.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use milo_media::{
    Ambience, Announcer, Cleaning, Control, Ears, FRAME_SAMPLES, Frame, Heard, Leg, SAMPLE_RATE, Voice,
    tone::{self, Signals},
};
use milo_models::engine::Language;
use milo_signaling::{Dialog, InfoKeys, OtherSide};
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until, timeout_at},
};

use super::{Begun, House, Record, Reel, Toolbox, about::About, memory::recall, refer::Standing, seat::Seat};
use crate::{
    agent::{Audience, Conversation, Ear, Ending, Limits, Meanwhile, Patience, Phrase, Suspended, announce},
    config,
    dialplan::{Action, Edition, Variables},
    error::Error,
    press::{self, PressBy},
    trunk::{Came, Trunk},
};

/// Digits are complete when none came for so long.
const DIGITS_PAUSE: Duration = Duration::from_secs(10);
/// As many as are read back at once.
const DIGITS: usize = 32;

/// The caller's leg, answered or heard early.
pub(super) struct Line {
    /// Taken while a conversation listens; gone when the leg has closed.
    pub(super) ears: Option<Ears>,
    pub(super) voice: Voice,
    pub(super) control: Control,
    /// What asks things of the caller's side.
    pub(super) other: OtherSide,
    /// What presses keys by SIP INFO.
    pub(super) keys: InfoKeys,
    /// The caller's number, as whoever is called may see it.
    pub(super) caller: String,
    /// The account that the caller has proved to be, where it had to.
    pub(super) account: Option<String>,
    /// The call, where it came in.
    pub(super) came: Option<Came>,
    /// What is done to the caller's sound before it is listened to.
    pub(super) cleaning: Cleaning,
    pub(super) until: Instant,
    /// The call's recording.
    pub(super) reel: Reel,
    /// The plans with which the call began, and their sounds.
    pub(super) edition: Arc<Edition>,
    /// Keys that were pressed before anybody asked for them.
    pub(super) typed: VecDeque<char>,
    /// A conversation that waits for what its model has asked to be done.
    pub(super) suspended: Option<Suspended>,
    /// What is done beside conversations. It ends with the call.
    begun: Begun,
}

impl Line {
    /// The leg of this caller, who came over this trunk, under these plans.
    pub(super) fn new(
        Leg { ears, voice, control }: Leg,
        dialog: &Dialog,
        (caller, trunk): (String, Option<&Trunk>),
        (edition, log): (&Arc<Edition>, &Record),
        house: &House,
    ) -> Self {
        let cleaning = trunk.map_or(house.cleaning, Trunk::cleaning);
        let reel = Reel::new(control.clone(), voice.announcer(), log.notes(), house.recordings.pause_key());
        let until = Instant::now() + house.longest;
        let (keys, other) = (dialog.keys(), dialog.other_side());
        let (edition, typed, account) = (Arc::clone(edition), VecDeque::new(), log.account());
        let (ears, came, suspended, begun) = (Some(ears), None, None, Begun::default());
        Self {
            ears,
            voice,
            control,
            other,
            keys,
            caller,
            account,
            came,
            cleaning,
            until,
            reel,
            edition,
            typed,
            suspended,
            begun,
        }
    }

    /// Somebody sits down at an end of this call, on this leg.
    pub(super) fn seat<'h>(
        &self,
        with: (Dialog, &Control, Announcer),
        who: (&'static str, Standing),
        (house, language): (&'h House, Language),
        log: &Record,
    ) -> Seat<'h> {
        let about = (self.about_at_first(), self.other.clone());
        Seat::new(with, who, (about, self.reel.clone(), language), (house, log.notes()))
    }

    /// What whoever is called in this call now may know of it.
    pub(super) fn about(&self) -> About {
        self.about_at_first().now(&self.other)
    }

    fn about_at_first(&self) -> About {
        let Self { caller, account, came, until, .. } = self;
        let (caller, account, came) = (caller.clone(), account.clone(), came.clone());
        About { caller, account, is_handed_on: false, came, until: *until }
    }

    /// A verb was not done: the model that has asked for it, if one has, is told so.
    pub(super) fn not_done(&mut self, why: &str) {
        self.suspended.iter_mut().for_each(|suspended| suspended.failed(why));
    }

    /// Whether the leg has closed.
    pub(super) fn lost(&self) -> bool {
        self.ears.is_none()
    }

    async fn heard(&mut self) -> Option<Heard> {
        heard(&mut self.ears, self.until).await
    }

    pub(super) async fn converse(
        &mut self,
        house: &House,
        (name, plan, variables): (&str, &str, &mut Variables),
        language: Language,
        log: &mut Record,
    ) -> Result<Ending, Error> {
        let edition = Arc::clone(&self.edition);
        let Some(known) = edition.dialplans.persona(name) else {
            return Err(Error::Dialplan(format!("no persona {name:?}")));
        };
        let language = recall(house, known, variables, (plan, language), log).await;
        let persona = &*known.told_of(variables, language);
        log.wanted(&house.analyses, persona);
        if let Some(backdrop) = &persona.ambience {
            match house.sound(edition.dialplans.sound(&backdrop.file)).await {
                Ok(sound) => self.voice.ambience(Ambience::new(sound, backdrop.level_db, backdrop.ducked_db)),
                Err(error) => log.event("sound_failed", json!({ "error": error.to_string() })),
            }
        }
        let Some(ears) = self.ears.take() else { return Ok(Ending::Lost) };
        let conversation = &persona.turns.within(&house.conversation);
        let patience = usual_patience(conversation);
        // Whoever speaks when it likes is asked nothing.
        let is_patient = log.audience().is_some_and(Audience::is_patient);
        let prompt_s = if is_patient { house.longest.as_secs() } else { conversation.silence_prompt_s };
        let limits = Limits {
            patience,
            ask_after: Duration::from_secs(prompt_s),
            leave_after: Duration::from_secs(
                conversation.silence_hangup_s.saturating_sub(conversation.silence_prompt_s).max(1),
            ),
            until: self.until,
            filler: Duration::from_millis(conversation.filler_ms),
            drafts: conversation.early_replies,
        };
        let ear = Ear::new(ears, self.cleaning, house.engines.activity.stream(), patience);
        let mut ear = ear.judged_by(house.engines.end_of_turn.clone());
        let key = log.key();
        let tools = Toolbox::new((&edition, persona), variables, &mut self.begun, (house, plan, log));
        let suspended = self.suspended.take().filter(|suspended| suspended.persona() == name);
        let talk = Conversation {
            name,
            tools,
            suspended: &mut self.suspended,
            engines: &house.engines,
            persona,
            phrases: &edition.phrases,
            record: log,
            limits,
            language,
            prompts: house.live.supervised(key),
            meanwhile: Meanwhile::default(),
        };
        let ending = talk.hold(suspended, &mut ear, &mut self.voice).await;
        self.voice.ambience(None);
        if ending != Ending::Lost {
            self.ears = Some(ear.into_ears());
        }
        Ok(ending)
    }

    /// What comes in goes out, through the same frames as everything.
    pub(super) async fn echo(&mut self) {
        while let Some(heard) = self.heard().await {
            if let Heard::Frame(heard) = heard {
                self.voice.play(heard.frame).await;
            }
        }
    }

    /// The verbs that play something: `play`, `music`, `tone`.
    pub(super) async fn sound(&mut self, action: &Action, house: &House, log: &Record) {
        match action {
            Action::Play(file) => self.prompt(file, house, log).await,
            Action::Music { seconds, files } => {
                self.music(Duration::from_secs(*seconds), files, house, log).await;
            }
            Action::Tone { country, signal, seconds } => {
                let pattern = Action::pattern(country, signal);
                self.frames(pattern.into_iter().flat_map(Signals::new), Duration::from_secs(*seconds)).await;
            }
            _ => {}
        }
    }

    /// A sound file; one that cannot be played is written down, and the plan goes on.
    pub(super) async fn prompt(&mut self, file: &str, house: &House, log: &Record) {
        match house.sound(self.edition.dialplans.sound(file)).await {
            Ok(sound) => {
                let key = |digit: char| log.digit(digit);
                let played = self.play(&sound, key).await;
                log.event("played", json!({ "file": file, "samples": played, "of": sound.len(), "rate": SAMPLE_RATE }));
            }
            Err(error) => log.event("sound_failed", json!({ "error": error.to_string() })),
        }
    }

    /// Plays a sound to its end or the line's; pressed keys are told. Returns how many of its samples left, exactly.
    pub(super) async fn play(&mut self, sound: &[i16], key: impl Fn(char)) -> u64 {
        let before = self.voice.played().samples;
        let Self { ears, voice, until, .. } = self;
        let playing = async {
            voice.play_all(sound).await;
            voice.drained().await;
        };
        let listening = async {
            while let Some(heard) = heard(ears, *until).await {
                if let Heard::Digit(digit) = heard {
                    key(digit);
                }
            }
        };
        select! {
            () = playing => {}
            () = listening => {}
        }
        self.voice.flush().samples - before
    }

    /// Music for whoever waits: the files that can be played, over and over, or the built-in music.
    async fn music(&mut self, duration: Duration, files: &[String], house: &House, log: &Record) {
        self.frames(Waiting::of(files, &self.edition, house, log).await.frames(), duration).await;
    }

    /// Plays frames for so long, or to their end or the line's.
    pub(super) async fn frames(&mut self, frames: impl Iterator<Item = Frame>, duration: Duration) {
        let Self { ears, voice, until, .. } = self;
        let until = (*until).min(Instant::now() + duration);
        let playing = async {
            for frame in frames {
                voice.play(frame).await;
            }
        };
        // Frames and digits are of no interest meanwhile, the end of the leg is.
        let listening = async { while heard(ears, until).await.is_some() {} };
        select! {
            () = playing => {}
            () = listening => {}
        }
    }

    /// The verb `send_digits`: presses keys; what comes back meanwhile is of no interest, the end of the leg is.
    pub(super) async fn send_digits(&mut self, digits: &str, by: PressBy, log: &mut Record) -> Result<(), Error> {
        let Self { ears, voice, control, keys, until, .. } = self;
        let pressing = press::press(voice, control, keys, (digits, by));
        let listening = async { while heard(ears, *until).await.is_some() {} };
        select! {
            pressed = pressing => {
                let way = pressed?;
                if by == PressBy::Info && way != "info" {
                    tracing::info!(call.id = %log.id(), way, "the far side takes no keys by SIP INFO");
                }
                log.event("pressed", json!({ "digits": log.masked(digits), "by": way }));
            }
            () = listening => {}
        }
        Ok(())
    }

    /// Reads back what is pressed, one number a `#` or a pause.
    pub(super) async fn digits(&mut self, house: &House, language: Language, log: &mut Record) {
        loop {
            let mut digits = String::new();
            let mut pause = Instant::now() + DIGITS_PAUSE;
            loop {
                match timeout_at(pause, self.heard()).await {
                    Err(_) => break,
                    Ok(Some(Heard::Digit(digit))) => {
                        log.digit(digit);
                        if digit == '#' {
                            break;
                        }
                        digits.push(digit);
                        pause = Instant::now() + DIGITS_PAUSE;
                        if digits.len() == DIGITS {
                            break;
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                }
            }
            if digits.is_empty() {
                return;
            }
            let words: Vec<_> = digits.chars().map(|digit| digit.to_string()).collect();
            let said = announce(&words.join(", "), language, &house.engines.voice, &mut self.voice).await;
            if let Err(error) = said {
                log.event("engine_failed", json!({ "error": error.to_string() }));
                self.apologise(language).await;
                return;
            }
        }
    }

    /// The apology, from the sound that was made at the start: it can be heard when the voice itself has failed.
    pub(super) async fn apologise(&mut self, language: Language) {
        let Some((_, persona)) = self.edition.dialplans.personas().next() else { return };
        let sound = self.edition.phrases.sound(persona, Phrase::Apology, language);
        self.voice.play_all(&sound).await;
        self.voice.drained().await;
    }
}

/// After so much silence a turn has likely ended; after half of what ends it, where that is less.
const LIKELY: Duration = Duration::from_millis(200);
/// So much silence ends a turn that sounds finished: what the model needs to say so, and a little more than the gaps within words.
const SURE: Duration = Duration::from_millis(240);

/// A turn of a conversation that is longer is cut and answered.
const LONGEST_TURN: Duration = Duration::from_secs(20);

/// How a conversation waits for its caller.
pub(crate) fn usual_patience(conversation: &config::Conversation) -> Patience {
    patience(conversation, None, LONGEST_TURN)
}

/// What counts as speech, when silence ends it, or so much of it. A plan's own `end` is the only silence that does.
pub(super) fn patience(conversation: &config::Conversation, end: Option<Duration>, longest: Duration) -> Patience {
    let pause = end.unwrap_or(Duration::from_millis(conversation.longest_pause_ms));
    let end = end.unwrap_or(Duration::from_millis(conversation.end_of_turn_ms));
    Patience {
        onset: Duration::from_millis(64),
        confirm: Duration::from_millis(160),
        likely: (end / 2).min(LIKELY),
        sure: end.min(SURE),
        end,
        pause: pause.max(end),
        longest,
    }
}

/// What whoever waits hears.
#[derive(Clone)]
pub(super) struct Waiting(Vec<Arc<[i16]>>);

impl Waiting {
    /// The files of these that can be played; the others are written down.
    pub(super) async fn of(files: &[String], edition: &Edition, house: &House, log: &Record) -> Self {
        let mut sounds = Vec::new();
        for file in files {
            match house.sound(edition.dialplans.sound(file)).await {
                Ok(sound) => sounds.push(sound),
                Err(error) => log.event("sound_failed", json!({ "error": error.to_string() })),
            }
        }
        sounds.retain(|sound| !sound.is_empty());
        Self(sounds)
    }

    /// The sounds over and over, or, without any, the built-in music.
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame> + Send + use<> {
        let built_in = self.0.is_empty().then(tone::Music::new).into_iter().flatten();
        built_in.chain(
            self.0
                .clone()
                .into_iter()
                .cycle()
                .flat_map(|sound| (0..sound.len()).step_by(FRAME_SAMPLES).map(move |at| Frame::padded(&sound[at..]))),
        )
    }
}

/// The next thing heard, or `None` when the leg has closed or the longest call was reached.
pub(super) async fn heard(ears: &mut Option<Ears>, until: Instant) -> Option<Heard> {
    let listening = ears.as_mut()?;
    select! {
        heard = listening.next() => match heard {
            Heard::Closed(why) => {
                tracing::debug!(?why, "a leg closed");
                *ears = None;
                None
            }
            heard => Some(heard),
        },
        () = sleep_until(until) => None,
    }
}
