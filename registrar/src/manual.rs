//! The man pages of the registrar: bootstash-registrar(8) and bootstash-registrar.toml(5).

use bootstash_manual::{Configuration, Example, Notes, Page, Program, configuration_page, program_pages};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All of them.
pub(super) fn pages(command: clap::Command) -> Vec<Page> {
    let mut pages = program_pages(command, Program { section: "8", version: VERSION }, &notes);
    let file = Configuration {
        name: "bootstash-registrar.toml",
        about: "configuration of bootstash-registrar",
        path: "/etc/bootstash/registrar.toml",
        version: VERSION,
        example: include_str!("../../packaging/registrar.toml"),
    };
    pages.push(configuration_page(
        &file,
        &Notes {
            files: vec![(
                "/etc/bootstash/registrar.toml",
                "Read when the registrar starts; [serving] also on SIGHUP.",
            )],
            examples: vec![Example {
                what: "All that is needed:",
                command: "dataset = \"tank/bootstash-registrar\"",
            }],
            see_also: ["bootstash-registrar(8)", "bootstash-config-check(1)"].map(str::to_owned).to_vec(),
            ..Notes::default()
        },
    ));
    pages
}

fn notes(page: &str) -> Notes {
    Notes {
        files: vec![
            ("/etc/bootstash/registrar.toml", "The configuration: see bootstash-registrar.toml(5)."),
            (
                "/var/lib/bootstash/registrar",
                "Certificate authority and key, jobs, deltas, and scratch files of captures. Keep a copy of identity/ in a safe place.",
            ),
            ("/run/bootstash/registrar.sock", "Where the command `bootstash` reaches the registrar."),
        ],
        exit_status: vec![
            ("0", "It was told to end, or there is a certificate authority now."),
            ("1", "It cannot go on, or made none; the log or standard error says why."),
            ("2", "The command line is wrong."),
        ],
        examples: match page {
            "bootstash-registrar-init" => vec![Example {
                what: "Make the certificate authority, before the first start:",
                command: "bootstash-registrar init",
            }],
            _ => vec![Example {
                what: "Run it in a terminal, with all it logs:",
                command: "RUST_LOG=debug bootstash-registrar --config /etc/bootstash/registrar.toml",
            }],
        },
        see_also: ["bootstash(1)", "bootstash-registrar.toml(5)", "bootstash-agent(8)"]
            .map(str::to_owned)
            .to_vec(),
    }
}
