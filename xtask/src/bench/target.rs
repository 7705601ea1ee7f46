//! What is measured: a nilas server of the bench's own, and a bare Node HTTP server.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nilas_load::{Connection, Load};

use super::lambda::{ANSWER, BODY, Hello, LambdaApi};
use super::processes::{Server, children_by_parent, free_address, tree_pss_kib};
use super::{Place, said};

const READY_WITHIN: Duration = Duration::from_secs(10);
/// Lines.
const LAST_WORDS: usize = 20;

/// `http.createServer` that answers `BODY`, in one process.
pub(crate) struct BareNode(Server);

impl BareNode {
    pub(crate) fn start() -> Result<Self, String> {
        let address = free_address()?;
        let source = format!(
            "require('http').createServer((q, s) => {{ q.resume(); q.on('end', () => {{ s.writeHead(200, {{'content-type': 'application/json', 'content-length': {}}}); s.end('{BODY}') }}) }}).listen({}, '127.0.0.1')",
            BODY.len(),
            address.port()
        );
        let mut command = Command::new("node");
        Server::start(command.args(["-e", &source]), address, READY_WITHIN, None).map(Self)
    }

    pub(crate) fn request(&self) -> Load {
        let address = self.0.address;
        let request =
            format!("POST /hello HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\n\r\n{{}}");
        Load { address, request: request.into_bytes(), answer_has: ANSWER }
    }

    pub(crate) fn memory_mib(&self) -> Result<f64, String> {
        self.0.pss_mib()
    }
}

/// `nilas serve`, release build, data in the run's directory.
pub(crate) struct Nilas {
    server: Server,
    data_dir: PathBuf,
    pub(crate) api: LambdaApi,
}

impl Nilas {
    /// With default settings.
    pub(crate) fn start(place: &Place) -> Result<Self, String> {
        Self::start_with(place, &[])
    }

    /// With flags for `nilas serve`.
    pub(crate) fn start_with(place: &Place, flags: &[&str]) -> Result<Self, String> {
        let data_dir = place.scratch.0.join("nilas");
        let server = serve(place, &data_dir, flags)?;
        let api = LambdaApi { address: server.address };
        Ok(Self { server, data_dir, api })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The end of the server's log, which says what went wrong.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(self.data_dir.with_extension("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }

    /// Waits until the server has cleaned up. Gives those of its processes that had to be killed.
    pub(crate) fn stop(&mut self) -> Vec<u32> {
        self.server.stop()
    }

    /// From the start of `nilas serve` on a new data directory until it says on `/health` that it is well.
    pub(crate) fn ready_after(place: &Place) -> Result<Duration, String> {
        let data_dir = place.scratch.0.join("ready");
        let began = Instant::now();
        let mut server = serve(place, &data_dir, &[])?;
        let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
        let mut connection = Connection::open(server.address).map_err(said)?;
        connection.send(request.as_bytes()).map_err(said)?;
        let took = began.elapsed();
        server.stop();
        fs::remove_dir_all(&data_dir).ok();
        Ok(took)
    }

    /// Of a new function that has been invoked once.
    pub(crate) fn warm(&self, name: &str, hello: &Hello) -> Result<Load, String> {
        self.api.create(name, 1, hello)?;
        let load = self.api.invocation(&format!("{name}-0"))?;
        nilas_load::cold_start(&load).map_err(said)?;
        Ok(load)
    }

    /// Proportional set size of all processes of all environments, divided by their number.
    pub(crate) fn memory_per_environment_mib(&self) -> Result<f64, String> {
        std::thread::sleep(Duration::from_millis(300));
        let children = children_by_parent();
        let environments = self.environments(&children);
        let mut total_kib = 0;
        for init in &environments {
            total_kib += tree_pss_kib(*init, &children)?;
        }
        if environments.is_empty() {
            Err("no environment is alive".to_owned())
        } else {
            Ok(total_kib as f64 / 1024.0 / environments.len() as f64)
        }
    }

    /// Sandboxes with a function's code in them, by their pid 1: environments, templates and their forks. Sandboxes made
    /// ahead, and zygotes, have none.
    pub(crate) fn environments(&self, children: &HashMap<u32, Vec<u32>>) -> Vec<u32> {
        let spawners = children.get(&self.pid()).into_iter().flatten();
        let inits = spawners.flat_map(|spawner| children.get(spawner).into_iter().flatten());
        let has_code =
            |init: &u32| fs::exists(format!("/proc/{init}/root/var/task")).unwrap_or(false);
        inits.copied().filter(has_code).collect()
    }
}

fn serve(place: &Place, data_dir: &Path, flags: &[&str]) -> Result<Server, String> {
    let address = free_address()?;
    let mut command = Command::new(place.release.join("nilas"));
    command
        .args(["serve", "--listen", &address.to_string(), "--data-dir"])
        .arg(data_dir)
        .args(flags);
    Server::start(&mut command, address, READY_WITHIN, Some(&data_dir.with_extension("log")))
}
