//! Whether the base of an image is what was registered.

use super::CreateOverlayError;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::BaseReadError;
use std::io;
use std::time::Duration;

/// How long the storage of a base may take to say what it has.
const BASE_DEADLINE: Duration = Duration::from_secs(20);

/// Shared storage can hang; the volume's task does not wait with it.
pub(in crate::volume) async fn check_base_in_time(
    manifest: Manifest,
) -> Result<Manifest, CreateOverlayError> {
    let (image, path) = (manifest.name.clone(), manifest.source.path.clone());
    let check = tokio::task::spawn_blocking(move || check_base(&manifest).map(|()| manifest));
    match tokio::time::timeout(BASE_DEADLINE, check).await {
        Ok(Ok(checked)) => checked,
        late_or_broken => {
            let why = late_or_broken.map_or("its storage does not answer", |_| "looking at it broke off");
            let source = BaseReadError::Io { path, source: io::Error::other(why) };
            Err(CreateOverlayError::Base { image, source })
        }
    }
}

/// Refuses a base that is not what was registered. Looks at it without reading it.
fn check_base(manifest: &Manifest) -> Result<(), CreateOverlayError> {
    let (image, source) = (&manifest.name, &manifest.source);
    let unreadable = |source| CreateOverlayError::Base { image: image.clone(), source };
    if source.identity.matches(&source.path).map_err(unreadable)? {
        return Ok(());
    }
    let change = change_of(manifest).map_err(unreadable)?;
    Err(CreateOverlayError::BaseChanged { image: image.clone(), path: source.path.clone(), change })
}

fn change_of(manifest: &Manifest) -> Result<String, BaseReadError> {
    let source = &manifest.source;
    let now = std::fs::metadata(&source.path)
        .map_err(|error| BaseReadError::Io { path: source.path.clone(), source: error })?
        .len();
    Ok(match source.identity.size_bytes {
        then if then != now => format!("it was {then} bytes long and is {now}"),
        _ => "its modification time is another".to_owned(),
    })
}
