//! A picture of quantities over time: lines in an SVG, all words beside it as text, so that it can be read at any width,
//! aloud, and without colours.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use std::fmt::Write;

/// The picture's own measures; it is stretched to what room there is.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;

/// How the value goes from one point to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It stays until the next.
    Steps,
    /// It was seen then, and lay somewhere between.
    Line,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) points: Vec<(DateTime<Utc>, f64)>,
}

/// A picture, and what it says in words.
pub(super) struct Chart {
    /// For links within the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What it shows, as a sentence; the newest values are added to it.
    pub(super) about: String,
    pub(super) shape: Shape,
    /// The first is drawn as a full line, the second as a broken one.
    pub(super) series: Vec<Series>,
    /// How a value is written.
    pub(super) write: fn(f64) -> String,
    /// A value that is a limit, and what it is called.
    pub(super) limit: Option<(&'static str, f64)>,
}

impl Chart {
    /// As a figure; nothing where there is nothing to show.
    pub(super) fn figure(&self, now: DateTime<Utc>) -> Markup {
        let Some(span) = self.span(now) else { return html! {} };
        let top = self.top();
        html! {
            figure id=(self.id) {
                figcaption { h3 { (self.title) } p { (self.about) } }
                (self.legend())
                div.plot {
                    span.top { ((self.write)(top)) }
                    (self.picture(span, top))
                    span.bottom { ((self.write)(0.0)) }
                }
                p.span { (time(span.0, span)) span { (time(span.1, span)) } }
            }
        }
    }

    /// From the first point to now.
    fn span(&self, now: DateTime<Utc>) -> Option<Span> {
        let first =
            self.series.iter().filter_map(|series| series.points.first()).map(|point| point.0).min()?;
        let last = self.series.iter().filter_map(|series| series.points.last()).map(|point| point.0).max()?;
        Some((first, last.max(now)))
    }

    /// A little above all values, so that none is hidden by the edge.
    fn top(&self) -> f64 {
        let values = self.series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
        let limit = self.limit.map(|limit| limit.1);
        let most = values.chain(limit).fold(0.0, f64::max);
        if most > 0.0 { most * 1.05 } else { 1.0 }
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                @for (number, series) in self.series.iter().enumerate() {
                    li class={ "series" (number) } {
                        (series.name) ": "
                        @if let Some((_, newest)) = series.points.last() { b { ((self.write)(*newest)) } }
                    }
                }
                @if let Some((name, value)) = self.limit { li.limit { (name) ": " b { ((self.write)(value)) } } }
            }
        }
    }

    /// What it shows is said beside it.
    fn picture(&self, span: Span, top: f64) -> Markup {
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                @for quarter in 1..4 {
                    path.grid d=(level(f64::from(quarter) / 4.0)) {}
                }
                @if let Some((_, limit)) = self.limit { path.limit d=(level(limit / top)) {} }
                @for (number, series) in self.series.iter().enumerate().rev() {
                    path class={ "line series" (number) } d=(self.path(series, span, top)) {}
                }
            }
        }
    }

    fn path(&self, series: &Series, span: Span, top: f64) -> String {
        let mut path = String::new();
        for (at, value) in &series.points {
            let (x, y) = (across(*at, span), HEIGHT * (1.0 - value / top));
            // Writing to a string does not fail.
            match (path.is_empty(), self.shape) {
                (true, _) => write!(path, "M{x:.1} {y:.1}"),
                (false, Shape::Steps) => write!(path, "H{x:.1}V{y:.1}"),
                (false, Shape::Line) => write!(path, "L{x:.1} {y:.1}"),
            }
            .ok();
        }
        if !path.is_empty() {
            write!(path, "H{WIDTH}").ok();
        }
        path
    }
}

type Span = (DateTime<Utc>, DateTime<Utc>);

fn across(at: DateTime<Utc>, (first, last): Span) -> f64 {
    let all = (last - first).as_seconds_f64();
    if all > 0.0 { WIDTH * (at - first).as_seconds_f64() / all } else { 0.0 }
}

/// A line all across, at a part of the height.
fn level(part: f64) -> String {
    format!("M0 {:.1}H{WIDTH}", HEIGHT * (1.0 - part))
}

/// As exactly as the span needs.
fn time(at: DateTime<Utc>, (first, last): Span) -> String {
    let format = match (last - first).num_hours() {
        0..24 => "%H:%M:%S UTC",
        24..168 => "%Y-%m-%d %H:%M UTC",
        _ => "%Y-%m-%d",
    };
    at.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples::now;
    use chrono::TimeDelta;

    fn chart(shape: Shape, points: &[(i64, f64)]) -> Chart {
        let points = points.iter().map(|(second, value)| (now() + TimeDelta::seconds(*second), *value));
        Chart {
            id: "c",
            title: "Pool",
            about: "What is used.".to_owned(),
            shape,
            series: vec![Series { name: "used", points: points.collect() }],
            write: |value| format!("{value:.0} B"),
            limit: None,
        }
    }

    #[test]
    fn a_line_reaches_from_the_first_point_to_now() {
        let drawn = |shape| {
            let chart = chart(shape, &[(0, 0.0), (50, 100.0)]);
            let span = chart.span(now() + TimeDelta::seconds(100)).unwrap();
            chart.path(&chart.series[0], span, 200.0)
        };
        assert_eq!(drawn(Shape::Line), "M0.0 160.0L300.0 80.0H600");
        assert_eq!(drawn(Shape::Steps), "M0.0 160.0H300.0V80.0H600");
    }

    #[test]
    fn one_point_or_none_is_no_trouble() {
        let one = chart(Shape::Line, &[(0, 7.0)]).figure(now()).into_string();
        assert!(one.contains("M0.0 7.6H600") && one.contains("<b>7 B</b>"), "{one}");
        assert_eq!(chart(Shape::Line, &[]).figure(now()).into_string(), "");
        let nothing = chart(Shape::Line, &[(0, 0.0)]).figure(now()).into_string();
        assert!(nothing.contains("M0.0 160.0H600"), "{nothing}");
    }

    #[test]
    fn a_limit_is_within_the_picture() {
        let limited = Chart { limit: Some(("quota", 400.0)), ..chart(Shape::Line, &[(0, 100.0)]) };
        assert!(limited.top() > 400.0);
        let figure = limited.figure(now()).into_string();
        assert!(figure.contains("quota: <b>400 B</b>"), "{figure}");
    }

    #[test]
    fn times_are_as_exact_as_the_span_needs() {
        let span = |hours| (now(), now() + TimeDelta::hours(hours));
        assert_eq!(time(now(), span(1)), "10:20:00 UTC");
        assert_eq!(time(now(), span(48)), "2026-11-21 10:20 UTC");
        assert_eq!(time(now(), span(240)), "2026-11-21");
    }
}
