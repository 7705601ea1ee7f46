//! `cargo xtask bench peers`: one table of nilas and of what else runs functions locally, from one run.
//!
//! Cold starts, warm invocations and throughput are measured in rounds, all peers in turn, so that whatever else the
//! machine does hits all alike. `docs/benchmarks.md` says what each line means.

mod install;
mod peer;
mod programs;
mod report;
mod servers;

use std::time::{Duration, Instant};

use nilas_load::Latencies;

use super::lambda::Hello;
use super::{CONNECTIONS, Place, RATE, said, target_dir};
use install::Cache;
use peer::{Outcome, Peer};
use programs::{Nothing, Program};
use report::{Report, Row};
use servers::{MiniStack, NilasPeer, ServerlessOffline};

/// How often, and for how long.
pub(super) struct Plan {
    /// Cold starts of each language.
    cold: usize,
    /// Functions at once, and rounds of that.
    bursts: [(usize, usize); 2],
    /// Rounds of everything warm.
    rounds: usize,
    warm_requests: usize,
    warm_max: Duration,
    throughput_for: Duration,
}

const FULL: Plan = Plan {
    cold: 20,
    bursts: [(20, 3), (100, 2)],
    rounds: 3,
    warm_requests: 2_000,
    warm_max: Duration::from_secs(5),
    throughput_for: Duration::from_secs(4),
};
const QUICK: Plan = Plan {
    cold: 3,
    bursts: [(20, 1), (100, 1)],
    rounds: 1,
    warm_requests: 200,
    warm_max: Duration::from_secs(2),
    throughput_for: Duration::from_secs(1),
};
/// What has not begun by then is not measured.
const RUN_MAX: Duration = Duration::from_secs(45 * 60);

/// A column of the table.
struct Column {
    name: &'static str,
    peer: Box<dyn Peer>,
}

struct Run<'a> {
    plan: &'a Plan,
    columns: Vec<Column>,
    until: Instant,
}

pub(super) fn run(place: &Place, quick: bool, json: bool) -> Result<String, String> {
    let plan = if quick { &QUICK } else { &FULL };
    let cache = Cache(target_dir()?.join("bench-peers"));
    let (columns, absent) = start(place, &cache, plan);
    let mut run = Run { plan, columns, until: Instant::now() + RUN_MAX };
    let rows = run.measure();
    let names = run.columns.iter().map(|column| column.name).collect();
    let report = Report { names, rows, absent, versions: install::versions() };
    Ok(if json { report.as_json() } else { report.as_table() })
}

/// Everybody who can be installed and started; and of the others, why not.
fn start(place: &Place, cache: &Cache, plan: &Plan) -> (Vec<Column>, Vec<(&'static str, String)>) {
    fn boxed(peer: Outcome<impl Peer + 'static>) -> Outcome<Box<dyn Peer>> {
        Ok(Box::new(peer?))
    }
    let work = place.scratch.0.as_path();
    let started = [
        ("nilas", boxed(NilasPeer::start(place, plan))),
        ("MiniStack", boxed(MiniStack::start(cache, work, plan))),
        ("serverless-offline", boxed(ServerlessOffline::start(cache, work, plan))),
        ("functions-framework", boxed(Program::functions_framework(cache, work))),
        ("workerd", boxed(Program::workerd(cache, work))),
        ("RIE + awslambdaric", boxed(Program::rie(cache, work))),
        ("bare Node server", boxed(Program::bare_node(work))),
        ("interpreter alone", boxed(Nothing::find())),
    ];
    let (mut columns, mut absent) = (Vec::new(), Vec::new());
    for (name, peer) in started {
        match peer {
            Ok(peer) => columns.push(Column { name, peer }),
            Err(reason) => absent.push((name, reason)),
        }
    }
    (columns, absent)
}

// === impl Run ===

impl Run<'_> {
    fn measure(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        let node = self.rounds(self.plan.cold, |peer, n| peer.cold(&Hello::Node, n));
        rows.extend(quantiles(["cold start, Node, p50", "cold start, Node, p99"], pooled(node)));
        let memory = self.rounds(1, |peer, _| peer.memory_mib());
        let python = self.rounds(self.plan.cold, |peer, n| peer.cold(&Hello::Python, n));
        let whats = ["cold start, Python, p50", "cold start, Python, p99"];
        rows.extend(quantiles(whats, pooled(python)));
        let [(twenty, some), (hundred, few)] = self.plan.bursts;
        let whats = ["20 Node functions cold at once, wall", "the same, p99 of the answers"];
        rows.extend(self.bursts(whats, twenty, some));
        let whats = ["100 Node functions cold at once, wall", "the same, p99 of the 100 answers"];
        rows.extend(self.bursts(whats, hundred, few));
        rows.extend(self.warm());
        let memory = each(memory, |figures| figures.iter().sum());
        rows.push(Row { what: "memory per idle environment (PSS)", unit: "MiB", cells: memory });
        rows
    }

    fn bursts(&mut self, whats: [&'static str; 2], functions: usize, rounds: usize) -> [Row; 2] {
        let bursts = self.rounds(rounds, |peer, round| peer.burst(functions, round));
        let [wall, p99] = whats;
        let walls = bursts.iter().map(|bursts| {
            let bursts = bursts.as_ref().map_err(Clone::clone)?;
            Ok(bursts.iter().map(|burst| burst.wall).collect::<Latencies>().p50_ms())
        });
        let walls = Row { what: wall, unit: "ms", cells: walls.collect() };
        let latencies = each(bursts, |bursts| {
            let mut all = Latencies::default();
            bursts.into_iter().for_each(|burst| all.extend(burst.latencies));
            all.p99_ms()
        });
        [walls, Row { what: p99, unit: "ms", cells: latencies }]
    }

    fn warm(&mut self) -> Vec<Row> {
        let plan = self.plan;
        let one = self.rounds(plan.rounds, |peer, _| {
            let load = peer.warm()?;
            nilas_load::answer_times(&load, plan.warm_requests, plan.warm_max).map_err(said)
        });
        let whats = ["warm, 1 connection, p50", "warm, 1 connection, p99"];
        let mut rows = Vec::from(quantiles(whats, merged(one)));
        let mut throughput = |rounds| {
            self.rounds(rounds, |peer, _| {
                let load = peer.warm_concurrent()?;
                nilas_load::throughput(&load, CONNECTIONS, plan.throughput_for).map_err(said)
            })
        };
        // First unmeasured: starts as many environments as connections, so that the measured rounds meet warm ones only.
        throughput(1);
        let rates = each(throughput(plan.rounds), |mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        });
        let due = self.rounds_of(plan.rounds, |peer, column, _| {
            let rate = rates[column].clone()? * RATE;
            let load = peer.warm_concurrent()?;
            nilas_load::at_fixed_rate(&load, CONNECTIONS, rate, plan.throughput_for).map_err(said)
        });
        rows.push(Row { what: "throughput, 16 connections", unit: "requests/s", cells: rates });
        let whats =
            ["at half that rate, from due time, p50", "at half that rate, from due time, p99"];
        rows.extend(quantiles(whats, merged(due)));
        rows
    }

    fn rounds<T>(
        &mut self,
        rounds: usize,
        one: impl Fn(&mut dyn Peer, usize) -> Outcome<T>,
    ) -> Vec<Outcome<Vec<T>>> {
        self.rounds_of(rounds, |peer, _, round| one(peer, round))
    }

    /// All peers in turn, so many times. The first failure of a peer is its outcome.
    fn rounds_of<T>(
        &mut self,
        rounds: usize,
        mut one: impl FnMut(&mut dyn Peer, usize, usize) -> Outcome<T>,
    ) -> Vec<Outcome<Vec<T>>> {
        let mut all: Vec<Outcome<Vec<T>>> = self.columns.iter().map(|_| Ok(Vec::new())).collect();
        for round in 0..rounds {
            for (number, (column, so_far)) in self.columns.iter_mut().zip(&mut all).enumerate() {
                let Ok(done) = so_far else { continue };
                if Instant::now() > self.until {
                    *so_far =
                        Err(format!("not measured within {} minutes", RUN_MAX.as_secs() / 60));
                    continue;
                }
                match one(column.peer.as_mut(), number, round) {
                    Ok(figure) => done.push(figure),
                    Err(reason) => *so_far = Err(reason),
                }
            }
        }
        all
    }
}

fn each<T>(all: Vec<Outcome<Vec<T>>>, figure: impl Fn(Vec<T>) -> f64) -> Vec<Outcome<f64>> {
    all.into_iter().map(|figures| figures.map(&figure)).collect()
}

fn pooled(all: Vec<Outcome<Vec<Duration>>>) -> Vec<Outcome<Latencies>> {
    all.into_iter().map(|times| Ok(times?.into_iter().collect())).collect()
}

fn merged(all: Vec<Outcome<Vec<Latencies>>>) -> Vec<Outcome<Latencies>> {
    let merge = |rounds: Vec<Latencies>| {
        let mut all = Latencies::default();
        rounds.into_iter().for_each(|round| all.extend(round));
        all
    };
    all.into_iter().map(|rounds| rounds.map(merge)).collect()
}

fn quantiles(whats: [&'static str; 2], all: Vec<Outcome<Latencies>>) -> [Row; 2] {
    let cells = |figure: fn(&Latencies) -> f64| {
        all.iter().map(|l| l.as_ref().map(figure).map_err(Clone::clone)).collect()
    };
    let [p50, p99] = whats;
    [
        Row { what: p50, unit: "ms", cells: cells(Latencies::p50_ms) },
        Row { what: p99, unit: "ms", cells: cells(Latencies::p99_ms) },
    ]
}
