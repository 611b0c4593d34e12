//! Trying inputs, one after the other, and telling of the first that broke something.

use super::{Reader, Target, Verdict, input};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// An input that takes longer is taken to hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs something, and says how many bytes it held at most on this thread.
pub type Measure = fn(&mut dyn FnMut()) -> u64;

/// A run to do: how many inputs, and which.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many inputs.
    pub inputs: u64,
    /// What they are made of.
    pub seed: u64,
    /// One input alone, that failed before.
    pub only: Option<u64>,
}

/// The counts of a run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How many inputs.
    pub inputs: u64,
    /// How many of them were accepted.
    pub accepted: u64,
    /// The most memory that one took, in bytes.
    pub most_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// An input that broke something.
#[derive(Debug)]
pub struct Failure {
    target: &'static str,
    number: u64,
    seed: u64,
    input: Vec<u8>,
    why: String,
}

/// More of an input is not shown.
const SHOWN_BYTES: usize = 1024;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, number, seed, input, why } = self;
        writeln!(f, "input {number} of seed {seed}, {} bytes: {why}", input.len())?;
        input.iter().take(SHOWN_BYTES).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "\nonce more: make fuzz TARGET={target} SEED={seed} NUMBER={number}")
    }
}

/// Tries the seeds, which must be accepted, and then the inputs of a plan.
///
/// # Errors
/// The first input that broke something.
pub fn run(target: &'static Target, plan: &Plan, measure: Measure) -> Result<Report, Failure> {
    let (sender, trying) = channel();
    let plan = plan.clone();
    let work = std::thread::Builder::new().name(target.name.to_owned());
    let seed = plan.seed;
    let failure = |why: String| Failure { target: target.name, number: 0, seed, input: Vec::new(), why };
    let work = work.spawn(move || Trier { target, measure, plan, sender }.run());
    let work = work.map_err(|error| failure(error.to_string()))?;
    let mut last = (0, Vec::new());
    loop {
        match trying.recv_timeout(DEADLINE) {
            Ok(trying) => last = trying,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let (number, input) = last;
                let why = format!("not done with the inputs from this one on in {} s", DEADLINE.as_secs());
                return Err(Failure { target: target.name, number, seed, input, why });
            }
        }
    }
    work.join().unwrap_or_else(|_| Err(failure("its thread broke off".to_owned())))
}

/// So often it is told which input is tried.
const TELL_EVERY: u64 = 256;

struct Trier {
    target: &'static Target,
    measure: Measure,
    plan: Plan,
    /// What is being tried.
    sender: Sender<(u64, Vec<u8>)>,
}

impl Trier {
    fn run(self) -> Result<Report, Failure> {
        let (seeds, mut reader) = ((self.target.seeds)(), (self.target.open)());
        let mut report = Report { inputs: 0, accepted: 0, most_bytes: 0, took: Duration::ZERO };
        for seed in &seeds {
            if self.attempt(&mut reader, 0, seed, &mut report)? != Verdict::Accepted {
                return Err(self.failure(0, seed, "a seed is refused".to_owned()));
            }
        }
        let started = Instant::now();
        let numbers = self.plan.only.map_or(1..=self.plan.inputs, |only| only..=only);
        report = Report { inputs: numbers.clone().count() as u64, accepted: 0, ..report };
        for number in numbers {
            let input = input(self.target, &seeds, self.plan.seed, number);
            if number % TELL_EVERY == 1 {
                let _ = self.sender.send((number, input.clone()));
            }
            let verdict = self.attempt(&mut reader, number, &input, &mut report)?;
            report.accepted += u64::from(verdict == Verdict::Accepted);
        }
        report.took = started.elapsed();
        Ok(report)
    }

    fn attempt(
        &self,
        reader: &mut Reader,
        number: u64,
        input: &[u8],
        report: &mut Report,
    ) -> Result<Verdict, Failure> {
        let mut read = None;
        let bytes = (self.measure)(&mut || read = Some(catch_unwind(AssertUnwindSafe(|| reader(input)))));
        report.most_bytes = report.most_bytes.max(bytes);
        let bound = self.target.bound_bytes + 64 * input.len() as u64;
        match read {
            Some(Ok(Ok(_))) if bytes > bound => Err(self.failure(
                number,
                input,
                format!("it took {bytes} bytes of memory, more than {bound}"),
            )),
            Some(Ok(Ok(verdict))) => Ok(verdict),
            Some(Ok(Err(broken))) => Err(self.failure(number, input, format!("{broken:#}"))),
            _ => Err(self.failure(number, input, "a panic".to_owned())),
        }
    }

    fn failure(&self, number: u64, input: &[u8], why: String) -> Failure {
        Failure { target: self.target.name, number, seed: self.plan.seed, input: input.to_vec(), why }
    }
}
