//! Speaking while listening: a caller who speaks into it pauses the voice, and what they say decides whether it goes on.
//!
//! ```text
//!  a voice ─► paused ─┬─ gone at once: a click, a cough ─────────────────► goes on
//!                     └─ it lasts ─► it falls silent ─► its words ─┬─ none, our own echo, "eny", "mmm" ─► goes on, a word earlier
//!                             └─ for two seconds ──────────────────┴─ others ───────────────────────────► dropped, and answered
//! ```

use std::{mem, time::Duration};

use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    Audience, Conversation, Ear, Happened,
    begun::Begun,
    ear::Noticed,
    endpoint::Decision,
    interruption::{NO_WORDS, Verdict, Yields, verdict},
    mouth::{Mouth, Spoken},
    stopgap::SILENCE,
};
use milo_media::Voice;

/// Whoever speaks for so long into a reply is meant to be heard, whatever it is that they say.
pub(super) const CERTAIN: Duration = Duration::from_secs(2);

/// What speaking came to.
pub(super) enum Said {
    Ended(Spoken),
    /// What the caller says is what the conversation listens to next.
    Interrupted,
    Closed,
    /// Somebody takes the call over.
    TakenOver,
}

impl Conversation<'_> {
    /// Speaks until the reply ends by itself, the caller ends it, or somebody takes the call over.
    pub(super) async fn speak(&mut self, mouth: &mut Mouth, ear: &mut Ear, voice: &mut Voice) -> Said {
        // An onset as the last reply ended may have left it paused.
        voice.resume();
        mouth.follow(mem::take(&mut self.meanwhile.stopgap), voice);
        let mut begun = Begun::default();
        // Since when the caller speaks into this reply, as long as it is not decided what that means.
        let mut since: Option<Instant> = None;
        let is_patient = self.record.audience().is_some_and(Audience::is_patient);
        loop {
            if since.is_some() && begun.is_transcribed() {
                begun.transcript().iter().for_each(|said| ear.understood(&said.text));
                match begun.transcript().map(|said| verdict(said, ear.spoken_for(), mouth, voice)) {
                    // Whoever takes replies whole has it, and hears it later than it leaves here: words are meant for Milo.
                    Some(Verdict::GoesOn(why)) if !is_patient || why == NO_WORDS => {
                        let heard = begun.transcript().map(|said| self.record.words(&said.text));
                        self.record.event("interruption_withdrawn", json!({ "why": why, "heard": heard }));
                        if begun.is_over() {
                            ear.answered();
                        }
                        self.meanwhile.withdrawn = !begun.is_over();
                        (since, begun) = (None, Begun::default());
                        mouth.step_back(voice);
                    }
                    Some(Verdict::Interrupts | Verdict::GoesOn(_)) | None => return self.interrupted(begun, voice),
                }
            }
            let certain = since.filter(|_| !begun.is_over() && ear.speaking()).map(|since| since + CERTAIN);
            // What they have said is not known for long: the reply does not stand still for it.
            let certain = certain.or(begun.awaited().map(|awaited| awaited + SILENCE));
            let noticed = select! {
                biased;
                noticed = ear.next() => noticed,
                () = begun.work() => continue,
                Some(prompt) = self.prompts.recv() => {
                    self.prompted(prompt);
                    continue;
                }
                Some(supervisor) = self.takers.recv() => {
                    voice.flush();
                    self.meanwhile.taker = Some(supervisor);
                    return Said::TakenOver;
                }
                spoken = mouth.speak(voice), if since.is_none() => match spoken {
                    Spoken::Opened => {
                        self.opened();
                        continue;
                    }
                    Spoken::Waits(stage) => {
                        self.waits(stage, mouth.filled());
                        continue;
                    }
                    spoken => return Said::Ended(spoken),
                },
                () = sleep_until(certain.unwrap_or_else(Instant::now)), if certain.is_some() => {
                    return self.interrupted(begun, voice);
                }
            };
            match noticed {
                // Nobody answers what is said into it.
                Noticed::Turn(_) if mouth.yields == Yields::Nothing => {}
                Noticed::Turn(Decision::Onset) => {
                    self.meanwhile.withdrawn = false;
                    voice.pause();
                    self.record.tell(|| Happened::Speaking(true));
                }
                Noticed::Turn(Decision::Retracted) => {
                    if since.is_none() {
                        voice.resume();
                    }
                    self.record.tell(|| Happened::Speaking(false));
                }
                Noticed::Turn(Decision::Confirmed) => {
                    if begun.is_over() && ear.take_up() {
                        begun.went_on();
                    }
                    voice.pause();
                    // What waits at the far end is forgotten either way: a reply that goes on begins a word earlier.
                    self.record.tell(|| Happened::Cleared);
                    since.get_or_insert_with(Instant::now);
                }
                Noticed::Turn(Decision::LikelyEnd) if since.is_some() => begun.likely_end(ear, self.engines),
                // They go on with what was taken for nothing, or for all.
                Noticed::Turn(Decision::Resumed) if since.is_some() || self.meanwhile.withdrawn => {
                    self.meanwhile.withdrawn = false;
                    voice.pause();
                    self.record.tell(|| Happened::Cleared);
                    begun.resumed();
                    since.get_or_insert_with(Instant::now);
                }
                Noticed::Turn(Decision::End) if since.is_some() => self.ended(&mut begun, ear),
                // A voice that went on after its turn was cut for its length, or after the last minute: it was answered.
                Noticed::Turn(Decision::LikelyEnd | Decision::Resumed) => {}
                Noticed::Turn(Decision::End) => {
                    self.meanwhile.withdrawn = false;
                    self.record.tell(|| Happened::Speaking(false));
                }
                Noticed::Digit(digit) => self.record.digit(digit),
                // The leg itself stops sending while it is held.
                Noticed::Held => {
                    self.held();
                    undecided(&mut since, &mut begun, mouth, voice);
                }
                Noticed::Resumed => self.resumed(),
                Noticed::Deaf(error) => {
                    // Nobody will say what an onset was. The next listening tells the caller, if it lasts.
                    undecided(&mut since, &mut begun, mouth, voice);
                    self.deaf(&error);
                }
                Noticed::Closed(why) => {
                    self.closed(&why);
                    return Said::Closed;
                }
            }
        }
    }

    /// The reply ends where it is; what the caller has begun to say is listened to.
    fn interrupted(&mut self, begun: Begun, voice: &mut Voice) -> Said {
        voice.flush();
        self.record.event("interrupted", serde_json::Value::Null);
        self.meanwhile.begun = begun;
        Said::Interrupted
    }
}

/// Nothing more is heard of what the caller has begun to say: the reply goes on, unless they had finished and their words are on the way.
fn undecided(since: &mut Option<Instant>, begun: &mut Begun, mouth: &mut Mouth, voice: &mut Voice) {
    if begun.is_over() {
        return;
    }
    *begun = Begun::default();
    match since.take() {
        Some(_) => mouth.step_back(voice),
        None => voice.resume(),
    }
}
