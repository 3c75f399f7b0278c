//! Somebody is called while the caller listens: to the far network, to a ringback, or to music.

use std::{future::pending, time::Duration};

use milo_media::{
    Heard, Leg,
    tone::{Country, Signal, Signals},
};
use milo_signaling::{Dialog, Progress};
use tokio::{select, time::Instant};

use super::{
    House, Record,
    dial::Failure,
    unanswered::{RINGING, Unanswered},
    verbs::{Line, Waiting, heard},
};
use crate::{dialplan::Dial, trunk::Way};

impl Line {
    /// Places the call and waits for its answer. The caller hears what the far network plays meanwhile; where it plays
    /// nothing, that it rings (RFC 3960 section 3.2). Or this music, whatever there is to be heard.
    pub(super) async fn ring_at(
        &mut self,
        (dial, music): (&Dial, Option<&Waiting>),
        way: Option<Way<'_>>,
        house: &House,
        log: &Record,
    ) -> Result<(Dialog, Leg), Failure> {
        let not_up = || Failure::from(Unanswered::not_up());
        let trunk = way.as_ref().and_then(Way::trunk);
        let mut outgoing = self.about().place(dial, way, house, &log.notes()).await?;
        let until = self.until.min(Instant::now() + Duration::from_secs(dial.seconds));
        let Self { ears, voice, .. } = self;
        let (mut ringing, mut next, mut far, mut is_heard) = (None, None, None::<Leg>, false);
        let mut rang = false;
        let mut music = music.map(Waiting::frames);
        loop {
            next = next.or_else(|| match &mut music {
                Some(music) => music.next(),
                None => ringing.as_mut().filter(|_| !is_heard).and_then(Iterator::next),
            });
            let speaking = async {
                match next {
                    Some(frame) => voice.play(frame).await,
                    None => pending().await,
                }
            };
            let early = async {
                match &mut far {
                    Some(leg) => leg.ears.next().await,
                    None => pending().await,
                }
            };
            select! {
                progress = outgoing.next() => match progress {
                    Progress::Ringing(status) => {
                        rang |= status == RINGING;
                        ringing = ringing.or_else(|| sounding(dial, Signal::Ringback));
                    }
                    Progress::Early(leg) => far = Some(leg),
                    Progress::Answered(dialog, leg) => {
                        voice.flush();
                        return Ok((dialog, leg));
                    }
                    Progress::AnsweredEarly(dialog) => {
                        voice.flush();
                        return far.map(|leg| (dialog, leg)).ok_or_else(not_up);
                    }
                    Progress::Rejected { code, reason } => {
                        voice.flush();
                        return Err(Unanswered::refused_over(trunk, (code, &reason), rang).into());
                    }
                    Progress::Failed(_) | Progress::Over => return Err(not_up()),
                },
                heard = early => match (heard, &far) {
                    (Heard::Closed(_), _) => return Err(not_up()),
                    // A leg without packets hears silence, which is no reason to stop the ringing.
                    (Heard::Frame(heard), Some(leg))
                        if music.is_none() && (is_heard || leg.control.stats().received > 0) =>
                    {
                        if !is_heard {
                            voice.flush();
                        }
                        is_heard = true;
                        next = Some(heard.frame);
                    }
                    _ => {}
                },
                heard = heard(ears, until) => match heard {
                    Some(Heard::Digit(key)) => log.pressed(key),
                    // What the caller says to the ringing is of no interest.
                    Some(_) => {}
                    None => {
                        voice.flush();
                        // Letting go of `outgoing` gives up the call.
                        let was_heard = ringing.is_some() || far.is_some();
                        let gone = ears.is_none();
                        return Err(if gone { Failure::Gone } else { Unanswered::no_answer(was_heard).into() });
                    }
                },
                () = speaking => next = None,
            }
        }
    }
}

/// The frames of a signal, as the country of the plan gives it.
pub(super) fn sounding(dial: &Dial, signal: Signal) -> Option<Signals> {
    Country::of_code(&dial.country).map(|country| Signals::new(country.pattern(signal)))
}
