//! The page: everything on it, as HTML in one piece, with its style and its script. Pure.
//!
//! It can be read and used without the script, which only fetches the sections again and puts those in place that
//! changed. All text from daemons is escaped by the templates.

mod chart;
mod charts;
mod sections;
mod tables;

use super::history::History;
use crate::cluster::ClusterView;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// A small picture for the tab, as a browser without one asks for it at an address that is not served.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath \
                    d='M2 3h12v3H2zM2 7h12v3H2zM2 11h12v3H2z' fill='%232563a8'/%3E%3C/svg%3E";

/// What is shown.
pub(super) struct Look<'a> {
    pub(super) view: &'a ClusterView,
    pub(super) history: &'a History,
    pub(super) now: DateTime<Utc>,
}

/// A part of the page that is put in place anew when it changed.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) html: Markup,
}

/// All sections, in their order.
pub(super) fn sections(look: &Look<'_>) -> Vec<Section> {
    sections::all(look)
}

/// The whole page. Only what carries `nonce` is run or applied.
pub(super) fn page(look: &Look<'_>, nonce: &str, interval: Duration) -> Markup {
    let sections = sections(look);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "bootstash" }
                link rel="icon" href=(ICON);
                style nonce=(nonce) { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body data-interval-milliseconds=(interval.as_millis()) {
                a.skip href="#main" { "Skip to content" }
                header {
                    h1 { "bootstash" }
                    nav aria-label="Sections" { ul {
                        @for (id, name) in sections::CONTENTS { li { a href={ "#" (id) } { (name) } } }
                    } }
                    p #connection role="status" {}
                }
                main #main {
                    @for section in &sections { section id=(section.id) aria-labelledby={ (section.id) "-heading" } { (section.html) } }
                }
                script nonce=(nonce) { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// What somebody gets who may not look.
pub(super) fn refusal() -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "bootstash: this link does not count" }
                link rel="icon" href=(ICON);
            }
            body {
                h1 { "This link does not count" }
                p { "A link counts once, for the browser that opens it first. End " code { "bootstash dashboard" }
                    " with ctrl-C and start it again: it prints another one." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::samples;

    fn shown(view: &ClusterView) -> String {
        let mut history = History::default();
        history.see(view);
        let look = Look { view, history: &history, now: samples::now() };
        page(&look, "N0NCE", Duration::from_secs(2)).into_string()
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_run_without_the_nonce() {
        let page = shown(&samples::view());
        for foreign in ["http://", "https://", "src=", "@import", "style=", "onclick", "javascript:"] {
            let own = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(foreign), "{foreign}");
        }
        assert!(page.contains("<style nonce=\"N0NCE\">") && page.contains("<script nonce=\"N0NCE\">"));
    }

    #[test]
    fn headings_are_in_order_and_each_section_has_one() {
        let page = shown(&samples::view());
        assert_eq!(page.matches("<h1>").count(), 1);
        for (id, name) in sections::CONTENTS {
            assert!(
                page.contains(&format!("<section id=\"{id}\" aria-labelledby=\"{id}-heading\">")),
                "{id}"
            );
            assert!(page.contains(&format!("<h2 id=\"{id}-heading\">{name}")), "{name}\n{page}");
        }
    }

    #[test]
    fn what_others_wrote_is_text() {
        let mut view = samples::view();
        let registrar = view.registrar.as_mut().unwrap();
        let node = registrar.nodes.iter_mut().find(|node| node.problem.is_some()).unwrap();
        node.problem = Some("<script>alert(1)</script>\u{202e}\" onmouseover=x".to_owned());
        node.version = Some("<b>1</b>".to_owned());
        registrar.jobs[2].progress.console_line = Some("<img src=x onerror=alert(1)>".to_owned());
        let page = shown(&view);
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&lt;img src=x"), "{page}");
        assert!(!page.contains("<b>1</b>") && !page.contains('\u{202e}'));
    }

    #[test]
    fn a_cluster_of_which_little_is_known_has_a_page_too() {
        let page = shown(&ClusterView::new(samples::now()));
        assert!(page.contains("<h2 id=\"nodes-heading\">"), "{page}");
        assert!(refusal().into_string().contains("counts once"));
    }
}
