//! The end of a connection: an answer may come before the request has come in whole (a refusal of a large upload, say). To close at
//! once would then reset the connection, and take the answer from a client that still sends. So only the sending side is closed,
//! and what still comes is read and dropped until the client has seen its answer (RFC 9112 section 9.6).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::timeout,
};

/// What a client still sends is read for this long, and no longer than [`SILENCE`] after its last bytes.
const LONGEST: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(5);

/// A stream that goes back to whoever lent it once it is dropped, if its sending side was closed in order.
pub(super) struct Lent<S> {
    stream: Option<S>,
    is_shut: bool,
    lender: Option<oneshot::Sender<S>>,
}

impl<S> Lent<S> {
    pub(super) fn new(stream: S) -> (Self, oneshot::Receiver<S>) {
        let (lender, back) = oneshot::channel();
        (Self { stream: Some(stream), is_shut: false, lender: Some(lender) }, back)
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        if let (true, Some(stream), Some(lender)) = (self.is_shut, self.stream.take(), self.lender.take()) {
            lender.send(stream).ok();
        }
    }
}

/// Reads and drops what still comes, until the client closes too, within bounds.
pub(super) async fn linger<S: AsyncRead + Unpin>(mut stream: S) {
    let mut dropped = vec![0; 16 * 1024];
    let read_on = async { while matches!(timeout(SILENCE, stream.read(&mut dropped)).await, Ok(Ok(1..))) {} };
    timeout(LONGEST, read_on).await.ok();
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the stream was given back")
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream
            .as_mut()
            .map_or_else(|| Poll::Ready(Err(gone())), |stream| Pin::new(stream).poll_read(context, into))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream
            .as_mut()
            .map_or_else(|| Poll::Ready(Err(gone())), |stream| Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.stream.as_mut();
        stream.map_or_else(|| Poll::Ready(Err(gone())), |stream| Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().map_or_else(|| Poll::Ready(Err(gone())), |stream| Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        self.stream.as_mut().map_or_else(|| Poll::Ready(Err(gone())), |stream| Pin::new(stream).poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::{Instant, sleep},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn neither_silence_nor_endless_bytes_keep_a_connection() {
        let (_silent, here) = duplex(64);
        let began = Instant::now();
        linger(here).await;
        assert!((SILENCE..SILENCE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());

        let (mut talker, here) = duplex(64);
        let talking = tokio::spawn(async move {
            while talker.write_all(b"more").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        linger(here).await;
        assert!((LONGEST..LONGEST + SILENCE).contains(&began.elapsed()), "{:?}", began.elapsed());
        talking.await.expect("no panic");
    }
}
