//! `cargo xtask soak [INVOCATIONS [SEED]]`: a server under abuse, and what it leaves behind.
//!
//! Functions on Node, Python and a runtime of their own are invoked by several callers at once. They exit, crash, throw,
//! hang, spin, take all memory, leave processes behind; they are killed from outside, updated, published, deleted. Some
//! have SnapStart and are invoked by version: their templates, and what is forked of these, are killed like all others.
//! At a tenth of the way and at the end everything comes to rest, no environment and no template is left, and what the
//! server holds is compared. Then it stops, and nothing of it may be left.
//!
//! Only descendants of this run's own server are killed, whatever else runs on the machine.
//!
//! One seed draws the same functions and operations; what happens at the same time is up to the machine.

mod answers;
mod code;
mod killer;
mod leftovers;
mod work;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bench::Place;
use crate::bench::target::Nilas;
use answers::Answers;
use leftovers::{Holdings, Names};
use work::Work;

const INVOCATIONS_DEFAULT: usize = 20_000;
/// Environments that are idle so long end, milliseconds.
const IDLE_MS: &str = "1500";
/// Small enough that environments have to make room for others.
const MEMORY_MIB: &str = "1024";
const OVERCOMMIT: &str = "3";
const CONCURRENCY: &str = "120";

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    let number = |at: usize, default: usize| match arguments.get(at) {
        Some(text) => text.parse().map_err(|_| format!("{text}: not a number")),
        None => Ok(default),
    };
    let (invocations, seed) = (number(0, INVOCATIONS_DEFAULT)?, number(1, 1)?);
    let place = Place::prepare(root)?;
    let flags = ["--concurrency", CONCURRENCY, "--idle-ms", IDLE_MS, "--memory-mib", MEMORY_MIB];
    let flags = [&flags[..], &["--memory-overcommit", OVERCOMMIT]].concat();
    let mut nilas = Nilas::start_with(&place, &flags)?;
    let soaked = soak(&mut nilas, &place, invocations, seed as u64);
    soaked.map_err(|error| format!("{error}\n{}", nilas.last_words()))
}

fn soak(nilas: &mut Nilas, place: &Place, invocations: usize, seed: u64) -> Result<String, String> {
    let began = Instant::now();
    let work = Work::prepare(nilas, place, seed)?;
    let mut answers = work.run(nilas, invocations / 10, 0)?;
    work.delete_with_snap_start(nilas)?;
    let names = leftovers::rest(nilas)?;
    let early = Holdings::of(nilas, &names)?;
    answers.add(&work.run(nilas, invocations - invocations / 10, 1)?);
    work.delete_with_snap_start(nilas)?;
    leftovers::rest(nilas)?;
    let late = Holdings::of(nilas, &names)?;
    let took = began.elapsed();
    let survivors = nilas.stop();
    let mut left = names.left(nilas.data_dir());
    left.extend(survivors.iter().map(|pid| format!("left behind: process {pid}, killed now")));
    let report = report(seed, took, &answers, &early, &late);
    let faults: Vec<String> =
        late.growth_since(&early).into_iter().chain(answers.faults()).chain(left).collect();
    if faults.is_empty() { Ok(report) } else { Err(format!("{report}\n{}", faults.join("\n"))) }
}

fn report(
    seed: u64,
    took: Duration,
    answers: &Answers,
    early: &Holdings,
    late: &Holdings,
) -> String {
    let mut text = format!("seed {seed}, {:.0} s\n{answers}\n", took.as_secs_f64());
    text += &format!("{:<44} {:>12} {:>12}\n", "at rest", "after 10 %", "at the end");
    for ((what, before), (_, after)) in early.rows().into_iter().zip(late.rows()) {
        text += &format!("{what:<44} {before:>12} {after:>12}\n");
    }
    text
}

/// Names of what a server makes on the host are found while it runs, and looked for once it has ended.
impl Names {
    fn left(&self, data_dir: &Path) -> Vec<String> {
        self.leftovers(data_dir).into_iter().map(|what| format!("left behind: {what}")).collect()
    }
}
