//! Registering an image with the real command, and following what it says.

use super::host::Host;
use super::wait;
use anyhow::{Context, Result, bail};
use bootstash_net::api::{JobOutcome, JobView};
use std::path::Path;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(1800);

/// An image that was registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The job's last state.
    pub job: JobView,
    /// From the command to its end.
    pub seconds: f64,
}

impl Registration {
    /// Sizes of its cache and of the delta that carries it, in bytes, and how many boots it took.
    ///
    /// # Errors
    /// When it was not registered.
    pub fn facts(&self) -> Result<(u64, u64, u32)> {
        match &self.job.outcome {
            Some(JobOutcome::Registered { cache_bytes, delta_bytes, boots, .. }) => {
                Ok((*cache_bytes, *delta_bytes, *boots))
            }
            other => bail!("{} was not registered: {other:?}", self.job.name),
        }
    }
}

/// Runs `bootstash register NAME SOURCE --complete --json` on `host` to its end, when all boots are made, and tells
/// `on_news` of each state of the job it prints.
///
/// # Errors
/// When the command fails; with what it said.
pub fn register(
    host: &Host,
    name: &str,
    source: &Path,
    on_news: impl FnMut(&JobView),
) -> Result<Registration> {
    run(host, name, source, &["--complete"], on_news)
}

/// The same without `--complete`: nodes have it before all boots are made. Run again, it waits for those.
///
/// # Errors
/// When the command fails; with what it said.
pub fn register_early(host: &Host, name: &str, source: &Path) -> Result<Registration> {
    run(host, name, source, &[], |_| ())
}

fn run(
    host: &Host,
    name: &str,
    source: &Path,
    options: &[&str],
    mut on_news: impl FnMut(&JobView),
) -> Result<Registration> {
    let log = host.dir().join(format!("register-{name}.log"));
    drop(std::fs::remove_file(&log));
    let call = host.command("bootstash", ["register", name, "--json"]).args(options).args([source]);
    let (start, mut process, mut seen) = (Instant::now(), call.start(&log)?, 0);
    let what = format!("{name} to be registered");
    let last = wait::until(&what, DEADLINE, || {
        // Asked first: what it printed before its end is then all there.
        let running = process.is_running();
        let text = std::fs::read_to_string(&log)?;
        let states = text.lines().filter_map(|line| serde_json::from_str::<JobView>(line).ok());
        let states: Vec<_> = states.collect();
        states[seen..].iter().for_each(&mut on_news);
        seen = states.len();
        Ok((!running).then(|| states.into_iter().next_back().with_context(|| text.clone())))
    })??;
    let registration = Registration { job: last, seconds: start.elapsed().as_secs_f64() };
    registration.facts().with_context(|| format!("`{call}`"))?;
    Ok(registration)
}
