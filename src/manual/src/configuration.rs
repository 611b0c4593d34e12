//! The page of a configuration file, from its annotated example.

use super::annotated::{Comment, Part, parts};
use super::{Notes, Page, sections};
use clap_mangen::roff::{Roff, bold, roman};

/// A configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// What its page is called: `bootstash-agent.toml`.
    pub name: &'static str,
    /// What it is, as a few words that follow its name and a dash.
    pub about: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// The version of the program that reads it.
    pub version: &'static str,
    /// The annotated example itself.
    pub example: &'static str,
}

/// The page of a configuration file.
pub fn configuration_page(file: &Configuration, notes: &Notes) -> Page {
    let mut page = Roff::new();
    page.control("SH", ["NAME"]).text([roman(format!("{} - {}", file.name, file.about))]);
    page.control("SH", ["SYNOPSIS"]).text([bold(file.path)]);
    page.control("SH", ["DESCRIPTION"]);
    let parts = parts(file.example);
    let described = parts.iter().take_while(|part| matches!(part, Part::Text(_))).count();
    parts[..described].iter().for_each(|part| add(&mut page, part));
    page.control("SH", ["SETTINGS"]);
    parts[described..].iter().for_each(|part| add(&mut page, part));
    let title = sections::title(file.name, "5", file.version);
    let text = sections::joined(&[title, page.render(), sections::render(notes).render()]);
    Page { file: format!("{}.5", file.name), text }
}

fn add(page: &mut Roff, part: &Part) {
    match part {
        Part::Text(comment) => add_comment(page, comment),
        Part::Table { name, comment } => {
            page.control("SS", [format!("[{name}]").as_str()]);
            add_comment(page, comment);
        }
        Part::Setting { key, value, comment } => {
            page.control("TP", []).text([bold(key), roman(format!(" = {value}"))]);
            add_comment(page, comment);
        }
    }
}

fn add_comment(page: &mut Roff, comment: &[Comment]) {
    let mut verbatim = false;
    for piece in comment {
        let is_verbatim = matches!(piece, Comment::Verbatim(_));
        if is_verbatim != verbatim {
            page.control(if is_verbatim { "nf" } else { "fi" }, []);
            verbatim = is_verbatim;
        }
        match piece {
            Comment::Verbatim(line) => page.text([roman(line)]),
            Comment::Prose(text) => page.text(sections::prose(text)),
        };
    }
    if verbatim {
        page.control("fi", []);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_settings_and_tables_stand_below_their_headings() {
        let file = Configuration {
            name: "x.toml",
            about: "settings of x",
            path: "/etc/x.toml",
            version: "0.1.0",
            example: "# Of x; see `x check`.\n\n# Where.\n# dir = \"/a\"\n\n# More.\n[more]\n\n# Of:\n#   one  1\n# n = 1\n",
        };
        let page = configuration_page(&file, &Notes::default());
        assert_eq!(page.file, "x.toml.5");
        for expected in [
            ".SH DESCRIPTION\nOf x; see \\fBx check\\fR.\n.SH SETTINGS\n",
            ".TP\n\\fBdir\\fR = \"/a\"\nWhere.\n",
            ".SS [more]\nMore.\n",
            "Of:\n.nf\none  1\n.fi\n",
        ] {
            assert!(page.text.contains(expected), "{expected}\n{}", page.text);
        }
    }
}
