//! A running guest, as its host sees it.

use super::machine::{GuestOptions, MadeGuest, port_socket};
use super::serial_protocol::{News, PORTS, Run};
use crate::lab::run::Process;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A boot takes 11 s on two idle cores; the rest is for cores that are not.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// What a guest may take to say that a program is overdue.
const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running guest; dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    name: String,
    dir: PathBuf,
    _process: Mutex<Process>,
    /// Those at rest; a program that runs holds one.
    ports: Mutex<Vec<BufReader<UnixStream>>>,
    returned: Condvar,
    started: Instant,
    booted_in: Duration,
}

/// What a program in the guest did.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its exit status, or 128 and the signal's number.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Guest {
    /// Starts guests, side by side, and waits until each can run programs. They end with the calling
    /// thread, should that end first.
    ///
    /// # Errors
    /// With the end of a console, when one does not come up in time.
    pub fn boot_all(made: &MadeGuest, options: &[GuestOptions]) -> Result<Vec<Self>> {
        let mut guests: Vec<_> =
            options.iter().map(|options| Self::start(made, options)).collect::<Result<_>>()?;
        guests.iter_mut().try_for_each(Self::come_up)?;
        Ok(guests)
    }

    fn start(made: &MadeGuest, options: &GuestOptions) -> Result<Self> {
        std::fs::create_dir_all(options.dir.join("share"))?;
        let started = Instant::now();
        let mut process = made.call(options)?.start(&options.dir.join("qemu.log"))?;
        let mut ports = Vec::new();
        for port in 0..PORTS {
            ports.push(connect(&port_socket(&options.dir, port), &mut process, started)?);
        }
        Ok(Self {
            name: options.name.clone(),
            dir: options.dir.clone(),
            _process: Mutex::new(process),
            ports: Mutex::new(ports),
            returned: Condvar::new(),
            started,
            booted_in: Duration::ZERO,
        })
    }

    fn come_up(&mut self) -> Result<()> {
        let answer = self.run(&["zfs", "version"], BOOT_LIMIT).and_then(Told::success);
        answer.with_context(|| {
            format!("guest {} did not come up; its console: {}", self.name, self.console())
        })?;
        self.booted_in = self.started.elapsed();
        Ok(())
    }

    /// From power-on until it could run programs.
    pub fn booted_in(&self) -> Duration {
        self.booted_in
    }

    /// The folder that the guest sees as `/share`.
    pub fn share(&self) -> PathBuf {
        self.dir.join("share")
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it cannot be started, does not end within `limit`, or the guest is gone.
    pub fn run(&self, words: &[&str], limit: Duration) -> Result<Told> {
        self.run_with(words, &[], limit, |_, _| {})
    }

    /// Runs a program, with its output on our own as it comes.
    ///
    /// # Errors
    /// Like [`Guest::run`].
    pub fn show(&self, words: &[&str], env: &[(&str, &str)], limit: Duration) -> Result<Told> {
        self.run_with(words, env, limit, |name, line| println!("{name}| {line}"))
    }

    /// Runs shell commands, which must succeed; gives what they said.
    ///
    /// # Errors
    /// Like [`Guest::run`], and when they failed.
    pub fn shell(&self, commands: &str, limit: Duration) -> Result<String> {
        let told = self.run(&["sh", "-euc", commands], limit)?;
        told.success().with_context(|| format!("in guest {}: {commands}", self.name))
    }

    fn run_with(
        &self,
        words: &[&str],
        env: &[(&str, &str)],
        limit: Duration,
        line: impl Fn(&str, &str),
    ) -> Result<Told> {
        let run = Run {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            limit_seconds: limit.as_secs(),
        };
        let mut port = self.take_port(limit)?;
        let told = ask(&mut port, &run, limit + GRACE, |text| line(&self.name, text));
        // After an error it is not known what is still under way on that port.
        if told.is_ok() {
            self.ports.lock().unwrap_or_else(PoisonError::into_inner).push(port);
            self.returned.notify_one();
        }
        told.with_context(|| format!("guest {}: {}", self.name, words.join(" ")))
    }

    fn take_port(&self, limit: Duration) -> Result<BufReader<UnixStream>> {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.returned.wait_timeout_while(ports, limit, |ports| ports.is_empty());
        let (mut ports, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ports.pop().with_context(|| format!("guest {}: no port became free", self.name))
    }

    fn console(&self) -> String {
        let bytes = std::fs::read(self.dir.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..]).into_owned()
    }
}

impl Told {
    /// Its standard output, if it succeeded.
    ///
    /// # Errors
    /// What it said, if not.
    pub fn success(self) -> Result<String> {
        ensure!(self.code == 0, "exit status {}: {}{}", self.code, self.stdout, self.stderr);
        Ok(self.stdout)
    }
}

fn connect(socket: &Path, process: &mut Process, started: Instant) -> Result<BufReader<UnixStream>> {
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(BufReader::new(stream)),
            Err(error) if started.elapsed() > BOOT_LIMIT => {
                return Err(error).with_context(|| format!("connecting to {}", socket.display()));
            }
            Err(_) => std::thread::sleep(POLL),
        }
        let log = socket.with_file_name("qemu.log");
        ensure!(process.is_running(), "QEMU ended: {}", std::fs::read_to_string(log).unwrap_or_default());
    }
}

fn ask(port: &mut BufReader<UnixStream>, run: &Run, limit: Duration, line: impl Fn(&str)) -> Result<Told> {
    let deadline = Instant::now() + limit;
    let mut text = serde_json::to_string(run)?;
    text.push('\n');
    port.get_mut().write_all(text.as_bytes())?;
    let mut told = Told::default();
    loop {
        match read_news(port, deadline)? {
            News::Out(text) => {
                line(&text);
                told.stdout.push_str(&(text + "\n"));
            }
            News::Err(text) => {
                line(&text);
                told.stderr.push_str(&(text + "\n"));
            }
            News::Ended(code) => return Ok(Told { code, ..told }),
            News::Overdue => {
                bail!("did not end within {} s; it said: {}{}", run.limit_seconds, told.stdout, told.stderr)
            }
            News::NotStarted(why) => bail!("cannot be started: {why}"),
        }
    }
}

fn read_news(port: &mut BufReader<UnixStream>, deadline: Instant) -> Result<News> {
    let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
    port.get_ref().set_read_timeout(Some(left))?;
    let mut text = String::new();
    match port.read_line(&mut text) {
        Ok(0) => bail!("the guest is gone"),
        Ok(_) => Ok(serde_json::from_str(&text)?),
        Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("the guest does not answer"),
        Err(error) => Err(error.into()),
    }
}
