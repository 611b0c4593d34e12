//! The kill matrix: at each named step of the daemons the process dies as by `kill -9`, and so do the
//! programs and the ZFS daemon they work with. After a restart everything is in step, unaided, with no
//! byte wrong and nothing left over, and life goes on.
//!
//! One site serves all trials, one after the other; one that fails is thrown away. In it a VM's overlay
//! and what it has open live through all of them.

mod daemon;
mod image;
mod scene;
mod site;
mod tidy;
mod tools;
mod trial;

use crate::inside;
use anyhow::{Result, bail};
use libtest_mimic::{Arguments, Failed, Trial};
use site::Site;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Of all trials together, under load.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the trials that the command line selects, as a test program does; `dir` is where their ZFS lives.
pub fn on_real_zfs(dir: &Path) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let Some(pool) = inside::pool().or_else(|| arguments.list.then(String::new)) else {
        return inside::run_again(dir, LIMIT);
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let stage = Arc::new(Stage { pool, dir: dir.to_owned(), runtime, site: Mutex::default() });
    let conclusion = libtest_mimic::run(&arguments, trials(&stage));
    conclusion.exit_code()
}

/// Where the trials are played.
struct Stage {
    pool: String,
    dir: PathBuf,
    runtime: Runtime,
    /// The site that serves, and how many there were.
    site: Mutex<(Option<Site>, u32)>,
}

fn trials(stage: &Arc<Stage>) -> Vec<Trial> {
    let trial = |trial: trial::KillTrial| {
        let stage = Arc::clone(stage);
        Trial::test(trial.name(), move || {
            stage.play(trial).map_err(|error| Failed::from(format!("{error:?}")))
        })
    };
    trial::all().into_iter().map(trial).collect()
}

impl Stage {
    fn play(&self, trial: trial::KillTrial) -> Result<()> {
        let mut guard = self.site.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, number) = &mut *guard;
        self.runtime.block_on(async {
            let mut site = match kept.take() {
                Some(site) => site,
                None => {
                    *number += 1;
                    let root = format!("{}/site{number}", self.pool).parse()?;
                    Site::start(root, &self.dir.join(format!("site{number}")), &self.dir).await?
                }
            };
            match trial.run(&mut site).await {
                Ok(()) => {
                    *kept = Some(site);
                    Ok(())
                }
                Err(error) => bail!("{error:?}\n{}", site.end_of_logs()),
            }
        })
    }
}
