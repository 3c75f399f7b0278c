//! An utterance on its way through the transcriber, window by window.

use std::{collections::VecDeque, ops::Range, time::Instant};

use super::{Job, decode::Heard, windows};
use crate::{
    engine::Language,
    queue::{Class, Job as _},
    transcriber::Segment,
};

/// A job that is begun, and how far it is.
pub(super) struct Hearing {
    pub(super) job: Job,
    /// What is not heard yet; the first of it is the one that is heard now.
    pub(super) windows: VecDeque<Range<usize>>,
    pub(super) parts: Vec<(Heard, Vec<Segment>)>,
    /// That of what was heard before in it, or the one that was asked for.
    pub(super) language: Option<Language>,
    /// Tokens that stand before each of its windows; whoever has some is decoded alone.
    pub(super) before: Vec<u32>,
    pub(super) begun: Instant,
}

impl Hearing {
    /// Nothing of it is heard yet.
    #[expect(clippy::disallowed_methods, reason = "the edge: a model's real work is measured where it is done")]
    pub(super) fn new(job: Job, window: usize) -> Self {
        let windows = windows::cut(&job.samples, window).into();
        Self { language: job.language, windows, parts: Vec::new(), before: Vec::new(), begun: Instant::now(), job }
    }

    pub(super) fn class(&self) -> Class {
        self.job.standing.class()
    }

    pub(super) fn is_left(&self) -> bool {
        self.job.is_left()
    }

    /// The sound of the window that is heard now, and where it begins.
    pub(super) fn window(&self) -> (&[i16], usize) {
        let range = self.windows.front().cloned().unwrap_or(0..0);
        let start = range.start;
        (&self.job.samples[range], start)
    }
}
