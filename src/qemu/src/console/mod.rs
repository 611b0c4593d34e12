//! What a guest prints on its serial console, as text. Pure, and bounded whatever the guest prints.
//!
//! Promise: what is recognised depends on the bytes alone, never on how they were cut into reads. So every character
//! is judged as it arrives, with what stands before it in its line; what follows in the same line changes nothing.

mod fatal;
mod prompt;
#[cfg(test)]
mod tests;

pub use fatal::Fatal;
use prompt::HostNames;
use std::collections::VecDeque;

const KEPT_LINES: usize = 10;
const LINE_MAX_CHARS: usize = 200;

/// What only systems print that have left their initial RAM disk: systemd (its targets by name or by description),
/// sysvinit, OpenRC, FreeBSD.
const RUNNING: [&str; 10] = [
    "Reached target multi-user.target",
    "Reached target Multi-User System",
    "Reached target graphical.target",
    "Reached target Graphical Interface",
    "Reached target getty.target",
    "Reached target Login Prompts",
    "INIT: Entering runlevel:",
    "is starting up Linux",
    "Starting file system checks:",
    "Starting devd.",
];

/// Reads a console's bytes: escape sequences and characters of several bytes may be cut anywhere.
#[derive(Default)]
pub(super) struct ConsoleDecoder {
    parser: vte::Parser,
}

impl ConsoleDecoder {
    /// Takes what the guest printed next, and puts it to `text`.
    pub(super) fn feed(&mut self, bytes: &[u8], text: &mut ConsoleText) {
        // One by one: what the parser makes of broken UTF-8 depends on how it was cut (vte 0.15).
        for byte in bytes {
            self.parser.advance(text, std::slice::from_ref(byte));
        }
    }
}

/// The last lines of a console: printable characters only, without escape sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleText {
    lines: VecDeque<String>,
    /// The end of the line that is being printed.
    current: String,
    /// After a carriage return: a line feed ends the line, anything else writes over it.
    returned: bool,
    hosts: HostNames,
    prompt: bool,
    running: bool,
    fatal: Option<Fatal>,
}

impl ConsoleText {
    /// The text of a whole console.
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = Self::default();
        ConsoleDecoder::default().feed(bytes, &mut text);
        text
    }

    /// Whether the guest has asked for a login, has logged somebody in by itself, or shows root a shell's prompt.
    ///
    /// The prompt of a rescue shell is none: a shell counts only where nothing fatal was said before.
    pub fn login_prompt(&self) -> bool {
        self.prompt
    }

    /// Why the guest will not come up, where it has said so.
    pub fn fatal(&self) -> Option<Fatal> {
        self.fatal
    }

    /// Whether the guest has said what only a system says that has left its initial RAM disk.
    pub fn shows_a_running_system(&self) -> bool {
        self.running
    }

    /// The guest restarts: what it said it has to say again. Its lines stay, as they may tell why.
    pub(super) fn restart(&mut self) {
        self.end_line();
        (self.prompt, self.running, self.fatal) = (false, false, None);
    }

    /// The newest line that is not empty.
    pub fn newest_line(&self) -> Option<&str> {
        let current = self.current.trim();
        if current.is_empty() { self.lines.back().map(String::as_str) } else { Some(current) }
    }

    /// The last 10 lines that are not empty, oldest first.
    pub fn tail(&self) -> Vec<String> {
        let current = Some(self.current.trim()).filter(|line| !line.is_empty());
        let mut lines: Vec<String> =
            self.lines.iter().map(String::as_str).chain(current).map(str::to_owned).collect();
        lines.drain(..lines.len().saturating_sub(KEPT_LINES));
        lines
    }

    fn push(&mut self, shown: char) {
        if std::mem::take(&mut self.returned) {
            self.current.clear();
        }
        if self.current.chars().count() >= LINE_MAX_CHARS {
            self.current.remove(0);
        }
        self.current.push(shown);
        self.recognise();
    }

    fn end_line(&mut self) {
        self.returned = false;
        let line = std::mem::take(&mut self.current);
        let line = line.trim();
        self.hosts.learn(line);
        if !line.is_empty() {
            self.lines.push_back(line.to_owned());
        }
        if self.lines.len() > KEPT_LINES {
            self.lines.pop_front();
        }
    }

    fn recognise(&mut self) {
        let line = self.current.as_str();
        self.fatal = self.fatal.or_else(|| fatal::said(line));
        self.running |= RUNNING.iter().any(|words| line.ends_with(words));
        let shell = self.fatal.is_none() && prompt::is_root_shell(line);
        self.prompt |= shell || prompt::is_login(line, &self.hosts);
    }
}

impl vte::Perform for ConsoleText {
    fn print(&mut self, shown: char) {
        self.push(shown);
    }

    fn execute(&mut self, control: u8) {
        match control {
            b'\n' => self.end_line(),
            b'\r' => self.returned = true,
            b'\t' => self.push(' '),
            _ => (),
        }
    }

    /// Cursor moves and clearing, as boot menus do: what follows is another line.
    fn csi_dispatch(&mut self, _: &vte::Params, _: &[u8], _: bool, action: char) {
        if matches!(action, 'H' | 'J' | 'd') {
            self.end_line();
        }
    }
}
