//! The arguments of `doctor libvirt` and `hook libvirt`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Programs that call.
#[derive(Debug, Subcommand)]
pub(crate) enum HookVerb {
    /// libvirt, from /etc/libvirt/hooks/qemu.d, with a domain's XML on standard input
    Libvirt(LibvirtHookArgs),
}

/// `doctor libvirt`
#[derive(Debug, Args)]
pub(crate) struct DoctorLibvirtArgs {
    /// Where the XML files of the domains are; the hook is looked for beside it, in ../hooks/qemu.d
    #[arg(long, value_name = "DIR", default_value = "/etc/libvirt/qemu")]
    pub(crate) domain_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hook libvirt`, as libvirt calls a hook.
#[derive(Debug, Args)]
pub(crate) struct LibvirtHookArgs {
    /// The domain's name
    #[arg(allow_hyphen_values = true)]
    pub(crate) name: String,
    /// What happens
    pub(crate) operation: String,
    /// Which part of it
    #[arg(allow_hyphen_values = true, default_value = "-")]
    pub(crate) sub_operation: String,
    /// What libvirt says besides
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub(crate) others: Vec<String>,
}
