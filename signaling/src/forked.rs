//! One call to several telephones at once: all ring, the first that answers has it, the others are cancelled (as a forking
//! proxy does, RFC 3261 section 16.7, but each with an INVITE and a Call-ID of its own).

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use milo_media::{Control, Leg};

use crate::{Outgoing, Progress};

/// Calls that belong together. Dropped before the answer they are cancelled.
#[derive(Debug)]
pub struct Forked {
    branches: Vec<Branch>,
    /// How many there were: only a single one is heard before the answer.
    is_single: bool,
    rang: bool,
    /// The best of the refusals so far.
    refused: Option<(u16, String)>,
}

#[derive(Debug)]
struct Branch {
    outgoing: Outgoing,
    /// What it sounds like before its answer.
    early: Option<Leg>,
}

impl From<Outgoing> for Forked {
    fn from(outgoing: Outgoing) -> Self {
        Self::new(vec![outgoing])
    }
}

impl Forked {
    /// All of these.
    pub fn new(calls: Vec<Outgoing>) -> Self {
        let is_single = calls.len() == 1;
        let branches = calls.into_iter().map(|outgoing| Branch { outgoing, early: None }).collect();
        Self { branches, is_single, rang: false, refused: None }
    }

    /// As [`Outgoing::heard_on`] of each.
    #[must_use]
    pub fn heard_on(mut self, leg: &Control) -> Self {
        for branch in std::mem::take(&mut self.branches) {
            self.branches.push(Branch { outgoing: branch.outgoing.heard_on(leg), ..branch });
        }
        self
    }

    /// The Call-IDs.
    pub fn call_ids(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().map(|branch| branch.outgoing.call_id())
    }

    /// Gives up because somebody else has answered in their place: the CANCEL says so (RFC 3326), and no telephone shows a missed call.
    pub fn answered_elsewhere(self) {
        self.branches.into_iter().for_each(|branch| branch.outgoing.answered_elsewhere());
    }

    /// What happens next: as [`Outgoing::next`] of one; of several that one rings is told once, what they sound like before the
    /// answer is not, and a refusal when the last has refused: the most telling of all. Cancel safe.
    pub async fn next(&mut self) -> Progress {
        loop {
            if self.branches.is_empty() {
                return match self.refused.take() {
                    Some((code, reason)) => Progress::Rejected { code, reason },
                    None => Progress::Over,
                };
            }
            let (at, progress) = self.first().await;
            match progress {
                Progress::Ringing(code) if self.is_single || !self.rang => {
                    self.rang = true;
                    return Progress::Ringing(code);
                }
                Progress::Ringing(_) => {}
                Progress::Early(leg) if self.is_single => return Progress::Early(leg),
                Progress::Early(leg) => {
                    if let Some(branch) = self.branches.get_mut(at) {
                        branch.early = Some(leg);
                    }
                }
                answered @ (Progress::Answered(..) | Progress::AnsweredEarly(_)) => {
                    let early = self.branches.get_mut(at).and_then(|branch| branch.early.take());
                    // That of the one who answered has nothing left to give up.
                    self.branches.drain(..).for_each(|branch| branch.outgoing.answered_elsewhere());
                    return match (answered, early) {
                        (Progress::AnsweredEarly(dialog), Some(leg)) => Progress::Answered(dialog, leg),
                        (answered, _) => answered,
                    };
                }
                Progress::Rejected { code, reason } => {
                    self.branches.remove(at);
                    let is_better = self.refused.as_ref().is_none_or(|(best, _)| rank(code) < rank(*best));
                    if is_better {
                        self.refused = Some((code, reason));
                    }
                    if code >= 600 {
                        // Nobody there wants the call, whoever else rings (section 21.6).
                        self.branches.clear();
                    }
                }
                failed if self.is_single => return failed,
                Progress::Failed(_) | Progress::Over => {
                    self.branches.remove(at);
                    self.refused.get_or_insert_with(|| (480, String::new()));
                }
            }
        }
    }

    /// The first of them to which something happens.
    async fn first(&mut self) -> (usize, Progress) {
        let mut waiting: Vec<Pin<Box<dyn Future<Output = Progress> + Send + '_>>> = Vec::new();
        for branch in &mut self.branches {
            waiting.push(Box::pin(branch.outgoing.next()));
        }
        poll_fn(|context| {
            for (at, next) in waiting.iter_mut().enumerate() {
                if let Poll::Ready(progress) = next.as_mut().poll(context) {
                    return Poll::Ready((at, progress));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Lower is more telling: a refusal for everybody, busy, declined, and the others.
fn rank(code: u16) -> u16 {
    match code {
        600.. => 0,
        486 => 1,
        480 => 2,
        408 | 487 => 500,
        code => code,
    }
}
