//! The pages of a program: one for itself, and one for each of its verbs.

use super::{Notes, Page, sections};
use clap::Command;
use clap_mangen::Man;

/// What a program's pages share.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// `1` for commands, `8` for daemons.
    pub section: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// The pages of a command line. `notes` tells what there is to say of a page besides, by its name as
/// `bootstash-node-invite`.
pub fn program_pages(command: Command, program: Program, notes: &dyn Fn(&str) -> Notes) -> Vec<Page> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, program, notes, &mut pages);
    pages
}

fn add(command: &Command, program: Program, notes: &dyn Fn(&str) -> Notes, pages: &mut Vec<Page>) {
    pages.push(page(command, program, notes));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        add(verb, program, notes, pages);
    }
}

fn page(command: &Command, program: Program, notes: &dyn Fn(&str) -> Notes) -> Page {
    let name = name(command);
    let man = Man::new(with_commands(command))
        .title(name.to_uppercase())
        .section(program.section)
        .source(format!("bootstash {}", program.version))
        .manual("bootstash");
    let text = sections::joined(&[of_clap(&man, command), sections::render(&notes(&name)).render()]);
    Page { file: format!("{name}.{}", program.section), text }
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// Where a program has verbs, clap calls them subcommands; people do not.
fn with_commands(command: &Command) -> Command {
    command.clone().subcommand_help_heading("COMMANDS")
}

/// What the command line itself says. Writing to memory does not fail.
fn of_clap(man: &Man, command: &Command) -> String {
    type Section = fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>;
    let mut parts: Vec<Section> =
        vec![Man::render_title, Man::render_name_section, Man::render_synopsis_section];
    parts.push(Man::render_description_section);
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        parts.push(Man::render_options_section);
    }
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        parts.push(Man::render_subcommands_section);
    }
    let parts: Vec<String> = parts.iter().map(|part| rendered(man, *part)).collect();
    sections::joined(&parts)
}

fn rendered(man: &Man, section: fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    section(man, &mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    const PROGRAM: Program = Program { section: "1", version: "0.1.0" };

    fn command() -> Command {
        let invite = Command::new("invite").about("Invite one").arg(Arg::new("name").help("Its name"));
        Command::new("stash")
            .about("Keeps things")
            .subcommand(Command::new("node").about("Nodes").subcommand(invite))
            .subcommand(Command::new("secret").hide(true).about("Not to be seen"))
    }

    #[test]
    fn each_verb_has_a_page_and_what_is_hidden_has_none() {
        let pages = program_pages(command(), PROGRAM, &|_| Notes::default());
        let files: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(files, ["stash.1", "stash-node.1", "stash-node-invite.1"]);
        assert!(pages.iter().all(|page| !page.text.contains("secret")), "{pages:?}");
        assert!(pages[0].text.contains(".SH COMMANDS\n"), "{}", pages[0].text);
    }

    #[test]
    fn a_page_has_its_title_once_and_the_notes_that_belong_to_it() {
        let notes = |name: &str| Notes { see_also: vec![format!("of-{name}(1)")], ..Notes::default() };
        let page = &program_pages(command(), PROGRAM, &notes)[2];
        assert!(page.text.contains("\n.TH STASH-NODE-INVITE 1 "), "{}", page.text);
        assert_eq!(page.text.matches(".ds Aq \\(aq").count(), 1, "{}", page.text);
        assert!(page.text.contains("\\fBstash node invite\\fR"), "{}", page.text);
        assert!(page.text.ends_with("\\fBof\\-stash\\-node\\-invite\\fR(1)\n"), "{}", page.text);
    }
}
