//! `nilas bench`: what this machine makes of the running server, beside starts of the bare interpreters.
//!
//! A client like any other: it creates functions, invokes them with signed requests and deletes them, whatever happens.

mod functions;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use nilas_load::{Burst, Interpreter, Latencies, Load, LoadError};

use crate::cli::BenchArgs;
use crate::client::Client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::server::Signals;
use functions::{Functions, Language};

const CONNECTIONS: usize = 16;
/// After creating functions: the server unpacks them, and makes ahead what starts need.
const SETTLED: Duration = Duration::from_secs(1);
/// The pace of cold starts where there is no interpreter to start between them.
const BETWEEN: Duration = Duration::from_millis(50);
/// Limit of what is counted in requests.
const WARM_MAX: Duration = Duration::from_secs(60);

/// What was measured of one runtime.
#[derive(Debug)]
struct Figures {
    language: Language,
    runtime: &'static str,
    cold: Latencies,
    /// Where this machine has the interpreter.
    bare: Option<Latencies>,
    at_once: Burst,
    warm: Latencies,
    answers_per_s: f64,
}

#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("ended by {signal}")]
    Signal { signal: &'static str },
    #[error("the server has neither Node nor Python")]
    NoRuntime,
    #[error("the measuring thread ended early")]
    Thread,
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::new(error)
    }
}

pub(crate) async fn run(cx: &Context, args: &BenchArgs) -> Result<ExitCode, Failure> {
    let client = cx.client()?;
    let mut signals = Signals::install()?;
    let mut functions = Functions::new(&client);
    let measured = tokio::select! {
        measured = measure(cx, args, &client, &mut functions) => measured,
        signal = signals.next() => Err(Failure::new(BenchError::Signal { signal })),
    };
    let deleted = tokio::select! {
        deleted = functions.delete() => deleted.map_err(Failure::from),
        signal = signals.next() => Err(Failure::new(BenchError::Signal { signal })),
    };
    let left = |failure: Failure| {
        failure.hint(format!("functions named {}… may be left: delete them", functions.prefix()))
    };
    let figures = match (measured, deleted) {
        (Ok(figures), Ok(())) => figures,
        (Err(failure), Ok(())) => return Err(failure),
        (Err(failure), Err(_)) | (Ok(_), Err(failure)) => return Err(left(failure)),
    };
    match cx.output.json {
        true => cx.output.json(&report::json(args, &figures))?,
        false => cx.output.line(&report::table(args, &figures))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    cx: &Context,
    args: &BenchArgs,
    client: &Client,
    functions: &mut Functions<'_>,
) -> Result<Vec<Figures>, Failure> {
    let mut all = Vec::new();
    for language in [Language::Node, Language::Python] {
        let Some(runtime) = functions.runtime_of(language).await? else {
            cx.output.note(&format!("{language}: not on this server"))?;
            continue;
        };
        cx.output.note(&format!("measuring {runtime}"))?;
        all.push(measure_one(args, client, functions, language, runtime).await?);
    }
    if all.is_empty() {
        return Err(Failure::new(BenchError::NoRuntime).hint("`nilas doctor` says what is missing"));
    }
    Ok(all)
}

async fn measure_one(
    args: &BenchArgs,
    client: &Client,
    functions: &mut Functions<'_>,
    language: Language,
    runtime: &'static str,
) -> Result<Figures, Failure> {
    let cold = functions.create(language, runtime, args.cold_starts.into()).await?;
    let burst = functions.create(language, runtime, args.at_once.into()).await?;
    tokio::time::sleep(SETTLED).await;
    let loads = loads(client, &cold).await?;
    let warm = loads.first().cloned();
    let (cold, bare) = on_thread(move || cold_starts(&loads, language.interpreter().ok())).await?;
    // What the cold starts took from its stock the server makes anew.
    tokio::time::sleep(SETTLED).await;
    let burst = self::loads(client, &burst).await?;
    let at_once = on_thread(move || nilas_load::cold_burst(&burst)).await?;
    let Some(warm) = warm else { return Err(Failure::new(BenchError::NoRuntime)) };
    let (requests, duration) = (args.requests as usize, Duration::from_secs(args.seconds.into()));
    let (warm, answers_per_s) = on_thread(move || {
        let latencies = nilas_load::answer_times(&warm, requests, WARM_MAX)?;
        // First unmeasured: starts as many environments as connections.
        nilas_load::throughput(&warm, CONNECTIONS, duration.min(Duration::from_secs(2)))?;
        Ok((latencies, nilas_load::throughput(&warm, CONNECTIONS, duration)?))
    })
    .await?;
    Ok(Figures { language, runtime, cold, bare, at_once, warm, answers_per_s })
}

/// First invocations, and starts of the interpreter in turn, so that both meet the same machine.
fn cold_starts(
    loads: &[Load],
    bare: Option<Interpreter>,
) -> Result<(Latencies, Option<Latencies>), LoadError> {
    let (mut cold, mut starts) = (Latencies::default(), Latencies::default());
    for load in loads {
        cold.push(nilas_load::cold_start(load)?);
        match &bare {
            Some(interpreter) => starts.push(interpreter.start()?),
            None => std::thread::sleep(BETWEEN),
        }
    }
    Ok((cold, bare.is_some().then_some(starts)))
}

async fn loads(client: &Client, names: &[String]) -> Result<Vec<Load>, Failure> {
    let mut loads = Vec::new();
    for name in names {
        loads.push(client.load(functions::invocation(name), functions::ANSWER).await?);
    }
    Ok(loads)
}

/// The load generator blocks; a signal must not wait for it, and the process's end ends it.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, Failure> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = move || drop(tell.send(work()));
    std::thread::Builder::new().name("bench".to_owned()).spawn(work)?;
    let measured = told.await.map_err(|_| Failure::new(BenchError::Thread))?;
    Ok(measured?)
}
