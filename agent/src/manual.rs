//! The man pages of the agent: bootstash-agent(8) and bootstash-agent.toml(5).

use bootstash_manual::{Configuration, Example, Notes, Page, Program, configuration_page, program_pages};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All of them.
pub(super) fn pages(command: clap::Command) -> Vec<Page> {
    let mut pages = program_pages(command, Program { section: "8", version: VERSION }, &notes);
    let file = Configuration {
        name: "bootstash-agent.toml",
        about: "configuration of bootstash-agent",
        path: "/etc/bootstash/agent.toml",
        version: VERSION,
        example: include_str!("../../packaging/agent.toml"),
    };
    pages.push(configuration_page(
        &file,
        &Notes {
            files: vec![("/etc/bootstash/agent.toml", "Read when the agent starts.")],
            examples: vec![Example {
                what: "All that is needed, where the node has joined:",
                command: "dataset = \"tank/bootstash-agent\"",
            }],
            see_also: ["bootstash-agent(8)", "bootstash-config-check(1)"].map(str::to_owned).to_vec(),
            ..Notes::default()
        },
    ));
    pages
}

fn notes(page: &str) -> Notes {
    Notes {
        files: vec![
            ("/etc/bootstash/agent.toml", "The configuration: see bootstash-agent.toml(5)."),
            (
                "/var/lib/bootstash/agent",
                "The node's key and certificate, records of overlays, and deltas while they are fetched.",
            ),
            ("/var/lib/bootstash/views", "Where the boot caches are mounted that overlays chain onto."),
            ("/run/bootstash/agent.sock", "Where the command `bootstash` reaches the agent."),
        ],
        exit_status: vec![
            ("0", "It was told to end, or had joined."),
            ("1", "It cannot go on, or did not join; the log or standard error says why."),
            ("2", "The command line is wrong."),
        ],
        examples: match page {
            "bootstash-agent-join" => vec![Example {
                what: "Join, with the token read from standard input, where other users do not see it:",
                command: "bootstash-agent join https://storage:7430",
            }],
            _ => vec![Example {
                what: "Run it in a terminal, with all it logs:",
                command: "RUST_LOG=debug bootstash-agent --config /etc/bootstash/agent.toml",
            }],
        },
        see_also: ["bootstash(1)", "bootstash-agent.toml(5)", "bootstash-registrar(8)"]
            .map(str::to_owned)
            .to_vec(),
    }
}
