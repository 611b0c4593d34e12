//! An image that a confined tool may read, although its file is closed to it.
//!
//! Promises: the tool gets bytes, through a socket in its [`Place`], and no file; it opens nothing that the
//! bytes name. What they are is not looked at here.

use super::QemuFailure;
use super::find::Programs;
use super::place::Place;
use super::run::{self, Finished, Limits};
use bootstash_disk::ImageFormat;
use bootstash_disk::nbd::{BlockSource, Export};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io;
use std::sync::Arc;

/// Files served to one tool.
#[derive(Debug)]
pub(super) struct Served {
    _exports: Vec<Export>,
    place: Place,
}

impl Served {
    /// Serves each file, all of it, under its name.
    pub(super) fn start<const N: usize>(files: [(&str, Arc<dyn BlockSource>); N]) -> io::Result<Self> {
        Self::start_in(Place::create_in(&std::env::temp_dir())?, files)
    }

    /// The same in a place that exists.
    pub(super) fn start_in<const N: usize>(
        place: Place,
        files: [(&str, Arc<dyn BlockSource>); N],
    ) -> io::Result<Self> {
        let exports = files.map(|(name, bytes)| Ok(Export::serve(place.listen(name)?, bytes)));
        Ok(Self { _exports: exports.into_iter().collect::<io::Result<_>>()?, place })
    }

    /// Runs `qemu-img` with `args`; it finds the files under their names.
    pub(super) async fn qemu_img(
        &self,
        programs: &Programs,
        args: &[OsString],
        limits: Limits,
    ) -> Result<Finished, QemuFailure> {
        run::qemu_img_in(&self.place, programs, args, limits).await
    }

    /// Where it runs.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// How a tool is told to open what is served under `name`: in this format, and nothing it names but `backing`.
pub(super) fn node(name: &str, format: ImageFormat, backing: &Value) -> Value {
    let bytes = json!({ "driver": "nbd", "server": { "type": "unix", "path": name } });
    match format {
        ImageFormat::Raw => json!({ "driver": "raw", "file": bytes }),
        ImageFormat::Qcow2 => json!({ "driver": "qcow2", "backing": backing, "file": bytes }),
        ImageFormat::Vmdk => json!({ "driver": "vmdk", "backing": null, "file": bytes }),
        ImageFormat::Vdi | ImageFormat::Vhdx | ImageFormat::Vpc => {
            json!({ "driver": format.as_str(), "file": bytes })
        }
    }
}

/// The node as an argument.
pub(super) fn argument(node: &Value) -> String {
    format!("json:{node}")
}
