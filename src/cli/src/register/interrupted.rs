//! Ctrl-C while a registration is followed: cancel it, or leave it running?

use bootstash_base::names::ImageName;
use bootstash_net::api::JobId;
use tokio::sync::oneshot;

/// What becomes of the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It ends, and leaves nothing.
    Cancel,
    /// It goes on in the registrar.
    Leave,
}

/// Asks the user at the terminal. Another ctrl-C, or the end of the input, leaves it running.
pub(super) async fn ask(name: &ImageName, job: JobId) -> Choice {
    eprint!("\ncancel the registration of {name} (job {job})? It goes on otherwise. [y/N] ");
    tokio::select! {
        answer = a_line() => choice(answer.as_deref()),
        _ = tokio::signal::ctrl_c() => Choice::Leave,
    }
}

/// A line from the terminal. Read on a thread that nothing waits for, as it may never come.
async fn a_line() -> Option<String> {
    let (told, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = std::io::stdin().read_line(&mut text);
        told.send(read.ok().map(|_| text)).ok();
    });
    line.await.ok().flatten()
}

fn choice(answer: Option<&str>) -> Choice {
    let answer = answer.unwrap_or_default().trim().to_lowercase();
    if matches!(answer.as_str(), "y" | "yes") { Choice::Cancel } else { Choice::Leave }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_cancels() {
        for yes in ["y\n", "Y\n", " yes \n"] {
            assert_eq!(choice(Some(yes)), Choice::Cancel, "{yes:?}");
        }
        for no in [Some("\n"), Some("n\n"), Some("yet\n"), Some(""), None] {
            assert_eq!(choice(no), Choice::Leave, "{no:?}");
        }
    }
}
