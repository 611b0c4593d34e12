//! Who a root file system belongs to: a registrar and an agent on one host must not take each other's over, as one
//! sets it read-only that the other writes to.
//!
//! Promises: another's is left exactly as it is. One that was made before owners were noted is taken over once, by
//! whom its content shows it to belong to.

use crate::{CreateError, Made, NewDataset, ReadError, Role, Zfs};
use bootstash_base::names::{DatasetName, NodeName};
use std::fmt;

/// The user property of a root that says whose it is.
pub const OWNER_PROPERTY: &str = "org.bootstash:owner";

const REGISTRAR: &str = "registrar";
const AGENT: &str = "agent";

/// Whose a root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The registrar's.
    Registrar,
    /// That of the agent of a node.
    Agent(NodeName),
}

impl Owner {
    fn kind(&self) -> &'static str {
        match self {
            Self::Registrar => REGISTRAR,
            Self::Agent(_) => AGENT,
        }
    }
}

/// As [`OWNER_PROPERTY`] has it.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registrar => f.write_str(REGISTRAR),
            Self::Agent(node) => write!(f, "{AGENT}:{node}"),
        }
    }
}

/// Makes the root file system `name` for `owner`, or brings its properties up to date.
///
/// # Errors
/// See [`CreateError`]; another owner's root is one, and is left as it is.
pub async fn make_root(
    zfs: &dyn Zfs,
    name: &DatasetName,
    new: &NewDataset,
    owner: &Owner,
) -> Result<Made, CreateError> {
    if let Some(other) = other_owner(zfs, name, owner).await.map_err(unread)? {
        return Err(CreateError::Owned { name: name.clone(), owner: other, wanted: owner.clone() });
    }
    let made = zfs.create(name, new).await?;
    zfs.claim(name, owner).await?;
    Ok(made)
}

/// Whose it is, if somebody else's.
async fn other_owner(zfs: &dyn Zfs, name: &DatasetName, owner: &Owner) -> Result<Option<String>, ReadError> {
    let Some(found) = zfs.dataset(name).await?.filter(|found| found.role == Some(Role::Root)) else {
        return Ok(None);
    };
    match found.owner {
        Some(noted) => Ok(Some(noted).filter(|noted| *noted != owner.to_string())),
        None => Ok(shown_kind(zfs, name).await?.filter(|kind| *kind != owner.kind()).map(str::to_owned)),
    }
}

/// The kind of owner that the content shows: a registrar's volume is mounted, and only an agent has views.
async fn shown_kind(zfs: &dyn Zfs, root: &DatasetName) -> Result<Option<&'static str>, ReadError> {
    let mut shown = None;
    for child in zfs.children(root).await? {
        let Some(child) = zfs.dataset(&child).await? else { continue };
        match child.role {
            Some(Role::Volume) if child.mountpoint.is_some() => return Ok(Some(REGISTRAR)),
            Some(Role::Views) => shown = Some(AGENT),
            _ => {}
        }
    }
    Ok(shown)
}

fn unread(error: ReadError) -> CreateError {
    let ReadError { name, source } = error;
    CreateError::Unread { name, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeZfs;
    use std::path::PathBuf;

    fn root() -> DatasetName {
        "tank/bootstash".parse().unwrap()
    }

    fn agent(node: &str) -> Owner {
        Owner::Agent(node.parse().unwrap())
    }

    fn new(role: Role, mountpoint: Option<PathBuf>) -> NewDataset {
        NewDataset { role, mountpoint, properties: vec![crate::Property::ReadOnly] }
    }

    async fn make(zfs: &FakeZfs, owner: &Owner) -> Result<Made, CreateError> {
        make_root(zfs, &root(), &new(Role::Root, None), owner).await
    }

    #[tokio::test]
    async fn one_of_another_owner_is_refused_and_left_as_it_is() {
        for (first, second) in
            [(Owner::Registrar, agent("c17")), (agent("c17"), Owner::Registrar), (agent("c17"), agent("c18"))]
        {
            let zfs = FakeZfs::new();
            assert_eq!(make(&zfs, &first).await.unwrap(), Made::Created);
            assert_eq!(make(&zfs, &first).await.unwrap(), Made::Unchanged);
            let writable =
                NewDataset { role: Role::Root, mountpoint: None, properties: vec![crate::Property::Dedup] };
            let text = make_root(&zfs, &root(), &writable, &second).await.unwrap_err().to_string();
            assert!(
                text.contains(&format!("tank/bootstash belongs to {first}, and this is {second}")),
                "{text}"
            );
            assert!(text.contains(&format!("zfs set org.bootstash:owner={second} tank/bootstash")), "{text}");
            assert_eq!(zfs.properties(&root()), [crate::Property::ReadOnly]);
        }
    }

    /// As the version before left them.
    #[tokio::test]
    async fn one_without_an_owner_is_taken_over_once_by_whom_its_content_shows() {
        let dir = tempfile::tempdir().unwrap();
        let volume = root().child("volume").unwrap();
        let mounted = new(Role::Volume, Some(dir.path().join("volume")));
        let views = (root().child("views").unwrap(), new(Role::Views, None));
        for (below, fits, does_not) in [
            (vec![(volume.clone(), mounted.clone())], Owner::Registrar, agent("c17")),
            (vec![(volume.clone(), new(Role::Volume, None)), views.clone()], agent("c17"), Owner::Registrar),
            // An agent was once pointed at a registrar's.
            (vec![(volume.clone(), mounted), views], Owner::Registrar, agent("c17")),
        ] {
            let zfs = FakeZfs::new();
            zfs.create(&root(), &new(Role::Root, None)).await.unwrap();
            for (name, new) in &below {
                zfs.create(name, new).await.unwrap();
            }
            let refused = make(&zfs, &does_not).await;
            assert!(matches!(refused, Err(CreateError::Owned { .. })), "{refused:?}");
            assert_eq!(zfs.dataset(&root()).await.unwrap().unwrap().owner, None);
            assert_eq!(make(&zfs, &fits).await.unwrap(), Made::Unchanged);
            assert_eq!(zfs.dataset(&root()).await.unwrap().unwrap().owner, Some(fits.to_string()));
            assert!(make(&zfs, &does_not).await.is_err());
        }
    }

    #[tokio::test]
    async fn an_empty_one_is_whose_comes_first() {
        let zfs = FakeZfs::new();
        zfs.create(&root(), &new(Role::Root, None)).await.unwrap();
        assert_eq!(make(&zfs, &agent("c17")).await.unwrap(), Made::Unchanged);
        assert!(make(&zfs, &Owner::Registrar).await.is_err());
    }
}
