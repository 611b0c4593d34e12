//! The command `bootstash`: what an operator types. A file for each group of verbs: parse, call a daemon, show the answer.
//!
//! What is shown is made by pure functions (a view in, text out); what is asked goes through
//! [`bootstash_net::api::Client`]. Answers go to standard output, all else to standard error.

mod boot;
mod cancel;
mod cli;
mod cluster;
mod collect;
mod completion;
mod config;
mod daemons;
mod dashboard;
mod doctor;
mod failure;
mod images;
mod jobs;
mod join;
mod libvirt;
mod manual;
mod members;
mod nodes;
mod output;
mod overlay;
mod path;
mod pin;
mod register;
mod render;
mod status;
#[cfg(test)]
mod stub;
mod top;
mod volume;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;
use cli::{Cli, DoctorVerb, OverlayVerb, Verb, VolumeVerb};
use daemons::Daemons;
use failure::CommandError;
use libvirt::arguments::HookVerb;
use std::process::ExitCode;

fn main() -> ExitCode {
    CompleteEnv::with_factory(Cli::command).shells(completion::shells()).complete();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&CommandError::Runtime(error)),
    };
    let identity = cli.identity.or_else(daemons::identity_of_the_user);
    let daemons = Daemons::new(cli.registrar_socket, cli.agent_socket, identity);
    match runtime.block_on(dispatch(&daemons, cli.verb)) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

async fn dispatch(daemons: &Daemons, verb: Verb) -> Result<ExitCode, CommandError> {
    if !matches!(
        verb,
        Verb::Join(_)
            | Verb::Renew
            | Verb::Config { .. }
            | Verb::ManPages(_)
            | Verb::Completions(_)
            | Verb::Hook(_)
    ) {
        daemons.renew_in_passing().await?;
    }
    match verb {
        Verb::Register(args) => return register::register(daemons, args).await,
        Verb::Boot(args) => return boot::boot(daemons, args).await,
        Verb::Deregister(args) => images::deregister(daemons, args).await?,
        Verb::Images(list) => images::list(daemons, list).await?,
        Verb::Nodes(list) => nodes::list(daemons, list).await?,
        Verb::Status(list) => status::show(daemons, list).await?,
        Verb::Cancel(args) => cancel::cancel(daemons, args).await?,
        Verb::Jobs(list) => jobs::list(daemons, list).await?,
        Verb::Top(args) => top::top(daemons, args).await?,
        Verb::Dashboard(args) => dashboard::serve(daemons, args).await?,
        Verb::Gc(args) => collect::gc(daemons, args).await?,
        Verb::Adopt(args) => overlay::adopt(daemons, args).await?,
        Verb::Pin(args) => pin::pin(daemons, args).await?,
        Verb::Unpin(args) => pin::unpin(daemons, args).await?,
        Verb::Overlays(list) => overlay::list(daemons, list).await?,
        Verb::Overlay { verb: OverlayVerb::Create(args) } => overlay::create(daemons, args).await?,
        Verb::Overlay { verb: OverlayVerb::Remove(args) } => overlay::remove(daemons, args).await?,
        Verb::Node { verb } => members::change(daemons, "node", verb).await?,
        Verb::Operator { verb } => members::change(daemons, "operator", verb).await?,
        Verb::Monitor { verb } => members::change(daemons, "monitor", verb).await?,
        Verb::Members(list) => members::list(daemons, list).await?,
        Verb::Join(args) => join::join(daemons, args).await?,
        Verb::Renew => join::renew(daemons).await?,
        Verb::Volume { verb: VolumeVerb::Restore(args) } => volume::restore(daemons, args).await?,
        Verb::Doctor(DoctorVerb::Multicast(list)) => doctor::multicast(daemons, list).await?,
        Verb::Doctor(DoctorVerb::Libvirt(args)) => libvirt::doctor::examine(daemons, args).await?,
        Verb::Hook(HookVerb::Libvirt(args)) => libvirt::hook::libvirt(daemons, args).await,
        Verb::Config { verb: cli::ConfigVerb::Check(args) } => config::check(&args)?,
        Verb::ManPages(args) => manual::write(&args.directory)?,
        Verb::Completions(args) => completion::write_scripts(&args.directory)?,
    }
    Ok(ExitCode::SUCCESS)
}
