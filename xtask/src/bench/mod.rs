//! `cargo xtask bench`: nilas against bare Node on this machine, in one run, as ratios. `cargo xtask bench peers`: nilas
//! and what else runs functions locally, in one table. `cargo xtask bench deploy`: deployments, and APIs before functions.
//!
//! The bare peer answers the same body from `http.createServer` in one Node process, without sandbox, signature or log.
//! Signatures: each connection signs its request once and repeats it, so the generator's own hashing, which would
//! take cycles from a server on the same cores, is left out; the server verifies every request all the same.

mod deploy;
pub(crate) mod lambda;
mod peers;
pub(crate) mod processes;
pub(crate) mod target;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nilas_load::{Burst, Interpreter, Latencies, Load, LoadError};

use lambda::Hello;
use target::{BareNode, Nilas};

/// What is measured, and for how long.
struct Plan {
    warm_requests: usize,
    throughput_for: Duration,
    cold_functions: usize,
    /// Bursts of 20 functions; half as many, and at least one, of 100.
    bursts: usize,
    starts: usize,
}

const FULL: Plan = Plan {
    warm_requests: 5_000,
    throughput_for: Duration::from_secs(8),
    cold_functions: 50,
    bursts: 5,
    starts: 20,
};
const QUICK: Plan = Plan {
    warm_requests: 500,
    throughput_for: Duration::from_secs(2),
    cold_functions: 6,
    bursts: 1,
    starts: 5,
};
/// After this the server has looked for runtimes and booted what it keeps ready.
const SETTLED: Duration = Duration::from_secs(3);
/// Limit of what is counted in requests, for a target that is slow.
const WARM_MAX: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 16;
/// The fixed rate, as a part of the throughput.
const RATE: f64 = 0.5;

/// Where things are.
pub(crate) struct Place {
    /// The executables.
    pub(crate) release: PathBuf,
    scratch: Scratch,
}

impl Place {
    /// Builds the executables. From now on a signal ends all that this process starts, and removes what it writes.
    pub(crate) fn prepare(root: &Path) -> Result<Self, String> {
        let place = Self { release: build(root)?, scratch: Scratch::make()? };
        processes::end_all_on_signal(place.scratch.0.clone())?;
        Ok(place)
    }
}

/// A directory for all that is written in one run; gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("nilas-bench-{}", std::process::id()));
        std::fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        // The server may become another user, who must get to his data in it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&dir, open).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// One figure of nilas beside the same figure of the bare peer.
struct Row {
    what: &'static str,
    nilas: f64,
    bare: Option<f64>,
    unit: &'static str,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let place = Place::prepare(root)?;
    if has("deploy") {
        return deploy::run(root, &place);
    }
    if has("peers") {
        return peers::run(&place, has("--quick"), has("--json"));
    }
    let rows = beside_bare_node(if has("--quick") { &QUICK } else { &FULL }, &place)?;
    Ok(if has("--json") { as_json(&rows) } else { as_table(&rows) })
}

fn beside_bare_node(plan: &Plan, place: &Place) -> Result<Vec<Row>, String> {
    let ready = ready(plan, place)?;
    let bare = BareNode::start()?;
    let nilas = Nilas::start(place)?;
    let mut rows = vec![ms("ready after start, p50", ready.p50_ms(), None)];
    rows.extend(cold(plan, &nilas, &bare, place)?);
    rows.extend(warm(plan, &nilas, &bare, place)?);
    Ok(rows)
}

/// Gives the directory of the executables.
fn build(root: &Path) -> Result<PathBuf, String> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "nilas", "--package", "rust-hello"])
        .current_dir(root)
        .status();
    if built.is_ok_and(|status| status.success()) {
        Ok(target_dir()?.join("release"))
    } else {
        Err("cargo build --release failed".to_owned())
    }
}

/// Where Cargo builds to: this program is in `debug` or `release` there.
fn target_dir() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let dir = program.parent().and_then(Path::parent);
    dir.map(Path::to_path_buf).ok_or_else(|| "xtask is in no target directory".to_owned())
}

/// First invocations of functions: one after the other, beside starts of a bare interpreter in turn, then many at once.
fn cold(plan: &Plan, nilas: &Nilas, bare: &BareNode, place: &Place) -> Result<Vec<Row>, String> {
    let node = Interpreter::node().map_err(said)?;
    let (ours, theirs) = cold_starts(plan, nilas, &Hello::Node, "node", Some(&node))?;
    let mut rows = vec![
        ms("cold start, p50 (bare: node -e 0)", ours.p50_ms(), Some(theirs.p50_ms())),
        ms("cold start, p99 (bare: node -e 0)", ours.p99_ms(), Some(theirs.p99_ms())),
        Row {
            what: "memory per idle environment (PSS)",
            nilas: nilas.memory_per_environment_mib()?,
            bare: Some(bare.memory_mib()?),
            unit: "MiB",
        },
    ];
    let python = Interpreter::python().map_err(said)?;
    let (ours, theirs) = cold_starts(plan, nilas, &Hello::Python, "python", Some(&python))?;
    rows.push(ms("cold, Python, p50 (bare: python3 -c 0)", ours.p50_ms(), Some(theirs.p50_ms())));
    rows.push(ms("cold, Python, p99 (bare: python3 -c 0)", ours.p99_ms(), Some(theirs.p99_ms())));
    let rust = Hello::Custom(place.release.join("rust-hello"));
    let (ours, _) = cold_starts(plan, nilas, &rust, "rust", None)?;
    rows.push(ms("cold, Rust custom runtime, p50", ours.p50_ms(), None));
    rows.push(ms("cold, Rust custom runtime, p99", ours.p99_ms(), None));
    rows.extend(restores(plan, nilas)?);
    rows.extend(bursts(plan, nilas, &node)?);
    Ok(rows)
}

/// First invocations of versions with SnapStart, one after the other.
fn restores(plan: &Plan, nilas: &Nilas) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (hello, prefix, p50, p99) in [
        (
            Hello::Node,
            "snap-node",
            "restored, Node, init of 1 s, p50",
            "restored, Node, init of 1 s, p99",
        ),
        (
            Hello::Python,
            "snap-python",
            "restored, Python, init of 1 s, p50",
            "restored, Python, init of 1 s, p99",
        ),
    ] {
        let names = nilas.api.create_restored(prefix, plan.cold_functions, &hello)?;
        std::thread::sleep(SETTLED);
        let mut restored = Latencies::default();
        for name in names {
            let load = nilas.api.invocation_of_version(&name)?;
            restored.push(nilas_load::cold_start(&load).map_err(said)?);
            std::thread::sleep(BETWEEN);
        }
        rows.push(ms(p50, restored.p50_ms(), None));
        rows.push(ms(p99, restored.p99_ms(), None));
    }
    Ok(rows)
}

/// Cold starts of functions and starts of a bare interpreter, in turn, once the server has nothing else to do.
fn cold_starts(
    plan: &Plan,
    nilas: &Nilas,
    hello: &Hello,
    prefix: &str,
    bare: Option<&Interpreter>,
) -> Result<(Latencies, Latencies), String> {
    let names = nilas.api.create(prefix, plan.cold_functions, hello)?;
    std::thread::sleep(SETTLED);
    let (mut cold, mut starts) = (Latencies::default(), Latencies::default());
    for name in names {
        cold.push(nilas_load::cold_start(&nilas.api.invocation(&name)?).map_err(said)?);
        match bare {
            Some(interpreter) => starts.push(interpreter.start().map_err(said)?),
            None => std::thread::sleep(BETWEEN),
        }
    }
    Ok((cold, starts))
}

/// The pace of cold starts where no interpreter is started between them.
const BETWEEN: Duration = Duration::from_millis(50);

/// Different functions, all cold, invoked at the same moment, beside as many starts of Node at the same moment.
fn bursts(plan: &Plan, nilas: &Nilas, node: &Interpreter) -> Result<Vec<Row>, String> {
    let twenty = burst_rounds(plan.bursts, 20, nilas, node)?;
    let hundred = burst_rounds(plan.bursts.div_ceil(2), 100, nilas, node)?;
    Ok(vec![
        ms("20 cold at once, wall, p50", twenty.0.wall_ms, Some(twenty.1.wall_ms)),
        ms("20 cold at once, p99", twenty.0.p99_ms, Some(twenty.1.p99_ms)),
        ms("100 cold at once, wall, p50", hundred.0.wall_ms, Some(hundred.1.wall_ms)),
        ms("100 cold at once, p99", hundred.0.p99_ms, Some(hundred.1.p99_ms)),
    ])
}

/// Of several rounds: the median of the walls, and the p99 of all starts.
struct Bursts {
    wall_ms: f64,
    p99_ms: f64,
}

impl Bursts {
    fn of(rounds: Vec<Burst>) -> Self {
        let walls: Latencies = rounds.iter().map(|round| round.wall).collect();
        let mut latencies = Latencies::default();
        rounds.into_iter().for_each(|round| latencies.extend(round.latencies));
        Self { wall_ms: walls.p50_ms(), p99_ms: latencies.p99_ms() }
    }
}

fn burst_rounds(
    rounds: usize,
    functions: usize,
    nilas: &Nilas,
    node: &Interpreter,
) -> Result<(Bursts, Bursts), String> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let names =
            nilas.api.create(&format!("burst-{functions}-{round}"), functions, &Hello::Node)?;
        std::thread::sleep(SETTLED);
        let loads: Result<Vec<Load>, String> =
            names.iter().map(|name| nilas.api.invocation(name)).collect();
        ours.push(nilas_load::cold_burst(&loads?).map_err(said)?);
        let starts = (0..functions).map(|_| || node.start().map(drop)).collect();
        theirs.push(nilas_load::at_once(starts).map_err(said)?);
    }
    Ok((Bursts::of(ours), Bursts::of(theirs)))
}

/// Invocations of functions whose environments are there: on our Node runtime, and on one that a function brings along.
fn warm(plan: &Plan, nilas: &Nilas, bare: &BareNode, place: &Place) -> Result<Vec<Row>, String> {
    let node = nilas.warm("warm", &Hello::Node)?;
    let custom = nilas.warm("custom", &Hello::Custom(place.release.join("rust-hello")))?;
    let peer = bare.request();
    let latencies =
        |load: &Load| nilas_load::answer_times(load, plan.warm_requests, WARM_MAX).map_err(said);
    let (ours, theirs, customs) = (latencies(&node)?, latencies(&peer)?, latencies(&custom)?);
    let mut rows = vec![
        ms("warm invoke, 1 connection, p50", ours.p50_ms(), Some(theirs.p50_ms())),
        ms("warm invoke, 1 connection, p99", ours.p99_ms(), Some(theirs.p99_ms())),
        ms("warm invoke, Rust, 1 connection, p50", customs.p50_ms(), Some(theirs.p50_ms())),
    ];
    let mut most = (0.0, 0.0);
    for (what, custom_what, connections) in [
        ("warm invoke, 1 connection", "warm invoke, Rust, 1 connection", 1),
        ("warm invoke, 16 connections", "warm invoke, Rust, 16 connections", CONNECTIONS),
    ] {
        let rate = |load: &Load| {
            nilas_load::throughput(load, connections, plan.throughput_for).map_err(said)
        };
        // First unmeasured: starts as many environments as connections, so that the measured run meets warm ones only.
        rate(&node)?;
        rate(&custom)?;
        let (ours, theirs, customs) = (rate(&node)?, rate(&peer)?, rate(&custom)?);
        let unit = "requests/s";
        rows.push(Row { what, nilas: ours, bare: Some(theirs), unit });
        rows.push(Row { what: custom_what, nilas: customs, bare: Some(theirs), unit });
        most = (ours, theirs);
    }
    let open_loop = |load: &Load, most: f64| {
        nilas_load::at_fixed_rate(load, CONNECTIONS, most * RATE, plan.throughput_for).map_err(said)
    };
    let (ours, theirs) = (open_loop(&node, most.0)?, open_loop(&peer, most.1)?);
    rows.push(ms("at half that rate, from due time, p50", ours.p50_ms(), Some(theirs.p50_ms())));
    rows.push(ms("at half that rate, from due time, p99", ours.p99_ms(), Some(theirs.p99_ms())));
    Ok(rows)
}

/// Starts of the server until it is ready, one after the other.
fn ready(plan: &Plan, place: &Place) -> Result<Latencies, String> {
    (0..plan.starts).map(|_| Nilas::ready_after(place)).collect()
}

fn ms(what: &'static str, nilas: f64, bare: Option<f64>) -> Row {
    Row { what, nilas, bare, unit: "ms" }
}

/// An error with its causes.
pub(crate) fn said(error: LoadError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
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
