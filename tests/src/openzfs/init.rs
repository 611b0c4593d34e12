//! The guest's first program: loads OpenZFS, brings the network up, and runs what the host asks for.

use super::serial_protocol::{News, PORT_NAME, Run};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MODULES: &str = "/usr/lib/bootstash-guest";
const PORTS: &str = "/sys/class/virtio-ports";
const POLL: Duration = Duration::from_millis(20);
/// What is still in the pipes of a program that ended comes within this time; a daemon it left
/// behind may keep them open for ever.
const REST: Duration = Duration::from_secs(1);

/// Serves the host for ever.
///
/// # Errors
/// When OpenZFS does not load, or there is no port to serve.
pub fn run() -> Result<()> {
    for module in ["spl", "zfs"] {
        let path = Path::new(MODULES).join(module).with_extension("ko");
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        nix::kmod::finit_module(file, c"", nix::kmod::ModuleInitFlags::empty())
            .with_context(|| path.display().to_string())?;
    }
    plug_in()?;
    let ports = ports()?;
    ensure!(!ports.is_empty(), "there is no port to the host");
    println!("guest ready");
    let threads: Vec<_> = ports.into_iter().map(|port| std::thread::spawn(move || serve(&port))).collect();
    for thread in threads {
        if let Ok(Err(error)) = thread.join() {
            println!("guest port: {error:#}");
        }
    }
    Ok(())
}

/// Gives each network card the address that the kernel's command line has for it.
fn plug_in() -> Result<()> {
    let words = fs::read_to_string("/proc/cmdline")?;
    let addresses = words.split_whitespace().find_map(|word| word.strip_prefix("guest.addresses="));
    for (card, address) in addresses.unwrap_or_default().split(',').filter(|one| !one.is_empty()).enumerate()
    {
        let card = format!("eth{card}");
        ip(&["address", "add", address, "dev", &card])?;
        ip(&["link", "set", &card, "up"])?;
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(words).status()?;
    ensure!(status.success(), "ip {words:?}: {status}");
    Ok(())
}

fn ports() -> Result<Vec<PathBuf>> {
    let mut ports = Vec::new();
    for entry in fs::read_dir(PORTS)? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.starts_with(PORT_NAME) {
            ports.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    Ok(ports)
}

fn serve(port: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(port)?;
    let mut lines = BufReader::new(file.try_clone()?);
    let mut text = String::new();
    loop {
        // A port without its host reads as ended.
        if lines.read_line(&mut text)? == 0 {
            std::thread::sleep(POLL);
            continue;
        }
        let to_host = ToHost(Arc::new(Mutex::new(Some(file.try_clone()?))));
        let last = match serde_json::from_str(&text) {
            Ok(run) => execute(&run, &to_host),
            Err(error) => News::NotStarted(error.to_string()),
        };
        to_host.end(&last);
        text.clear();
    }
}

/// The way to the host, until the program has ended.
#[derive(Clone)]
struct ToHost(Arc<Mutex<Option<File>>>);

impl ToHost {
    fn say(&self, news: &News) {
        if let Some(file) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            write(file, news);
        }
    }

    fn end(&self, news: &News) {
        if let Some(mut file) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            write(&mut file, news);
        }
    }
}

fn write(file: &mut File, news: &News) {
    let text = serde_json::to_string(news).unwrap_or_default() + "\n";
    // A host that is gone needs no news.
    let _ = file.write_all(text.as_bytes());
}

fn execute(run: &Run, to_host: &ToHost) -> News {
    let Some((program, arguments)) = run.words.split_first() else {
        return News::NotStarted("no program is named".to_owned());
    };
    let child = Command::new(program)
        .args(arguments)
        .envs(run.env.iter().map(|(name, value)| (name, value)))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        // In memory; what is below /tmp lies over this machine's.
        .env("TMPDIR", "/run")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => follow(child, Duration::from_secs(run.limit_seconds), to_host),
        Err(error) => News::NotStarted(error.to_string()),
    }
}

fn follow(mut child: Child, limit: Duration, to_host: &ToHost) -> News {
    let pumps = [
        child.stdout.take().map(|pipe| pump(pipe, to_host.clone(), News::Out)),
        child.stderr.take().map(|pipe| pump(pipe, to_host.clone(), News::Err)),
    ];
    let Some(status) = wait(&mut child, limit) else {
        let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        return News::Overdue;
    };
    let deadline = Instant::now() + REST;
    while pumps.iter().flatten().any(|pump| !pump.is_finished()) && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    News::Ended(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if Instant::now() > deadline => return None,
            _ => std::thread::sleep(POLL),
        }
    }
}

fn pump(
    pipe: impl Read + Send + 'static,
    to_host: ToHost,
    news: fn(String) -> News,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            to_host.say(&news(String::from_utf8_lossy(&line).into_owned()));
        }
    })
}
