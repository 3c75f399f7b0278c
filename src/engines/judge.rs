//! Who says whether a pause is the end of a turn: the graph in this process, or one that a server runs, with the local one behind it.

use std::sync::Arc;

use milo_models::{
    end_of_turn::{EndOfTurn, Judging},
    engine::EngineError,
    queue::{Waiting, Work},
};

use super::{awaited::Awaited, told::Told};

/// Cheap to clone.
#[derive(Clone)]
pub struct Judge {
    local: EndOfTurn,
    server: Option<(Arc<Awaited<EndOfTurn>>, Told)>,
}

impl From<EndOfTurn> for Judge {
    fn from(local: EndOfTurn) -> Self {
        Self { local, server: None }
    }
}

impl Judge {
    /// The same, and a server is asked first, if there is one.
    pub(super) fn behind(self, server: Option<(Arc<Awaited<EndOfTurn>>, Told)>) -> Self {
        Self { server, ..self }
    }

    /// The same, and no server is asked.
    pub(super) fn within(self) -> Self {
        Self { server: None, ..self }
    }

    /// As [`EndOfTurn::judge`]; where the server does not say it, the local graph does.
    ///
    /// # Errors
    /// Those of the local graph.
    pub fn judge(&self, turn: Vec<i16>) -> Judging {
        let Some((server, told)) = self.server.clone().filter(|(_, told)| told.may_ask()) else {
            return self.local.judge(turn);
        };
        let local = self.local.clone();
        Box::pin(async move {
            let judging = server.get().map(|there| there.judge(turn.clone()));
            let judged: Result<f32, EngineError> = match judging {
                Ok(judging) => judging.await,
                Err(away) => Err(away),
            };
            match judged {
                Ok(finished) => {
                    told.answered();
                    Ok(finished)
                }
                Err(error) => {
                    told.fell_back(&error);
                    local.judge(turn).await
                }
            }
        })
    }

    /// Whether the local graph's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.local.stopped()
    }

    /// Turns that wait in line for the local graph.
    pub fn waiting(&self) -> Waiting {
        self.local.waiting()
    }

    /// What the local graph has done so far.
    pub fn work(&self) -> Work {
        self.local.work()
    }
}
