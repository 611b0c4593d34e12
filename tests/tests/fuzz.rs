//! Untrusted bytes: see `bootstash_tests::fuzz`. `make fuzz INPUTS=1000000` tries more of them.

use bootstash_tests::fuzz::{Plan, TARGETS, Target, run};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// Without a word of how many: some seconds for all targets.
const INPUTS: u64 = 1000;

fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let trials = TARGETS.iter().map(|target| trial(target, plan.clone())).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(target: &'static Target, plan: Plan) -> Trial {
    Trial::test(target.name, move || {
        let report = run(target, &plan, held_at_most).map_err(|failure| Failed::from(failure.to_string()))?;
        println!(
            "{}: {} inputs in {:.1} s, {} accepted, at most {} KiB each",
            target.name,
            report.inputs,
            report.took.as_secs_f64(),
            report.accepted,
            report.most_bytes >> 10
        );
        Ok(())
    })
}

fn held_at_most(work: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

fn plan() -> Result<Plan, String> {
    let inputs = number("FUZZ_INPUTS")?.unwrap_or(INPUTS);
    let seed = number("FUZZ_SEED")?.unwrap_or(1);
    Ok(Plan { inputs, seed, only: number("FUZZ_NUMBER")? })
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    let parsed = given.map(|text| text.parse().map_err(|_| format!("{name}={text} is no number")));
    parsed.transpose()
}
