//! What goes over the wire: read ahead a little, paced, and ended where nobody reads it.

use super::Download;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What is paced and sent as one.
const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS_AHEAD: usize = 4;
/// A reader that takes nothing for so long can ask for the rest later.
pub const STALL: Duration = Duration::from_secs(60);

/// A part of a body, or its end: where that does not come, the body broke off.
enum Part {
    Bytes(Bytes),
    End,
}

impl Download {
    /// What `chunks` give, as a body. A task of its own moves them, which ends with either side, and where
    /// the reader takes nothing for [`STALL`]: a body that nobody reads is not even asked.
    pub fn body<E: Into<Box<dyn std::error::Error + Send + Sync>> + Send>(
        self,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        self.body_that_stalls_after(STALL, chunks)
    }

    fn body_that_stalls_after<E: Into<Box<dyn std::error::Error + Send + Sync>> + Send>(
        self,
        stall: Duration,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (to, from) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(async move {
            let closed = to.clone();
            tokio::select! {
                () = self.pump(chunks, to, stall) => (),
                () = closed.closed() => (),
            }
        });
        stream::unfold(Some(from), |from| async {
            let mut from = from?;
            match from.recv().await {
                Some(Ok(Part::Bytes(bytes))) => Some((Ok(bytes), Some(from))),
                Some(Ok(Part::End)) => None,
                Some(Err(error)) => Some((Err(error), None)),
                None => Some((Err(io::Error::other("the download was ended")), None)),
            }
        })
    }

    async fn pump<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        chunks: impl Stream<Item = Result<Bytes, E>>,
        to: mpsc::Sender<io::Result<Part>>,
        stall: Duration,
    ) {
        let mut chunks = pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            let mut rest = match chunk {
                Ok(bytes) => bytes,
                Err(error) => {
                    let error = io::Error::other(error);
                    tracing::warn!(%error, "a download broke off here");
                    drop(timeout(stall, to.send(Err(error))).await);
                    return;
                }
            };
            while !rest.is_empty() {
                let part = rest.split_to(rest.len().min(CHUNK_BYTES));
                let bytes = part.len() as u64;
                self.pace(bytes).await;
                match timeout(stall, to.send(Ok(Part::Bytes(part)))).await {
                    Ok(Ok(())) => self.sent(bytes),
                    Ok(Err(_)) => return,
                    Err(_) => {
                        self.stalled();
                        return tracing::warn!(
                            "a reader took nothing of its download for {} s",
                            stall.as_secs()
                        );
                    }
                }
            }
        }
        drop(timeout(stall, to.send(Ok(Part::End))).await);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Downloads, Kind, Limits};
    use super::*;
    use std::num::NonZeroU64;

    fn downloads(rate_bytes_per_second: Option<u64>) -> Downloads {
        let rate_bytes_per_second = rate_bytes_per_second.and_then(NonZeroU64::new);
        Downloads::new(Limits { downloads: 1, full: 1, rate_bytes_per_second })
    }

    fn chunks(number: usize) -> impl Stream<Item = Result<Bytes, io::Error>> {
        stream::iter((0..number).map(|_| Ok(Bytes::from(vec![7; 100_000]))))
    }

    async fn until_free(downloads: &Downloads) -> Download {
        for _ in 0..10_000 {
            if let Some(download) = downloads.begin(Kind::Delta) {
                return download;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the download stays under way");
    }

    #[tokio::test]
    async fn passes_everything_on_and_counts_it() {
        let downloads = downloads(None);
        let body = downloads.begin(Kind::Delta).unwrap().body(chunks(30));
        let parts: Vec<_> = body.collect().await;
        assert!(parts.iter().all(|part| part.as_ref().unwrap().len() <= CHUNK_BYTES));
        assert_eq!(parts.iter().map(|part| part.as_ref().unwrap().len()).sum::<usize>(), 3_000_000);
        assert_eq!(downloads.served_bytes(Kind::Delta), 3_000_000);
        until_free(&downloads).await;
    }

    #[tokio::test]
    async fn what_breaks_off_is_an_error_at_the_reader() {
        let downloads = downloads(None);
        let broken = chunks(1).chain(stream::iter([Err(io::Error::other("the disk is gone"))]));
        let parts: Vec<_> = downloads.begin(Kind::Delta).unwrap().body(broken).collect().await;
        assert_eq!(parts.last().unwrap().as_ref().unwrap_err().to_string(), "the disk is gone");
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_loses_its_place_and_is_told() {
        let downloads = downloads(None);
        let download = downloads.begin(Kind::Delta).unwrap();
        let body = download.body_that_stalls_after(Duration::from_millis(20), chunks(30));
        until_free(&downloads).await;
        let parts: Vec<_> = body.collect().await;
        assert!(parts.len() <= CHUNKS_AHEAD + 1 && parts.last().unwrap().is_err(), "{}", parts.len());
    }

    #[tokio::test]
    async fn a_reader_that_leaves_frees_its_place_at_once_whatever_the_rate() {
        let downloads = downloads(Some(1));
        let body = downloads.begin(Kind::Delta).unwrap().body(chunks(30));
        tokio::task::yield_now().await;
        drop(body);
        until_free(&downloads).await;
    }

    #[tokio::test]
    async fn another_rate_counts_for_a_download_that_waits() {
        let downloads = downloads(Some(1));
        let body = downloads.begin(Kind::Delta).unwrap().body(chunks(3));
        let all = tokio::spawn(body.collect::<Vec<_>>());
        tokio::task::yield_now().await;
        downloads.set(Limits { rate_bytes_per_second: None, ..downloads.limits() });
        assert_eq!(all.await.unwrap().len(), 6);
    }
}
