//! Peers that are one process a function, and the interpreter that does nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nilas_load::{Burst, Interpreter, Load};

use super::install::Cache;
use super::peer::{Outcome, Peer, plain};
use crate::bench::lambda::{BODY, Hello};
use crate::bench::processes::{Server, free_address};
use crate::bench::said;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often is looked whether a process listens: one alone, and many at once, which looking must not slow down.
const LOOK: Duration = Duration::from_millis(1);
const LOOK_BURST: Duration = Duration::from_millis(10);

/// A process that serves one function.
pub(super) struct Program {
    /// Node or Python.
    hello: Hello,
    path: &'static str,
    /// Why it cannot serve two requests at a time, where it cannot.
    alone: Option<&'static str>,
    command: Box<dyn Fn(SocketAddr) -> Outcome<Command> + Sync>,
    /// Of the warm figures.
    running: Option<Server>,
}

/// `node -e 0` and `python3 -c 0`.
pub(super) struct Nothing {
    node: Interpreter,
    python: Interpreter,
}

// === impl Program ===

impl Program {
    pub(super) fn functions_framework(cache: &Cache, work: &Path) -> Outcome<Self> {
        let main = cache.functions_framework()?;
        let dir = work.join("functions-framework");
        // It listens on all addresses and has no setting for that.
        let preload = "const { Server } = require('net'); const { listen } = Server.prototype\n\
            Server.prototype.listen = function (port, ...rest) { return listen.call(this, port, '127.0.0.1', ...rest) }\n";
        let source = format!("exports.handler = (request, response) => response.json({BODY})");
        write(&dir, &[("loopback.js", preload), ("index.js", &source)])?;
        Ok(Self::new(Hello::Node, "/", None, move |address| {
            let mut command = Command::new("node");
            command.arg("--require").arg(dir.join("loopback.js")).arg(&main);
            command.args(["--target=handler", "--signature-type=http"]);
            command.arg(format!("--port={}", address.port()));
            command.arg(format!("--source={}", dir.display())).env("NODE_ENV", "production");
            Ok(command)
        }))
    }

    pub(super) fn workerd(cache: &Cache, work: &Path) -> Outcome<Self> {
        let program = cache.workerd()?;
        let dir = work.join("workerd");
        let source = format!(
            "const headers = {{'content-type': 'application/json'}}\n\
            export default {{ async fetch(request) {{ return new Response('{BODY}', {{headers}}) }} }}\n"
        );
        let config = "using Workerd = import \"/workerd/workerd.capnp\";\n\
            const config :Workerd.Config = (\n\
            services = [(name = \"main\", worker = .hello)],\n\
            sockets = [(name = \"http\", http = (), service = \"main\")]);\n\
            const hello :Workerd.Worker = (compatibilityDate = \"2026-01-01\",\n\
            modules = [(name = \"main\", esModule = embed \"worker.mjs\")]);\n";
        write(&dir, &[("worker.mjs", &source), ("config.capnp", config)])?;
        Ok(Self::new(Hello::Node, "/", None, move |address| {
            let mut command = Command::new(&program);
            command.arg("serve").arg(dir.join("config.capnp")).arg("config");
            command.arg(format!("--socket-addr=http={address}"));
            Ok(command)
        }))
    }

    pub(super) fn rie(cache: &Cache, work: &Path) -> Outcome<Self> {
        let (rie, python) = (cache.rie()?, cache.awslambdaric()?);
        let dir = work.join("awslambdaric");
        let source = format!("def handler(event, context):\n    return {BODY}\n");
        write(&dir, &[("index.py", &source)])?;
        let alone = "the emulator is one environment: a second invocation at the same time ends it";
        let path = "/2015-03-31/functions/function/invocations";
        Ok(Self::new(Hello::Python, path, Some(alone), move |address| {
            let mut command = Command::new(&rie);
            command.args(["--runtime-interface-emulator-address", &address.to_string()]);
            command.args(["--runtime-api-address", &free_address()?.to_string()]);
            command.arg(&python).args(["-m", "awslambdaric", "index.handler"]).current_dir(&dir);
            Ok(command)
        }))
    }

    pub(super) fn bare_node(work: &Path) -> Outcome<Self> {
        let dir = work.join("bare-node");
        let length = BODY.len();
        let source = format!(
            "require('http').createServer((request, response) => {{\n\
            request.resume()\n\
            request.on('end', () => {{\n\
            response.writeHead(200, {{'content-type': 'application/json', 'content-length': {length}}})\n\
            response.end('{BODY}')\n\
            }}) }}).listen(process.argv[2], '127.0.0.1')\n"
        );
        write(&dir, &[("server.js", &source)])?;
        Ok(Self::new(Hello::Node, "/", None, move |address| {
            let mut command = Command::new("node");
            command.arg(dir.join("server.js")).arg(address.port().to_string());
            Ok(command)
        }))
    }

    fn new(
        hello: Hello,
        path: &'static str,
        alone: Option<&'static str>,
        command: impl Fn(SocketAddr) -> Outcome<Command> + Sync + 'static,
    ) -> Self {
        Self { hello, path, alone, command: Box::new(command), running: None }
    }

    fn only(&self) -> String {
        let language = if self.hello == Hello::Python { "Python" } else { "JavaScript" };
        format!("measured with {language} functions only")
    }

    /// From the start of the process until it has answered.
    fn start(&self, address: SocketAddr, look: Duration) -> Outcome<(Server, Duration)> {
        let load = plain(address, self.path)?;
        let began = Instant::now();
        let child = (self.command)(address)?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Server::of(child.map_err(|e| e.to_string())?, address);
        server.await_listening(look, READY_WITHIN)?;
        nilas_load::cold_start(&load).map_err(said)?;
        Ok((server, began.elapsed()))
    }
}

impl Peer for Program {
    fn cold(&mut self, hello: &Hello, _: usize) -> Outcome<Duration> {
        if *hello != self.hello {
            return Err(self.only());
        }
        self.start(free_address()?, LOOK).map(|(_, took)| took)
    }

    fn burst(&mut self, functions: usize, _: usize) -> Outcome<Burst> {
        if self.hello != Hello::Node {
            return Err(self.only());
        }
        let addresses: Outcome<Vec<SocketAddr>> = (0..functions).map(|_| free_address()).collect();
        let servers = std::sync::Mutex::new(Vec::new());
        let this = &*self;
        let tasks = addresses?.into_iter().map(|address| {
            let servers = &servers;
            move || {
                let (server, _) = this.start(address, LOOK_BURST)?;
                servers.lock().map_err(|e| e.to_string())?.push(server);
                Ok(())
            }
        });
        nilas_load::at_once(tasks.collect())
    }

    fn memory_mib(&mut self) -> Outcome<f64> {
        self.warm()?;
        std::thread::sleep(Duration::from_millis(300));
        self.running.as_ref().map_or(Err("it is not running".to_owned()), Server::pss_mib)
    }

    fn warm(&mut self) -> Outcome<Load> {
        let address = match &self.running {
            Some(server) => server.address,
            None => self.running.insert(self.start(free_address()?, LOOK)?.0).address,
        };
        plain(address, self.path)
    }

    fn warm_concurrent(&mut self) -> Outcome<Load> {
        self.alone.map_or_else(|| self.warm(), |reason| Err(reason.to_owned()))
    }
}

// === impl Nothing ===

impl Nothing {
    pub(super) fn find() -> Outcome<Self> {
        Ok(Self {
            node: Interpreter::node().map_err(said)?,
            python: Interpreter::python().map_err(said)?,
        })
    }
}

const NOTHING: &str = "serves nothing: `node -e 0` and `python3 -c 0`, from start to end";

impl Peer for Nothing {
    fn cold(&mut self, hello: &Hello, _: usize) -> Outcome<Duration> {
        let interpreter = if *hello == Hello::Python { &self.python } else { &self.node };
        interpreter.start().map_err(said)
    }

    fn burst(&mut self, functions: usize, _: usize) -> Outcome<Burst> {
        let tasks = (0..functions).map(|_| || self.node.start().map(drop));
        nilas_load::at_once(tasks.collect()).map_err(said)
    }

    fn memory_mib(&mut self) -> Outcome<f64> {
        Err(NOTHING.to_owned())
    }

    fn warm(&mut self) -> Outcome<Load> {
        Err(NOTHING.to_owned())
    }
}

fn write(dir: &Path, files: &[(&str, &str)]) -> Outcome<()> {
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for (name, content) in files {
        let path = dir.join(name);
        fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}
