//! `config check`.

use super::cli::ConfigCheckArgs;
use super::failure::CommandError;
use super::output;
use bootstash_daemon::config::{ConfigFile, load_any};

/// Says whether a daemon would accept the file.
pub(super) fn check(args: &ConfigCheckArgs) -> Result<(), CommandError> {
    let whose = match load_any(&args.file, args.kind)? {
        ConfigFile::Registrar(_) => "registrar",
        ConfigFile::Agent(_) => "agent",
    };
    output::line(&format!("{}: valid {whose} configuration", args.file.display()))
}
