//! `bootstash hook libvirt`: what libvirt calls at each step in the life of a VM, with the domain's XML on standard input.

use super::arguments::LibvirtHookArgs;
use super::domain::{Disk, Domain, Unfit};
use super::plan::{Left, line};
use crate::daemons::{Daemon, Daemons};
use bootstash_base::blocking::BlockingPool;
use bootstash_base::error::Chain;
use bootstash_net::api::Client;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long all of it may take; the start of a VM waits for it.
pub(super) const WHOLE: Duration = Duration::from_millis(2500);

/// No domain is as long.
const XML_MAX_BYTES: u64 = 8 << 20;

/// The two steps at which there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before libvirt looks at a VM's disks.
    Prepare,
    /// After a VM has ended, however it did.
    Release,
}

/// One call of the hook.
#[derive(Debug)]
pub(super) struct Hook<'a> {
    daemons: &'a Daemons,
    /// For files, whose storage may hang.
    pub(super) files: BlockingPool,
    until: Instant,
}

/// Does what there is to do, and says on standard error what became of each disk. Whatever happens, the VM goes on.
pub(crate) async fn libvirt(daemons: &Daemons, args: LibvirtHookArgs) {
    let Some(moment) = Moment::of(&args.operation, &args.sub_operation) else { return };
    if moment == Moment::Prepare && Path::new(super::OFF).exists() {
        return;
    }
    let hook = Hook::new(daemons);
    match hook.files.run(hook.until, read_standard_input).await {
        Ok(Ok(xml)) => hook.run(moment, &xml).await.iter().for_each(|said| eprintln!("{said}")),
        Ok(Err(error)) => eprintln!("bootstash: {}: the domain's XML cannot be read: {error}", args.name),
        Err(error) => eprintln!("bootstash: {}: the domain's XML did not come: {}", args.name, Chain(&error)),
    }
}

fn read_standard_input() -> io::Result<String> {
    let mut xml = String::new();
    io::stdin().lock().take(XML_MAX_BYTES).read_to_string(&mut xml)?;
    Ok(xml)
}

impl Moment {
    fn of(operation: &str, sub_operation: &str) -> Option<Self> {
        match (operation, sub_operation) {
            ("prepare", "begin") => Some(Self::Prepare),
            ("release", "end") => Some(Self::Release),
            _ => None,
        }
    }
}

impl<'a> Hook<'a> {
    pub(super) fn new(daemons: &'a Daemons) -> Self {
        Self { daemons, files: BlockingPool::new("libvirt-hook", 4), until: Instant::now() + WHOLE }
    }

    /// What became of the disks of the domain, a line each.
    pub(super) async fn run(&self, moment: Moment, xml: &str) -> Vec<String> {
        match (Domain::parse(xml), moment) {
            (Err(error), _) => vec![format!("bootstash: {}", Chain(&error))],
            (Ok(domain), Moment::Prepare) if domain.turned_off => Vec::new(),
            (Ok(domain), Moment::Prepare) => self.prepare(&domain).await,
            (Ok(domain), Moment::Release) => self.release(&domain).await,
        }
    }

    pub(super) fn agent(&self) -> Result<Client, Left> {
        Ok(self.daemons.need(Daemon::Agent)?)
    }

    /// What comes of `work`, as far as there is time for it.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Left>>) -> Result<T, Left> {
        if Instant::now() >= self.until {
            return Err(Left::Late);
        }
        timeout_at(self.until, work).await.unwrap_or(Err(Left::Late))
    }

    /// What a look at a file shows.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Left> {
        Ok(self.files.run(self.until, look).await??)
    }
}

/// The line for a disk, where there is something to say of it: of those that are plainly no business of ours there is not.
pub(super) fn said(domain: &Domain, disk: &Disk, outcome: &Result<Option<String>, Left>) -> Option<String> {
    let file = disk.file.as_deref()?;
    match outcome {
        Ok(what) => what.as_ref().map(|what| line(&domain.name, file, what)),
        Err(Left::Unfit(unfit)) if *unfit != Unfit::BackingStore => None,
        Err(left) => Some(line(&domain.name, file, &format!("left as it was: {}", left.in_words()))),
    }
}

#[cfg(test)]
mod tests;
