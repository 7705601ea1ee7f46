//! AWS's Lambda API as the bench uses it, of nilas and of whoever else offers it: create functions, sign invocations.

use std::fs;
use std::io::{Cursor, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method};
use nilas_load::{Connection, Load};
use nilas_wire::sigv4::{ClientKey, Signer};
use serde_json::json;

use super::said;

/// What every function answers.
pub(crate) const BODY: &str = r#"{"message":"Hello World!"}"#;
/// What every right answer holds, however it writes its JSON.
pub(crate) const ANSWER: &str = "Hello World";
const FUNCTIONS: &str = "/2015-03-31/functions";
/// Take a second of time, and none of a core's, so that many can do so at once.
const NODE_INIT: &[u8] = b"Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);\n";
const PYTHON_INIT: &[u8] = b"import time\ntime.sleep(1)\n";
const SNAPSHOT_LOOK: Duration = Duration::from_millis(50);
const SNAPSHOT_LOOKS_MAX: u32 = 1_200;
const KEY: ClientKey<'_> =
    ClientKey { access_key_id: "test", secret_access_key: "test", session_token: None };

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hello {
    Node,
    Python,
    /// `examples/rust-hello`, built: brings its runtime along, which talks to the Runtime API over HTTP.
    Custom(PathBuf),
}

/// A server of the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LambdaApi {
    pub(crate) address: SocketAddr,
}

impl Hello {
    /// A file and its content; no two functions have the same.
    pub(crate) fn source(&self, name: &str) -> Result<(&'static str, Vec<u8>), String> {
        Ok(match self {
            Self::Node => {
                ("index.js", format!("// {name}\nexports.handler = async () => ({BODY})").into())
            }
            Self::Python => (
                "index.py",
                format!("# {name}\ndef handler(event, context):\n    return {BODY}\n").into(),
            ),
            Self::Custom(path) => {
                ("bootstrap", fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?)
            }
        })
    }

    pub(crate) fn package(&self, name: &str) -> Result<Vec<u8>, String> {
        let (file, content) = self.source(name)?;
        package(file, &content)
    }

    fn runtime(&self) -> &'static str {
        match self {
            Self::Node => "nodejs20.x",
            Self::Python => "python3.11",
            Self::Custom(_) => "provided.al2023",
        }
    }
}

impl LambdaApi {
    /// Creates `{prefix}-0` and so on; the first invocation of each is a cold start.
    pub(crate) fn create(
        &self,
        prefix: &str,
        functions: usize,
        hello: &Hello,
    ) -> Result<Vec<String>, String> {
        let mut connection = Connection::open(self.address).map_err(said)?;
        let names: Vec<String> =
            (0..functions).map(|number| format!("{prefix}-{number}")).collect();
        names.iter().try_for_each(|name| self.create_one(&mut connection, name, hello))?;
        Ok(names)
    }

    /// As `create`, of functions whose init takes a second, published with SnapStart; the first invocation of version 1 is
    /// a restore.
    pub(crate) fn create_restored(
        &self,
        prefix: &str,
        functions: usize,
        hello: &Hello,
    ) -> Result<Vec<String>, String> {
        let mut connection = Connection::open(self.address).map_err(said)?;
        let names: Vec<String> =
            (0..functions).map(|number| format!("{prefix}-{number}")).collect();
        names.iter().try_for_each(|name| self.publish_one(&mut connection, name, hello))?;
        for name in &names {
            self.wait_for_snapshot(&mut connection, name)?;
        }
        Ok(names)
    }

    fn publish_one(
        &self,
        connection: &mut Connection,
        name: &str,
        hello: &Hello,
    ) -> Result<(), String> {
        let (file, content) = hello.source(name)?;
        let init = match hello {
            Hello::Node => NODE_INIT,
            Hello::Python => PYTHON_INIT,
            Hello::Custom(_) => return Err("SnapStart is for managed runtimes".to_owned()),
        };
        let mut body = description(name, hello, &package(file, &[init, &content].concat())?);
        body["SnapStart"] = json!({"ApplyOn": "PublishedVersions"});
        body["Publish"] = json!(true);
        let request = self.request(&Method::POST, FUNCTIONS, "", body.to_string().as_bytes())?;
        connection.send(&request).map(drop).map_err(said)
    }

    fn wait_for_snapshot(&self, connection: &mut Connection, name: &str) -> Result<(), String> {
        let path = format!("{FUNCTIONS}/{name}/configuration");
        for _ in 0..SNAPSHOT_LOOKS_MAX {
            let request = self.request(&Method::GET, &path, "Qualifier=1", b"")?;
            let answer = connection.send(&request).map_err(said)?;
            let answer = String::from_utf8_lossy(answer).into_owned();
            if answer.contains("\"OptimizationStatus\":\"On\"") {
                return Ok(());
            }
            if !answer.contains("\"Pending\"") {
                return Err(format!("no snapshot of {name}: {answer}"));
            }
            std::thread::sleep(SNAPSHOT_LOOK);
        }
        Err(format!("no snapshot of {name} within its time"))
    }

    pub(crate) fn create_one(
        &self,
        connection: &mut Connection,
        name: &str,
        hello: &Hello,
    ) -> Result<(), String> {
        let body = description(name, hello, &hello.package(name)?).to_string();
        let request = self.request(&Method::POST, FUNCTIONS, "", body.as_bytes())?;
        connection.send(&request).map(drop).map_err(said)
    }

    /// Valid for the minutes that the signature is.
    pub(crate) fn invocation(&self, name: &str) -> Result<Load, String> {
        self.invocation_of(name, "")
    }

    /// Of the first version.
    pub(crate) fn invocation_of_version(&self, name: &str) -> Result<Load, String> {
        self.invocation_of(name, "Qualifier=1")
    }

    fn invocation_of(&self, name: &str, query: &str) -> Result<Load, String> {
        let path = format!("{FUNCTIONS}/{name}/invocations");
        let request = self.request(&Method::POST, &path, query, b"{}")?;
        Ok(Load { address: self.address, request, answer_has: ANSWER })
    }

    /// Any request, signed and complete with its headers.
    pub(crate) fn request(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, String> {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&self.address.to_string()).map_err(|e| e.to_string())?;
        headers.insert("host", host);
        let now_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_millis();
        let now_ms = u64::try_from(now_ms).map_err(|e| e.to_string())?;
        let signer = Signer { key: KEY, region: "us-east-1", service: "lambda", now_ms };
        signer.sign(method, path, query, &mut headers, body).map_err(|e| e.to_string())?;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Ok(nilas_load::http1(method, &target, &headers, body))
    }
}

/// The body of CreateFunction.
fn description(name: &str, hello: &Hello, package: &[u8]) -> serde_json::Value {
    json!({
        "FunctionName": name, "Runtime": hello.runtime(), "Handler": "index.handler",
        "Role": "arn:aws:iam::000000000000:role/bench", "Code": {"ZipFile": base64(package)},
        "Timeout": 60,
    })
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
