//! One host's private ZFS: a zfs-fuse of its own in a mount namespace of its own, with a pool in a
//! sparse file; or, where the kernel has ZFS, a pool of a unique name in such a namespace.
//!
//! Promises: nothing of it is seen outside the namespace but its folder; `stop`, and a drop, end the
//! daemon, reap it and take every mount with it; after a run that died, [`ZfsHost::clean`] does so.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Enters nothing: it runs inside the new namespace, makes the three places a zfs-fuse has
/// private, and becomes the daemon (or, with kernel ZFS, a process that only holds the namespace).
const HOLD: &str = r#"
set -e
d=$1; shift
mkdir -p /run/zfs /var/lib/zfs /run/lock/zfs
mount --bind "$d/run" /run/zfs
mount --bind "$d/lib" /var/lib/zfs
mount --bind "$d/lock" /run/lock/zfs
for path in "$@"; do mkdir -p "$d/private$path" "$path"; mount --bind "$d/private$path" "$path"; done
: > "$d/ready"
if [ -e /dev/zfs ]; then exec sleep infinity; fi
exec zfs-fuse --no-daemon --no-kstat-mount -a 0 -e 0 --disable-page-cache
"#;

/// What a host's ZFS shall be.
#[derive(Clone, Debug)]
pub struct ZfsHostOptions {
    /// Its folder: the pool's file, the wrappers and the records of what runs. Made if missing.
    pub dir: PathBuf,
    /// Name of its pool; with kernel ZFS it gets a unique tail.
    pub pool: String,
    /// Size of the pool's sparse file; ZFS wants at least 64 MiB.
    pub pool_bytes: u64,
    /// Network namespace (`ip netns`) to live in.
    pub netns: Option<String>,
    /// Paths that each host has to itself (bound to folders below `dir/private`).
    pub private_paths: Vec<PathBuf>,
}

/// A running host's ZFS.
#[derive(Debug)]
pub struct ZfsHost {
    dir: PathBuf,
    pool: String,
    netns: bool,
    holder: Option<Child>,
    pid: u32,
}

impl ZfsHost {
    /// Starts it and creates the pool. What an earlier run left in `dir` is cleaned first.
    ///
    /// # Errors
    /// Without root, without zfs-fuse, or when the daemon or the pool does not come up in time.
    pub fn start(options: &ZfsHostOptions) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "a host with its own ZFS needs root: run this with sudo");
        Self::clean(&options.dir)?;
        for part in ["run", "lib", "lock", "bin", "private"] {
            fs::create_dir_all(options.dir.join(part))?;
        }
        let pool = pool_name(&options.pool);
        fs::write(options.dir.join("pool"), &pool)?;
        let holder = hold(options)?;
        let pid = holder.id();
        let host = Self {
            dir: options.dir.clone(),
            pool,
            netns: options.netns.is_some(),
            holder: Some(holder),
            pid,
        };
        record_pid(&options.dir, pid)?;
        host.wait_until_up()?;
        host.write_wrappers()?;
        host.create_pool(options.pool_bytes)?;
        Ok(host)
    }

    /// The name of its pool.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The process whose namespaces are the host's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A wrapper around `zfs` that works from outside.
    pub fn zfs(&self) -> PathBuf {
        self.dir.join("bin/zfs")
    }

    /// A wrapper around `zpool` that works from outside.
    pub fn zpool(&self) -> PathBuf {
        self.dir.join("bin/zpool")
    }

    /// Where a path of the host is seen from outside.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A command that will run `program` (an absolute path or a name in PATH) inside the host.
    pub fn command_in(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string(), "-m"]);
        if self.netns {
            command.arg("-n");
        }
        command.arg("--").arg(program);
        command
    }

    /// Lets it run on after this value is gone; [`ZfsHost::clean`] ends it.
    pub fn keep(mut self) {
        drop(self.holder.take());
    }

    /// Destroys the pool, ends the daemon and removes the pool's file.
    ///
    /// # Errors
    /// When something of it is still there in the end.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    /// Ends what a run that died left in `dir`; a folder with nothing in it is fine.
    ///
    /// # Errors
    /// When a process of it does not end.
    pub fn clean(dir: &Path) -> Result<()> {
        let Ok(pool) = fs::read_to_string(dir.join("pool")) else { return Ok(()) };
        let pid = recorded_pid(dir);
        if let Some(pid) = pid {
            destroy_pool(dir, &pool, pid);
            end_pid(pid)?;
        }
        remove_records(dir)
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut holder) = self.holder.take() else { return Ok(()) };
        match recorded_pid(&self.dir) {
            // A test had it killed and started anew.
            Some(pid) if pid != self.pid => {
                destroy_pool(&self.dir, &self.pool, pid);
                end_pid(pid)?;
            }
            _ => destroy_pool(&self.dir, &self.pool, self.pid),
        }
        let _ = signal(self.pid, nix::sys::signal::Signal::SIGTERM);
        if wait(&mut holder, STOP_LIMIT)?.is_none() {
            holder.kill()?;
            holder.wait()?;
        }
        remove_records(&self.dir)
    }

    fn wait_until_up(&self) -> Result<()> {
        let sign = if kernel_zfs() { "ready" } else { "run/zfs_socket" };
        let deadline = Instant::now() + START_LIMIT;
        while !self.dir.join(sign).exists() {
            ensure!(recorded_pid(&self.dir).is_some(), "zfs-fuse ended: {}", self.log());
            ensure!(Instant::now() < deadline, "zfs-fuse did not come up: {}", self.log());
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("zfs.log")).unwrap_or_default()
    }

    fn write_wrappers(&self) -> Result<()> {
        for program in ["zfs", "zpool"] {
            let path = self.dir.join("bin").join(program);
            let text = format!("#!/bin/sh\nexec nsenter -t {} -m -- /usr/sbin/{program} \"$@\"\n", self.pid);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn create_pool(&self, bytes: u64) -> Result<()> {
        let file = self.dir.join("pool.img");
        fs::File::create(&file)?.set_len(bytes)?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let mut create = Command::new(self.zpool());
            create.args(["create", "-f", "-m", "none", &self.pool]).arg(&file);
            let output = run(create, START_LIMIT)?;
            if output.status.success() {
                return Ok(());
            }
            // The socket is there a moment before the daemon answers on it.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if Instant::now() > deadline || !said.contains("connect") {
                bail!("cannot create pool {}: {said}", self.pool);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for ZfsHost {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot end the ZFS host in {}: {error:#}", self.dir.display());
        }
    }
}

/// How many things at once one host's ZFS is to be asked for by tests: zfs-fuse, busy with several file
/// systems, has hung for ever more than once, and no host has more than one volume.
pub fn parallel_cases() -> Option<usize> {
    if kernel_zfs() { None } else { Some(1) }
}

/// Whether hosts have a daemon of zfs-fuse, and not the kernel's ZFS.
pub fn is_zfs_fuse() -> bool {
    !kernel_zfs()
}

/// Kills the daemon of zfs-fuse of the host in `dir`.
///
/// # Errors
/// When there is none.
pub fn kill_zfs_fuse(dir: &Path) -> Result<()> {
    let pid = recorded_pid(dir).context("no zfs-fuse runs here")?;
    signal(pid, nix::sys::signal::Signal::SIGKILL)?;
    await_death(dir)
}

/// One that is dying still holds its lock, and its last threads the pool and what is mounted: they
/// answer for a moment after the first is gone.
fn await_death(dir: &Path) -> Result<()> {
    let deadline = Instant::now() + STOP_LIMIT;
    while recorded_pid(dir).is_some() || has_threads(dir) {
        ensure!(Instant::now() < deadline, "zfs-fuse does not die");
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Starts zfs-fuse anew for the host in `dir`, from within its namespace, after the one before was
/// killed; the pool comes back with it.
///
/// # Errors
/// When it does not come up.
pub fn revive_zfs_fuse(dir: &Path) -> Result<Child> {
    await_death(dir)?;
    let _ = fs::remove_file(dir.join("run/zfs_socket"));
    let log = fs::File::options().append(true).create(true).open(dir.join("zfs.log"))?;
    let mut command = Command::new("zfs-fuse");
    command.args(["--no-daemon", "--no-kstat-mount", "-a", "0", "-e", "0", "--disable-page-cache"]);
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    record_pid(dir, child.id())?;
    let pool = fs::read_to_string(dir.join("pool"))?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let mut list = Command::new("zpool");
        list.args(["list", "-H", "-o", "name", &pool]);
        if run(list, START_LIMIT)?.status.success() {
            return Ok(child);
        }
        // As a host does at boot, where the list of pools is not enough.
        let mut import = Command::new("zpool");
        import.args(["import", "-N", "-f", "-d"]).args([dir, Path::new(&pool)]);
        run(import, START_LIMIT)?;
        ensure!(Instant::now() < deadline, "the pool did not come back with zfs-fuse");
        std::thread::sleep(POLL);
    }
}

/// Whether threads of the recorded process live on; its first can be dead and waited for already.
fn has_threads(dir: &Path) -> bool {
    let text = fs::read_to_string(dir.join("pid")).unwrap_or_default();
    let pid = text.split(' ').next().unwrap_or_default();
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
}

fn kernel_zfs() -> bool {
    Path::new("/dev/zfs").exists()
}

/// Kernel pools share one space of names with the machine's own and with other runs.
fn pool_name(wanted: &str) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    if kernel_zfs() { format!("{wanted}-{}-{made}", std::process::id()) } else { wanted.to_owned() }
}

fn hold(options: &ZfsHostOptions) -> Result<Child> {
    let log = fs::File::create(options.dir.join("zfs.log"))?;
    let mut command = match &options.netns {
        Some(netns) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", netns, "unshare"]);
            command
        }
        None => Command::new("unshare"),
    };
    command.args(["--mount", "--propagation", "private", "sh", "-c", HOLD, "zfs-host"]);
    command.arg(&options.dir).args(&options.private_paths);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("cannot start the host's ZFS (unshare)")
}

/// Runs a command with a deadline; its output is small.
fn run(mut command: Command, limit: Duration) -> Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if wait(&mut child, limit)?.is_none() {
        child.kill()?;
        child.wait()?;
        bail!("{command:?} gave no answer for {} s", limit.as_secs());
    }
    Ok(child.wait_with_output()?)
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            status => return Ok(status),
        }
    }
}

/// Best effort: the daemon's end takes the mounts along anyway; with kernel ZFS the pool must go.
fn destroy_pool(dir: &Path, pool: &str, pid: u32) {
    let mut destroy = Command::new("nsenter");
    destroy.args(["-t", &pid.to_string(), "-m", "--", "zpool", "destroy", "-f", pool]);
    if let Err(error) = run(destroy, STOP_LIMIT) {
        eprintln!("cannot destroy pool {pool} in {}: {error:#}", dir.display());
    }
}

fn remove_records(dir: &Path) -> Result<()> {
    for name in ["pool", "pid", "ready", "pool.img", "run/zfs_socket", "lib/zpool.cache"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// When a process started, in ticks since boot: with the PID it names a process for good.
fn start_ticks(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

fn record_pid(dir: &Path, pid: u32) -> Result<()> {
    let ticks = start_ticks(pid).context("the host's ZFS ended at once")?;
    Ok(fs::write(dir.join("pid"), format!("{pid} {ticks}"))?)
}

/// The recorded process, if it is still that one.
fn recorded_pid(dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(dir.join("pid")).ok()?;
    let (pid, ticks) = text.split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_ticks(pid)? == ticks).then_some(pid)
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) -> Result<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
    Ok(nix::sys::signal::kill(pid, signal)?)
}

fn end_pid(pid: u32) -> Result<()> {
    let _ = signal(pid, nix::sys::signal::Signal::SIGTERM);
    let deadline = Instant::now() + STOP_LIMIT;
    while start_ticks(pid).is_some() {
        if Instant::now() > deadline {
            return signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
