//! The cases over a real ZFS: a private zfs-fuse, or the kernel's. Needs root.

use super::bed::{noise, snap};
use super::{Bed, CASES, Ground};
use crate::lab::zfs_host::{ZfsHost, ZfsHostOptions, parallel_cases};
use anyhow::{Context, Result, bail, ensure};
use bootstash_base::names::{DatasetName, SnapshotName};
#[cfg(feature = "libzetta")]
use bootstash_zfs::ZettaZfs;
use bootstash_zfs::{CommandZfs, DestroyError, Limits, OpenError, Programs, Removed, Role, Zfs};
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

const POOL_BYTES: u64 = 2 << 30;
/// The least that ZFS takes.
const CRAMPED_BYTES: u64 = 64 << 20;

/// The way to the real ZFS that is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `zfs` and `zpool`.
    Commands,
    /// libzfs_core where it has a call.
    #[cfg(feature = "libzetta")]
    Libzetta,
}

/// Runs the cases that the command line selects, as a test program does; `dir` is where its ZFS lives.
pub fn on_real_zfs(dir: &Path, driver: Driver) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or_else(parallel_cases);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    match run(&arguments, dir, driver) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, dir: &Path, driver: Driver) -> Result<ExitCode> {
    ZfsHost::clean(dir)?;
    let _ = std::fs::remove_dir_all(dir);
    let host = ZfsHost::start(&options(dir, POOL_BYTES))?;
    let ground = Arc::new(RealGround { host, dir: dir.to_owned(), driver });
    let code = libtest_mimic::run(arguments, trials(Some(&ground))).exit_code();
    let ground = Arc::into_inner(ground).context("a trial still holds the host")?;
    ground.end()?;
    std::fs::remove_dir_all(dir)?;
    Ok(code)
}

fn options(dir: &Path, pool_bytes: u64) -> ZfsHostOptions {
    ZfsHostOptions {
        dir: dir.to_owned(),
        pool: "tank".to_owned(),
        pool_bytes,
        netns: None,
        private_paths: Vec::new(),
    }
}

/// Every case of the contract, and what only a real ZFS can show.
fn trials(ground: Option<&Arc<RealGround>>) -> Vec<Trial> {
    let trial = |name: &'static str, case: fn(&Bed, &RealGround) -> Result<()>| {
        let ground = ground.cloned();
        Trial::test(name, move || on_a_bed(ground, name, case))
    };
    let mut trials = vec![
        trial("a_file_system_whose_receive_died_before_it_was_marked_is_ours", |bed, ground| {
            wait(unmarked_receive(bed, ground))
        }),
        trial("a_view_in_use_is_not_destroyed", |bed, ground| wait(view_in_use(bed, ground))),
        trial("a_held_snapshot_is_not_destroyed", |bed, ground| wait(held(bed, ground))),
        trial("a_send_that_fails_ends_with_an_error", |bed, _| wait(backwards(bed))),
        trial("a_large_stream_dropped_half_way_lets_its_snapshot_go", |bed, _| wait(half_a_stream(bed))),
        trial("a_pool_that_is_not_there_is_named", |_, ground| wait(no_pool(ground))),
    ];
    trials.push(Trial::test("a_host_whose_run_died_is_cleaned", || {
        left_host().map_err(|error| Failed::from(format!("{error:?}")))
    }));
    #[cfg(feature = "libzetta")]
    trials.push(trial("a_daemon_takes_libzfs_core_where_it_can", |_, ground| wait(chosen(ground))));
    trials.extend(CASES.iter().map(|case| {
        let (ground, case) = (ground.cloned(), *case);
        Trial::test(case.name, move || on_a_bed(ground, case.name, move |bed, _| wait((case.run)(bed))))
    }));
    trials
}

fn on_a_bed(
    ground: Option<Arc<RealGround>>,
    name: &str,
    case: impl Fn(&Bed, &RealGround) -> Result<()>,
) -> Result<(), Failed> {
    let done = || {
        let ground = ground.context("only listing")?;
        let bed = wait(ground.bed(name))?;
        case(&bed, &ground)
    };
    done().map_err(|error: anyhow::Error| Failed::from(format!("{error:?}")))
}

/// A trial's own runtime would end its tasks with the case; the cases do wait for what they start.
fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

struct RealGround {
    host: ZfsHost,
    dir: PathBuf,
    driver: Driver,
}

impl RealGround {
    async fn bed(self: &Arc<Self>, name: &str) -> Result<Bed> {
        let zfs = self.open(self.host.pool()).await?;
        let root = format!("{}/{name}", self.host.pool()).parse()?;
        let ground = Arc::clone(self) as Arc<dyn Ground>;
        Bed::make(zfs, root, self.dir.join("mnt").join(name), ground).await
    }

    async fn open(&self, pool: &str) -> Result<Arc<dyn Zfs>, OpenError> {
        let programs = self.programs();
        // A view in use is found out soon; an unmount takes zfs-fuse up to a second or two.
        let limits = Limits { busy: Duration::from_secs(8), ..Limits::default() };
        Ok(match self.driver {
            Driver::Commands => Arc::new(CommandZfs::open_with(&programs, pool, limits).await?),
            #[cfg(feature = "libzetta")]
            Driver::Libzetta => Arc::new(ZettaZfs::open_with(&programs, pool, limits).await?),
        })
    }

    fn programs(&self) -> Programs {
        Programs { zfs: self.host.zfs(), zpool: self.host.zpool() }
    }

    fn run(&self, program: &Path, args: &[&str]) -> Result<String> {
        let output = Command::new(program).args(args).output()?;
        if !output.status.success() {
            bail!("{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn zfs(&self, args: &[&str]) -> Result<String> {
        self.run(&self.host.zfs(), args)
    }

    fn cramped_pool(&self) -> String {
        format!("{}-cramped", self.host.pool())
    }

    fn end(self) -> Result<()> {
        // Only the case that wants the second pool makes it.
        let _ = self.run(&self.host.zpool(), &["destroy", "-f", &self.cramped_pool()]);
        let pid = self.host.pid();
        self.host.stop()?;
        ensure!(!Path::new("/proc").join(pid.to_string()).exists(), "the host's ZFS is still running");
        Ok(())
    }
}

impl Ground for RealGround {
    fn outside(&self, inside: &Path) -> PathBuf {
        self.host.outside(inside)
    }

    fn make_foreign(&self, name: &DatasetName) -> Result<()> {
        self.zfs(&["create", "-o", "mountpoint=none", name.as_str()]).map(|_| ())
    }

    fn property(&self, name: &DatasetName, property: &str) -> Result<String> {
        self.zfs(&["get", "-H", "-p", "-o", "value", property, name.as_str()])
    }

    fn snapshot_property(&self, of: &DatasetName, name: &SnapshotName, property: &str) -> Result<String> {
        let full = format!("{of}@{name}");
        let said = self.zfs(&["get", "-H", "-p", "-o", "value,source", property, &full])?;
        Ok(said.strip_suffix("\tlocal").unwrap_or_default().to_owned())
    }

    fn take_foreign(&self, of: &DatasetName, name: &str) -> Result<()> {
        self.zfs(&["snapshot", &format!("{of}@{name}")]).map(|_| ())
    }

    fn set_quota(&self, name: &DatasetName, bytes: u64) -> Result<()> {
        self.zfs(&["set", &format!("quota={bytes}"), name.as_str()]).map(|_| ())
    }

    fn cramped(&self) -> Result<DatasetName> {
        let (pool, file) = (self.cramped_pool(), self.dir.join("cramped.img"));
        std::fs::File::create(&file)?.set_len(CRAMPED_BYTES)?;
        let file = file.display().to_string();
        self.run(&self.host.zpool(), &["create", "-f", "-m", "none", &pool, &file])?;
        Ok(pool.parse()?)
    }
}

async fn unmarked_receive(bed: &Bed, ground: &RealGround) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let copy = bed.name("copy")?;
    ground.zfs(&["set", "org.bootstash:receiving=copy", bed.root.as_str()])?;
    let zfs = ground.host.zfs().display().to_string();
    let name = bed.zfs.snapshots(&source).await?[0].name.to_string();
    let pipe = format!("{zfs} send {source}@{name} | {zfs} receive -u {copy}");
    ground.run(Path::new("/bin/sh"), &["-c", &pipe])?;
    let state = bed.zfs.dataset(&copy).await?.context("it is there")?;
    ensure!(state.role == Some(Role::Volume), "{state:?}");
    bed.second(&source).await?;
    bed.receive(&copy, bed.sent(&source, Some(1), 2).await?).await?;
    ensure!(ground.property(&copy, "org.bootstash:role")? == "volume");
    ensure!(ground.property(&bed.root, "org.bootstash:receiving")? == "-");
    ensure!(bed.zfs.destroy(&copy).await? == Removed::Removed);
    Ok(())
}

async fn view_in_use(bed: &Bed, ground: &RealGround) -> Result<()> {
    let (source, files) = bed.source("source").await?;
    let (clone, at) = bed.view(&source, 1, "used").await?;
    let open = std::fs::File::open(ground.outside(&at).join("a"))?;
    let refused = bed.zfs.destroy(&clone).await;
    ensure!(matches!(refused, Err(DestroyError::Busy { .. })), "{refused:?}");
    ensure!(bed.files(&at)? == files, "the view is not whole any more");
    drop(open);
    ensure!(bed.zfs.destroy(&clone).await? == Removed::Removed);
    Ok(())
}

async fn held(bed: &Bed, ground: &RealGround) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    let name = snap(1)?;
    let full = format!("{source}@{name}");
    ground.zfs(&["hold", "test", &full])?;
    let refused = bed.zfs.destroy_snapshot(&source, &name).await;
    ensure!(matches!(refused, Err(DestroyError::Busy { .. })), "{refused:?}");
    ground.zfs(&["release", "test", &full])?;
    ensure!(bed.zfs.destroy_snapshot(&source, &name).await? == Removed::Removed);
    Ok(())
}

/// Both snapshots are there: only ZFS itself can tell that the base is not the older one.
async fn backwards(bed: &Bed) -> Result<()> {
    let (source, _) = bed.source("source").await?;
    bed.second(&source).await?;
    let mut stream = bed.zfs.send(&source, Some(&snap(2)?), &snap(1)?).await?;
    let read = stream.read_to_end(&mut Vec::new()).await;
    ensure!(read.is_err(), "a stream of nothing ended well");
    Ok(())
}

/// Larger than every pipe, so that whoever writes it is at it when the reader goes.
async fn half_a_stream(bed: &Bed) -> Result<()> {
    let source = bed.volume("source").await?;
    bed.write(&source, "large", &noise(1, 8 << 20))?;
    bed.take(&source, 1).await?;
    let mut stream = bed.zfs.send(&source, None, &snap(1)?).await?;
    stream.read_exact(&mut [0; 1000]).await?;
    drop(stream);
    ensure!(bed.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Removed);
    Ok(())
}

#[cfg(feature = "libzetta")]
async fn chosen(ground: &RealGround) -> Result<()> {
    let zfs = bootstash_zfs::open(&ground.programs(), ground.host.pool()).await?;
    ensure!(zfs.capabilities().libzfs_core == Path::new("/dev/zfs").exists(), "{zfs:?}");
    Ok(())
}

async fn no_pool(ground: &RealGround) -> Result<()> {
    let refused = ground.open("nobody").await;
    ensure!(matches!(refused, Err(OpenError::NoPool { .. })), "{refused:?}");
    Ok(())
}

/// A host inside a network namespace, with a folder of its own, that nobody stopped.
fn left_host() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let netns = format!("bs-zfs-{}", std::process::id());
    ip(&["netns", "add", &netns])?;
    let left = leave_host(dir.path(), &netns);
    let cleaned = ZfsHost::clean(dir.path());
    ip(&["netns", "del", &netns])?;
    let (pid, seen) = left?;
    cleaned?;
    ensure!(!seen.exists(), "the host's namespace is left");
    ensure!(!dir.path().join("pool.img").exists() && !dir.path().join("pid").exists());
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ensure!(state.is_empty() || state.contains(") Z "), "the host's ZFS is still running: {state}");
    ZfsHost::clean(dir.path())
}

fn leave_host(dir: &Path, netns: &str) -> Result<(u32, PathBuf)> {
    let own = dir.join("own");
    let host = ZfsHost::start(&ZfsHostOptions {
        netns: Some(netns.to_owned()),
        private_paths: vec![own.clone()],
        ..options(dir, CRAMPED_BYTES)
    })?;
    let touched = host.command_in("touch").arg(own.join("file")).status()?;
    let seen = host.outside(&own.join("file"));
    ensure!(touched.success() && seen.exists() && !own.join("file").exists(), "the folder is not its own");
    let links = host.command_in("ip").args(["-o", "link"]).output()?;
    ensure!(
        String::from_utf8_lossy(&links.stdout).lines().count() == 1,
        "it is not in its network namespace"
    );
    let pid = host.pid();
    host.keep();
    Ok((pid, seen))
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output()?;
    ensure!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
