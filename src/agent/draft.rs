//! A reply that is begun while it is not sure yet that the caller has finished. It is kept only if what it answers stays as it was:
//! a caller who goes on drops it, and so does news of the call. Until then it is speculative to the engines, and in nobody's way.

use std::{future::pending, pin::Pin, time::Instant};

use milo_models::{engine::EngineError, queue::Wanted};

use super::reply::Reply;
use crate::engines::Mind;

type Beginning = Pin<Box<dyn Future<Output = Result<Reply, EngineError>> + Send>>;

/// The reply, as far as it is. Dropping it cancels the engines' work.
pub(super) struct Draft {
    state: State,
    mind: Mind,
    /// When it is wanted, which nobody knows yet.
    wanted: Wanted,
}

enum State {
    Beginning(Beginning),
    /// Its first words are being made sound.
    Preparing(Box<Reply>),
    /// Its first sound is there; nothing more is made before somebody wants to hear it.
    Prepared(Box<Reply>),
    /// The engines had no place, or failed: whoever answers asks again.
    Failed,
}

impl Draft {
    /// What this model's reply comes to.
    pub(super) fn new(
        mind: Mind,
        wanted: Wanted,
        beginning: impl Future<Output = Result<Reply, EngineError>> + Send + 'static,
    ) -> Self {
        Self { state: State::Beginning(Box::pin(beginning)), mind, wanted }
    }

    /// Works until the first sound is there, and then never ends. Cancel safe.
    pub(super) async fn work(&mut self) {
        loop {
            match &mut self.state {
                State::Beginning(beginning) => {
                    let begun = beginning.await;
                    self.state = begun.map_or_else(
                        |error| {
                            tracing::debug!(%error, "no reply was begun before the turn was over");
                            State::Failed
                        },
                        |reply| State::Preparing(Box::new(reply)),
                    );
                }
                State::Preparing(reply) => {
                    reply.prepare().await;
                    let State::Preparing(reply) = std::mem::replace(&mut self.state, State::Failed) else { continue };
                    self.state = State::Prepared(reply);
                }
                State::Prepared(_) | State::Failed => pending().await,
            }
        }
    }

    /// The reply, if one was begun: the engines know from now on that it is wanted by then.
    pub(super) fn keep(self, deadline: Instant) -> Option<Reply> {
        match self.state {
            State::Preparing(reply) | State::Prepared(reply) if !reply.failed() => {
                self.wanted.confirm(deadline);
                self.mind.drafted(true);
                Some(*reply)
            }
            _ => {
                self.mind.drafted(false);
                None
            }
        }
    }

    /// What it answers is not what was said.
    pub(super) fn discard(self) {
        self.mind.drafted(false);
    }
}
