//! The scripts that tell shells to ask this program.

use crate::failure::CommandError;
use clap_complete::env::Shells;
use std::path::Path;

/// A shell, and how it names the file with a command's completion.
const FILES: [(&str, &str); 3] = [("bash", "bootstash"), ("zsh", "_bootstash"), ("fish", "bootstash.fish")];

/// zsh runs the file as a function when it is first needed; what it defines has to answer then, too.
const ZSH_AUTOLOADED: &[u8] =
    b"if [[ $funcstack[1] == _bootstash ]]; then _clap_dynamic_completer_bootstash \"$@\"; fi\n";

/// Writes one script a shell, each into a directory named after the shell.
pub(crate) fn write_scripts(directory: &Path) -> Result<(), CommandError> {
    FILES.iter().try_for_each(|(shell, file)| {
        let path = directory.join(shell).join(file);
        let write = || {
            std::fs::create_dir_all(directory.join(shell))?;
            std::fs::write(&path, script(shell)?)
        };
        write().map_err(|source| CommandError::File { path: path.clone(), source })
    })
}

/// What one would have by `COMPLETE=bash bootstash`, for the program in the search path.
fn script(shell: &str) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(shell) else { return Err(std::io::ErrorKind::Unsupported.into()) };
    completer.write_registration("COMPLETE", "bootstash", "bootstash", "bootstash", &mut script)?;
    if shell == "zsh" {
        script.extend_from_slice(ZSH_AUTOLOADED);
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_finds_its_script_where_it_looks() {
        let dir = tempfile::tempdir().unwrap();
        write_scripts(dir.path()).unwrap();
        for (shell, file) in FILES {
            let script = std::fs::read_to_string(dir.path().join(shell).join(file)).unwrap();
            assert!(script.contains("COMPLETE") && script.contains("bootstash"), "{script}");
        }
        let zsh = std::fs::read_to_string(dir.path().join("zsh/_bootstash")).unwrap();
        assert!(zsh.starts_with("#compdef bootstash\n"), "{zsh}");
        assert_eq!(zsh.matches("function _clap_dynamic_completer_bootstash()").count(), 1, "{zsh}");
    }
}
