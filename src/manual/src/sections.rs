//! The sections of a page that neither a command line nor an example has: files, exit status, examples, other pages.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// What roff begins each of its texts with; once is enough for a page.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// A command as one would type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// What it is good for, as a sentence that ends with a colon; empty where the one before said it.
    pub what: &'static str,
    /// The line, without a prompt.
    pub command: &'static str,
}

/// The title, as man(7) wants it, with no date: the same program gives the same page. Written here, as roff leaves out an
/// argument that is empty. Words are neither hyphenated nor stretched, as many are names and paths.
pub(super) fn title(name: &str, section: &str, version: &str) -> String {
    let name = name.to_uppercase();
    format!(".TH \"{name}\" {section} \"\" \"bootstash {version}\" \"bootstash\"\n.nh\n.ad l\n")
}

/// What there is to say of a program or verb besides its options.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Files, and what is in them.
    pub files: Vec<(&'static str, &'static str)>,
    /// Exit statuses, and what each means.
    pub exit_status: Vec<(&'static str, &'static str)>,
    /// Examples.
    pub examples: Vec<Example>,
    /// Other pages, as `bootstash(1)`.
    pub see_also: Vec<String>,
}

/// All sections of `notes` that are not empty.
pub(super) fn render(notes: &Notes) -> Roff {
    let mut page = Roff::new();
    definitions(&mut page, "EXIT STATUS", &notes.exit_status);
    definitions(&mut page, "FILES", &notes.files);
    examples(&mut page, &notes.examples);
    see_also(&mut page, &notes.see_also);
    page
}

fn definitions(page: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    if !entries.is_empty() {
        page.control("SH", [heading]);
    }
    for (term, meaning) in entries {
        page.control("TP", []).text([bold(*term)]).text(prose(meaning));
    }
}

fn examples(page: &mut Roff, examples: &[Example]) {
    if !examples.is_empty() {
        page.control("SH", ["EXAMPLES"]);
    }
    for (number, example) in examples.iter().enumerate() {
        if number > 0 {
            page.control("PP", []);
        }
        if !example.what.is_empty() {
            page.text(prose(example.what));
        }
        page.control("RS", ["4"]).control("nf", []).text([bold(example.command)]);
        page.control("fi", []).control("RE", []);
    }
}

/// In one line, so that the last has no comma after it.
fn see_also(page: &mut Roff, others: &[String]) {
    if others.is_empty() {
        return;
    }
    let mut line: Vec<Inline> = Vec::new();
    for other in others {
        let (name, section) = other.split_at(other.find('(').unwrap_or(other.len()));
        let comma = if line.is_empty() { "" } else { ", " };
        line.extend([roman(comma), bold(name), roman(section)]);
    }
    page.control("SH", ["SEE ALSO"]).text(line);
}

/// A sentence in which what stands between backticks is bold.
pub(super) fn prose(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

/// The same in what is written already.
pub(super) fn bold_words(page: &str) -> String {
    let parts = page.split('`').enumerate();
    let marked = parts.map(|(at, part)| match at {
        0 => part.to_owned(),
        at if at % 2 == 1 => format!("\\fB{part}"),
        _ => format!("\\fR{part}"),
    });
    marked.collect()
}

/// One page out of parts that each have the preamble.
pub(super) fn joined(parts: &[String]) -> String {
    let parts = parts.iter().map(|part| part.strip_prefix(PREAMBLE).unwrap_or(part));
    format!("{PREAMBLE}{}", parts.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_in_the_order_that_man_pages_have_and_only_where_there_is_something() {
        let notes = Notes {
            files: vec![("/etc/x", "read by `x`, at start")],
            exit_status: vec![("0", "It was done.")],
            examples: ["Do it:", ""].map(|what| Example { what, command: "x 'a'" }).to_vec(),
            see_also: vec!["x(1)".to_owned(), "y.toml(5)".to_owned()],
        };
        let text = render(&notes).render();
        let at = |heading: &str| text.find(heading).unwrap_or_else(|| panic!("no {heading} in {text}"));
        assert!(at("EXIT STATUS") < at("FILES") && at("FILES") < at("EXAMPLES"), "{text}");
        assert!(text.contains("read by \\fBx\\fR, at start\n"), "{text}");
        assert!(text.contains(".SH EXAMPLES\nDo it:\n.RS 4\n"), "{text}");
        assert!(text.contains(".RE\n.PP\n.RS 4\n.nf\n"), "no empty line: {text}");
        assert!(text.ends_with("\\fBx\\fR(1), \\fBy.toml\\fR(5)\n"), "{text}");
        assert_eq!(joined(&[render(&Notes::default()).render()]), PREAMBLE);
    }
}
