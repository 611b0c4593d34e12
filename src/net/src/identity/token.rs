//! What an invitation hands over: a secret that gets one certificate, and the digest of the authority's
//! certificate, so that who joins knows whom to believe.

use super::IdentityError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "bootstash-";
const SECRET_BYTES: usize = 32;
const PIN_BYTES: usize = 32;

/// A token. Never shown by `Debug`; [`Token::reveal`] is for the one who asked for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: [u8; SECRET_BYTES],
    pin: [u8; PIN_BYTES],
}

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no token, or not all of it; copy what `bootstash node invite` printed, from {PREFIX:?} to its end"
)]
pub struct TokenError;

/// What the registrar keeps of a token: enough to know it again, not to make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenDigest(String);

impl Token {
    /// A new one, of the authority with this certificate (DER).
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn new(authority: &[u8]) -> Result<Self, IdentityError> {
        Ok(Self { secret: super::random()?, pin: *blake3::hash(authority).as_bytes() })
    }

    /// The whole, for the one who asked for it.
    pub fn reveal(&self) -> String {
        let bytes = [&self.secret[..], &self.pin[..]].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether this is the authority's certificate (DER).
    pub fn pins(&self, authority: &[u8]) -> bool {
        blake3::hash(authority) == self.pin
    }

    /// To know it again by.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(blake3::hash(&self.secret).to_hex().to_string())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes = text.trim().strip_prefix(PREFIX).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
        let bytes: [u8; SECRET_BYTES + PIN_BYTES] =
            bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(TokenError)?;
        let (mut secret, mut pin) = ([0; SECRET_BYTES], [0; PIN_BYTES]);
        secret.copy_from_slice(&bytes[..SECRET_BYTES]);
        pin.copy_from_slice(&bytes[SECRET_BYTES..]);
        Ok(Self { secret, pin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_is_never_shown() {
        let token = Token::new(b"authority").unwrap();
        let text = token.reveal();
        assert_eq!(format!(" {text}\n").parse::<Token>().unwrap(), token);
        assert!(token.pins(b"authority") && !token.pins(b"another"));
        assert!(
            !text.contains(format!("{token:?}").as_str()) && !format!("{token:?}").contains(&text[10..20])
        );
        assert_ne!(Token::new(b"authority").unwrap().digest(), token.digest());
        for bad in ["", "bootstash-", &text[..text.len() - 1], &text[1..], &format!("{text}x")] {
            assert_eq!(bad.parse::<Token>(), Err(TokenError), "{bad}");
        }
    }
}
