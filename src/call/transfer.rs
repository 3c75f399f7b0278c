//! The verb `transfer`: the caller's side is asked to call somebody else itself, or Milo calls for it.

use std::time::Duration;

use milo_models::engine::Language;
use milo_signaling::{OtherSide, SignalingError, Uri};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    House, Record,
    attend::{CALLER_GONE, Waited},
    verbs::{Line, Waiting, heard},
};
use crate::dialplan::{Transfer, TransferMode};

/// What is told where the other side has told nothing of how it went.
const NO_WORD: &str = "no word of it came";

/// How much later than the news of it the line of a caller closes who has hung up.
const CLOSING: Duration = Duration::from_millis(200);

/// What came of asking the caller's side.
pub(super) enum Outcome {
    /// Somebody there has answered: this call is done.
    Answered,
    /// It does not do such things, and said so with this code; none: it could not be asked.
    Refused(Option<u16>),
    /// It tried, and this came of it.
    Failed(u16),
    /// It did not say how it went, for this reason.
    Unknown(&'static str),
}

impl Outcome {
    /// What the call's event says.
    pub(super) fn detail(&self) -> (&'static str, Option<u16>) {
        match *self {
            Self::Answered => ("answered", Some(200)),
            Self::Refused(code) => ("refused", code),
            Self::Failed(code) => ("failed", Some(code)),
            Self::Unknown(why) => (why, None),
        }
    }
}

/// Asks the other side of a call to call there, and waits for what comes of it.
pub(super) async fn refer(other: &OtherSide, target: &Uri) -> Outcome {
    let mut news = match other.refer(target).await {
        Ok(news) => news,
        Err(SignalingError::Refused { code }) => return Outcome::Refused(Some(code)),
        Err(_) => return Outcome::Unknown(NO_WORD),
    };
    loop {
        match news.next().await {
            Some(200..300) => return Outcome::Answered,
            Some(code @ 300..) => return Outcome::Failed(code),
            Some(_) => {}
            None => return Outcome::Unknown(NO_WORD),
        }
    }
}

impl Line {
    /// Transfers the caller, and says what came of it. True: somebody else has it, and the call is over for Milo; otherwise the plan
    /// goes on.
    pub(super) async fn transfer(
        &mut self,
        transfer: &Transfer,
        house: &House,
        language: Language,
        log: &mut Record,
    ) -> (bool, &'static str) {
        // Whom the caller's side would call there is Milo's to decide: the verb `dial` does.
        let is_emergency = transfer.target().is_ok_and(|uri| house.trunks.emergency(&uri.user()).is_some());
        if matches!(transfer.mode, TransferMode::Attended | TransferMode::Warm) && !is_emergency {
            return self.attend(transfer, house, language, log).await;
        }
        if transfer.mode == TransferMode::Refer && transfer.account.is_none() && !is_emergency {
            let began = Instant::now();
            let outcome = self.send_away(transfer, house, log).await;
            let (result, status) = outcome.detail();
            let took = began.elapsed().as_millis() as u64;
            log.event("transferred", json!({ "by": "refer", "result": result, "status": status, "after_ms": took }));
            match outcome {
                Outcome::Answered => return (true, result),
                Outcome::Refused(_) => {}
                Outcome::Failed(_) | Outcome::Unknown(_) => return (false, result),
            }
        }
        (false, self.dial(&transfer.dial(), house, language, log).await)
    }

    /// Asks the caller's side to call there itself. The caller hears music until it is told what came of it: not every telephone that is
    /// asked so lets its own be heard, and some tell nothing for minutes.
    async fn send_away(&mut self, transfer: &Transfer, house: &House, log: &Record) -> Outcome {
        let Ok(target) = transfer.target() else { return Outcome::Refused(None) };
        let music = Waiting::of(&transfer.music_files, &self.edition, house, log).await;
        let other = self.other.clone();
        let waited = self.while_it_plays(&music, refer(&other, &target)).await;
        self.voice.flush();
        match waited {
            // That the caller has hung up ends the news as well.
            Waited::Done(outcome @ Outcome::Unknown(_)) => {
                let Self { ears, until, .. } = self;
                let closing = async { while heard(ears, *until).await.is_some() {} };
                match timeout(CLOSING, closing).await {
                    Ok(()) => self.left(),
                    Err(_) => outcome,
                }
            }
            Waited::Done(told) => told,
            Waited::CallerGone | Waited::CalledGone(_) => self.left(),
        }
    }

    /// What it came to where the caller's leg has closed, or the time is up.
    fn left(&self) -> Outcome {
        Outcome::Unknown(if self.lost() { CALLER_GONE } else { super::TIME_UP })
    }
}
