//! Whose a job is, and when its answer is wanted: what its place in the queue goes by.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::USUAL;

/// Whose work a job is. What stands earlier here goes first, however long the others have waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A live call's: few, short, and somebody hears every moment of it.
    #[default]
    Call,
    /// A live call's, on a guess: what may be of no use before it is done, and is in nobody's way until it is sure.
    Speculative,
    /// A request's: somebody waits for its answer.
    Interactive,
    /// Of a batch: it may wait for ever.
    Batch,
}

impl Class {
    /// All of them, the first first.
    pub const ALL: [Self; 4] = [Self::Call, Self::Speculative, Self::Interactive, Self::Batch];

    /// As health and metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Speculative => "speculative",
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}

/// When an answer is wanted. Of what is begun on a guess this is not known before the guess has come true, and then the asker says it:
/// the job is a call's own from that moment on, wherever it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(When);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum When {
    /// As soon as may be.
    #[default]
    Soon,
    By(Instant),
    /// Shared by the asker and the job.
    Perhaps(Arc<OnceLock<Instant>>),
}

impl Wanted {
    /// By then.
    pub fn by(deadline: Instant) -> Self {
        Self(When::By(deadline))
    }

    /// Perhaps, and it is not known when.
    pub fn perhaps() -> Self {
        Self(When::Perhaps(Arc::default()))
    }

    /// It is wanted, and by then. What was known before stays as it was.
    pub fn confirm(&self, deadline: Instant) {
        if let When::Perhaps(known) = &self.0 {
            known.set(deadline).ok();
        }
    }

    /// When that is, as far as it is known.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.0 {
            When::Soon => None,
            When::By(deadline) => Some(*deadline),
            When::Perhaps(known) => known.get().copied(),
        }
    }

    /// What a job of this class may become at most. Where nothing gives way in the middle, as at a server, it is taken for that from its
    /// beginning on.
    pub fn at_most(&self, class: Class) -> Class {
        match &self.0 {
            When::Perhaps(_) if class == Class::Speculative => Class::Call,
            _ => class,
        }
    }
}

/// What a job in a queue says of itself.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    class: Class,
    wanted: Wanted,
    came: OnceLock<Instant>,
    /// Set as its answer begins.
    answered: OnceLock<()>,
    /// When more of an answer that has begun is wanted, where that is known.
    more_by: Option<Instant>,
}

impl Standing {
    /// Of a class, and wanted then.
    pub fn new(class: Class, wanted: Wanted) -> Self {
        Self { class, wanted, ..Self::default() }
    }

    /// It comes into the queue. Once is enough.
    pub(super) fn comes(&self, now: Instant) {
        self.came.set(now).ok();
    }

    /// Its answer has come, or the beginning of it.
    pub(super) fn answered(&self) {
        self.answered.set(()).ok();
    }

    /// Its answer has begun, and more of it is wanted by then.
    pub fn goes_on(&mut self, by: Instant) {
        self.more_by = Some(by);
    }

    /// When it is wanted, or is taken to be where it does not say; once its answer has begun, when more of it is. None: nobody knows.
    pub(super) fn next_by(&self) -> Option<Instant> {
        match self.answered.get() {
            None => [self.deadline(), self.came().map(|came| came + USUAL)].into_iter().flatten().min(),
            Some(()) => self.more_by,
        }
    }

    /// When it came.
    pub(super) fn came(&self) -> Option<Instant> {
        self.came.get().copied()
    }

    /// Whose it is now: a guess that has come true is a call's own.
    pub fn class(&self) -> Class {
        if self.deadline().is_some() { self.wanted.at_most(self.class) } else { self.class }
    }

    /// When its answer is wanted, as far as that is known.
    pub fn deadline(&self) -> Option<Instant> {
        self.wanted.deadline()
    }
}
