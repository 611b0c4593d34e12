//! Disk and deduplication over time.

use super::Look;
use super::chart::{Chart, Series, Shape};
use crate::dashboard::history::{Moment, registered};
use crate::render::size;
use bootstash_zfs::Usage;
use chrono::{DateTime, Utc};

/// Those there is something to show in.
pub(super) fn charts(look: &Look<'_>) -> Vec<Chart> {
    let usage = look.view.usage();
    let mut charts = vec![registrations(look), pool(look), ratio(look)];
    charts.extend(usage.and_then(|usage| table(look, usage)));
    charts.into_iter().filter(|chart| chart.series.iter().any(|series| !series.points.is_empty())).collect()
}

fn bytes(value: f64) -> String {
    size(value as u64)
}

fn times(value: f64) -> String {
    format!("{value:.2}x")
}

fn registrations(look: &Look<'_>) -> Chart {
    let all = look.view.registrar.as_ref().map(registered).unwrap_or_default();
    let points = |value: fn(&crate::dashboard::history::Registered) -> u64| {
        all.iter().map(|at| (at.at, value(at) as f64)).collect::<Vec<_>>()
    };
    Chart {
        id: "registrations-over-time",
        title: "Registrations",
        about: "All boot caches, each by itself, and what they added to the volume, which stores what is the same once. \
                From the record of registrations."
            .to_owned(),
        shape: Shape::Steps,
        series: vec![
            Series { name: "added to the volume", points: points(|at| at.added_bytes) },
            Series { name: "boot caches", points: points(|at| at.caches_bytes) },
        ],
        write: bytes,
        limit: None,
    }
}

fn seen(look: &Look<'_>, value: impl Fn(&Moment) -> Option<f64>) -> Vec<(DateTime<Utc>, f64)> {
    let moments = look.history.moments().iter();
    moments.filter_map(|moment| value(moment).map(|value| (moment.at, value))).collect()
}

const SINCE: &str = "Since this dashboard runs.";

fn pool(look: &Look<'_>) -> Chart {
    Chart {
        id: "pool-over-time",
        title: "Pool",
        about: format!(
            "What the pool stores, and what the files of the volume hold before compression and deduplication. {SINCE}"
        ),
        shape: Shape::Line,
        series: vec![
            Series { name: "stored", points: seen(look, |moment| Some(moment.used_bytes as f64)) },
            Series { name: "held", points: seen(look, |moment| Some(moment.logical_bytes as f64)) },
        ],
        write: bytes,
        limit: None,
    }
}

fn ratio(look: &Look<'_>) -> Chart {
    Chart {
        id: "deduplication-over-time",
        title: "Deduplication",
        about: format!("How many times the average block of the pool is used. {SINCE}"),
        shape: Shape::Line,
        series: vec![Series { name: "ratio", points: seen(look, |moment| Some(moment.dedup_ratio)) }],
        write: times,
        limit: None,
    }
}

/// Where this ZFS tells of it.
fn table(look: &Look<'_>, usage: &Usage) -> Option<Chart> {
    let table = usage.dedup_table?;
    Some(Chart {
        id: "table-over-time",
        title: "Deduplication table",
        about: format!("Its size on disk; it should fit into memory. {SINCE}"),
        shape: Shape::Line,
        series: vec![Series {
            name: "size",
            points: seen(look, |moment| Some(moment.dedup_table_bytes? as f64)),
        }],
        write: bytes,
        limit: table.quota_bytes.map(|quota| ("quota", quota as f64)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;
    use crate::dashboard::history::History;

    fn ids(view: &crate::cluster::ClusterView, history: &History) -> Vec<&'static str> {
        charts(&Look { view, history, now: samples::now() }).iter().map(|chart| chart.id).collect()
    }

    #[test]
    fn the_first_look_shows_what_is_on_record_and_no_picture_is_empty() {
        let mut view = samples::view();
        let mut history = History::default();
        assert_eq!(ids(&view, &history), ["registrations-over-time"]);
        history.see(&view);
        let seen =
            ["registrations-over-time", "pool-over-time", "deduplication-over-time", "table-over-time"];
        assert_eq!(ids(&view, &history), seen);
        view.registrar.as_mut().unwrap().status.usage.as_mut().unwrap().dedup_table = None;
        assert_eq!(ids(&view, &history), seen[..3]);
    }
}
