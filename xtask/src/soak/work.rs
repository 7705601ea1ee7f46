//! What is done to the server.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use crate::bench::load::Connection;
use crate::bench::target::{Nilas, base64, package};
use crate::dice::Dice;
use crate::processes;

const FUNCTIONS: usize = 24;
const CALLERS: usize = 8;
/// Functions' own, seconds.
const TIMEOUT_S: u32 = 1;
/// Longer than any answer may take: what waits for memory, and then its function's timeout, and a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
const KILL_EVERY: Duration = Duration::from_millis(150);

const NODE: &str = r#"
const { spawn } = require('child_process');
exports.handler = async (e) => {
  switch (e.op) {
    case 'throw': throw new Error('no');
    case 'exit': process.exit(3);
    case 'crash': process.abort();
    case 'hang': return await new Promise((r) => setTimeout(r, 60_000));
    case 'spin': for (;;);
    case 'hog': { const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1)); }
    case 'child': spawn('sleep', ['60'], { detached: true, stdio: 'ignore' }).unref(); break;
    case 'log': console.log('x'.repeat(50_000)); break;
    case 'tmp': require('fs').writeFileSync('/tmp/x', Buffer.alloc(16 << 20, 1)); break;
    case 'wait': await new Promise((r) => setTimeout(r, 50));
  }
  return e;
};
"#;
const PYTHON: &str = r#"
import os, subprocess, time
def handler(e, context):
    op = e["op"]
    if op == "throw": raise ValueError("no")
    if op == "exit": os._exit(3)
    if op == "crash": os.abort()
    if op == "hang": time.sleep(60)
    if op == "spin":
        while True: pass
    if op == "hog":
        held = []
        while True: held.append(b"x" * (8 << 20))
    if op == "child": subprocess.Popen(["sleep", "60"], start_new_session=True)
    if op == "log": print("x" * 50_000)
    if op == "tmp": open("/tmp/x", "wb").write(b"x" * (16 << 20))
    if op == "wait": time.sleep(0.05)
    return e
"#;
/// What an invocation asks of its function, each with its share of a thousand; the rest only want an answer.
const OPERATIONS: [(&str, usize); 10] = [
    ("throw", 40),
    ("exit", 25),
    ("crash", 15),
    ("hang", 3),
    ("spin", 3),
    ("hog", 6),
    ("child", 20),
    ("log", 20),
    ("tmp", 15),
    ("wait", 150),
];
/// Of a thousand turns of a caller, how many change a function instead of invoking it.
const CHANGES: usize = 25;

/// Functions that exist, or did.
pub(super) struct Work {
    seed: u64,
    custom: Vec<u8>,
}

/// How many of each kind there were.
#[derive(Debug, Default)]
pub(super) struct Answers {
    counts: BTreeMap<String, usize>,
    slowest: Duration,
}

// === impl Work ===

impl Work {
    pub(super) fn prepare(nilas: &Nilas, seed: u64) -> Result<Self, String> {
        let work = Self { seed, custom: nilas.custom_package()? };
        let mut connection = Connection::open(nilas.address())?;
        for number in 0..FUNCTIONS {
            connection.call(&work.creation(nilas, number, 0)?)?;
        }
        Ok(work)
    }

    /// `part` draws other operations than the parts before.
    pub(super) fn run(&self, nilas: &Nilas, turns: usize, part: u64) -> Result<Answers, String> {
        let left = AtomicUsize::new(turns);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS as u64)
                .map(|caller| {
                    let mut dice = Dice::new(self.seed * 1_000 + part * 100 + caller + 1);
                    let left = &left;
                    scope.spawn(move || self.call(nilas, &mut dice, left))
                })
                .collect();
            let mut dice = Dice::new(self.seed * 1_000 + part * 100 + 99);
            let done_seen = &done;
            let killer = scope.spawn(move || kill_at_random(nilas.pid(), &mut dice, done_seen));
            let mut answers = Answers::default();
            let mut failure = None;
            for caller in callers {
                match caller.join() {
                    Ok(Ok(some)) => answers.add(&some),
                    Ok(Err(error)) => failure = Some(error),
                    Err(_) => failure = Some("a caller panicked".to_owned()),
                }
            }
            done.store(true, Ordering::Relaxed);
            let killed = killer.join().unwrap_or_default();
            *answers.counts.entry("killed from outside".to_owned()).or_default() += killed;
            failure.map_or(Ok(answers), Err)
        })
    }

    fn call(&self, nilas: &Nilas, dice: &mut Dice, left: &AtomicUsize) -> Result<Answers, String> {
        let mut connection = Connection::open(nilas.address())?;
        let mut answers = Answers::default();
        let next = |left: usize| left.checked_sub(1);
        let mut missing = None;
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
            let number = dice.below(FUNCTIONS);
            let (what, request) = if let Some(missing) = missing.take() {
                ("create", self.creation(nilas, missing, dice.below(1_000))?)
            } else if dice.below(1_000) < CHANGES {
                self.change(nilas, dice, number)?
            } else {
                let query = if dice.below(8) == 0 { "Qualifier=live" } else { "" };
                let event = json!({"op": operation(dice)}).to_string();
                let path = format!("{}/invocations", path(number));
                let request = nilas.request(&Method::POST, &path, query, event.as_bytes())?;
                ("invoke", request)
            };
            let began = Instant::now();
            let (status, body) =
                connection.exchange(&request).map_err(|e| format!("{what}: {e}"))?;
            answers.count(what, status, body, began.elapsed());
            // Somebody has deleted it; half of those who meet that make it again.
            missing = (what == "invoke" && status == 404 && dice.below(2) == 0).then_some(number);
        }
        Ok(answers)
    }

    fn change(
        &self,
        nilas: &Nilas,
        dice: &mut Dice,
        number: usize,
    ) -> Result<(&'static str, Vec<u8>), String> {
        let path = path(number);
        let request = |method: Method, path: &str, body: serde_json::Value| {
            nilas.request(&method, path, "", body.to_string().as_bytes())
        };
        let version = (1 + dice.below(3)).to_string();
        Ok(match dice.below(12) {
            0..4 => {
                let code = base64(&self.code(number, dice.below(1_000))?);
                ("update", request(Method::PUT, &format!("{path}/code"), json!({"ZipFile": code}))?)
            }
            4..6 => ("publish", request(Method::POST, &format!("{path}/versions"), json!({}))?),
            6 => {
                let body = json!({"Name": "live", "FunctionVersion": version});
                ("alias", request(Method::POST, &format!("{path}/aliases"), body)?)
            }
            7 => {
                let body = json!({"FunctionVersion": version});
                ("move alias", request(Method::PUT, &format!("{path}/aliases/live"), body)?)
            }
            8 => ("delete", nilas.request(&Method::DELETE, &path, "", b"")?),
            _ => ("create", self.creation(nilas, number, dice.below(1_000))?),
        })
    }

    fn creation(&self, nilas: &Nilas, number: usize, salt: usize) -> Result<Vec<u8>, String> {
        let runtime = ["nodejs20.x", "python3.12", "nodejs20.x", "provided.al2023"][number % 4];
        let body = json!({
            "FunctionName": name(number), "Runtime": runtime, "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/soak", "Timeout": TIMEOUT_S, "MemorySize": 128,
            "Code": {"ZipFile": base64(&self.code(number, salt)?)},
        });
        let body = body.to_string();
        nilas.request(&Method::POST, "/2015-03-31/functions", "", body.as_bytes())
    }

    /// Different for each salt, but for the large one.
    fn code(&self, number: usize, salt: usize) -> Result<Vec<u8>, String> {
        match number % 4 {
            1 => package("index.py", format!("{PYTHON}# {salt}\n").as_bytes()),
            3 => Ok(self.custom.clone()),
            _ => package("index.js", format!("{NODE}// {salt}\n").as_bytes()),
        }
    }
}

fn name(number: usize) -> String {
    format!("soak-{number}")
}

fn path(number: usize) -> String {
    format!("/2015-03-31/functions/{}", name(number))
}

fn operation(dice: &mut Dice) -> &'static str {
    let mut drawn = dice.below(1_000);
    for (operation, share) in OPERATIONS {
        match drawn.checked_sub(share) {
            Some(rest) => drawn = rest,
            None => return operation,
        }
    }
    "answer"
}

/// Ends some process of some environment now and then: its first, or any below that.
fn kill_at_random(server: u32, dice: &mut Dice, done: &AtomicBool) -> usize {
    let mut killed = 0;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(KILL_EVERY);
        let children = processes::children_by_parent();
        let mut targets = processes::environments(server, &children);
        if targets.is_empty() {
            continue;
        }
        let mut target = targets.swap_remove(dice.below(targets.len()));
        while dice.below(3) > 0
            && let Some(below) = children.get(&target).filter(|below| !below.is_empty())
        {
            target = below[dice.below(below.len())];
        }
        // It may have ended by itself meanwhile, and its number been given to another process of ours at worst.
        let still_ours = fs::read_to_string(format!("/proc/{target}/cgroup"));
        if still_ours.is_ok_and(|groups| groups.contains("/nilas-")) {
            let kill = Command::new("kill").args(["-9", &target.to_string()]).output();
            killed += usize::from(kill.is_ok_and(|kill| kill.status.success()));
        }
    }
    killed
}

// === impl Answers ===

impl Answers {
    fn count(&mut self, what: &str, status: u16, body: &[u8], took: Duration) {
        let kind = match status {
            500.. => String::from_utf8_lossy(body).chars().take(120).collect(),
            _ => String::new(),
        };
        *self.counts.entry(format!("{what} {status} {kind}")).or_default() += 1;
        self.slowest = self.slowest.max(took);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind.clone()).or_default() += count;
        }
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Nothing may take for ever, and a server that does its work has no errors of its own but for those of
    /// environments that were killed while they started.
    pub(super) fn faults(&self) -> Vec<String> {
        let invoked: usize =
            self.counts.iter().filter(|(kind, _)| kind.starts_with("invoke")).map(|(_, n)| n).sum();
        let failed: usize =
            self.counts.iter().filter(|(kind, _)| kind.contains(" 50")).map(|(_, n)| n).sum();
        let mut faults = Vec::new();
        if failed * 100 > invoked {
            faults.push(format!("{failed} answers were the server's own errors"));
        }
        if self.slowest > ANSWER_WITHIN {
            faults.push(format!("an answer took {:.0} s", self.slowest.as_secs_f64()));
        }
        faults
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.counts {
            writeln!(f, "{count:>8}  {kind}")?;
        }
        write!(f, "slowest answer {:.1} s", self.slowest.as_secs_f64())
    }
}
