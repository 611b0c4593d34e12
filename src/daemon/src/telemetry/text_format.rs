//! Which of Prometheus' two text formats a scraper gets: OpenMetrics 1.0 where it asks for it, as Prometheus does;
//! else the older 0.0.4, which curl, promtool and agents of other systems read.

use std::collections::HashSet;

/// The answer to a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Plain,
}

impl TextFormat {
    /// What the header `Accept` asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Plain,
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// OpenMetrics in this format.
    pub(super) fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Plain => plain(&open_metrics),
        }
    }
}

/// The same in 0.0.4, where a family is named as its samples are: a counter's with `_total`.
fn plain(open_metrics: &str) -> String {
    let counter = |line| {
        Comment::of(line).filter(|it| (it.keyword, it.text) == ("TYPE", "counter")).map(|it| it.family)
    };
    let counters: HashSet<&str> = open_metrics.lines().filter_map(counter).collect();
    open_metrics
        .lines()
        .filter_map(|line| plain_line(line, &counters))
        .fold(String::new(), |text, line| text + &line + "\n")
}

/// None where 0.0.4 has no such line.
fn plain_line(line: &str, counters: &HashSet<&str>) -> Option<String> {
    let Some(Comment { keyword, family, text }) = Comment::of(line) else { return Some(line.to_owned()) };
    let total = if counters.contains(family) { "_total" } else { "" };
    match (keyword, text) {
        ("UNIT" | "EOF", _) => None,
        ("TYPE", "unknown") => Some(format!("# TYPE {family} untyped")),
        _ => Some(format!("# {keyword} {family}{total} {text}")),
    }
}

/// A line that tells of a family.
struct Comment<'a> {
    keyword: &'a str,
    family: &'a str,
    text: &'a str,
}

impl<'a> Comment<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut words = line.strip_prefix("# ")?.splitn(3, ' ');
        let keyword = words.next()?;
        Some(Self {
            keyword,
            family: words.next().unwrap_or_default(),
            text: words.next().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "# HELP up Whether.\n# TYPE up gauge\nup 1\n# HELP sent_bytes Sent it.\n# TYPE sent_bytes counter\n\
                        # UNIT sent_bytes bytes\nsent_bytes_total{to=\"a # b\"} 7\n# EOF\n";

    #[test]
    fn whoever_asks_for_open_metrics_gets_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(TextFormat::accepted(Some(prometheus)), TextFormat::OpenMetrics);
        for other in [None, Some("*/*"), Some("text/plain")] {
            assert_eq!(TextFormat::accepted(other), TextFormat::Plain);
        }
        assert_eq!(TextFormat::OpenMetrics.of(OPEN.to_owned()), OPEN);
    }

    #[test]
    fn counters_are_typed_by_the_name_of_their_samples() {
        assert_eq!(
            TextFormat::Plain.of(OPEN.to_owned()),
            "# HELP up Whether.\n# TYPE up gauge\nup 1\n# HELP sent_bytes_total Sent it.\n# TYPE sent_bytes_total counter\n\
             sent_bytes_total{to=\"a # b\"} 7\n"
        );
    }
}
