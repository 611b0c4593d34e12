//! Does a line end with a prompt? Asked at each character, of the line as far as it was printed.
//!
//! agetty prints `<host> login: `, in the guest's language (util-linux's translations), after an issue text which ends
//! with the host's name and the terminal's (`Debian GNU/Linux 12 host ttyS0`). The kernel's lines may come before and
//! behind it in the same line.

use std::collections::VecDeque;

/// Host names kept from issue texts.
const HOSTS_MAX: usize = 4;
/// RFC 1035, and what Linux takes.
const HOST_MAX_CHARS: usize = 64;
/// A prompt's word and the host's name before it: no sentence.
const WORDS_MAX: usize = 3;

/// agetty's prompt where it is translated, in lower case.
const TRANSLATED: [&str; 18] = [
    "aanmeldnaam:",
    "anmeldename:",
    "anmeldung:",
    "bejelentkezés:",
    "identifiant:",
    "identifiant :",
    "inicio de sesión:",
    "inloggning:",
    "käyttäjätunnus:",
    "logowanie:",
    "oturum açma:",
    "přihlašovací jméno:",
    "usuario:",
    "utilisateur:",
    "имя пользователя:",
    "логин:",
    "登录：",
    "ログイン:",
];

/// Names this guest gave itself in its issue text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostNames(VecDeque<String>);

impl HostNames {
    /// Takes a whole line: `… <host> ttyS0` names the host.
    pub(super) fn learn(&mut self, line: &str) {
        let mut words = line.split_whitespace().rev();
        let (Some(terminal), Some(host)) = (words.next(), words.next()) else { return };
        if !is_terminal(terminal) || host.len() > HOST_MAX_CHARS || self.knows(host) {
            return;
        }
        self.0.push_back(host.to_owned());
        if self.0.len() > HOSTS_MAX {
            self.0.pop_front();
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|host| host == name)
    }
}

/// Whether the line's end asks for a login, or tells that somebody was logged in.
pub(super) fn is_login(line: &str, hosts: &HostNames) -> bool {
    match line.chars().next_back() {
        Some(':' | '：') => asks(line) || asks_in_other_words(line, hosts),
        Some(')') => line.ends_with("(automatic login)"),
        _ => false,
    }
}

/// Whether the line's end is a shell's prompt for root, as login shells show it: `root@host:~#`, `[root@host ~]#`.
///
/// Shells of rescue systems have no host in theirs (`~ #`, `sh-5.2#`, `bash-5.2#`).
pub(super) fn is_root_shell(line: &str) -> bool {
    let Some(before) = line.strip_suffix('#') else { return false };
    let start = before.rfind("root@").map(|start| &before[start + "root@".len()..]);
    let Some((host, rest)) = start.and_then(|start| start.split_once([':', ' '])) else { return false };
    is_host(host) && !rest.is_empty() && !rest.trim_end().contains(' ')
}

/// `login:` by itself, whatever stands before it: the kernel's lines do not wait for agetty's to end.
fn asks(line: &str) -> bool {
    let word = line.rsplit(char::is_whitespace).next().unwrap_or_default();
    word.eq_ignore_ascii_case("login:")
}

/// `host Anmeldename:`: a known word after any host, or any word after this host, and nothing else in the line.
fn asks_in_other_words(line: &str, hosts: &HostNames) -> bool {
    let Some((host, prompt)) = line.trim_start().split_once(' ') else { return false };
    let prompt = prompt.trim_start();
    let words = prompt.split_whitespace().count();
    is_host(host)
        && (1..=WORDS_MAX).contains(&words)
        && (hosts.knows(host) || TRANSLATED.contains(&prompt.to_lowercase().as_str()))
}

fn is_host(name: &str) -> bool {
    let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
    (1..=HOST_MAX_CHARS).contains(&name.len()) && name.chars().all(allowed)
}

fn is_terminal(word: &str) -> bool {
    let word = word.trim_start_matches("/dev/");
    ["tty", "hvc", "console", "pts/"].iter().any(|kind| word.starts_with(kind))
}
