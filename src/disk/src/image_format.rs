//! Formats of disk images that are taken as a base.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Format of an image's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// VMware's, in one file.
    Vmdk,
    /// VirtualBox's.
    Vdi,
    /// Hyper-V's.
    Vhdx,
    /// Virtual PC's, also called VHD.
    Vpc,
}

impl ImageFormat {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vdi, Self::Vhdx, Self::Vpc];

    /// As QEMU spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhdx => "vhdx",
            Self::Vpc => "vpc",
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ImageFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let named = |format: &Self| format.as_str() == text || (*format == Self::Vpc && text == "vhd");
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            format!("{text:?} is no format bootstash takes: use raw, qcow2, vmdk, vdi, vhdx or vpc (vhd)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_named_as_qemu_does() {
        for format in ImageFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        }
        assert_eq!("vhd".parse(), Ok(ImageFormat::Vpc));
        assert!("qcow".parse::<ImageFormat>().unwrap_err().contains("use raw, qcow2, vmdk"));
    }
}
