//! A guest that works while everything about its node changes: it reads what lies in its cache again and
//! again, from the disk each time, and compares.

use crate::setting::assert_says;
use anyhow::{Context, Result, ensure};
use bootstash_tests::lab::warm_boot::Vm;
use bootstash_tests::lab::{Host, Lab, Program, wait};
use std::path::Path;
use std::time::Duration;

/// What the boot loader read, so that all of it is in the cache; and how often the kernel met an error. The
/// brackets keep the typed line itself from being one.
const READ_AND_COMPARE: &str = "while :; do echo 3 >/proc/sys/vm/drop_caches; i=$((i+1)); \
    s=$(cat /boot/vmlinuz-virt /boot/initramfs-virt | md5sum); \
    echo \"pass=$i sum=${s%% *} errors=$(dmesg | grep -c 'I/O [e]rror')\"; done";

const SOON: Duration = Duration::from_secs(60);
/// How often the guest has read all of it: enough that one pass was begun and ended in between.
const PASSES: usize = 2;

/// A guest that reads its cache for ever.
pub(crate) struct ReadingVm<'a> {
    vm: Vm<'a>,
    passes: std::cell::Cell<usize>,
}

impl<'a> ReadingVm<'a> {
    /// Logs in to an Alpine that asks for it, and begins.
    pub(crate) fn begin(mut vm: Vm<'a>) -> Result<Self> {
        vm.type_line("root")?;
        vm.wait_for_output("give a shell", |text| Ok(text.contains(":~# ").then_some(())))?;
        vm.type_line(READ_AND_COMPARE)?;
        let reading = Self { vm, passes: std::cell::Cell::new(0) };
        reading.goes_on()?;
        Ok(reading)
    }

    /// Waits until it has read all of it anew, each time the same bytes and without an error.
    pub(crate) fn goes_on(&self) -> Result<()> {
        let wanted = self.passes.get() + PASSES;
        let passed = self.vm.wait_for_output("read its cache again", |text| {
            let passes = passes(text)?;
            Ok((passes >= wanted).then_some(passes))
        })?;
        self.passes.set(passed);
        Ok(())
    }

    pub(crate) fn end(self) -> Result<()> {
        self.goes_on()?;
        self.vm.end()
    }
}

/// How many passes there were; an error where one was not like the first.
fn passes(console: &str) -> Result<usize> {
    let lines =
        console.lines().map(str::trim).filter(|line| line.starts_with("pass=") && !line.contains('$'));
    let results = lines.filter_map(|line| line.split_once(' ')).map(|(_, result)| result).collect::<Vec<_>>();
    let Some(first) = results.first() else { return Ok(0) };
    // The last may be half printed yet.
    let whole = &results[..results.len() - 1];
    ensure!(whole.iter().all(|result| result == first && result.ends_with(" errors=0")), "{results:?}");
    Ok(whole.len())
}

/// Ten deltas land, its image is deregistered and published, everything is collected that may be, the volume is
/// received anew, and the agent is killed: the guest reads on. `other` is an image to register again and again.
pub(crate) fn everything_changes_under(
    vm: &ReadingVm<'_>,
    lab: &Lab,
    image: &str,
    other: &Path,
) -> Result<()> {
    let (storage, node) = (lab.storage(), lab.host("node1"));
    let volume = "/var/lib/bootstash/registrar/volume/images";
    let register = |name: String| {
        let cache = format!("{volume}/other/cache.qcow2");
        let call = storage.command("bootstash", ["register", &name]).args([other]).args(["--cache", &cache]);
        call.output().map(drop)
    };
    (1..=10).try_for_each(|number| register(format!("other-{number}")))?;
    lab.wait_in_step()?;
    vm.goes_on().context("after ten deltas")?;

    storage.bootstash(["deregister", image, "--publish"])?.success()?;
    lab.wait_in_step()?;
    vm.goes_on().context("after its image was deregistered")?;

    for host in [storage, node] {
        host.bootstash(["gc", "--window", "0s"])?.success()?;
    }
    ensure!(node.agent_status()?.views == 1, "its view is what stays");
    vm.goes_on().context("after a collection")?;

    lab.expect_log("receiving the whole volume beside");
    node.stop(Program::Agent)?;
    forget_nodes(storage)?;
    register("other-11".to_owned())?;
    // The other node has another base then, and says so.
    wait::until("the other node to report", SOON, || {
        Ok(storage.nodes()?.iter().any(|node| node.lag == Some(0)).then_some(()))
    })?;
    storage.bootstash(["gc", "--window", "0s"])?.success()?;
    node.start(Program::Agent)?;
    lab.wait_in_step()?;
    ensure!(node.agent_status()?.replaced.len() == 1, "the volume its view stands on was replaced");
    vm.goes_on().context("after the volume was received anew")?;

    node.kill(Program::Agent);
    vm.goes_on().context("without an agent")?;
    node.start(Program::Agent)?;
    register("other-12".to_owned())?;
    lab.wait_in_step()?;
    assert_says(&node.bootstash(["overlays"])?.success()?, &[image]);
    vm.goes_on().context("with a new agent")
}

/// As a registrar does that was set up anew: no node's base counts any more.
fn forget_nodes(storage: &Host) -> Result<()> {
    storage.stop(Program::Registrar)?;
    std::fs::remove_file(storage.outside("/var/lib/bootstash/registrar/nodes.json"))?;
    storage.start(Program::Registrar)
}
