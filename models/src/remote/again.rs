//! One more try: a connection that was refused or reset, and a server that wants a moment's rest, are asked once more where the time for an
//! answer allows it. Nothing was said yet, so that nobody hears it; what was read twice is the server's own loss.

use std::{io::ErrorKind, sync::atomic::Ordering, time::Duration};

use reqwest::{Error, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep};

use super::{Remote, cause};
use crate::engine::{EngineError, RemoteFault};

/// After a connection that did not hold…
const PAUSE: Duration = Duration::from_millis(50);
/// …and a rest that a server wants is waited for if it is no longer.
const SHORT: Duration = Duration::from_secs(1);
/// So much of the time must be left for the answer of the second try.
const LEFT: Duration = Duration::from_millis(250);

/// Why there is no answer, and after how long it may be tried once more; none: it may not.
pub(super) struct Miss {
    pub(super) error: EngineError,
    pub(super) again: Option<Duration>,
}

impl From<EngineError> for Miss {
    fn from(error: EngineError) -> Self {
        Self { error, again: None }
    }
}

impl Remote {
    /// The head of the answer, if it is one of success.
    pub(crate) async fn send(&self, request: RequestBuilder, until: Instant) -> Result<Response, EngineError> {
        let spare = request.try_clone();
        self.send_or_again(request, || spare, until).await
    }

    /// The same for a request that cannot be copied: `spare` makes it anew.
    pub(crate) async fn send_or_again(
        &self,
        request: RequestBuilder,
        spare: impl FnOnce() -> Option<RequestBuilder>,
        until: Instant,
    ) -> Result<Response, EngineError> {
        let Miss { error, again } = match self.sent(request, until).await {
            Ok(response) => return Ok(response),
            Err(miss) => miss,
        };
        let Some(pause) = again.filter(|pause| Instant::now() + *pause + LEFT <= until) else { return Err(error) };
        let Some(request) = spare() else { return Err(error) };
        let after_ms = pause.as_millis() as u64;
        tracing::info!(%error, after_ms, "a server is asked once more");
        self.0.again.fetch_add(1, Ordering::Relaxed);
        sleep(pause).await;
        self.sent(request, until).await.map_err(|miss| miss.error)
    }

    async fn sent(&self, request: RequestBuilder, until: Instant) -> Result<Response, Miss> {
        let response = self.asked(request, until).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response, until).await) }
    }

    /// What a connection that did not come to an answer is.
    pub(super) fn missed(&self, error: &Error) -> Miss {
        let fault = if error.is_connect() { RemoteFault::Down } else { RemoteFault::Broken };
        let says = if error.is_timeout() {
            "cannot be reached in time".into()
        } else {
            format!("cannot be asked: {}", cause(error))
        };
        Miss { error: self.fault(fault, says), again: is_cut(error).then_some(PAUSE) }
    }
}

/// After how long a server that answers so may be asked once more: it says how much rest it wants, and that is short.
pub(super) fn rested(status: StatusCode, rest: Option<u64>) -> Option<Duration> {
    let wants_rest = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    rest.map(Duration::from_secs).filter(|rest| wants_rest && *rest <= SHORT)
}

/// Whether a connection was refused, or went before an answer came. One over which nobody is believed will not be the second time either.
fn is_cut(error: &Error) -> bool {
    if error.is_timeout() || !error.is_request() {
        return false;
    }
    // Once it was there, whatever ends it before an answer is that.
    !error.is_connect()
        || kinds(error).any(|kind| kind == ErrorKind::ConnectionRefused || kind == ErrorKind::ConnectionReset)
}

/// The system's own words for it, wherever they stand.
fn kinds(error: &Error) -> impl Iterator<Item = ErrorKind> + '_ {
    let first: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let all = std::iter::successors(first, |error| error.source());
    all.filter_map(|error| error.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::header::AUTHORIZATION;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::remote::RemoteOptions;

    /// What it does with one connection after the other; the last is done again.
    #[derive(Clone, Copy)]
    enum Does {
        Resets,
        Says(&'static str),
    }

    const YES: Does = Does::Says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");

    /// A server, and how often it was asked once more.
    async fn server(does: &'static [Does]) -> Remote {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut head = [0; 1_024];
                _ = stream.read(&mut head).await;
                match does[turn.min(does.len() - 1)] {
                    Does::Resets => drop(stream),
                    Does::Says(answer) => drop(stream.write_all(answer.as_bytes()).await),
                }
            }
        });
        at(url)
    }

    fn at(url: String) -> Remote {
        let options = RemoteOptions {
            url,
            model: "m".into(),
            key: None,
            proxy: None,
            ca: None,
            connect: Duration::from_secs(1),
            first: Duration::from_secs(2),
            between: Duration::from_secs(1),
            parallel: 1,
            again: Arc::default(),
        };
        Remote::new("engine of a test", &options, (AUTHORIZATION, "")).expect("it is right")
    }

    async fn ask(remote: &Remote, within: Duration) -> (Result<(), EngineError>, u64) {
        let until = Instant::now() + within;
        let answer = remote.send(remote.post("x").body("hello"), until).await;
        (answer.map(drop), remote.0.again.load(Ordering::Relaxed))
    }

    const LONG: Duration = Duration::from_secs(3);

    #[tokio::test]
    async fn a_connection_that_was_reset_is_tried_once_more_and_no_more() {
        let (answer, again) = ask(&server(&[Does::Resets, YES]).await, LONG).await;
        assert!(answer.is_ok() && again == 1, "{answer:?}, {again}");
        let (answer, again) = ask(&server(&[Does::Resets, Does::Resets, YES]).await, LONG).await;
        assert!(answer.is_err() && again == 1, "{answer:?}, {again}");
        // Nobody listens there any more.
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let (answer, again) = ask(&at(format!("http://{closed}")), LONG).await;
        let is_down = matches!(answer, Err(EngineError::Remote { fault: RemoteFault::Down, .. }));
        assert!(is_down && again == 1, "{answer:?}, {again}");
    }

    #[tokio::test]
    async fn a_short_rest_is_waited_for_and_a_long_one_or_none_that_is_named_is_not() {
        for (refusal, expected) in [
            (Does::Says("HTTP/1.1 429 N\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 1),
            (Does::Says("HTTP/1.1 503 N\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 1),
            (Does::Says("HTTP/1.1 429 N\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 0),
            (Does::Says("HTTP/1.1 503 N\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 0),
            (Does::Says("HTTP/1.1 500 N\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 0),
        ] {
            let Does::Says(head) = refusal else { continue };
            let (answer, again) = ask(&server(Box::leak(Box::new([refusal, YES]))).await, LONG).await;
            assert_eq!((answer.is_ok(), again), (expected == 1, expected), "{head}");
        }
    }

    #[tokio::test]
    async fn where_the_time_is_nearly_over_it_is_not_tried_again() {
        let (answer, again) = ask(&server(&[Does::Resets, YES]).await, Duration::from_millis(200)).await;
        assert!(answer.is_err() && again == 0, "{answer:?}, {again}");
    }
}
