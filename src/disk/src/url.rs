//! URLs where a file is needed: refused with their own reason, not as files that are missing.

use bootstash_base::error::Classified;
use std::path::Path;

/// A URL was given as the source of an image.
#[derive(Debug, thiserror::Error, Classified)]
#[error(
    "{url} is a URL, and nothing is read from URLs; \
     put the image on storage that every node sees under the same path, and give that path"
)]
#[class(permanent)]
pub struct UrlError {
    url: String,
}

/// Refuses `http://…`, `nbd+unix://…` and the like.
///
/// # Errors
/// Where `source` is a URL.
pub fn refuse_url(source: &Path) -> Result<(), UrlError> {
    let text = source.to_string_lossy();
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    match text.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => Err(UrlError { url: text.into_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["http://h/a.raw", "HTTPS://h", "nbd+unix:///x?socket=s", "file:///etc/passwd"] {
            let error = refuse_url(Path::new(url)).unwrap_err().to_string();
            assert!(error.starts_with(url) && error.contains("storage that every node sees"), "{error}");
        }
        for path in ["/srv/a.raw", "a.raw", "/srv/http://x", "://x", "1a://x", "json:{}"] {
            assert!(refuse_url(Path::new(path)).is_ok(), "{path}");
        }
    }
}
