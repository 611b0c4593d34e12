//! Lines for journald, which takes a priority from `<N>` in front of a line (sd-daemon(3)), adds the time itself,
//! and makes an entry of each line.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Whether what is written to standard error goes to the journal: `JOURNAL_STREAM` names it by device and
/// inode (systemd.exec(5)). The variable alone does not tell: it is inherited by what redirects its output.
pub(super) fn has_standard_error() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(fd) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    std::fs::File::from(fd).metadata().is_ok_and(|at| stream == format!("{}:{}", at.dev(), at.ino()))
}

/// Writes each event as one entry with its priority.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journal<W>(pub(super) fn() -> W);

impl<'a, W: Write> MakeWriter<'a> for Journal<W> {
    type Writer = Entry<W>;

    fn make_writer(&'a self) -> Entry<W> {
        Entry { priority: priority(Level::INFO), to: (self.0)() }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Entry<W> {
        Entry { priority: priority(*of.level()), to: (self.0)() }
    }
}

/// One event, which the subscriber writes with one call.
#[derive(Debug)]
pub(super) struct Entry<W> {
    priority: u8,
    to: W,
}

impl<W: Write> Write for Entry<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.to.write_all(entry(self.priority, &String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Newlines within the text would make entries of their own, without a priority.
fn entry(priority: u8, event: &str) -> String {
    format!("<{priority}>{}\n", event.trim_end_matches('\n').replace('\n', "\\n"))
}

/// As syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn an_error_of_several_lines_is_one_entry_with_its_priority() {
        assert_eq!(entry(3, "zfs: a\nb\n"), "<3>zfs: a\\nb\n");
    }

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Buffer;

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            WRITTEN.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_decides_and_is_not_said_twice() {
        let layer = super::super::logging::for_journal(Journal(|| Buffer));
        let subscriber = Arc::new(tracing_subscriber::registry().with(layer));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(pool = "tank", "cannot mount");
            tracing::warn!("slow");
            tracing::info!("ready\nat last");
        });
        let text = String::from_utf8(WRITTEN.lock().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("<3>") && lines[0].ends_with("cannot mount pool=\"tank\""), "{text}");
        assert!(lines[1].starts_with("<4>") && lines[2].starts_with("<6>"), "{text}");
        assert!(!text.contains("ERROR") && !text.contains("20"), "neither level nor time: {text}");
    }
}
