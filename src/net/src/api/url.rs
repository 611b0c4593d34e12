//! Where a registrar is.

use reqwest::Url;

/// What is wrong with a registrar's URL, to be put behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this {0}; write the registrar as https://HOST:7430")]
pub struct UrlProblem(pub String);

/// `https://host:port`, as it is written from now on.
///
/// # Errors
/// Where it is something else, or more.
pub fn registrar_url(text: &str) -> Result<String, UrlProblem> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(UrlProblem("has blanks in it".to_owned()));
    }
    let url = Url::parse(text).map_err(|error| UrlProblem(format!("is no URL ({error})")))?;
    if url.scheme() != "https" {
        return Err(UrlProblem("does not begin with https://, all that the registrar speaks".to_owned()));
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return Err(UrlProblem("has more than a host and a port".to_owned()));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
