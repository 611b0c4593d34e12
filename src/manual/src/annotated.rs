//! Reading an annotated example: comments, and the settings and tables that they stand above. Promises that each
//! setting is found, whether it is commented out or not, with all of its comment.

/// A part of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A comment that stands by itself.
    Text(Vec<Comment>),
    /// `[name]`, and what is said of it.
    Table { name: String, comment: Vec<Comment> },
    /// `key = value`, and what is said of it.
    Setting { key: String, value: String, comment: Vec<Comment> },
}

/// A piece of a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comment {
    /// Lines that flow.
    Prose(String),
    /// A line that was indented, and stays as it is.
    Verbatim(String),
}

/// The parts of an example, which empty lines set apart.
pub(super) fn parts(example: &str) -> Vec<Part> {
    let lines: Vec<&str> = example.lines().map(str::trim_end).collect();
    let blocks = lines.split(|line| line.is_empty()).filter(|block| !block.is_empty());
    blocks.map(part).collect()
}

fn part(block: &[&str]) -> Part {
    let Some((last, above)) = block.split_last() else { return Part::Text(Vec::new()) };
    if let Some(name) = last.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Part::Table { name: name.to_owned(), comment: comment(above) };
    }
    match setting(last) {
        Some((key, value)) => Part::Setting { key, value, comment: comment(above) },
        None => Part::Text(comment(block)),
    }
}

fn setting(line: &str) -> Option<(String, String)> {
    let (key, value) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_key.then(|| (key.to_owned(), value.to_owned()))
}

fn comment(lines: &[&str]) -> Vec<Comment> {
    let mut pieces: Vec<Comment> = Vec::new();
    for line in lines {
        let text = line.trim_start_matches('#');
        match (text.strip_prefix("  "), pieces.last_mut()) {
            (Some(_), _) => pieces.push(Comment::Verbatim(text.trim_start().to_owned())),
            (None, Some(Comment::Prose(prose))) => {
                prose.push(' ');
                prose.push_str(text.trim());
            }
            (None, _) => pieces.push(Comment::Prose(text.trim().to_owned())),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(text: &str) -> Comment {
        Comment::Prose(text.to_owned())
    }

    #[test]
    fn settings_are_found_with_their_comments_commented_out_or_not() {
        let example = "# What it is.\n# Of two lines.\n\n# Where.\ndataset = \"a\"\n\n# How\n# long.\n# window = \"7d\"\n\n\
                       # Peers.\n[peers]\n\n# Of:\n#   a  one\n#   b  two\n# All of them.\n# profiles = [\"a\"]\n";
        let setting = |key: &str, value: &str, comment| Part::Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            comment,
        };
        let listed = vec![
            prose("Of:"),
            Comment::Verbatim("a  one".to_owned()),
            Comment::Verbatim("b  two".to_owned()),
            prose("All of them."),
        ];
        assert_eq!(
            parts(example),
            [
                Part::Text(vec![prose("What it is. Of two lines.")]),
                setting("dataset", "\"a\"", vec![prose("Where.")]),
                setting("window", "\"7d\"", vec![prose("How long.")]),
                Part::Table { name: "peers".to_owned(), comment: vec![prose("Peers.")] },
                setting("profiles", "[\"a\"]", listed),
            ]
        );
    }

    #[test]
    fn a_sentence_with_a_sign_of_equality_is_no_setting() {
        assert_eq!(parts("# Note that a = b.\n"), [Part::Text(vec![prose("Note that a = b.")])]);
    }
}
