//! A minimal QMP client: one command at a time, each with a deadline.

use super::MachineError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

const DEADLINE: Duration = Duration::from_secs(20);
const LINE_MAX_BYTES: u64 = 1 << 20;

/// The control channel of a running QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// The line that is being read; kept, as who waits for one may be dropped half-way.
    line: Vec<u8>,
    /// Restarts of the guest that nobody was told of yet.
    restarts: u32,
}

/// What QEMU sends: a greeting, an event, or the answer to a command.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<QmpRefusal>,
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    event: Option<String>,
}

#[derive(Debug, Deserialize)]
struct QmpRefusal {
    desc: String,
}

impl Qmp {
    /// Greets the QEMU at the other end of `stream`.
    pub(super) async fn open(stream: UnixStream) -> Result<Self, MachineError> {
        let (reader, writer) = stream.into_split();
        let mut qmp = Self { reader: BufReader::new(reader), writer, line: Vec::new(), restarts: 0 };
        let greeting = bounded("greeting", async { qmp.message().await.map(|m| m.greeting) }).await?;
        greeting.ok_or_else(|| broken("greeting", invalid("it is not QMP")))?;
        qmp.execute("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Runs one command.
    pub(super) async fn execute(&mut self, command: &'static str) -> Result<Value, MachineError> {
        let request = format!("{}\n", json!({ "execute": command }));
        let answer = bounded(command, async {
            self.writer.write_all(request.as_bytes()).await?;
            loop {
                let message = self.message().await?;
                if let Some(refusal) = message.error {
                    return Ok(Err(refusal.desc));
                }
                if let Some(answer) = message.answer {
                    return Ok(Ok(answer));
                }
            }
        });
        answer.await?.map_err(|said| MachineError::Refused { command, said })
    }

    /// Waits until the guest restarts; never returns once QEMU has ended. Can be called again after being dropped
    /// half-way.
    pub(super) async fn restarted(&mut self) {
        while self.restarts == 0 {
            if self.message().await.is_err() {
                return std::future::pending().await;
            }
        }
        self.restarts -= 1;
    }

    async fn message(&mut self) -> io::Result<Message> {
        let room = LINE_MAX_BYTES.saturating_sub(self.line.len() as u64);
        (&mut self.reader).take(room).read_until(b'\n', &mut self.line).await?;
        let line = std::mem::take(&mut self.line);
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let message: Message = serde_json::from_slice(&line).map_err(invalid)?;
        self.restarts += u32::from(message.event.as_deref() == Some("RESET"));
        Ok(message)
    }
}

async fn bounded<T>(
    command: &'static str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, MachineError> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(result) => result.map_err(|source| broken(command, source)),
        Err(_) => Err(MachineError::NoAnswer { command, after: DEADLINE }),
    }
}

fn broken(command: &'static str, source: io::Error) -> MachineError {
    MachineError::Channel { command, source }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";

    /// Plays a QEMU that sends `lines`, the greeting first, and then hangs up.
    async fn qemu_that_says(lines: &str) -> Result<Value, MachineError> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(format!("{GREETING}{{\"return\": {{}}}}\n{lines}").as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        Qmp::open(ours).await?.execute("query-status").await
    }

    #[tokio::test]
    async fn events_before_an_answer_are_passed_over() {
        let answer =
            qemu_that_says("{\"event\": \"RESUME\"}\n{\"return\": {\"status\": \"running\"}}\n").await;
        assert_eq!(answer.unwrap()["status"], "running");
    }

    #[tokio::test]
    async fn restarts_are_counted_also_while_a_command_is_answered() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let reset = "{\"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n";
        theirs
            .write_all(format!("{GREETING}{{\"return\": {{}}}}\n{reset}{{\"return\": 1}}\n").as_bytes())
            .await
            .unwrap();
        let mut qmp = Qmp::open(ours).await.unwrap();
        qmp.execute("query-status").await.unwrap();
        qmp.restarted().await;
        // Whoever waits may be dropped in the middle of a line.
        theirs.write_all(&reset.as_bytes()[..10]).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), qmp.restarted()).await.is_err());
        theirs.write_all(&reset.as_bytes()[10..]).await.unwrap();
        qmp.restarted().await;
        drop(theirs);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), qmp.restarted()).await.is_err(),
            "an end is none"
        );
    }

    #[tokio::test]
    async fn refusals_carry_qemus_words() {
        let error = qemu_that_says("{\"error\": {\"class\": \"X\", \"desc\": \"no such thing\"}}\n").await;
        assert!(error.unwrap_err().to_string().contains("no such thing"));
    }

    #[tokio::test]
    async fn half_a_line_or_no_json_is_an_error() {
        for lines in ["", "{\"return\":", "nonsense\n"] {
            let error = qemu_that_says(lines).await.unwrap_err();
            assert!(matches!(error, MachineError::Channel { command: "query-status", .. }), "{error:?}");
        }
    }
}
