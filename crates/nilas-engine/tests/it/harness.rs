//! An engine on a `FakeSandbox`, and the runtimes that play against it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use nilas_engine::{Engine, EngineConfig, Invocation, InvokeError, LogEvent, LogSink};
use nilas_model::{
    AccountId, CredentialIssuer, FunctionName, Interpreter, LogFormat, LoggingConfig, Outcome,
    Principal, Region, RequestId, RuntimeKind, SessionCredentials, SystemClock, Version,
    VersionSnapshot,
};
use nilas_sandbox::fake::{FakeProcess, FakeSandbox};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

pub(crate) const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000001";

#[derive(Debug, Default)]
pub(crate) struct MemoryLogs {
    events: Mutex<Vec<(String, String, LogEvent)>>,
}

impl LogSink for MemoryLogs {
    fn append(&self, group: &str, stream: &str, events: Vec<LogEvent>) {
        let mut all = self.events.lock().unwrap();
        all.extend(events.into_iter().map(|event| (group.to_owned(), stream.to_owned(), event)));
    }
}

#[derive(Debug)]
struct FixedIssuer;

impl CredentialIssuer for FixedIssuer {
    fn issue(&self, _: &AccountId, principal: &Principal, ttl_ms: u64) -> SessionCredentials {
        let Principal::Role { role_arn, session } = principal else {
            unreachable!("environments have roles")
        };
        SessionCredentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: format!("{role_arn}/{session}"),
            expires_epoch_ms: ttl_ms,
        }
    }
}

/// The engine under test and everything it was given.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) sandbox: FakeSandbox,
    pub(crate) dir: TempDir,
    logs: Arc<MemoryLogs>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let sandbox = FakeSandbox::new();
        let logs = Arc::new(MemoryLogs::default());
        let mut config =
            EngineConfig { runtime_dir: dir.path().join("runtime"), ..EngineConfig::default() };
        change(&mut config);
        let engine = Engine::new(
            config,
            Arc::new(sandbox.clone()),
            Arc::clone(&logs) as Arc<dyn LogSink>,
            Arc::new(FixedIssuer),
            Arc::new(SystemClock::new()),
        )
        .unwrap();
        Self { engine, sandbox, dir, logs }
    }

    pub(crate) fn snapshot(&self, kind: RuntimeKind) -> VersionSnapshot {
        let code_dir = self.dir.path().join("code");
        std::fs::create_dir_all(&code_dir).unwrap();
        if kind == RuntimeKind::Custom {
            std::fs::write(code_dir.join("bootstrap"), "#!/bin/sh\n").unwrap();
        }
        let runtime = match kind {
            RuntimeKind::Node => "nodejs20.x",
            RuntimeKind::Python => "python3.12",
            RuntimeKind::Custom => "provided.al2023",
        };
        VersionSnapshot {
            account: AccountId::parse("000000000000").unwrap(),
            region: Region::parse("us-east-1").unwrap(),
            name: FunctionName::parse("hello").unwrap(),
            version: Version::Latest,
            generation: 1,
            runtime: runtime.to_owned(),
            kind,
            interpreter: (kind != RuntimeKind::Custom).then(|| Interpreter {
                executable: "/usr/bin/node".into(),
                prefix: None,
                version: "20.20.2".to_owned(),
            }),
            handler: "index.handler".to_owned(),
            role_arn: "arn:aws:iam::000000000000:role/r".to_owned(),
            memory_mib: 128,
            timeout_ms: 3_000,
            ephemeral_mib: 512,
            environment: BTreeMap::from([("STAGE".to_owned(), "test".to_owned())]),
            code_dir,
            layer_dirs: Vec::new(),
            logging: LoggingConfig {
                group: "/aws/lambda/hello".to_owned(),
                format: LogFormat::Text,
                application_level: None,
                system_level: None,
            },
            snap_start: false,
        }
    }

    pub(crate) fn node(&self) -> Arc<VersionSnapshot> {
        Arc::new(self.snapshot(RuntimeKind::Node))
    }

    /// Starts an invocation in the background.
    pub(crate) fn invoke(
        &self,
        snapshot: &Arc<VersionSnapshot>,
        invocation: Invocation,
    ) -> JoinHandle<Result<Outcome, InvokeError>> {
        let engine = self.engine.clone();
        let snapshot = Arc::clone(snapshot);
        tokio::spawn(async move { engine.invoke(&snapshot, invocation).await })
    }

    pub(crate) async fn runtime(&self) -> Runtime {
        let process = within(self.sandbox.next_started()).await;
        let channel = UnixStream::from_std(process.channel.try_clone().unwrap()).unwrap();
        Runtime { process, channel }
    }

    /// One event a line, ids and figures replaced; waits until `count` events are there.
    pub(crate) async fn log(&self, count: usize) -> String {
        within(async {
            while self.logs.events.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let events = self.logs.events.lock().unwrap();
        events.iter().map(|(_, _, event)| normalised(&event.message)).collect()
    }

    pub(crate) fn log_places(&self) -> Vec<(String, String)> {
        let events = self.logs.events.lock().unwrap();
        events.iter().map(|(group, stream, _)| (group.clone(), stream.clone())).collect()
    }
}

/// Request ids, times and durations as `ID`, `TIME` and `N`.
pub(crate) fn normalised(message: &str) -> String {
    let mut text = message.replace(REQUEST_ID, "ID");
    for field in ["Duration: ", "durationMs\":", "DurationMs\":", "\"time\":\"", "runtime:"] {
        text = blank(&text, field);
    }
    let dated = text.len() > 24 && text.as_bytes()[10] == b'T' && text.as_bytes()[23] == b'Z';
    if dated { format!("TIME{}", &text[24..]) } else { text }
}

fn blank(text: &str, field: &str) -> String {
    let mut pieces = text.split(field);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find([' ', ',', '"', '}', '\n']).unwrap_or(piece.len());
        out.push_str(field);
        out.push('N');
        out.push_str(&piece[end..]);
    }
    out
}

pub(crate) fn invocation(payload: &'static str) -> Invocation {
    Invocation {
        request_id: RequestId::parse(REQUEST_ID).unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
        invoked_arn: "arn:aws:lambda:us-east-1:000000000000:function:hello".to_owned(),
        client_context: None,
        cognito_identity: None,
        trace_id: None,
        want_log_tail: false,
        sink: None,
    }
}

pub(crate) fn with_tail(payload: &'static str) -> Invocation {
    Invocation { want_log_tail: true, ..invocation(payload) }
}

/// The function's side of the framed protocol.
pub(crate) struct Runtime {
    pub(crate) process: FakeProcess,
    channel: UnixStream,
}

impl Runtime {
    pub(crate) async fn send(&mut self, kind: u8, payload: &[u8]) {
        self.write(&frame(kind, payload)).await;
    }

    /// Raw bytes; what the engine does not take any more is nobody's concern.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        drop(self.channel.write_all(bytes).await);
    }

    pub(crate) async fn ready(&mut self) {
        self.send(1, b"").await;
    }

    pub(crate) async fn init_error(&mut self, payload: &str) {
        self.send(4, payload.as_bytes()).await;
    }

    pub(crate) async fn respond(&mut self, payload: &str) {
        self.send(2, &[REQUEST_ID.as_bytes(), payload.as_bytes()].concat()).await;
    }

    pub(crate) async fn fail(&mut self, payload: &str) {
        self.send(3, &[REQUEST_ID.as_bytes(), payload.as_bytes()].concat()).await;
    }

    /// Header and event of the next INVOKE.
    pub(crate) async fn next(&mut self) -> (serde_json::Value, String) {
        within(async {
            let mut prefix = [0; 9];
            self.channel.read_exact(&mut prefix).await.unwrap();
            let length = u32::from_le_bytes(prefix[..4].try_into().unwrap()) as usize;
            let header_bytes = u32::from_le_bytes(prefix[5..].try_into().unwrap()) as usize;
            assert_eq!(prefix[4], 1);
            let mut rest = vec![0; length - 5];
            self.channel.read_exact(&mut rest).await.unwrap();
            let header = serde_json::from_slice(&rest[..header_bytes]).unwrap();
            (header, String::from_utf8(rest[header_bytes..].to_vec()).unwrap())
        })
        .await
    }

    pub(crate) fn print(&self, text: &str) {
        let fd = self.process.output.try_clone().unwrap();
        std::fs::File::from(fd).write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn telemetry(&self, bytes: &[u8]) {
        let fd = self.process.telemetry.try_clone().unwrap();
        std::fs::File::from(fd).write_all(bytes).unwrap();
    }

    pub(crate) fn env(&self, name: &str) -> Option<&str> {
        let found = self.process.spec.env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len() + 1).unwrap().to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn text(outcome: &Outcome) -> String {
    String::from_utf8(outcome.payload.to_vec()).unwrap().replace(REQUEST_ID, "ID")
}

pub(crate) fn tail(outcome: &Outcome) -> String {
    let tail = outcome.log_tail.as_ref().expect("a tail was asked for");
    String::from_utf8_lossy(tail).split_inclusive('\n').map(normalised).collect()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("took too long")
}
