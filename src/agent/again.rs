//! What an engine has not done is asked of it again, before anybody hears of it: one that has no place or is being loaded anew for a
//! while, one that has failed once.

use std::{future::Future, time::Duration};

use milo_models::engine::EngineError;
use tokio::time::{Instant, sleep};

/// So long after it was asked in vain it is asked again…
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// …and for so long. Whoever waits has a limit of their own besides.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// Asks until there is an answer, or trying once more is of no use.
pub(super) async fn again<T, F>(mut ask: impl FnMut() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let until = Instant::now() + PATIENCE;
    let mut has_failed = false;
    loop {
        match ask().await {
            Err(error) if Instant::now() >= until => return Err(error),
            Err(error) if error.is_passing() => {}
            // What it cannot be asked, it cannot be asked again.
            Err(error) if !has_failed && !matches!(error, EngineError::Input(_)) => {
                tracing::debug!(%error, "an engine failed, and is asked again");
                has_failed = true;
            }
            done => return done,
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const FULL: EngineError = EngineError::Overloaded { engine: "voice", waiting: 1 };

    fn broken() -> EngineError {
        EngineError::Failed { engine: "voice", reason: "no numbers".into() }
    }

    /// What comes of it, and how often it was asked, when the first answers are these.
    async fn of(first: Vec<EngineError>) -> (Option<String>, usize) {
        let asked = Cell::new(0);
        let came = again(|| {
            let answer = first.get(asked.get()).cloned().map_or(Ok(()), Err);
            asked.set(asked.get() + 1);
            std::future::ready(answer)
        })
        .await;
        (came.err().map(|error| error.to_string()), asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_without_a_place_is_asked_for_a_while_and_one_that_fails_once_more() {
        assert_eq!(of(vec![]).await, (None, 1));
        assert_eq!(of(vec![FULL; 5]).await, (None, 6));
        assert_eq!(of(vec![EngineError::Stopped { engine: "voice" }, broken(), FULL]).await, (None, 4));
        let (why, asked) = of(vec![broken(); 9]).await;
        assert_eq!((why, asked), (Some(broken().to_string()), 2));
        let (why, asked) = of(vec![FULL; 90]).await;
        assert_eq!(why, Some(FULL.to_string()), "it is told as what it is");
        assert_eq!(asked, 1 + (PATIENCE.as_millis() / PAUSE.as_millis()) as usize);
        let unfit = EngineError::Input("too long".into());
        assert_eq!(of(vec![unfit.clone(); 9]).await, (Some(unfit.to_string()), 1));
    }
}
