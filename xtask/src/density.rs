//! `cargo xtask density [N]`: N idle Node environments alive at once, what each takes, and how fast one that is frozen
//! answers.
//!
//! Each is of a function of its own, so that one round over the functions in random order thaws every environment once.

use std::path::Path;
use std::time::{Duration, Instant};

use nilas_load::{Connection, Latencies};

use crate::bench::lambda::Hello;
use crate::bench::target::Nilas;
use crate::bench::{Place, processes, said};
use crate::dice::Dice;

const ENVIRONMENTS_DEFAULT: usize = 2_000;
/// Time for the last environments to be frozen and for what was ended to be cleared away.
const SETTLED: Duration = Duration::from_secs(3);
/// Longer than a run takes, milliseconds.
const IDLE_MS: &str = "3600000";

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    let wanted = match arguments.first() {
        Some(text) => text.parse().map_err(|_| format!("{text}: not a number of environments"))?,
        None => ENVIRONMENTS_DEFAULT,
    };
    let place = Place::prepare(root)?;
    let concurrency = (wanted + 100).to_string();
    let flags = ["--concurrency", &concurrency, "--idle-ms", IDLE_MS];
    let nilas = Nilas::start_with(&place, &flags)?;
    std::thread::sleep(SETTLED);
    let available_mib = processes::host_available_mib();
    let measured = measure(&nilas, wanted, available_mib);
    measured.map_err(|error| format!("{error}\n{}", nilas.last_words()))
}

fn measure(nilas: &Nilas, wanted: usize, available_mib: f64) -> Result<String, String> {
    let began = Instant::now();
    start_all(nilas, wanted)?;
    let started_s = began.elapsed().as_secs_f64();
    std::thread::sleep(SETTLED);
    let used_mib = available_mib - processes::host_available_mib();

    let children = processes::children_by_parent();
    let alive = nilas.environments(&children);
    let mut pss_mib = Vec::new();
    for init in &alive {
        pss_mib.push(processes::tree_pss_kib(*init, &children)? as f64 / 1024.0);
    }
    pss_mib.sort_by(f64::total_cmp);
    let pss_mean_mib = pss_mib.iter().sum::<f64>() / alive.len() as f64;
    let pss_max_mib = pss_mib.last().copied().unwrap_or(f64::NAN);
    let thawed = thaw_all(nilas, wanted)?;
    let after = nilas.environments(&processes::children_by_parent());
    let kept = alive.iter().filter(|init| after.contains(init)).count();

    let mut report = String::new();
    let mut row = |what: &str, value: String| report += &format!("{what:<44} {value:>12}\n");
    row("environments alive", alive.len().to_string());
    row("of these, alive after the round of thaws", kept.to_string());
    row("created and started in", format!("{started_s:.0} s"));
    row("memory per environment (PSS)", format!("{pss_mean_mib:.2} MiB"));
    row("memory of the largest (PSS)", format!("{pss_max_mib:.2} MiB"));
    row("memory of the host taken, per environment", {
        format!("{:.2} MiB", used_mib / alive.len() as f64)
    });
    row("memory of the host taken, all", format!("{used_mib:.0} MiB"));
    row("server, memory (PSS)", {
        format!("{:.0} MiB", processes::pss_kib(nilas.pid())? as f64 / 1024.0)
    });
    row("thaw and answer, random order, p50", format!("{:.2} ms", thawed.p50_ms()));
    row("thaw and answer, random order, p99", format!("{:.2} ms", thawed.p99_ms()));
    Ok(report)
}

fn start_all(nilas: &Nilas, count: usize) -> Result<(), String> {
    let mut connection = Connection::open(nilas.api.address).map_err(said)?;
    for number in 0..count {
        let name = name(number);
        nilas.api.create_one(&mut connection, &name, &Hello::Node)?;
        let load = nilas.api.invocation(&name)?;
        connection.call(&load).map_err(|e| format!("{name}: {}", said(e)))?;
    }
    Ok(())
}

/// Invokes every function once, one after the other.
fn thaw_all(nilas: &Nilas, count: usize) -> Result<Latencies, String> {
    let mut order: Vec<usize> = (0..count).collect();
    Dice::new(1).shuffle(&mut order);
    let mut connection = Connection::open(nilas.api.address).map_err(said)?;
    let mut latencies = Latencies::default();
    for number in order {
        let load = nilas.api.invocation(&name(number))?;
        let began = Instant::now();
        connection.call(&load).map_err(said)?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

fn name(number: usize) -> String {
    format!("dense-{number}")
}
