//! What the tests start from: a lab whose images are tiny guests, and the daemons in it.

use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::registration::{Registration, register};
use bootstash_tests::lab::run::Finished;
use bootstash_tests::lab::{IMAGES_DIR, Lab, LabPlan};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Tiny guests need no long quiet time; probing for KVM would cost more than it gives.
const QUICK_CAPTURE: &str = r#"
[capture]
publish_early = false
accelerator = "tcg"
quiet = "1s"
quiet_without_signal = "3s"
boot_timeout = "20s"
memory_mib = 64
"#;

/// A lab and its directory of images.
pub(crate) struct Setting {
    pub(crate) lab: Lab,
    images: TempDir,
}

impl Setting {
    /// A lab with all daemons running.
    pub(crate) fn new(nodes: usize) -> Self {
        let setting = Self::without_daemons(nodes, |plan| plan);
        setting.lab.start_daemons().unwrap();
        setting
    }

    /// A lab in which no daemon runs yet.
    pub(crate) fn without_daemons(nodes: usize, change: impl FnOnce(LabPlan) -> LabPlan) -> Self {
        let images = tempfile::tempdir().unwrap();
        fs::set_permissions(images.path(), Permissions::from_mode(0o755)).unwrap();
        let plan = LabPlan::new(nodes).images_dir(images.path()).registrar(QUICK_CAPTURE).unwrap();
        Self { lab: Lab::build(&change(plan)).unwrap(), images }
    }

    /// A file among the images, from outside the lab.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.images.path().join(name)
    }

    /// Adds an image, and gives its path as hosts see it.
    pub(crate) fn add(&self, file: &str, guest: &TinyGuest) -> PathBuf {
        guest.write(&self.file(file)).unwrap();
        inside(file)
    }

    /// Adds a tiny guest that boots and registers it.
    pub(crate) fn register(&self, name: &str, seed: u64) -> Registration {
        let source = self.add(&format!("{name}.raw"), &TinyGuest::booting(seed));
        register(self.lab.storage(), name, &source, |_| ()).unwrap()
    }

    /// Tries to register.
    pub(crate) fn try_register(&self, name: &str, source: &Path) -> Finished {
        let call = self.lab.storage().command("bootstash", ["register", name]).args([source]);
        call.finish().unwrap()
    }

    /// Nothing is registered, no registration is under way, and none has left a file or snapshot.
    pub(crate) fn assert_untouched(&self) {
        let status = self.lab.storage().registrar_status().unwrap();
        assert_eq!((status.images, status.snapshots, status.jobs), (0, 0, 0), "{status:?}");
        let left = self.lab.storage().command("find", ["/var/lib/bootstash/registrar", "-name", "*.qcow2*"]);
        assert_eq!(left.output().unwrap(), "");
    }
}

/// An image's path as hosts see it.
pub(crate) fn inside(file: &str) -> PathBuf {
    Path::new(IMAGES_DIR).join(file)
}

/// Asserts that `text` holds each of `parts`.
#[track_caller]
pub(crate) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "it should say {part:?}: {text}");
    }
}
