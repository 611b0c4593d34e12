//! Who may look: whoever opens the link first, and nobody else. The link's key counts once; for it the browser gets a
//! cookie with another secret, which counts as long as the dashboard is served. Pure, but for the random numbers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

/// The name of the cookie.
const COOKIE: &str = "bootstash-dashboard";
const SECRET_BYTES: usize = 32;

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub(super) struct NoRandom;

/// A secret, as text for URLs and cookies. `Debug` does not show it.
#[derive(Clone)]
pub(super) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one.
    pub(super) fn new() -> Result<Self, NoRandom> {
        let mut bytes = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Its text, for the one it is for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// In a time that says nothing of where they differ, which hashes are compared in.
    fn is(&self, text: &str) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(text.as_bytes())
    }
}

/// The link, as long as nobody opened it, and the session of whoever did.
#[derive(Debug)]
pub(super) struct Access {
    link: Option<Secret>,
    session: Secret,
}

/// What opening a link gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// The page, and this cookie for it.
    Now { set_cookie: String },
    /// The page; this browser opened the link before.
    Before,
    /// Nothing: the link is another one, or was opened by another browser.
    Refused,
}

impl Access {
    /// One that nobody has yet.
    pub(super) fn new(link: Secret, session: Secret) -> Self {
        Self { link: Some(link), session }
    }

    /// Opens a link with this key, by a browser that sends these cookies.
    pub(super) fn open(&mut self, key: &str, cookies: Option<&str>) -> Opened {
        if self.link.take_if(|link| link.is(key)).is_some() {
            let session = self.session.reveal();
            return Opened::Now { set_cookie: format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax") };
        }
        if self.admits(cookies) { Opened::Before } else { Opened::Refused }
    }

    /// Whether these cookies are of the browser that opened the link.
    pub(super) fn admits(&self, cookies: Option<&str>) -> bool {
        let cookies = cookies.into_iter().flat_map(|all| all.split(';'));
        let mut ours = cookies.filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        ours.any(|value| self.session.is(value))
    }
}

/// Whether a request is for this host by a name that only this host, or the end of a tunnel to it, has: pages of others
/// could have their own name point here (DNS rebinding).
pub(super) fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_counts_once_and_its_browser_stays() {
        let (link, session) = (Secret::new().unwrap(), Secret::new().unwrap());
        let key = link.reveal().to_owned();
        let mut access = Access::new(link, session);
        assert_eq!(access.open("guess", None), Opened::Refused);
        let Opened::Now { set_cookie } = access.open(&key, None) else { panic!("refused") };
        let (cookie, attributes) = set_cookie.split_once(';').unwrap();
        assert!(attributes.contains("HttpOnly") && !cookie.contains(&key), "{set_cookie}");
        assert_eq!(access.open(&key, None), Opened::Refused);
        assert_eq!(access.open(&key, Some(cookie)), Opened::Before);
        assert!(access.admits(Some(&format!("other=1; {cookie}"))));
        for bad in ["", "bootstash-dashboard=", "bootstash-dashboard", &cookie[..cookie.len() - 1]] {
            assert!(!access.admits(Some(bad)), "{bad}");
        }
        assert!(!access.admits(None) && !format!("{access:?}").contains(&key));
    }

    #[test]
    fn other_names_of_this_host_are_refused() {
        for good in ["127.0.0.1:7433", "localhost:1", "localhost", "[::1]:80", "[::1]"] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in
            ["", "evil.example:7433", "127.0.0.1.evil.example", "localhost.evil.example:1", "10.0.0.1:7433"]
        {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
