//! Reading what Prometheus reads, strictly: enough of its text format to find what it would refuse.

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// The samples of one scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// Name and labels as written, and the value.
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// The value of the sample without labels of this name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    /// The names of all samples, labels left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(|key| key.split('{').next().unwrap_or(key))
    }
}

/// Reads a scrape.
///
/// # Errors
/// Names the line that Prometheus would refuse, or that breaks its conventions.
pub fn parse(text: &str) -> Result<Scrape> {
    let mut scrape = Scrape::default();
    let mut types = BTreeMap::new();
    let mut helped = BTreeSet::new();
    ensure!(text.ends_with('\n'), "the last line does not end");
    for line in text.lines() {
        read_line(line, &mut scrape, &mut types, &mut helped).with_context(|| format!("line {line:?}"))?;
    }
    for name in types.keys() {
        ensure!(helped.contains(name), "{name} has a type and no help");
    }
    Ok(scrape)
}

fn read_line(
    line: &str,
    scrape: &mut Scrape,
    types: &mut BTreeMap<String, String>,
    helped: &mut BTreeSet<String>,
) -> Result<()> {
    if let Some(comment) = line.strip_prefix("# ") {
        let words: Vec<_> = comment.splitn(3, ' ').collect();
        match words[..] {
            ["HELP", name, _] => ensure!(helped.insert(name.to_owned()), "help twice"),
            ["TYPE", name, kind] => {
                ensure!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "type twice");
            }
            ["UNIT", name, unit] => ensure!(name.ends_with(unit), "the unit is not in the name"),
            ["EOF"] => (),
            _ => bail!("neither help, type, unit nor end"),
        }
        return Ok(());
    }
    let (key, value) = line.rsplit_once(' ').context("no value")?;
    let value = value.parse::<f64>().context("the value is no number")?;
    let name = key.split('{').next().unwrap_or(key);
    check_name(name)?;
    ensure!(!key.contains('{') || key.ends_with('}'), "labels that do not end");
    let kind = family(name, types).with_context(|| format!("{name} has no type"))?;
    ensure!(kind != "counter" || name.ends_with("_total"), "a counter ends in _total");
    ensure!(scrape.samples.insert(key.to_owned(), value).is_none(), "the same sample twice");
    Ok(())
}

/// The type of the family that a sample belongs to.
fn family<'a>(sample: &str, types: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let suffixes = ["", "_total", "_bucket", "_count", "_sum", "_info", "_created"];
    let names = suffixes.into_iter().filter_map(|suffix| sample.strip_suffix(suffix));
    names.filter_map(|name| types.get(name)).map(String::as_str).next()
}

fn check_name(name: &str) -> Result<()> {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    ensure!(good, "{name:?} is no name of a metric");
    ensure!(!name.contains("__"), "{name} has an empty word");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_bytes Size.\n# TYPE a_bytes gauge\n# UNIT a_bytes bytes\na_bytes 7\n\
                        # HELP b Runs.\n# TYPE b counter\nb_total{step=\"x y\"} 1\n# EOF\n";

    #[test]
    fn reads_samples_with_and_without_labels() {
        let scrape = parse(GOOD).unwrap();
        assert_eq!(scrape.value("a_bytes"), Some(7.0));
        assert_eq!(scrape.names().collect::<Vec<_>>(), ["a_bytes", "b_total"]);
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for (from, to) in [
            ("a_bytes 7", "a_bytes seven"),
            ("a_bytes 7", "a_bytes 7\na_bytes 8"),
            ("b_total", "c_total"),
            ("b_total", "b"),
            ("# HELP b Runs.\n", ""),
            ("\"} 1", "\" 1"),
        ] {
            assert!(parse(&GOOD.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }
}
