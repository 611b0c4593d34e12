//! The pages of a program: one for itself, and one for each of its verbs.

use super::{Notes, Page, sections};
use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

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
    let text = sections::joined(&[
        sections::title(&name, program.section, program.version),
        rendered(&Man::new(command.clone()), Man::render_name_section),
        synopsis(command).render(),
        of_clap(command, program),
        sections::render(&notes(&name)).render(),
    ]);
    Page { file: format!("{name}.{}", program.section), text }
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

type Section = fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>;

/// What the command line itself says, with words between backticks bold. Where a program has verbs, clap calls them
/// subcommands; people do not.
fn of_clap(command: &Command, program: Program) -> String {
    let man = Man::new(command.clone().subcommand_help_heading("COMMANDS")).section(program.section);
    let mut parts: Vec<Section> = vec![Man::render_description_section];
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        parts.push(Man::render_options_section);
    }
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        parts.push(Man::render_subcommands_section);
    }
    let parts: Vec<String> = parts.iter().map(|part| rendered(&man, *part)).collect();
    // What clap_mangen puts between an option and its values, and behind the name of a variable.
    let text = sections::joined(&parts).replace(".br\n\n.br\n", ".sp\n").replace(" \n", "\n");
    sections::bold_words(&text)
}

/// With its own options; those that all verbs have, as `--identity`, are in the synopsis of the program alone.
fn synopsis(command: &Command) -> Roff {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    let is_program = !name.contains(' ');
    let shown = |option: &&Arg| {
        let is_help = matches!(
            option.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        !option.is_positional()
            && !option.is_hide_set()
            && !is_help
            && (is_program || !option.is_global_set())
    };
    command.get_arguments().filter(shown).for_each(|option| line.extend(of_option(option)));
    for argument in command.get_positionals().filter(|argument| !argument.is_hide_set()) {
        let (open, close) = brackets(argument);
        line.extend([roman(format!(" {open}")), italic(values(argument)), roman(close)]);
    }
    if command.has_subcommands() {
        let (open, close) = if command.is_subcommand_required_set() { ("", "") } else { ("[", "]") };
        line.extend([roman(format!(" {open}")), italic("COMMAND"), roman(close)]);
    }
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]).text(line);
    page
}

fn of_option(option: &Arg) -> Vec<Inline> {
    let (open, close) = brackets(option);
    let long = format!("--{}", option.get_long().unwrap_or_default());
    let mut inlines = vec![roman(format!(" {open}")), bold(long)];
    if option.get_num_args().is_some_and(|values| values.takes_values()) {
        inlines.extend([roman(" "), italic(values(option))]);
    }
    inlines.push(roman(close));
    inlines
}

fn brackets(argument: &Arg) -> (&'static str, &'static str) {
    if argument.is_required_set() { ("", "") } else { ("[", "]") }
}

fn values(argument: &Arg) -> String {
    argument.get_value_names().unwrap_or_default().join(" ")
}

/// Writing to memory does not fail.
fn rendered(man: &Man, section: Section) -> String {
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
        let period = Arg::new("for").long("for").value_name("TIME").help("How long `join` may wait");
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
        let name = Arg::new("name").value_name("NAME").required(true).help("Its name");
        let invite = Command::new("invite").about("Invite one").args([name, period, json]);
        let place = Arg::new("socket").long("socket").global(true).value_name("PATH").help("Where");
        Command::new("stash")
            .about("Keeps things")
            .arg(place)
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
        assert!(pages[0].text.contains("stash\\-node(1)\n"), "{}", pages[0].text);
        assert!(
            pages[0].text.contains("[\\fB\\-\\-socket\\fR \\fIPATH\\fR] [\\fICOMMAND\\fR]\n"),
            "{}",
            pages[0].text
        );
    }

    #[test]
    fn a_page_has_its_title_once_and_the_notes_that_belong_to_it() {
        let notes = |name: &str| Notes { see_also: vec![format!("of-{name}(1)")], ..Notes::default() };
        let page = &program_pages(command(), PROGRAM, &notes)[2];
        assert!(
            page.text.contains("\n.TH \"STASH-NODE-INVITE\" 1 \"\" \"bootstash 0.1.0\" \"bootstash\"\n"),
            "{}",
            page.text
        );
        assert_eq!(page.text.matches(".ds Aq \\(aq").count(), 1, "{}", page.text);
        let synopsis = ".SH SYNOPSIS\n\\fBstash node invite\\fR [\\fB\\-\\-for\\fR \\fITIME\\fR] [\\fB\\-\\-json\\fR] \\fINAME\\fR\n";
        assert!(page.text.contains(synopsis), "{}", page.text);
        assert!(page.text.contains("How long \\fBjoin\\fR may wait\n"), "{}", page.text);
        assert!(page.text.ends_with("\\fBof\\-stash\\-node\\-invite\\fR(1)\n"), "{}", page.text);
    }
}
