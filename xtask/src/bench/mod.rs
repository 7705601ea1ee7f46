//! `cargo xtask bench`: nilas against bare Node on this machine, in one run, as ratios.
//!
//! The peer answers the same body from `http.createServer` in one Node process, without sandbox, signature or log.
//! Signatures: each connection signs its request once and repeats it, so the generator's own hashing, which would
//! take cycles from a server on the same cores, is left out; the server verifies every request all the same.

pub(crate) mod load;
pub(crate) mod target;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use load::{Latencies, Load};
use target::{BareNode, Nilas};

/// What is measured, and for how long.
struct Plan {
    warm_requests: usize,
    throughput_for: Duration,
    cold_functions: usize,
    starts: usize,
}

const FULL: Plan = Plan {
    warm_requests: 5_000,
    throughput_for: Duration::from_secs(8),
    cold_functions: 50,
    starts: 20,
};
const QUICK: Plan = Plan {
    warm_requests: 500,
    throughput_for: Duration::from_secs(2),
    cold_functions: 6,
    starts: 5,
};
/// After this the server has looked for runtimes and booted what it keeps ready.
const SETTLED: Duration = Duration::from_secs(3);

/// One figure of nilas beside the same figure of the bare peer.
struct Row {
    what: &'static str,
    nilas: f64,
    bare: Option<f64>,
    unit: &'static str,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    let plan = if arguments.iter().any(|a| a == "--quick") { &QUICK } else { &FULL };
    build(root)?;
    let ready = ready(plan, root)?;
    let bare = BareNode::start()?;
    let nilas = Nilas::start(root)?;
    let what = "ready after start, p50";
    let mut rows = vec![Row { what, nilas: ready.p50_ms(), bare: None, unit: "ms" }];
    rows.extend(measure(plan, &nilas, &bare)?);
    let json = arguments.iter().any(|a| a == "--json");
    Ok(if json { as_json(&rows) } else { as_table(&rows) })
}

pub(crate) fn build(root: &Path) -> Result<(), String> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "nilas", "--package", "rust-hello"])
        .current_dir(root)
        .status();
    if built.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err("cargo build --release failed".to_owned())
    }
}

fn measure(plan: &Plan, nilas: &Nilas, bare: &BareNode) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let (cold, node) = cold_starts(plan, nilas)?;
    rows.push(Row {
        what: "cold start, p50 (bare: node -e 0)",
        nilas: cold.p50_ms(),
        bare: Some(node.p50_ms()),
        unit: "ms",
    });
    rows.push(Row {
        what: "cold start, p99 (bare: node -e 0)",
        nilas: cold.p99_ms(),
        bare: Some(node.p99_ms()),
        unit: "ms",
    });
    rows.push(Row {
        what: "memory per idle environment (PSS)",
        nilas: nilas.memory_per_environment_mib()?,
        bare: Some(bare.memory_mib()?),
        unit: "MiB",
    });

    rows.extend(warm(plan, nilas, bare)?);
    Ok(rows)
}

/// Invocations of functions whose environments are there: on our Node runtime, and on one that a function brings along.
fn warm(plan: &Plan, nilas: &Nilas, bare: &BareNode) -> Result<Vec<Row>, String> {
    let node = nilas.warm_request()?;
    let custom = nilas.custom_request()?;
    let peer = bare.request();
    let latencies = |load: &Load| load::sequential(load, plan.warm_requests);
    let (ours, theirs, customs) = (latencies(&node)?, latencies(&peer)?, latencies(&custom)?);
    let ms = |what, nilas, bare| Row { what, nilas, bare: Some(bare), unit: "ms" };
    let mut rows = vec![
        ms("warm invoke, 1 connection, p50", ours.p50_ms(), theirs.p50_ms()),
        ms("warm invoke, 1 connection, p99", ours.p99_ms(), theirs.p99_ms()),
        ms("warm invoke, Rust, 1 connection, p50", customs.p50_ms(), theirs.p50_ms()),
    ];
    for (what, custom_what, connections) in [
        ("warm invoke, 1 connection", "warm invoke, Rust, 1 connection", 1),
        ("warm invoke, 16 connections", "warm invoke, Rust, 16 connections", 16),
    ] {
        let rate = |load: &Load| load::throughput(load, connections, plan.throughput_for);
        // First unmeasured: starts as many environments as connections, so that the measured run meets warm ones only.
        rate(&node)?;
        rate(&custom)?;
        let (ours, theirs, customs) = (rate(&node)?, rate(&peer)?, rate(&custom)?);
        let unit = "requests/s";
        rows.push(Row { what, nilas: ours, bare: Some(theirs), unit });
        rows.push(Row { what: custom_what, nilas: customs, bare: Some(theirs), unit });
    }
    Ok(rows)
}

/// Starts of the server until it is ready, one after the other.
fn ready(plan: &Plan, root: &Path) -> Result<Latencies, String> {
    let mut latencies = Latencies::default();
    for _ in 0..plan.starts {
        latencies.push(Nilas::ready_after(root)?);
    }
    Ok(latencies)
}

/// Cold starts of functions and starts of a bare Node, in turn, once the server has nothing else to do.
fn cold_starts(plan: &Plan, nilas: &Nilas) -> Result<(Latencies, Latencies), String> {
    nilas.create_cold(plan.cold_functions)?;
    std::thread::sleep(SETTLED);
    let (mut cold, mut node) = (Latencies::default(), Latencies::default());
    for number in 0..plan.cold_functions {
        cold.push(nilas.cold_start(number)?);
        node.push(node_start()?);
    }
    Ok((cold, node))
}

fn node_start() -> Result<Duration, String> {
    let began = Instant::now();
    let ended =
        Command::new("node").args(["-e", "0"]).status().map_err(|e| format!("node: {e}"))?;
    let took = began.elapsed();
    if ended.success() { Ok(took) } else { Err("node -e 0 failed".to_owned()) }
}

fn as_table(rows: &[Row]) -> String {
    let mut table =
        format!("{:<40} {:>12} {:>12} {:>8}  unit\n", "", "nilas", "bare node", "ratio");
    for Row { what, nilas, bare, unit } in rows {
        let bare_text = bare.map_or_else(String::new, |bare| format!("{bare:.2}"));
        let ratio = bare.map_or_else(String::new, |bare| format!("{:.2}", nilas / bare));
        table += &format!("{what:<40} {nilas:>12.2} {bare_text:>12} {ratio:>8}  {unit}\n");
    }
    table
}

fn as_json(rows: &[Row]) -> String {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|r| serde_json::json!({"what": r.what, "nilas": r.nilas, "bare": r.bare, "ratio": r.bare.map(|b| r.nilas / b), "unit": r.unit}))
        .collect();
    serde_json::Value::Array(rows).to_string()
}
