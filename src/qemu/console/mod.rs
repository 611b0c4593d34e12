//! What a guest prints on its serial console, as text. Pure, and bounded whatever the guest prints.

use std::collections::VecDeque;

const KEPT_LINES: usize = 10;
const LINE_MAX_CHARS: usize = 200;

/// Words that mean a guest will not come up by itself, and what they mean.
const FATAL: [(&str, &str); 5] = [
    ("No bootable device", "the firmware finds nothing to boot from"),
    ("Kernel panic - not syncing", "its kernel panicked"),
    ("grub rescue>", "its boot loader does not find its files"),
    ("(initramfs)", "its initial RAM disk does not find the root file system"),
    ("You are in emergency mode", "it came up in emergency mode"),
];

/// The last lines of a console: printable characters only, without escape sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleText {
    lines: VecDeque<String>,
    current: String,
    state: State,
    prompt: bool,
    fatal: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After a carriage return: a line feed ends the line, anything else writes over it.
    Return,
    Escape,
    /// Within `ESC [ … letter`.
    Sequence,
}

impl ConsoleText {
    /// Takes what the guest printed next.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.feed_byte(byte);
        }
        self.look_at_current();
    }

    /// Whether a login prompt has been seen.
    pub fn login_prompt(&self) -> bool {
        self.prompt
    }

    /// Why the guest will not come up, where it has said so.
    pub fn fatal(&self) -> Option<&'static str> {
        self.fatal
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

    fn feed_byte(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Escape, b'[') => State::Sequence,
            (State::Sequence, b'@'..=b'~') => {
                // Cursor moves and clearing, as boot menus do: what follows is another line.
                if matches!(byte, b'H' | b'J' | b'd') {
                    self.end_line();
                }
                State::Text
            }
            (State::Sequence, _) => State::Sequence,
            (State::Escape, _) => State::Text,
            (_, 0x1b) => State::Escape,
            (_, b'\n') => {
                self.end_line();
                State::Text
            }
            (_, b'\r') => State::Return,
            (State::Return, _) => {
                self.look_at_current();
                self.current.clear();
                self.push(byte);
                State::Text
            }
            (State::Text, _) => {
                self.push(byte);
                State::Text
            }
        };
    }

    fn push(&mut self, byte: u8) {
        let shown = match byte {
            b'\t' => ' ',
            _ if byte == b' ' || byte.is_ascii_graphic() => char::from(byte),
            _ => return,
        };
        if self.current.len() < LINE_MAX_CHARS {
            self.current.push(shown);
        }
    }

    fn end_line(&mut self) {
        self.look_at_current();
        let line = std::mem::take(&mut self.current);
        let line = line.trim();
        if !line.is_empty() {
            self.lines.push_back(line.to_owned());
        }
        if self.lines.len() > KEPT_LINES {
            self.lines.pop_front();
        }
    }

    fn look_at_current(&mut self) {
        self.prompt |= self.current.trim_end().ends_with("login:");
        let said = FATAL.iter().find(|(words, _)| self.current.contains(words));
        self.fatal = self.fatal.or(said.map(|(_, meaning)| *meaning));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &str) -> ConsoleText {
        let mut console = ConsoleText::default();
        console.feed(text.as_bytes());
        console
    }

    #[test]
    fn sees_a_prompt_whether_or_not_its_line_goes_on() {
        assert!(console("Debian 12 host ttyS0\r\n\r\nhost login: ").login_prompt());
        assert!(console("host login: \r\n[  OK  ] Started\r\n").login_prompt());
        assert!(!console("starting login service\r\n").login_prompt());
        let mut split = console("host lo");
        split.feed(b"gin:");
        assert!(split.login_prompt());
    }

    #[test]
    fn strips_escape_sequences_and_control_characters() {
        let text = console("[\x1b[0;32m  OK  \x1b[0m] Started \x07a\r\nb\x1b[2Jc");
        assert_eq!(text.tail(), ["[  OK  ] Started a", "b", "c"]);
    }

    #[test]
    fn carriage_return_alone_starts_the_line_again() {
        assert_eq!(console("10 %\r20 %\r\n").tail(), ["20 %"]);
    }

    #[test]
    fn is_bounded_whatever_comes() {
        let text = console(&format!("{}\n{}", "x".repeat(100_000), "y\n".repeat(1000)));
        assert_eq!(text.tail(), ["y"; 10]);
        assert_eq!(console(&"x".repeat(100_000)).newest_line().unwrap().len(), LINE_MAX_CHARS);
    }

    #[test]
    fn knows_words_that_end_all_hope() {
        assert_eq!(console("SeaBIOS\r\nNo bootable device.  Retrying").fatal(), Some(FATAL[0].1));
        assert_eq!(console("[ 1.2] Kernel panic - not syncing: VFS\r\n").fatal(), Some(FATAL[1].1));
        assert_eq!(console("all is well\r\n").fatal(), None);
    }

    #[test]
    fn newest_line_is_the_last_that_says_something() {
        assert_eq!(console("one\r\n\r\n  ").newest_line(), Some("one"));
        assert_eq!(console("one\r\ntwo").newest_line(), Some("two"));
        assert_eq!(console("").newest_line(), None);
    }
}
