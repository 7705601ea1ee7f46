//! Peers that are one server with many functions: nilas, MiniStack and serverless-offline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nilas_load::{Burst, Interpreter, Load};

use super::Plan;
use super::install::Cache;
use super::peer::{Outcome, Peer, plain};
use crate::bench::lambda::{Hello, LambdaApi};
use crate::bench::processes::{self, Server, children_by_parent, free_address};
use crate::bench::target::Nilas;
use crate::bench::{Place, said};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between the creation of functions and their first invocations.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) struct NilasPeer(Nilas);

pub(super) struct MiniStack {
    server: Server,
    api: LambdaApi,
}

pub(super) struct ServerlessOffline {
    server: Server,
}

/// Functions that are started to see how much the one process of all grows.
const GROWTH_FUNCTIONS: usize = 20;

// === impl NilasPeer ===

impl NilasPeer {
    pub(super) fn start(place: &Place, plan: &Plan) -> Outcome<Self> {
        let nilas = Nilas::start(place)?;
        create_cold(&nilas.api, plan)?;
        std::thread::sleep(SETTLED);
        Ok(Self(nilas))
    }
}

impl Peer for NilasPeer {
    fn cold(&mut self, hello: &Hello, number: usize) -> Outcome<Duration> {
        api_cold(&self.0.api, hello, number)
    }

    fn burst(&mut self, functions: usize, round: usize) -> Outcome<Burst> {
        api_burst(&self.0.api, functions, round)
    }

    fn memory_mib(&mut self) -> Outcome<f64> {
        self.0.memory_per_environment_mib()
    }

    fn warm(&mut self) -> Outcome<Load> {
        self.0.api.invocation(&name(&Hello::Node, 0))
    }
}

// === impl MiniStack ===

impl MiniStack {
    pub(super) fn start(cache: &Cache, work: &Path, plan: &Plan) -> Outcome<Self> {
        let program = cache.ministack()?;
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .env("GATEWAY_PORT", address.port().to_string())
            .env("BIND_HOST", address.ip().to_string())
            .env("IOT_MTLS_ENABLED", "0")
            .env("TMPDIR", work)
            .current_dir(work);
        let log = work.join("ministack.log");
        let server = Server::start(&mut command, address, READY_WITHIN, Some(&log))?;
        let api = LambdaApi { address };
        create_cold(&api, plan)?;
        Ok(Self { server, api })
    }
}

impl Peer for MiniStack {
    fn cold(&mut self, hello: &Hello, number: usize) -> Outcome<Duration> {
        api_cold(&self.api, hello, number)
    }

    fn burst(&mut self, functions: usize, round: usize) -> Outcome<Burst> {
        api_burst(&self.api, functions, round)
    }

    /// Each function has a process of its own.
    fn memory_mib(&mut self) -> Outcome<f64> {
        let children = children_by_parent();
        let workers = children.get(&self.server.id()).cloned().unwrap_or_default();
        let mut kib = 0;
        for pid in workers.iter().flat_map(|worker| processes::tree(*worker, &children)) {
            kib += processes::pss_kib(pid)?;
        }
        if workers.is_empty() {
            return Err("no function's process was found".to_owned());
        }
        Ok(kib as f64 / 1024.0 / workers.len() as f64)
    }

    fn warm(&mut self) -> Outcome<Load> {
        self.api.invocation(&name(&Hello::Node, 0))
    }
}

// === impl ServerlessOffline ===

impl ServerlessOffline {
    /// All functions of the run are in its configuration: it knows no others.
    pub(super) fn start(cache: &Cache, work: &Path, plan: &Plan) -> Outcome<Self> {
        let modules = cache.serverless_offline()?;
        let dir = work.join("serverless-offline");
        write_service(&dir, &modules, plan).map_err(|e| format!("{}: {e}", dir.display()))?;
        let address = free_address()?;
        let mut command = Command::new("node");
        command.arg(modules.join("serverless/bin/serverless.js")).args(["offline", "start"]);
        command.args(["--noSponsor", "--host", "127.0.0.1"]);
        command.args(["--lambdaPort", &address.port().to_string()]);
        for port in ["--httpPort", "--albPort", "--websocketPort"] {
            command.args([port, &free_address()?.port().to_string()]);
        }
        // Python functions run on the `python3` of PATH; not on a script that looks for it.
        let python = Interpreter::python().map_err(said)?;
        let bin = python.path().parent().unwrap_or(Path::new("/")).display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{bin}:{path}")).current_dir(&dir);
        let log = work.join("serverless-offline.log");
        let server = Server::start(&mut command, address, READY_WITHIN, Some(&log))?;
        std::thread::sleep(SETTLED);
        Ok(Self { server })
    }

    fn load(&self, name: &str) -> Outcome<Load> {
        let path = format!("/2015-03-31/functions/bench-dev-{name}/invocations");
        plain(self.server.address, &path)
    }
}

impl Peer for ServerlessOffline {
    fn cold(&mut self, hello: &Hello, number: usize) -> Outcome<Duration> {
        nilas_load::cold_start(&self.load(&name(hello, number))?).map_err(said)
    }

    fn burst(&mut self, functions: usize, round: usize) -> Outcome<Burst> {
        let names = (0..functions).map(|number| burst_name(functions, round, number));
        let loads: Outcome<Vec<Load>> = names.map(|name| self.load(&name)).collect();
        nilas_load::cold_burst(&loads?).map_err(said)
    }

    /// Functions are threads of one process: what it grows by.
    fn memory_mib(&mut self) -> Outcome<f64> {
        let before_mib = self.server.pss_mib()?;
        for number in 0..GROWTH_FUNCTIONS {
            let load = self.load(&format!("growth-{number}"))?;
            nilas_load::cold_start(&load).map_err(said)?;
        }
        std::thread::sleep(SETTLED);
        Ok((self.server.pss_mib()? - before_mib) / GROWTH_FUNCTIONS as f64)
    }

    fn warm(&mut self) -> Outcome<Load> {
        self.load(&name(&Hello::Node, 0))
    }
}

/// `serverless.yml` and a file a function.
fn write_service(dir: &PathBuf, modules: &Path, plan: &Plan) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    std::os::unix::fs::symlink(modules, dir.join("node_modules"))?;
    let mut yml = "service: bench\nframeworkVersion: '4'\nplugins: [serverless-offline]\n\
        provider: {name: aws, runtime: nodejs20.x, region: us-east-1, timeout: 60}\nfunctions:\n"
        .to_owned();
    let mut functions: Vec<(String, Hello)> = Vec::new();
    for hello in [Hello::Node, Hello::Python] {
        functions.extend((0..plan.cold).map(|number| (name(&hello, number), hello.clone())));
    }
    functions.extend((0..GROWTH_FUNCTIONS).map(|n| (format!("growth-{n}"), Hello::Node)));
    for (size, rounds) in plan.bursts {
        for round in 0..rounds {
            let names = (0..size).map(|number| (burst_name(size, round, number), Hello::Node));
            functions.extend(names);
        }
    }
    for (name, hello) in functions {
        let (file, content) = hello.source(&name).map_err(std::io::Error::other)?;
        let (extension, runtime) = match file {
            "index.py" => ("py", ", runtime: python3.11"),
            _ => ("js", ""),
        };
        // A module of Python has no dash in its name.
        let module = name.replace('-', "_");
        fs::write(dir.join(format!("{module}.{extension}")), content)?;
        yml += &format!("  {name}: {{handler: {module}.handler{runtime}}}\n");
    }
    fs::write(dir.join("serverless.yml"), yml)
}

// === functions by name ===

fn name(hello: &Hello, number: usize) -> String {
    format!("{}-{number}", prefix(hello))
}

fn prefix(hello: &Hello) -> &'static str {
    if *hello == Hello::Python { "python" } else { "node" }
}

fn burst_name(functions: usize, round: usize, number: usize) -> String {
    format!("burst-{functions}-{round}-{number}")
}

fn create_cold(api: &LambdaApi, plan: &Plan) -> Outcome<()> {
    for hello in [Hello::Node, Hello::Python] {
        api.create(prefix(&hello), plan.cold, &hello)?;
    }
    Ok(())
}

fn api_cold(api: &LambdaApi, hello: &Hello, number: usize) -> Outcome<Duration> {
    nilas_load::cold_start(&api.invocation(&name(hello, number))?).map_err(said)
}

fn api_burst(api: &LambdaApi, functions: usize, round: usize) -> Outcome<Burst> {
    let names = api.create(&format!("burst-{functions}-{round}"), functions, &Hello::Node)?;
    std::thread::sleep(SETTLED);
    let loads: Outcome<Vec<Load>> = names.iter().map(|name| api.invocation(name)).collect();
    nilas_load::cold_burst(&loads?).map_err(said)
}
