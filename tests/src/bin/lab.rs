//! `lab`: a lab of hosts that stays, for a person to try things in.
//!
//! Some verbs are for the lab itself: it runs this program inside its hosts.

use anyhow::{Context, Result, bail};
use bootstash_tests::lab::namespaces::Namespaces;
use bootstash_tests::lab::record::LabRecord;
use bootstash_tests::lab::run::Call;
use bootstash_tests::lab::{Lab, LabPlan, init, interrupt, plan, refusing_fs};
use clap::{Parser, Subcommand};
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "A storage node and compute nodes on this machine, to try bootstash in")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a lab, start its daemons, and leave it running
    Up {
        /// The number of compute nodes
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
        nodes: u8,
    },
    /// Remove every trace of labs, but for those that a test or demo is using now
    Down {
        /// Remove those in use, too
        #[arg(long)]
        all: bool,
    },
    /// Run a command on a host of the lab; a shell by default
    Sh {
        /// The host: storage, node1, …
        host: String,
        /// The command to run, with its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Be the first process of a host
    #[command(hide = true)]
    Init,
    /// Build a lab without daemons and keep it until this process ends
    #[command(hide = true)]
    Hold,
    /// Refuse every read of a directory's files
    #[command(hide = true)]
    Refuse { directory: PathBuf, counts: PathBuf },
}

fn main() -> Result<ExitCode> {
    let verb = Cli::parse().verb;
    if !nix::unistd::geteuid().is_root() {
        bail!("a lab needs root (namespaces, mounts); run it with sudo");
    }
    match verb {
        Verb::Up { nodes } => up(nodes.into())?,
        Verb::Down { all } => down(all)?,
        Verb::Sh { host, command } => return shell(&host, &command),
        Verb::Init => init::run_init()?,
        Verb::Hold => match hold()? {},
        Verb::Refuse { directory, counts } => refusing_fs::serve(&directory, &counts)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn up(nodes: usize) -> Result<()> {
    if let Some(lab) = standing()? {
        println!("A lab runs already.\n");
        print_use(&lab);
        return Ok(());
    }
    interrupt::remove_labs_on_signals()?;
    let lab = Lab::build(&LabPlan::standing(nodes))?;
    lab.start_daemons()?;
    lab.stay()?;
    print_use(&standing()?.context("the lab is gone again")?);
    Ok(())
}

fn hold() -> Result<Infallible> {
    let lab = Lab::build(&LabPlan::new(1))?;
    println!("{}", lab.dir().display());
    loop {
        std::thread::park();
    }
}

fn down(all: bool) -> Result<()> {
    let (used, free): (Vec<_>, Vec<_>) = LabRecord::all()?.into_iter().partition(LabRecord::is_in_use);
    let (spared, removed) = if all { (Vec::new(), [free, used].concat()) } else { (used, free) };
    for lab in &removed {
        lab.remove()?;
        println!("Removed lab {}.", lab.id);
    }
    for lab in &spared {
        println!(
            "Spared lab {}: process {} is using it (--all takes it down too).",
            lab.id,
            lab.builder.pid()
        );
    }
    if removed.is_empty() && spared.is_empty() {
        println!("There was no lab.");
    }
    Ok(())
}

fn shell(host: &str, command: &[OsString]) -> Result<ExitCode> {
    let lab = standing()?.context("no lab runs; `make lab` starts one")?;
    let record = lab.hosts.iter().find(|record| record.name == host);
    let init = record.and_then(|record| record.init).with_context(|| {
        let names: Vec<_> = lab.hosts.iter().map(|host| host.name.as_str()).collect();
        format!("the lab has no host {host}; it has {}", names.join(", "))
    })?;
    let shell = [OsString::from("bash")];
    let words = if command.is_empty() { &shell[..] } else { command };
    let own = std::env::current_exe()?;
    let programs = own.parent().context("this program has no directory")?.display().to_string();
    let path = format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin");
    let call = Call::new(&words[0]).args(&words[1..]).env("PATH", path).within(Namespaces::Host(init.pid()));
    let status = call.env("PS1", format!("{host}# ")).on_terminal()?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// The lab that `lab up` made, if it runs.
fn standing() -> Result<Option<LabRecord>> {
    let mut labs = LabRecord::all()?.into_iter();
    Ok(labs.find(|lab| lab.id == plan::STANDING_ID && !lab.is_abandoned() && lab.runs()))
}

fn print_use(lab: &LabRecord) {
    let own = std::env::current_exe().unwrap_or_else(|_| "lab".into());
    let sh = format!("{} sh", own.display());
    println!("Hosts (files and logs in {}):", lab.dir().display());
    for host in lab.hosts.iter().filter(|host| host.address.is_some()) {
        println!("  {:<8} {}", host.name, host.address.as_deref().unwrap_or_default());
    }
    println!("\nA shell in a host:        {sh} node1");
    println!("The nodes and their lag:  {sh} storage bootstash nodes");
    println!("Register the images:      {sh} storage bootstash register alpine /srv/images/alpine.raw");
    println!("                          {sh} storage bootstash register debian12 /srv/images/debian12.raw");
    println!("Boot one (Ctrl-A X ends): {sh} node1 bootstash boot alpine");
    println!("Remove every trace:       make lab-down");
}
