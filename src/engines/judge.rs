//! Who says whether a pause is the end of a turn: a graph that a server runs, the one in this process, or what pitch and loudness tell by no
//! model; each where those before it say nothing.

use std::{sync::Arc, time::Duration};

use milo_models::{
    end_of_turn::{EndOfTurn, Judging},
    engine::{EngineError, RemoteFault},
    prosody,
    queue::{Waiting, Work},
};
use tokio::time::timeout;

use super::{awaited::Awaited, told::Told};

/// The server has so long: the local graph needs the rest of the time that a pause has until it is an end.
const IN_TIME: Duration = Duration::from_millis(120);

/// Neither finished nor going on.
const IN_DOUBT: f32 = 0.5;

/// Cheap to clone.
#[derive(Clone)]
pub struct Judge {
    local: Option<EndOfTurn>,
    server: Option<(Arc<Awaited<EndOfTurn>>, Told)>,
}

impl Judge {
    /// By a graph of this process; none: by no model.
    pub(super) fn by(local: Option<EndOfTurn>) -> Self {
        Self { local, server: None }
    }

    /// The same, and a server is asked first, if there is one.
    pub(super) fn behind(self, server: Option<(Arc<Awaited<EndOfTurn>>, Told)>) -> Self {
        Self { server, ..self }
    }

    /// The same, and no server is asked.
    pub(super) fn within(self) -> Self {
        Self { server: None, ..self }
    }

    /// As [`EndOfTurn::judge`].
    pub fn judge(&self, turn: Vec<i16>) -> Judging {
        let Self { local, server } = self.clone();
        let server = server.filter(|(_, told)| told.may_ask());
        Box::pin(async move {
            if let Some((server, told)) = server {
                match by_server(&server, turn.clone()).await {
                    Ok(finished) => {
                        told.answered();
                        return Ok(finished);
                    }
                    Err(error) => {
                        told.fell_back(&error);
                    }
                }
            }
            let Some(graph) = local else { return by_prosody(turn).await };
            match graph.judge(turn.clone()).await {
                Ok(finished) => Ok(finished),
                Err(error) => {
                    tracing::debug!(%error, "the end of a turn is told by its prosody");
                    by_prosody(turn).await
                }
            }
        })
    }

    /// Whether the local graph's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.local.as_ref().is_some_and(EndOfTurn::stopped)
    }

    /// Turns that wait in line for the local graph.
    pub fn waiting(&self) -> Waiting {
        self.local.as_ref().map_or_else(Waiting::default, EndOfTurn::waiting)
    }

    /// What it has done so far, by the local graph and by that of a server.
    pub fn work(&self) -> Work {
        let served = self.server.as_ref().and_then(|(server, _)| server.get().ok().map(EndOfTurn::work));
        let local = self.local.as_ref().map_or_else(Work::default, EndOfTurn::work);
        served.iter().fold(local, Work::and)
    }
}

async fn by_server(server: &Awaited<EndOfTurn>, turn: Vec<i16>) -> Result<f32, EngineError> {
    // A turn ends without a judgement soon after: one that comes later is none, and the local graph has to be asked before.
    timeout(IN_TIME, server.get()?.judge(turn)).await.unwrap_or_else(|_| Err(late()))
}

/// A few milliseconds of arithmetic, beside the calls' own threads. Where it says nothing, nothing is known.
async fn by_prosody(turn: Vec<i16>) -> Result<f32, EngineError> {
    let said = tokio::task::spawn_blocking(move || prosody::finished(&turn)).await;
    said.map(|finished| finished.unwrap_or(IN_DOUBT)).map_err(|_| EngineError::Stopped { engine: "end of turn" })
}

fn late() -> EngineError {
    EngineError::Remote {
        engine: "end of turn",
        at: "its server".into(),
        fault: RemoteFault::Late,
        says: format!("did not judge within {} ms", IN_TIME.as_millis()),
    }
}
