//! Asking a guest's agent whether it is there.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

const ASK_EVERY: Duration = Duration::from_secs(1);
const LINE_MAX_BYTES: u64 = 4096;
/// What is asked while nobody listens stays in the channel; so it is not asked forever.
const MAX_QUESTIONS: u64 = 2000;

/// Asks the agent behind `stream` until it has answered, says so, and then stays connected until the
/// guest ends: an agent that finds nobody at the other end polls for all the processor's time, and
/// what the guest runs when it is idle would never be seen. Asks anew after each of the guest's `restarts`. Never
/// returns where there is no agent.
pub(super) async fn attend(
    stream: UnixStream,
    answered: &watch::Sender<bool>,
    mut restarts: watch::Receiver<u32>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    loop {
        restarts.mark_unchanged();
        answer(&mut BufReader::new(&mut reader), &mut writer).await?;
        answered.send_replace(true);
        let mut unheard = tokio::io::sink();
        tokio::select! {
            ended = tokio::io::copy(&mut reader, &mut unheard) => return ended.map(drop),
            Ok(()) = restarts.changed() => answered.send_replace(false),
        };
    }
}

async fn answer(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let ask = async {
        let mut clock = tokio::time::interval(ASK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for id in 1..=MAX_QUESTIONS {
            clock.tick().await;
            writer.write_all(&question(id)).await?;
        }
        std::future::pending::<io::Result<()>>().await
    };
    let listen = async {
        loop {
            let mut line = Vec::new();
            let read = (&mut *reader).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if is_answer(&line) {
                return Ok(());
            }
        }
    };
    tokio::select! { result = ask => result, result = listen => result }
}

/// The leading byte makes the agent drop what it had read of an earlier, broken question.
fn question(id: u64) -> Vec<u8> {
    let mut bytes = vec![0xff];
    bytes.extend(format!("{{\"execute\":\"guest-sync\",\"arguments\":{{\"id\":{id}}}}}\n").into_bytes());
    bytes
}

fn is_answer(line: &[u8]) -> bool {
    let line = line.strip_prefix(&[0xff]).unwrap_or(line);
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    value.is_some_and(|value| value["return"].is_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_through_noise_for_an_answer_and_stays_connected() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (answered, mut seen) = watch::channel(false);
        let guest = async move {
            let (reader, mut writer) = theirs.into_split();
            let mut reader = BufReader::new(reader);
            let mut asked = Vec::new();
            reader.read_until(b'\n', &mut asked).await.unwrap();
            assert_eq!(asked, question(1));
            writer.write_all(b"garbage\n{\"error\": {}}\n").await.unwrap();
            assert!(!*seen.borrow());
            writer.write_all(b"{\"return\": 1}\n").await.unwrap();
            seen.wait_for(|answered| *answered).await.unwrap();
            // A peer that had gone would make this fail.
            writer.write_all(b"more\n").await.unwrap();
        };
        let (_restarts, none) = watch::channel(0);
        let (result, ()) = tokio::join!(attend(ours, &answered, none), guest);
        result.unwrap();
    }

    #[tokio::test]
    async fn asks_again_after_a_restart() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ((answered, mut seen), (restarts, restarted)) = (watch::channel(false), watch::channel(0));
        let guest = async move {
            let (reader, mut writer) = theirs.into_split();
            let mut reader = BufReader::new(reader);
            for boot in 1..=2 {
                let mut asked = Vec::new();
                reader.read_until(b'\n', &mut asked).await.unwrap();
                writer.write_all(b"{\"return\": 1}\n").await.unwrap();
                seen.wait_for(|answered| *answered).await.unwrap();
                restarts.send_replace(boot);
                seen.wait_for(|answered| !*answered).await.unwrap();
            }
        };
        let (result, ()) = tokio::join!(attend(ours, &answered, restarted), guest);
        drop(result);
    }

    #[tokio::test]
    async fn an_end_is_no_answer() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (answered, seen) = watch::channel(false);
        let (_restarts, none) = watch::channel(0);
        assert!(attend(ours, &answered, none).await.is_err());
        assert!(!*seen.borrow());
    }
}
