//! What is measured: a nilas server of the bench's own, and a bare Node HTTP server.

use std::fs;
use std::io::{Cursor, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method};
use nilas_wire::sigv4::{ClientKey, Signer};
use serde_json::json;

use super::load::{Connection, Load};
use crate::processes::{self, pss_kib};

const BODY: &str = r#"{"message":"Hello World!"}"#;
const KEY: ClientKey<'_> =
    ClientKey { access_key_id: "test", secret_access_key: "test", session_token: None };
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A child process that ends with the bench.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &mut Command, address: SocketAddr) -> Result<Self, String> {
        let child =
            command.stdin(Stdio::null()).spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let server = Self { child, address };
        let began = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if began.elapsed() > READY_WITHIN {
                return Err(format!("{command:?} did not listen on {address}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// SIGTERM and wait; nothing when it has ended.
    fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let asked = Command::new("kill").arg(self.child.id().to_string()).status();
            if asked.is_ok_and(|status| status.success()) {
                self.child.wait().ok();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

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
        Server::start(Command::new("node").args(["-e", &source]), address).map(Self)
    }

    pub(crate) fn request(&self) -> Load {
        let request = format!(
            "POST /hello HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\n\r\n{{}}",
            self.0.address
        );
        Load { address: self.0.address, request: request.into_bytes() }
    }

    pub(crate) fn memory_mib(&self) -> Result<f64, String> {
        Ok(pss_kib(self.0.child.id())? as f64 / 1024.0)
    }
}

/// `nilas serve`, release build, default settings, data in a temporary directory.
pub(crate) struct Nilas {
    server: Server,
    data_dir: PathBuf,
    /// `examples/rust-hello`.
    custom_runtime: PathBuf,
}

impl Nilas {
    pub(crate) fn start(root: &Path) -> Result<Self, String> {
        Self::start_with(root, &[])
    }

    /// With flags for `nilas serve`.
    pub(crate) fn start_with(root: &Path, flags: &[&str]) -> Result<Self, String> {
        let data_dir = std::env::temp_dir().join(format!("nilas-bench-{}", std::process::id()));
        let release = release_dir(root);
        let server = serve(&release.join("nilas"), &data_dir, flags)?;
        Ok(Self { server, data_dir, custom_runtime: release.join("rust-hello") })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.child.id()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The end of the server's log, which says what went wrong.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.data_dir.with_extension("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// `examples/rust-hello`, as a package.
    pub(crate) fn custom_package(&self) -> Result<Vec<u8>, String> {
        let path = &self.custom_runtime;
        let bootstrap = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        package("bootstrap", &bootstrap)
    }

    /// SIGTERM, and waits until the server has cleaned up. What it logged stays until this is dropped.
    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    /// From the start of `nilas serve` on a new data directory until it says on `/health` that it is well.
    pub(crate) fn ready_after(root: &Path) -> Result<Duration, String> {
        let data_dir = std::env::temp_dir().join(format!("nilas-ready-{}", std::process::id()));
        let began = Instant::now();
        let mut server = serve(&release_dir(root).join("nilas"), &data_dir, &[])?;
        let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
        Connection::open(server.address)?.call(request.as_bytes())?;
        let took = began.elapsed();
        server.stop();
        remove(&data_dir);
        Ok(took)
    }

    /// Creates as many functions, all alike; the first invocation of each is a cold start.
    pub(crate) fn create_cold(&self, functions: usize) -> Result<(), String> {
        let mut connection = Connection::open(self.server.address)?;
        (0..functions)
            .try_for_each(|number| self.create(&mut connection, &format!("cold-{number}")))
    }

    pub(crate) fn cold_start(&self, number: usize) -> Result<Duration, String> {
        let mut connection = Connection::open(self.server.address)?;
        let load = self.invocation(&format!("cold-{number}"))?;
        let began = Instant::now();
        let answer = connection.call(&load.request)?;
        let took = began.elapsed();
        expect_hello(answer)?;
        Ok(took)
    }

    /// Of a function on nilas's own Node runtime.
    pub(crate) fn warm_request(&self) -> Result<Load, String> {
        let mut connection = Connection::open(self.server.address)?;
        self.create(&mut connection, "warm")?;
        let load = self.invocation("warm")?;
        expect_hello(connection.call(&load.request)?)?;
        Ok(load)
    }

    /// Of a function that brings its runtime along, which talks to the Runtime API over HTTP.
    pub(crate) fn custom_request(&self) -> Result<Load, String> {
        let mut connection = Connection::open(self.server.address)?;
        let code = self.custom_package()?;
        self.create_of(&mut connection, "custom", "provided.al2023", &code)?;
        let load = self.invocation("custom")?;
        connection.call(&load.request)?;
        Ok(load)
    }

    /// Proportional set size of all processes of all environments, divided by their number.
    pub(crate) fn memory_per_environment_mib(&self) -> Result<f64, String> {
        std::thread::sleep(Duration::from_millis(300));
        let children = processes::children_by_parent();
        let mut environments = 0;
        let mut total_kib = 0;
        for spawner in children.get(&self.server.child.id()).into_iter().flatten() {
            for init in children.get(spawner).into_iter().flatten() {
                environments += 1;
                total_kib += processes::tree_pss_kib(*init, &children)?;
            }
        }
        if environments == 0 {
            Err("no environment is alive".to_owned())
        } else {
            Ok(total_kib as f64 / 1024.0 / f64::from(environments))
        }
    }

    pub(crate) fn create(&self, connection: &mut Connection, name: &str) -> Result<(), String> {
        let source = format!("exports.handler = async () => ({BODY})");
        let code = package("index.js", source.as_bytes())?;
        self.create_of(connection, name, "nodejs20.x", &code)
    }

    pub(crate) fn create_of(
        &self,
        connection: &mut Connection,
        name: &str,
        runtime: &str,
        code: &[u8],
    ) -> Result<(), String> {
        let body = json!({
            "FunctionName": name, "Runtime": runtime, "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/bench", "Code": {"ZipFile": base64(code)},
        });
        let request = self.signed("/2015-03-31/functions", body.to_string().as_bytes())?;
        connection.call(&request).map(|_| ())
    }

    pub(crate) fn invocation(&self, name: &str) -> Result<Load, String> {
        let request = self.signed(&format!("/2015-03-31/functions/{name}/invocations"), b"{}")?;
        Ok(Load { address: self.server.address, request })
    }

    fn signed(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        self.request(&Method::POST, path, "", body)
    }

    /// A signed request, complete with its headers.
    pub(crate) fn request(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, String> {
        let mut headers = HeaderMap::new();
        let host =
            HeaderValue::from_str(&self.server.address.to_string()).map_err(|e| e.to_string())?;
        headers.insert("host", host);
        let now_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_millis();
        let now_ms = u64::try_from(now_ms).map_err(|e| e.to_string())?;
        let signer = Signer { key: KEY, region: "us-east-1", service: "lambda", now_ms };
        signer.sign(method, path, query, &mut headers, body).map_err(|e| e.to_string())?;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let length = body.len();
        let mut request =
            format!("{method} {target} HTTP/1.1\r\ncontent-length: {length}\r\n").into_bytes();
        for (name, value) in &headers {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        Ok(request)
    }
}

impl Drop for Nilas {
    fn drop(&mut self) {
        self.server.stop();
        remove(&self.data_dir);
    }
}

/// Where cargo puts what it builds for release.
fn release_dir(root: &Path) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root.join(target).join("release")
}

fn serve(binary: &Path, data_dir: &Path, flags: &[&str]) -> Result<Server, String> {
    let address = free_address()?;
    let log = fs::File::create(data_dir.with_extension("log")).map_err(|e| e.to_string())?;
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", &address.to_string(), "--data-dir"])
        .arg(data_dir)
        .args(flags)
        .stderr(log);
    Server::start(&mut command, address)
}

/// The data directory and the log beside it.
fn remove(data_dir: &Path) {
    fs::remove_dir_all(data_dir).ok();
    fs::remove_file(data_dir.with_extension("log")).ok();
}

fn expect_hello(answer: &[u8]) -> Result<(), String> {
    if answer == BODY.as_bytes() {
        Ok(())
    } else {
        Err(format!("unexpected answer {}", String::from_utf8_lossy(answer)))
    }
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    listener.local_addr().map_err(|e| e.to_string())
}

pub(crate) fn package(file: &str, content: &[u8]) -> Result<Vec<u8>, String> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    writer.start_file(file, options).map_err(|e| e.to_string())?;
    writer.write_all(content).map_err(|e| e.to_string())?;
    writer.finish().map(Cursor::into_inner).map_err(|e| e.to_string())
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
