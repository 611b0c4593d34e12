//! `bench-multicast`: one delta to eight nodes by multicast, beside uftp and copies by HTTP. Needs root.
//!
//! Some verbs are for the bench itself: it runs this program inside its hosts.

use anyhow::{Result, bail};
use bootstash_tests::demo::report;
use bootstash_tests::lab::interrupt;
use bootstash_tests::multicast::{self, Plan, Tool, daemons};
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(about = "Measures multicast between hosts of this machine, beside other ways to send")]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The tools to compare
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Tool::value_variants().iter().copied())]
    tools: Vec<Tool>,
    /// The percentages of incoming packets that every node loses
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 1.0, 5.0])]
    losses: Vec<f64>,
    /// The size of the object that is sent, in bytes
    #[arg(long, default_value_t = 100_000_000)]
    bytes: u64,
    /// Its size for tools that send each node a copy of its own, which takes eight times as long
    #[arg(long, default_value_t = 25_000_000)]
    copied_bytes: u64,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Be a registrar whose ZFS sends this many bytes
    #[command(hide = true)]
    Registrar { config: PathBuf, delta_bytes: u64 },
    /// Be an agent whose ZFS discards what it receives
    #[command(hide = true)]
    Node { config: PathBuf },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.verb {
        Some(Verb::Registrar { config, delta_bytes }) => daemons::registrar(&config, delta_bytes),
        Some(Verb::Node { config }) => daemons::node(&config),
        None => bench(cli),
    }
}

fn bench(cli: Cli) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the bench needs root (namespaces, mounts); run it with sudo");
    }
    interrupt::remove_labs_on_signals()?;
    let Cli { tools, losses, bytes, copied_bytes, .. } = cli;
    let plan = Plan { tools, losses, object_bytes: bytes, copied_bytes };
    let rows = multicast::run(&plan, |row| {
        println!("{} at a loss of {} %: {:.1} s", row.tool.name(), row.loss_percent, row.seconds);
    })?;
    let file = report::write("bench/multicast.json", &rows)?;
    println!("\n{}\n\nAs JSON: {}", multicast::render(&rows), file.display());
    Ok(())
}
