//! A connection whose other side must read: whoever takes nothing of an answer for half a minute is let go, with all that makes it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a write may wait for room at the other side.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream whose writes fail once none has got on for [`PATIENCE`]. hyper does not ask a body for more while it writes, so a
/// body could not notice itself.
pub(super) struct Unstalled<S> {
    stream: S,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, stalled: None }
    }

    fn within<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads no more")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Body, Bytes};
    use futures_util::stream;
    use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_slowly_is_served_and_whoever_does_not_read_is_let_go() {
        let (near, mut far) = duplex(1_024);
        let mut near = Unstalled::new(near);
        let reading = tokio::spawn(async move {
            let mut some = [0; 1_024];
            for _ in 0..8 {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                far.read_exact(&mut some).await.expect("what was written");
            }
            far
        });
        near.write_all(&[7; 8 * 1_024]).await.expect("a slow reader is a reader");
        let _far = reading.await.expect("it reads");
        let began = Instant::now();
        let error = near.write_all(&[7; 4 * 1_024]).await.expect_err("nobody reads");
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, PATIENCE.as_secs()));
    }

    /// What an endless answer holds is given back although nobody asks its body for more.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_ends_with_its_connection() {
        let (near, mut far) = duplex(4_096);
        let answer = service_fn(|_: Request<Incoming>| async {
            let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1_024])));
            Ok::<_, Infallible>(Response::new(Body::from_stream(endless)))
        });
        far.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.expect("room");
        let began = Instant::now();
        let ended = http1::Builder::new().serve_connection(TokioIo::new(Unstalled::new(near)), answer).await;
        assert!(ended.is_err() && began.elapsed().as_secs() == PATIENCE.as_secs(), "{ended:?}");
        drop(far);
    }
}
