//! The cases over a real ZFS: a private zfs-fuse, or the kernel's. Needs root.

mod mounts;

use super::fixture::{noise, snap};
use super::{CASES, DirectAccess, Fixture};
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
/// The smallest vdev that ZFS accepts.
const CRAMPED_BYTES: u64 = 64 << 20;
/// For a process to be started.
const HOLD_LIMIT: Duration = Duration::from_secs(20);

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
    drop(std::fs::remove_dir_all(dir));
    let host = ZfsHost::start(&options(dir, POOL_BYTES))?;
    let direct = Arc::new(RealAccess { host, dir: dir.to_owned(), driver });
    let code = libtest_mimic::run(arguments, trials(Some(&direct))).exit_code();
    let direct = Arc::into_inner(direct).context("a trial still holds the host")?;
    direct.end()?;
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
fn trials(direct: Option<&Arc<RealAccess>>) -> Vec<Trial> {
    let trial = |name: &'static str, case: fn(&Fixture, &RealAccess) -> Result<()>| {
        let direct = direct.cloned();
        Trial::test(name, move || on_a_fixture(direct, name, case))
    };
    let mut trials = vec![
        trial("a_file_system_whose_receive_died_before_it_was_marked_is_ours", |fixture, direct| {
            wait(unmarked_receive(fixture, direct))
        }),
        trial("a_view_in_use_is_not_destroyed", |fixture, direct| wait(view_in_use(fixture, direct))),
        trial("a_held_snapshot_is_not_destroyed", |fixture, direct| wait(held(fixture, direct))),
        trial("a_send_that_fails_ends_with_an_error", |fixture, _| wait(backwards(fixture))),
        trial("a_large_stream_dropped_half_way_lets_its_snapshot_go", |fixture, _| {
            wait(half_a_stream(fixture))
        }),
        trial("a_pool_that_is_not_there_is_named", |_, direct| wait(no_pool(direct))),
    ];
    trials.extend(mounts::CASES.map(|(name, case)| trial(name, case)));
    trials.push(Trial::test("a_host_whose_run_died_is_cleaned", || {
        left_host().map_err(|error| Failed::from(format!("{error:?}")))
    }));
    #[cfg(feature = "libzetta")]
    trials.push(trial("a_daemon_takes_libzfs_core_where_it_can", |_, direct| wait(chosen(direct))));
    trials.extend(CASES.iter().map(|case| {
        let (direct, case) = (direct.cloned(), *case);
        Trial::test(case.name, move || {
            on_a_fixture(direct, case.name, move |fixture, _| wait((case.run)(fixture)))
        })
    }));
    trials
}

fn on_a_fixture(
    direct: Option<Arc<RealAccess>>,
    name: &str,
    case: impl Fn(&Fixture, &RealAccess) -> Result<()>,
) -> Result<(), Failed> {
    let done = || {
        let direct = direct.context("only listing")?;
        let fixture = wait(direct.fixture(name))?;
        case(&fixture, &direct)
    };
    done().map_err(|error: anyhow::Error| Failed::from(format!("{error:?}")))
}

/// A trial's own runtime would end its tasks with the case; the cases do wait for what they start.
fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

struct RealAccess {
    host: ZfsHost,
    dir: PathBuf,
    driver: Driver,
}

impl RealAccess {
    async fn fixture(self: &Arc<Self>, name: &str) -> Result<Fixture> {
        let zfs = self.open(self.host.pool()).await?;
        let root = format!("{}/{name}", self.host.pool()).parse()?;
        let direct = Arc::clone(self) as Arc<dyn DirectAccess>;
        Fixture::make(zfs, root, self.dir.join("mnt").join(name), direct).await
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
        drop(self.run(&self.host.zpool(), &["destroy", "-f", &self.cramped_pool()]));
        let pid = self.host.pid();
        self.host.stop()?;
        ensure!(!Path::new("/proc").join(pid.to_string()).exists(), "the host's ZFS is still running");
        Ok(())
    }
}

impl DirectAccess for RealAccess {
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

async fn unmarked_receive(fixture: &Fixture, direct: &RealAccess) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let copy = fixture.name("copy")?;
    direct.zfs(&["set", "org.bootstash:receiving=copy", fixture.root.as_str()])?;
    let zfs = direct.host.zfs().display().to_string();
    let name = fixture.zfs.snapshots(&source).await?[0].name.to_string();
    let pipe = format!("{zfs} send {source}@{name} | {zfs} receive -u {copy}");
    direct.run(Path::new("/bin/sh"), &["-c", &pipe])?;
    let state = fixture.zfs.dataset(&copy).await?.context("it is there")?;
    ensure!(state.role == Some(Role::Volume), "{state:?}");
    fixture.second(&source).await?;
    fixture.receive(&copy, fixture.sent(&source, Some(1), 2).await?).await?;
    ensure!(direct.property(&copy, "org.bootstash:role")? == "volume");
    ensure!(direct.property(&fixture.root, "org.bootstash:receiving")? == "-");
    ensure!(fixture.zfs.destroy(&copy).await? == Removed::Removed);
    Ok(())
}

async fn view_in_use(fixture: &Fixture, direct: &RealAccess) -> Result<()> {
    let (source, files) = fixture.source("source").await?;
    let (clone, at) = fixture.view(&source, 1, "used").await?;
    let open = std::fs::File::open(direct.outside(&at).join("a"))?;
    let refused = fixture.zfs.destroy(&clone).await;
    ensure!(matches!(refused, Err(DestroyError::Busy { .. })), "{refused:?}");
    ensure!(fixture.files(&at)? == files, "the view is not whole any more");
    drop(open);
    ensure!(fixture.zfs.destroy(&clone).await? == Removed::Removed);
    Ok(())
}

async fn held(fixture: &Fixture, direct: &RealAccess) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    let name = snap(1)?;
    let full = format!("{source}@{name}");
    direct.zfs(&["hold", "test", &full])?;
    let refused = fixture.zfs.destroy_snapshot(&source, &name).await;
    ensure!(matches!(refused, Err(DestroyError::Busy { .. })), "{refused:?}");
    direct.zfs(&["release", "test", &full])?;
    ensure!(fixture.zfs.destroy_snapshot(&source, &name).await? == Removed::Removed);
    Ok(())
}

/// Both snapshots are there: only ZFS itself can tell that the base is not the older one.
async fn backwards(fixture: &Fixture) -> Result<()> {
    let (source, _) = fixture.source("source").await?;
    fixture.second(&source).await?;
    let mut stream = fixture.zfs.send(&source, Some(&snap(2)?), &snap(1)?).await?;
    let read = stream.read_to_end(&mut Vec::new()).await;
    ensure!(read.is_err(), "a stream of nothing ended well");
    Ok(())
}

/// Larger than every pipe, so that whoever writes it is at it when the reader goes.
async fn half_a_stream(fixture: &Fixture) -> Result<()> {
    let source = fixture.volume("source").await?;
    fixture.write(&source, "large", &noise(1, 8 << 20))?;
    fixture.take(&source, 1).await?;
    let mut stream = fixture.zfs.send(&source, None, &snap(1)?).await?;
    stream.read_exact(&mut [0; 1000]).await?;
    drop(stream);
    ensure!(fixture.zfs.destroy_snapshot(&source, &snap(1)?).await? == Removed::Removed);
    Ok(())
}

#[cfg(feature = "libzetta")]
async fn chosen(direct: &RealAccess) -> Result<()> {
    let zfs = bootstash_zfs::open(&direct.programs(), direct.host.pool()).await?;
    ensure!(zfs.capabilities().libzfs_core == Path::new("/dev/zfs").exists(), "{zfs:?}");
    Ok(())
}

async fn no_pool(direct: &RealAccess) -> Result<()> {
    let refused = direct.open("nobody").await;
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
