//! Man pages, from what the programs and the configuration files already say: [`program`] makes those of a command
//! line, [`configuration`] that of an annotated example.
//!
//! Promises: all is pure but [`write`]; what is hidden on the command line is in no page; the same input gives the same
//! bytes.

mod annotated;
mod configuration;
mod program;
mod sections;

pub use configuration::{Configuration, configuration_page};
pub use program::{Program, program_pages};
pub use sections::{Example, Notes};

use std::path::{Path, PathBuf};

/// One page, to be written to a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `bootstash-images.1`
    pub file: String,
    /// In the language of man(7).
    pub text: String,
}

/// A page was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", .path.display())]
pub struct WriteError {
    path: PathBuf,
    source: std::io::Error,
}

/// Writes pages into a directory, which is made where it is missing.
///
/// # Errors
/// Names the file or directory that could not be written.
pub fn write(directory: &Path, pages: &[Page]) -> Result<(), WriteError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| WriteError { path, source }
    };
    std::fs::create_dir_all(directory).map_err(failed(directory))?;
    pages.iter().try_for_each(|page| {
        let path = directory.join(&page.file);
        std::fs::write(&path, &page.text).map_err(failed(&path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_each_page_and_names_what_it_could_not_write() {
        let dir = tempfile::tempdir().unwrap();
        let pages = [Page { file: "a.1".to_owned(), text: ".TH A 1\n".to_owned() }];
        write(&dir.path().join("new/man"), &pages).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("new/man/a.1")).unwrap(), ".TH A 1\n");
        let error = write(&dir.path().join("new/man/a.1"), &pages).unwrap_err().to_string();
        assert!(error.ends_with("new/man/a.1"), "{error}");
    }
}
