//! `cargo xtask sim SEED [STEPS]`: one run of the pool's simulation, told step by step.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// As many as the test in `nilas-engine` takes.
const STEPS_DEFAULT: u32 = 150;

pub(crate) fn run(arguments: &[String]) -> Result<String, String> {
    let usage = || "usage: cargo xtask sim SEED [STEPS]".to_owned();
    let seed: u64 = arguments.first().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
    let steps: u32 = match arguments.get(1) {
        Some(text) => text.parse().map_err(|_| usage())?,
        None => STEPS_DEFAULT,
    };
    let mut lines = 0_u64;
    let mut write = |line: &str| {
        lines += 1;
        // A reader that has seen enough, such as `head`, is no failure of the run.
        drop(writeln!(std::io::stdout(), "{line}"));
    };
    // The panic's own message says which invariant broke, and where.
    let run = catch_unwind(AssertUnwindSafe(|| {
        nilas_engine::simulate(seed, steps, Some(&mut write));
    }));
    match run {
        Ok(()) => Ok(format!("seed {seed}: every invariant held, {lines} lines")),
        Err(_) => Err(format!("seed {seed}: an invariant broke in the last step above")),
    }
}
