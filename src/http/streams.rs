//! The running answers of a connection of HTTP/2, and when such a connection is over: HTTP/1.1 has a time limit for the next request's
//! head, and a client that reads nothing stalls the connection itself; of HTTP/2 each stream may be held up by its own window
//! (RFC 9113 section 5.2), while the connection looks alive.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// How long a connection without a running request stays.
const IDLE: Duration = Duration::from_secs(60);
/// How long an answer may wait for its client to take what was handed out.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same while others of the connection go on, as those of a proxy's other users do.
const LONGEST: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The running answers of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    /// Since when the client has to take something; none: it waits for us.
    waiting: HashMap<u64, Option<Instant>>,
}

/// One running answer; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    number: u64,
    of: Streams,
}

impl Streams {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) -> Stream {
        let mut running = self.running();
        running.next += 1;
        let number = running.next;
        running.waiting.insert(number, None);
        Stream { number, of: self.clone() }
    }

    /// Resolves when nothing has run for [`IDLE`], when of no answer anything has been taken for [`PATIENCE`], or of one for
    /// [`LONGEST`].
    pub(super) async fn over(&self) {
        let mut busy = Instant::now();
        loop {
            sleep(LOOK_EVERY).await;
            let now = Instant::now();
            let running = self.running();
            if !running.waiting.is_empty() {
                busy = now;
            }
            let stands = |since: &Option<Instant>, patience| since.is_some_and(|since| now - since >= patience);
            let mut answers = running.waiting.values();
            let all_stand = answers.len() > 0 && answers.all(|since| stands(since, PATIENCE));
            if now - busy >= IDLE || all_stand || running.waiting.values().any(|since| stands(since, LONGEST)) {
                return;
            }
        }
    }
}

impl Stream {
    /// The body, which is watched while it is sent.
    pub(super) fn counted(self, body: Body) -> Body {
        Body::new(Counted { body, stream: self })
    }

    fn hands_out(&self, since: Option<Instant>) {
        self.of.running().waiting.insert(self.number, since);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.of.running().waiting.remove(&self.number);
    }
}

struct Counted {
    body: Body,
    stream: Stream,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.stream.hands_out(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt, Empty};
    use hyper::{Request, Response, client::conn::http2 as client, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{io::duplex, select};

    use super::*;

    /// A connection over memory whose answers are endless, and how long it lasted.
    async fn lasted(takes: usize) -> Duration {
        let (near, far) = duplex(1 << 20);
        let streams = Streams::default();
        let running = streams.clone();
        let answer = service_fn(move |_: Request<_>| {
            let running = running.begin();
            async {
                let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 16 << 10])));
                Ok::<_, Infallible>(Response::new(running.counted(Body::from_stream(endless))))
            }
        });
        let server = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(near), answer);
        let (mut sender, connection) =
            client::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(far)).await.expect("h2");
        tokio::spawn(connection);
        let asking = tokio::spawn(async move {
            if takes == 0 {
                std::future::pending::<()>().await;
            }
            let answer = sender.send_request(Request::get("http://here/").body(Empty::new()).expect("a request"));
            let mut body = answer.await.expect("an answer").into_body();
            for _ in 0..takes {
                sleep(PATIENCE - LOOK_EVERY).await;
                // What the client's window holds is many frames.
                for _ in 0..512 {
                    body.frame().await.expect("endless").expect("no reset");
                }
            }
            std::future::pending::<()>().await;
        });
        let began = Instant::now();
        select! {
            ended = server => panic!("{ended:?}"),
            () = streams.over() => {}
        }
        asking.abort();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_nothing_or_takes_nothing_is_let_go_and_slow_readers_stay() {
        let idle = lasted(0).await;
        assert!(idle >= IDLE && idle < IDLE + 2 * LOOK_EVERY, "{idle:?}");
        let taken = lasted(4).await;
        assert!(taken >= 4 * (PATIENCE - LOOK_EVERY) + PATIENCE, "a slow reader is a reader: {taken:?}");
        assert!(taken < 4 * PATIENCE + PATIENCE + 2 * LOOK_EVERY, "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_not_kept_for_ever_by_others_that_go_on() {
        let streams = Streams::default();
        let (stands, _goes_on) = (streams.begin(), streams.begin());
        let began = Instant::now();
        stands.hands_out(Some(began));
        let over = tokio::time::timeout(2 * LONGEST, streams.over()).await;
        over.expect("it is still kept");
        assert!((LONGEST..LONGEST + 2 * LOOK_EVERY).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}
