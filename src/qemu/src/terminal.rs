//! A guest on the user's terminal.

use super::confine::{Bounds, Confined};
use super::firmware::Flash;
use super::spec::console_args;
use super::{ConsoleSpec, FirmwareError, Qemu, run, seed};
use bootstash_base::error::Classified;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

const END_DEADLINE: Duration = Duration::from_secs(10);
const OVERHEAD_BYTES: u64 = 6 << 30;

/// How a guest on the terminal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleEnd {
    /// It shut down, or the user ended it (Ctrl-A X).
    Ended,
    /// We were told to end it.
    Cancelled,
}

/// A guest on the terminal did not run.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum ConsoleError {
    /// The program could not be started or ended.
    #[error("cannot boot {}", .overlay.display())]
    Spawn {
        /// The overlay.
        overlay: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to boot it with.
    #[error(transparent)]
    #[class(source)]
    Firmware(#[from] FirmwareError),
    /// QEMU failed, and said why on standard error.
    #[error("QEMU failed on {} ({status}); its message is above", .overlay.display())]
    Failed {
        /// The overlay.
        overlay: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
}

impl Qemu {
    /// Boots `overlay` with its serial console on our standard input and output, until it ends or
    /// `cancel` is cancelled. The chain opens by the overlay's own header.
    ///
    /// # Errors
    /// Where QEMU cannot be started, or fails; its words are on our standard error then.
    pub async fn run_console(
        &self,
        overlay: &Path,
        spec: &ConsoleSpec,
        cancel: &CancellationToken,
    ) -> Result<ConsoleEnd, ConsoleError> {
        let overlay = run::absolute(overlay);
        let failed = |source| ConsoleError::Spawn { overlay: overlay.clone(), source };
        let scratch = tempfile::tempdir().map_err(failed)?;
        let flash = Flash::in_directory(spec.firmware, scratch.path()).await?;
        let seed = match &spec.user_data {
            Some(data) => {
                Some(seed::put_user_data(scratch.path(), data, spec.network).await.map_err(failed)?)
            }
            None => None,
        };
        let _restored_on_drop = SavedTerminal::of_stdin();
        let memory_bytes = (u64::from(spec.memory_mib) << 20) + OVERHEAD_BYTES;
        // The user's own VM: it may run and write as it likes.
        let bounds = Bounds { memory_bytes, cpu: None, file_bytes: None, tasks: u32::MAX };
        let confined =
            Confined { programs: self.programs(), bounds, place: None, group: None, background: false };
        let mut child = confined
            .command()
            .arg(&self.programs().system)
            .args(console_args(&overlay, spec, flash.as_ref(), seed.as_deref()))
            .spawn()
            .map_err(failed)?;
        tokio::select! {
            status = child.wait() => judge(&overlay, status.map_err(failed)?),
            () = cancel.cancelled() => {
                end(&mut child).await.map_err(failed)?;
                Ok(ConsoleEnd::Cancelled)
            }
        }
    }
}

fn judge(overlay: &Path, status: ExitStatus) -> Result<ConsoleEnd, ConsoleError> {
    if status.success() {
        return Ok(ConsoleEnd::Ended);
    }
    Err(ConsoleError::Failed { overlay: overlay.to_owned(), status })
}

/// SIGTERM has QEMU flush the overlay; SIGKILL for one that does not end.
async fn end(child: &mut Child) -> io::Result<()> {
    let Some(pid) = child.id() else { return Ok(()) };
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
    match tokio::time::timeout(END_DEADLINE, child.wait()).await {
        Ok(status) => status.map(|_| ()),
        Err(_) => child.kill().await,
    }
}

/// QEMU sets the terminal to raw and does not set it back when it is killed.
struct SavedTerminal(Option<Termios>);

impl SavedTerminal {
    /// Nothing to save where standard input is no terminal.
    fn of_stdin() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for SavedTerminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0
            && let Err(error) = tcsetattr(io::stdin(), SetArg::TCSANOW, settings)
        {
            tracing::warn!(%error, "the terminal's settings could not be restored; try `reset`");
        }
    }
}
