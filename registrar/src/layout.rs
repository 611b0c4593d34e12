//! Where the registrar keeps things: paths below its state directory, file systems below its data set.

use crate::job::JobId;
use bootstash_base::files;
use bootstash_base::names::{DatasetName, NameError};
use bootstash_daemon::config::RegistrarConfig;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// All places, derived from the configuration once.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The parent file system, which hands its properties down.
    pub root: DatasetName,
    /// The volume.
    pub volume: DatasetName,
    /// Where the volume is mounted.
    pub mountpoint: PathBuf,
    /// Delta files.
    pub deltas: PathBuf,
    /// Job records.
    pub jobs: PathBuf,
    /// What is known of the nodes.
    pub nodes_file: PathBuf,
    work: PathBuf,
    state: PathBuf,
}

impl Layout {
    /// The places of a registrar configured so.
    ///
    /// # Errors
    /// When the data set's name leaves no room for a child.
    pub fn new(config: &RegistrarConfig) -> Result<Self, NameError> {
        let state = &config.state_dir;
        Ok(Self {
            root: config.dataset.clone(),
            volume: config.dataset.child("volume")?,
            mountpoint: state.join("volume"),
            deltas: state.join("deltas"),
            jobs: state.join("jobs"),
            nodes_file: state.join("nodes.json"),
            work: state.join("work"),
            state: state.clone(),
        })
    }

    /// Makes the directories that are missing, and closes all of them to others: a guest that got out of its
    /// machine has nothing to look at here.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make_dirs(&self) -> std::io::Result<()> {
        [&self.deltas, &self.jobs, &self.work].into_iter().try_for_each(std::fs::create_dir_all)?;
        std::fs::set_permissions(&self.state, Permissions::from_mode(0o700))
    }

    /// Removes what a crash left unfinished of the files that hold what is known.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sweep_files(&self) -> std::io::Result<()> {
        files::sweep_files(&self.jobs)?;
        self.nodes_file.parent().map_or(Ok(0), files::sweep_files).map(drop)
    }

    /// Scratch space of all jobs.
    pub fn work(&self) -> &PathBuf {
        &self.work
    }

    /// Scratch space of one job.
    pub fn job_dir(&self, job: JobId) -> PathBuf {
        self.work.join(job.to_string())
    }

    /// The cache that a job has captured.
    pub fn captured_cache(&self, job: JobId) -> PathBuf {
        self.job_dir(job).join(bootstash_delta::catalog::CACHE_FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_keeps_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let config = format!("dataset = \"tank/b\"\nstate_dir = \"{}\"\n", state.display());
        let config: RegistrarConfig = toml::from_str(&config).unwrap();
        let layout = Layout::new(&config).unwrap();
        layout.make_dirs().unwrap();
        assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        // One that an earlier version left open, too.
        std::fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        layout.make_dirs().unwrap();
        assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
