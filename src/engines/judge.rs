//! Who says whether a pause is the end of a turn: the graph in this process, or one that a server runs, with the local one behind it.

use std::{sync::Arc, time::Duration};

use milo_models::{
    end_of_turn::{EndOfTurn, Judging},
    engine::{EngineError, RemoteFault},
    queue::{Waiting, Work},
};
use tokio::time::timeout;

use super::{awaited::Awaited, told::Told};

/// The server has so long: the local graph needs the rest of the time that a pause has until it is an end.
const IN_TIME: Duration = Duration::from_millis(120);

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
                // A turn ends without a judgement soon after: one that comes later is none, and the local graph has to be asked before.
                Ok(judging) => timeout(IN_TIME, judging).await.unwrap_or_else(|_| Err(late())),
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

    /// What it has done so far, by the local graph and by that of a server.
    pub fn work(&self) -> Work {
        let served = self.server.as_ref().and_then(|(server, _)| server.get().ok().map(EndOfTurn::work));
        served.iter().fold(self.local.work(), Work::and)
    }
}

fn late() -> EngineError {
    EngineError::Remote {
        engine: "end of turn",
        at: "its server".into(),
        fault: RemoteFault::Late,
        says: format!("did not judge within {} ms", IN_TIME.as_millis()),
    }
}
