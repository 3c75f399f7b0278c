//! What is left of a request's body when its answer is made. A handler seldom reads the last bytes (behind a form's last boundary,
//! behind what made it refuse), and a connection with unread bytes cannot carry another request: hyper closes it, which whoever
//! sends its next request on it at that moment sees as an answer that never comes. So a small rest is read before the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{sync::oneshot, time::timeout};

/// What is read, in bytes, and how long it may take to come; of more than that the connection closes.
const MOST: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that comes back once it is dropped before its end.
pub(super) struct Lent<B: Body> {
    body: Option<B>,
    is_begun: bool,
    lender: Option<oneshot::Sender<Rest<B>>>,
}

/// The rest of a body, and whether any of it was asked for.
pub(super) struct Rest<B> {
    body: B,
    is_begun: bool,
}

impl<B: Body> Lent<B> {
    pub(super) fn new(body: B) -> (Self, oneshot::Receiver<Rest<B>>) {
        let (lender, back) = oneshot::channel();
        (Self { body: Some(body), is_begun: false, lender: Some(lender) }, back)
    }
}

impl<B: Body> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(lender)) = (self.body.take(), self.lender.take())
            && !body.is_end_stream()
        {
            lender.send(Rest { body, is_begun: self.is_begun }).ok();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.is_begun = true;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Rest<B> {
    /// Reads it, within bounds. `waits`: the client sends nothing before it is asked to (`Expect: 100-continue`), which a refusal
    /// must not do.
    pub(super) async fn read(mut self, waits: bool) {
        if waits && !self.is_begun {
            return;
        }
        let read_on = async {
            let mut read = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MOST {
                    return;
                }
            }
        };
        timeout(PATIENCE, read_on).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_does_not_come_is_waited_for_a_moment_only() {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let (body, back) = Lent::new(axum::body::Body::from_stream(never));
        drop(body);
        let began = Instant::now();
        back.await.expect("the rest").read(false).await;
        assert!((PATIENCE..PATIENCE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}
