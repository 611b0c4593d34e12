//! Streams whose end of file proves that whoever wrote them ended well.
//!
//! Promises: the end of file comes only after the writer's own; where no byte moves for too long that
//! is an error; dropping the stream drops pipe and writer.

use crate::ByteStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

type Ending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// `pipe`, and after its last byte what `ending` says. `ending` owns the writer and is first asked
/// when the pipe has ended; `writer` is its name in errors; `limit` is how long no byte may move.
pub(super) fn stream<R>(
    pipe: R,
    writer: String,
    limit: Duration,
    ending: impl Future<Output = io::Result<()>> + Send + 'static,
) -> ByteStream
where
    R: AsyncRead + Send + Unpin + 'static,
{
    let stall = Box::pin(tokio::time::sleep(limit));
    Box::pin(Stream { pipe: Some(pipe), writer, limit, stall, ending: Some(Box::pin(ending)) })
}

struct Stream<R> {
    /// Until its last byte.
    pipe: Option<R>,
    writer: String,
    limit: Duration,
    stall: Pin<Box<Sleep>>,
    /// Until it has ended.
    ending: Option<Ending>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Stream<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pipe.is_some() {
            let before = buffer.filled().len();
            ready!(self.poll_pipe(context, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            self.pipe = None;
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(())) };
        let ended = ready!(ending.as_mut().poll(context));
        self.ending = None;
        Poll::Ready(ended)
    }
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn poll_pipe(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(())) };
        if let Poll::Ready(read) = Pin::new(pipe).poll_read(context, buffer) {
            self.stall.as_mut().reset(Instant::now() + self.limit);
            return Poll::Ready(read);
        }
        ready!(self.stall.as_mut().poll(context));
        let text = format!("{} gave no byte for {} s", self.writer, self.limit.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tokio::io::AsyncReadExt;

    const LIMIT: Duration = Duration::from_secs(60);

    fn of(bytes: &[u8], ended: io::Result<()>) -> ByteStream {
        stream(Cursor::new(bytes.to_vec()), "writer".to_owned(), LIMIT, async { ended })
    }

    #[tokio::test]
    async fn an_end_is_a_good_end() {
        let mut bytes = Vec::new();
        of(b"all of it", Ok(())).read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"all of it");
    }

    #[tokio::test]
    async fn a_bad_end_comes_after_the_last_byte() {
        let mut bytes = Vec::new();
        let mut stream = of(b"some of it", Err(io::Error::other("no more")));
        let error = stream.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!((bytes.as_slice(), error.to_string().as_str()), (b"some of it".as_slice(), "no more"));
    }

    #[tokio::test]
    async fn a_writer_that_stops_is_an_error() {
        let (reader, _writer) = tokio::io::duplex(10);
        let soon = Duration::from_millis(20);
        let error = stream(reader, "writer".to_owned(), soon, async { Ok(()) }).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().starts_with("writer gave no byte"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_stream_closes_its_pipe_and_drops_its_writer() {
        let (reader, mut pipe) = tokio::io::duplex(10);
        let (alive, ended) = tokio::sync::oneshot::channel::<()>();
        let ending = async move {
            drop(alive);
            Ok(())
        };
        drop(stream(reader, "writer".to_owned(), LIMIT, ending));
        assert!(ended.await.is_err());
        let written = tokio::io::AsyncWriteExt::write_all(&mut pipe, b"x").await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
