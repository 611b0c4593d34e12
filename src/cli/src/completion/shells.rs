//! The shells that are answered, as clap answers them, but for options: they are offered once a dash was typed. Else
//! names of images would stand among options, and where no daemon tells names a dash would appear by itself.

use clap_complete::env::{Bash, EnvCompleter, Fish, Shells, Zsh};
use std::ffi::OsString;
use std::io::{Error, Write};
use std::path::Path;

/// Those that scripts are written for.
pub(crate) fn shells() -> Shells<'static> {
    Shells(&[&WithoutOptions(Bash), &WithoutOptions(Zsh), &WithoutOptions(Fish)])
}

struct WithoutOptions<S>(S);

impl<S: EnvCompleter> EnvCompleter for WithoutOptions<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn is(&self, name: &str) -> bool {
        self.0.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        program: &str,
        completer: &str,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        self.0.write_registration(variable, name, program, completer, to)
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        let variable = |name| std::env::var(name).ok();
        let index = variable("_CLAP_COMPLETE_INDEX").and_then(|index| index.parse().ok());
        let typed = words.get(index.unwrap_or(words.len().saturating_sub(1)));
        let wants_options = typed.is_some_and(|word| word.to_string_lossy().starts_with('-'));
        let mut offered = Vec::new();
        self.0.write_complete(command, words, directory, &mut offered)?;
        if wants_options {
            return to.write_all(&offered);
        }
        let separator = variable("_CLAP_IFS").unwrap_or_else(|| "\n".to_owned());
        to.write_all(without_options(&String::from_utf8_lossy(&offered), &separator).as_bytes())
    }
}

fn without_options(offered: &str, separator: &str) -> String {
    offered.split(separator).filter(|word| !word.starts_with('-')).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// As fish asks, which sets no variables.
    fn offered(words: &[&str]) -> Vec<String> {
        let mut written = Vec::new();
        let words = words.iter().map(OsString::from).collect();
        let shells = shells();
        let fish = shells.completer("fish").unwrap();
        fish.write_complete(&mut crate::cli::Cli::command(), words, None, &mut written).unwrap();
        let lines = String::from_utf8(written).unwrap();
        lines.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn options_are_offered_once_a_dash_was_typed() {
        assert_eq!(offered(&["bootstash", "top", ""]), Vec::<String>::new());
        assert_eq!(offered(&["bootstash", "top", "--o"]), ["--once"]);
        assert!(offered(&["bootstash", "top", "-"]).contains(&"--interval".to_owned()));
        let verbs = offered(&["bootstash", ""]);
        assert!(verbs.contains(&"register".to_owned()) && !verbs.iter().any(|word| word.starts_with('-')));
    }

    #[test]
    fn other_separators_stay() {
        assert_eq!(without_options("a:b\u{b}--c\u{b}d-e", "\u{b}"), "a:b\u{b}d-e");
        assert_eq!(without_options("--c", "\n"), "");
    }
}
