//! What was measured: as a file while it is measured, and as a table at the end.

use crate::captured::{CaptureRecord, CapturedImage, directory};
use crate::warm::WarmBoot;
use bootstash_qemu::HardwareProfile;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All boots of one image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    image: String,
    capture: CaptureRecord,
    boots: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    profile: HardwareProfile,
    #[serde(flatten)]
    boot: WarmBoot,
}

impl Results {
    /// None yet.
    pub(crate) fn begin(name: &str, image: &CapturedImage) -> Self {
        let results = Self { image: name.to_owned(), capture: image.record.clone(), boots: Vec::new() };
        for (number, boot) in (1..).zip(&results.capture.boots) {
            println!(
                "{name}: capture boot {number} on {}: {:.0} s, {} clusters, {} new",
                boot.profile.as_deref().unwrap_or("-"),
                boot.seconds,
                boot.base_bytes >> 16,
                boot.new_clusters
            );
        }
        results.write();
        results
    }

    /// One more.
    pub(crate) fn add(&mut self, profile: HardwareProfile, boot: WarmBoot) {
        self.boots.push(Row { profile, boot });
        self.write();
        println!("{}", self.line(self.boots.len() - 1));
    }

    /// For people, in the form of docs/images.md.
    pub(crate) fn table(&self) -> String {
        let head = "| image | profile | boot | up after | read of its disk | read of the base |\n|---|---|---|---|---|---|";
        let lines = (0..self.boots.len()).map(|at| self.line(at));
        std::iter::once(head.to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
    }

    fn line(&self, at: usize) -> String {
        let Row { profile, boot } = &self.boots[at];
        let number = self.boots[..=at].iter().filter(|row| row.profile == *profile).count();
        let up = if boot.up { format!("{:.0} s", boot.seconds) } else { "never".to_owned() };
        let (disk_mib, base_bytes) = (boot.disk_bytes as f64 / f64::from(1 << 20), boot.base_bytes);
        format!("| {} | {profile} | {number} | {up} | {disk_mib:.1} MiB | {base_bytes} bytes |", self.image)
    }

    /// What was not as promised.
    pub(crate) fn failures(&self) -> Vec<String> {
        let kept = |row: &&Row| row.boot.up && row.boot.base_bytes == 0;
        let failed = self.boots.iter().filter(|row| !kept(row));
        failed
            .map(|Row { profile, boot }| {
                let WarmBoot { up, base_bytes, clusters, console, .. } = boot;
                format!(
                    "{profile}: up {up}, {base_bytes} bytes of the base, clusters {clusters:?} {console:?}"
                )
            })
            .collect()
    }

    fn write(&self) {
        let path: PathBuf = directory().join(format!("{}.json", self.image));
        std::fs::write(path, serde_json::to_vec_pretty(self).unwrap()).unwrap();
    }
}
