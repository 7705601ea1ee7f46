//! What is done to the server.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use nilas_load::Connection;
use serde_json::{Value, json};

use super::answers::{ANSWER_WITHIN, Answers};
use super::{code, killer};
use crate::bench::lambda::{Hello, base64, package};
use crate::bench::target::Nilas;
use crate::bench::{Place, said};
use crate::dice::Dice;

const FUNCTIONS: usize = 24;
const CALLERS: usize = 8;
/// Functions' own, seconds.
const TIMEOUT_S: u32 = 1;
/// Of a thousand turns of a caller, how many change a function instead of invoking it.
const CHANGES: usize = 25;
/// Between two looks whether a version has been initialised.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Functions that exist, or did.
pub(super) struct Work {
    seed: u64,
    custom: Vec<u8>,
    /// The version to invoke of each function with SnapStart: the last that became active; 0 is none.
    active: [AtomicUsize; FUNCTIONS],
}

/// A caller's own.
struct Caller<'a> {
    work: &'a Work,
    nilas: &'a Nilas,
    connection: Connection,
    answers: Answers,
}

// === impl Work ===

impl Work {
    pub(super) fn prepare(nilas: &Nilas, place: &Place, seed: u64) -> Result<Self, String> {
        let custom = Hello::Custom(place.release.join("rust-hello")).package("soak")?;
        let work = Self { seed, custom, active: [const { AtomicUsize::new(0) }; FUNCTIONS] };
        let mut connection = Connection::open(nilas.api.address).map_err(said)?;
        for number in (0..FUNCTIONS).filter(|number| !has_snap_start(*number)) {
            connection.send(&work.creation(nilas, number, 0)?).map_err(said)?;
        }
        Ok(work)
    }

    /// `part` draws other operations than the parts before.
    pub(super) fn run(&self, nilas: &Nilas, turns: usize, part: u64) -> Result<Answers, String> {
        let mut first = Caller::new(self, nilas)?;
        for number in (0..FUNCTIONS).filter(|number| has_snap_start(*number)) {
            first.turn("create", number, &self.creation(nilas, number, 0)?)?;
        }
        let mut answers = first.answers;
        let left = AtomicUsize::new(turns);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS as u64)
                .map(|caller| {
                    let mut dice = Dice::new(self.seed * 1_000 + part * 100 + caller + 1);
                    let left = &left;
                    scope.spawn(move || Caller::new(self, nilas)?.run(&mut dice, left))
                })
                .collect();
            let mut dice = Dice::new(self.seed * 1_000 + part * 100 + 99);
            let done_seen = &done;
            let killer = scope.spawn(move || killer::kill_at_random(nilas, &mut dice, done_seen));
            let mut failure = None;
            for caller in callers {
                match caller.join() {
                    Ok(Ok(some)) => answers.add(&some),
                    Ok(Err(error)) => failure = Some(error),
                    Err(_) => failure = Some("a caller panicked".to_owned()),
                }
            }
            done.store(true, Ordering::Relaxed);
            answers.add(&killer.join().unwrap_or_default());
            failure.map_or(Ok(answers), Err)
        })
    }

    /// A template lives as long as its version: those with SnapStart go before what is left is counted.
    pub(super) fn delete_with_snap_start(&self, nilas: &Nilas) -> Result<(), String> {
        let mut connection = Connection::open(nilas.api.address).map_err(said)?;
        for number in (0..FUNCTIONS).filter(|number| has_snap_start(*number)) {
            let request = nilas.api.request(&Method::DELETE, &path(number), "", b"")?;
            let (status, body) = connection.exchange(&request).map_err(said)?;
            if !matches!(status, 204 | 404) {
                return Err(format!("delete: {status} {}", String::from_utf8_lossy(body)));
            }
            self.active[number].store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    fn invocation(&self, nilas: &Nilas, dice: &mut Dice, number: usize) -> Result<Vec<u8>, String> {
        let version = self.active[number].load(Ordering::Relaxed);
        let query = match dice.below(8) {
            0 => "Qualifier=live".to_owned(),
            1.. if version > 0 => format!("Qualifier={version}"),
            _ => String::new(),
        };
        let event = json!({"op": code::operation(dice)}).to_string();
        let path = format!("{}/invocations", path(number));
        nilas.api.request(&Method::POST, &path, &query, event.as_bytes())
    }

    fn change(
        &self,
        nilas: &Nilas,
        dice: &mut Dice,
        number: usize,
    ) -> Result<(&'static str, Vec<u8>), String> {
        let path = path(number);
        let request = |method: Method, path: &str, body: Value| {
            nilas.api.request(&method, path, "", body.to_string().as_bytes())
        };
        let version = (1 + dice.below(3)).to_string();
        Ok(match dice.below(12) {
            0..4 => {
                let code = base64(&self.code(number, dice.below(1_000))?);
                let body = json!({"ZipFile": code, "Publish": has_snap_start(number)});
                ("update", request(Method::PUT, &format!("{path}/code"), body)?)
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
            8 => ("delete", nilas.api.request(&Method::DELETE, &path, "", b"")?),
            _ => ("create", self.creation(nilas, number, dice.below(1_000))?),
        })
    }

    fn creation(&self, nilas: &Nilas, number: usize, salt: usize) -> Result<Vec<u8>, String> {
        let runtime = ["nodejs20.x", "python3.12", "nodejs20.x", "provided.al2023"][number % 4];
        let mut body = json!({
            "FunctionName": name(number), "Runtime": runtime, "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/soak", "Timeout": TIMEOUT_S, "MemorySize": 128,
            "Code": {"ZipFile": base64(&self.code(number, salt)?)},
        });
        if has_snap_start(number) {
            body["SnapStart"] = json!({"ApplyOn": "PublishedVersions"});
            body["Publish"] = json!(true);
        }
        let body = body.to_string();
        nilas.api.request(&Method::POST, "/2015-03-31/functions", "", body.as_bytes())
    }

    /// Different for each salt, but for the large one.
    fn code(&self, number: usize, salt: usize) -> Result<Vec<u8>, String> {
        match number % 4 {
            1 => package("index.py", format!("{}# {salt}\n", code::PYTHON).as_bytes()),
            3 => Ok(self.custom.clone()),
            _ => package("index.js", format!("{}// {salt}\n", code::NODE).as_bytes()),
        }
    }
}

// === impl Caller ===

impl<'a> Caller<'a> {
    fn new(work: &'a Work, nilas: &'a Nilas) -> Result<Self, String> {
        let connection = Connection::open(nilas.api.address).map_err(said)?;
        Ok(Self { work, nilas, connection, answers: Answers::default() })
    }

    fn run(mut self, dice: &mut Dice, left: &AtomicUsize) -> Result<Answers, String> {
        let next = |left: usize| left.checked_sub(1);
        let mut missing = None;
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
            let mut number = dice.below(FUNCTIONS);
            let (what, request) = if let Some(missing) = missing.take() {
                number = missing;
                ("create", self.work.creation(self.nilas, number, dice.below(1_000))?)
            } else if dice.below(1_000) < CHANGES {
                self.work.change(self.nilas, dice, number)?
            } else {
                ("invoke", self.work.invocation(self.nilas, dice, number)?)
            };
            let status = self.turn(what, number, &request)?;
            // Somebody has deleted it; half of those who meet that make it again.
            missing = (what == "invoke" && status == 404 && dice.below(2) == 0).then_some(number);
        }
        Ok(self.answers)
    }

    /// Gives the status of the answer. A version with SnapStart that came of it is waited for.
    fn turn(&mut self, what: &str, number: usize, request: &[u8]) -> Result<u16, String> {
        let began = Instant::now();
        let answer = self.connection.exchange(request);
        let (status, body) = answer.map_err(|e| format!("{what}: {}", said(e)))?;
        self.answers.count(what, status, body, began.elapsed());
        if has_snap_start(number) && matches!(status, 200 | 201) && what != "invoke" {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            // An alias has none of its own.
            if let Some(version) = answer["Version"].as_str().and_then(|v| v.parse().ok()) {
                self.await_version(number, version)?;
            }
        }
        Ok(status)
    }

    /// From now on it is the one to invoke, if it becomes active. Its init may be killed, and the function deleted.
    fn await_version(&mut self, number: usize, version: usize) -> Result<(), String> {
        let path = format!("{}/configuration", path(number));
        let query = format!("Qualifier={version}");
        let began = Instant::now();
        while began.elapsed() < ANSWER_WITHIN {
            let request = self.nilas.api.request(&Method::GET, &path, &query, b"")?;
            let (status, body) = self.connection.exchange(&request).map_err(said)?;
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            let state = match (status, answer["State"].as_str()) {
                (200, Some("Pending")) => {
                    thread::sleep(LOOK_EVERY);
                    continue;
                }
                (200, Some(state)) => state,
                (404, _) => "deleted",
                _ => return Err(format!("{status} {}", String::from_utf8_lossy(body))),
            };
            if state == "Active" {
                self.work.active[number].store(version, Ordering::Relaxed);
            }
            let reason = answer["StateReasonCode"].as_str().unwrap_or_default();
            self.answers.tally(format!("version with SnapStart: {state} {reason}"));
            return Ok(());
        }
        Err(format!("version {version} of {} stays Pending", name(number)))
    }
}

/// A fourth of them, on Node and Python.
fn has_snap_start(number: usize) -> bool {
    matches!(number % 8, 0 | 1)
}

fn name(number: usize) -> String {
    format!("soak-{number}")
}

fn path(number: usize) -> String {
    format!("/2015-03-31/functions/{}", name(number))
}
