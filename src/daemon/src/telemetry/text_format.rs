//! Which of Prometheus' two text formats a scraper gets: OpenMetrics 1.0 where it asks for it, as Prometheus does;
//! else the older 0.0.4, which curl, promtool and agents of other systems read.

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
            Self::Plain => open_metrics.lines().filter_map(plain).flat_map(|line| [line, "\n".to_owned()]).collect(),
        }
    }
}

/// A line of 0.0.4; none where that has none. There a family is named as its samples are: a counter's with `_total`.
fn plain(line: &str) -> Option<String> {
    let mut words = line.splitn(4, ' ');
    let (Some("#"), Some(keyword)) = (words.next(), words.next()) else { return Some(line.to_owned()) };
    let (name, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (keyword, rest) {
        ("UNIT" | "EOF", _) => None,
        ("TYPE", "counter") => Some(format!("# TYPE {name}_total counter")),
        ("TYPE", "unknown") => Some(format!("# TYPE {name} untyped")),
        _ => Some(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "# HELP up Whether.\n# TYPE up gauge\nup 1\n# HELP sent_bytes Sent.\n# TYPE sent_bytes counter\n\
                        # UNIT sent_bytes bytes\nsent_bytes_total{to=\"a # b\"} 7\n# EOF\n";

    #[test]
    fn whoever_asks_for_open_metrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
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
            "# HELP up Whether.\n# TYPE up gauge\nup 1\n# HELP sent_bytes Sent.\n# TYPE sent_bytes_total counter\n\
             sent_bytes_total{to=\"a # b\"} 7\n"
        );
    }
}
