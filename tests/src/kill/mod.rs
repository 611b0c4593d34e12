//! The kill matrix: at each named step of the daemons the process dies as by `kill -9`, and so do the
//! programs and the ZFS daemon they work with. After a restart everything is in step, unaided, with no
//! byte wrong and nothing left over, and all goes on working.
//!
//! One testbed serves all trials, one after the other; one that fails is thrown away. In it a VM's overlay
//! and what it has open live through all of them.

mod daemon;
mod image;
mod leftovers;
mod scenario;
mod testbed;
mod tools;
mod trial;

use crate::private_zfs;
use anyhow::{Result, bail};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use testbed::Testbed;
use tokio::runtime::Runtime;

/// Of all trials together, under load.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the trials that the command line selects, as a test program does; `dir` is where their ZFS lives.
pub fn on_real_zfs(dir: &Path) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let Some(pool) = private_zfs::pool().or_else(|| arguments.list.then(String::new)) else {
        return private_zfs::run_again(dir, LIMIT);
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let runner = Arc::new(Runner { pool, dir: dir.to_owned(), runtime, testbed: Mutex::default() });
    let conclusion = libtest_mimic::run(&arguments, trials(&runner));
    conclusion.exit_code()
}

/// Runs the trials.
struct Runner {
    pool: String,
    dir: PathBuf,
    runtime: Runtime,
    /// The testbed that serves, and how many there were.
    testbed: Mutex<(Option<Testbed>, u32)>,
}

fn trials(runner: &Arc<Runner>) -> Vec<Trial> {
    let trial = |trial: trial::KillTrial| {
        let runner = Arc::clone(runner);
        Trial::test(trial.name(), move || {
            runner.run(trial).map_err(|error| Failed::from(format!("{error:?}")))
        })
    };
    trial::all().into_iter().map(trial).collect()
}

impl Runner {
    fn run(&self, trial: trial::KillTrial) -> Result<()> {
        let mut guard = self.testbed.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, number) = &mut *guard;
        self.runtime.block_on(async {
            let mut testbed = match kept.take() {
                Some(testbed) => testbed,
                None => {
                    *number += 1;
                    let root = format!("{}/bed{number}", self.pool).parse()?;
                    Testbed::start(root, &self.dir.join(format!("bed{number}")), &self.dir).await?
                }
            };
            match trial.run(&mut testbed).await {
                Ok(()) => {
                    *kept = Some(testbed);
                    Ok(())
                }
                Err(error) => bail!("{error:?}\n{}", testbed.end_of_logs()),
            }
        })
    }
}
