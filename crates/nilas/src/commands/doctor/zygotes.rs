//! Whether Node and Python can be booted once and forked for each environment: found out by doing it.
//!
//! Invariant: leaves nothing behind, as everything of doctor: the sandboxes are without a network, their directory is a
//! temporary one.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nilas_engine::{Engine, EngineConfig, Invocation, LogEvent, LogSink};
use nilas_model::{
    AccountId, Clock, CredentialIssuer, FunctionName, LoggingConfig, Principal, Region, RequestId,
    RuntimeKind, SessionCredentials, SystemClock, Version, VersionSnapshot,
};
use nilas_sandbox::{Finding, LinuxSandbox, Outbound, SandboxConfig};
use nilas_services::lambda::InstalledRuntime;

/// How long a zygote may take to boot before its functions are taken to be started plainly.
const BOOT_WAIT: Duration = Duration::from_secs(5);
/// The processes of an environment before its runtime, where that is started plainly: a fork comes after helpers.
const PLAIN_PID_MAX: u64 = 2;

const NODE: &str = "exports.handler = async () => process.pid;";
const PYTHON: &str = "import os\ndef handler(event, context):\n    return os.getpid()\n";

/// Nobody reads the logs, and nobody is called.
#[derive(Debug)]
struct Nowhere;

impl LogSink for Nowhere {
    fn append(&self, _group: &str, _stream: &str, _events: Vec<LogEvent>) {}
}

impl CredentialIssuer for Nowhere {
    fn issue(
        &self,
        _account: &AccountId,
        _principal: &Principal,
        _ttl_ms: u64,
    ) -> SessionCredentials {
        SessionCredentials {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: String::new(),
            expires_epoch_ms: 0,
        }
    }
}

/// Tries one Node and one Python: one that is configured, or the first that is installed. Takes a second.
pub(super) fn finding(runtimes: &[InstalledRuntime], wanted: bool) -> Finding {
    let feature = "zygotes".into();
    if !wanted {
        let detail = "switched off".to_owned();
        let cost = Some("every environment boots an interpreter of its own".to_owned());
        let remedy = Some("zygotes = \"on\" in nilas.toml".to_owned());
        return Finding { feature, ok: false, detail, cost, remedy };
    }
    let dir = std::env::temp_dir().join(format!("nilas-doctor-{}", std::process::id()));
    let tried = try_all(runtimes, &dir);
    // What is left of a directory in the temporary ones is the system's to clear away.
    drop(fs::remove_dir_all(&dir));
    let (ok, detail) = match tried {
        Ok(results) => {
            let lines: Vec<String> = results.iter().map(|(_, line)| line.clone()).collect();
            (results.iter().all(|(forked, _)| *forked), lines.join("; "))
        }
        Err(reason) => (false, reason),
    };
    Finding {
        feature,
        ok,
        detail,
        cost: (!ok).then(|| {
            "its environments are started plainly: cold starts take tens of milliseconds longer, and memory is not shared"
                .to_owned()
        }),
        remedy: (!ok).then(|| {
            "nilas serve --log debug says why; another Node or Python may be named under [runtimes] in nilas.toml"
                .to_owned()
        }),
    }
}

/// Whether each can be forked, in words too.
fn try_all(runtimes: &[InstalledRuntime], dir: &Path) -> Result<Vec<(bool, String)>, String> {
    // Whatever the caller's umask, sandboxes' users look in here.
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let config = SandboxConfig { network: false, ..SandboxConfig::for_data_dir(dir) };
    let sandbox = LinuxSandbox::launch(&config).map_err(|error| error.to_string())?;
    let sandbox = Arc::new(sandbox);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let results = runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let config = EngineConfig {
            runtime_dir: dir.join("runtime"),
            outbound: Outbound::None,
            ..EngineConfig::default()
        };
        let (logs, credentials) = (Arc::new(Nowhere), Arc::new(Nowhere));
        let engine = Engine::new(config, sandbox.clone(), logs, credentials, clock)
            .map_err(|error| error.to_string())?;
        let mut results = Vec::new();
        for family in ["nodejs", "python"] {
            let of_family = || runtimes.iter().filter(|found| found.family.starts_with(family));
            let configured = of_family().find(|found| found.configured);
            if let Some(found) = configured.or_else(|| of_family().next()) {
                results.push(try_one(&engine, found, dir).await?);
            }
        }
        engine.shutdown(Duration::ZERO).await;
        Ok(results)
    });
    drop(runtime);
    sandbox.shut_down();
    results
}

/// Starts environments of one function until one is a fork.
async fn try_one(
    engine: &Engine,
    found: &InstalledRuntime,
    dir: &Path,
) -> Result<(bool, String), String> {
    let mut snapshot = snapshot(found, dir)?;
    let name = format!("{} {}", found.family, found.interpreter.version);
    engine.expect(&snapshot);
    let began = Instant::now();
    while began.elapsed() < BOOT_WAIT {
        // Each in an environment of its own.
        snapshot.generation += 1;
        let invocation = Invocation {
            request_id: RequestId::random(),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: snapshot.arn().to_string(),
            client_context: None,
            cognito_identity: None,
            trace_id: None,
            want_log_tail: false,
            sink: None,
        };
        let asked = Instant::now();
        let outcome = engine.invoke(&Arc::new(snapshot.clone()), invocation).await;
        let outcome = outcome.map_err(|error| format!("{name}: {error}"))?;
        let text = String::from_utf8_lossy(&outcome.payload).into_owned();
        let pid: u64 = text.parse().map_err(|_| format!("{name} does not run: {text}"))?;
        if pid > PLAIN_PID_MAX {
            let took_ms = asked.elapsed().as_millis();
            return Ok((true, format!("{name} was forked and answered in {took_ms} ms")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok((false, format!("{name} cannot be forked")))
}

fn snapshot(found: &InstalledRuntime, dir: &Path) -> Result<VersionSnapshot, String> {
    let node = found.family.starts_with("nodejs");
    let (kind, file, code) = match node {
        true => (RuntimeKind::Node, "index.js", NODE),
        false => (RuntimeKind::Python, "index.py", PYTHON),
    };
    let code_dir = dir.join(if node { "node" } else { "python" });
    fs::create_dir_all(&code_dir)
        .and_then(|()| fs::set_permissions(&code_dir, Permissions::from_mode(0o755)))
        .and_then(|()| fs::write(code_dir.join(file), code))
        .and_then(|()| fs::set_permissions(code_dir.join(file), Permissions::from_mode(0o644)))
        .map_err(|error| format!("{}: {error}", code_dir.display()))?;
    let invalid = |error: &dyn std::fmt::Display| error.to_string();
    Ok(VersionSnapshot {
        snap_start: false,
        account: AccountId::parse("000000000000").map_err(|error| invalid(&error))?,
        region: Region::parse("us-east-1").map_err(|error| invalid(&error))?,
        name: FunctionName::parse("doctor").map_err(|error| invalid(&error))?,
        version: Version::Latest,
        generation: 0,
        runtime: found.family.clone(),
        kind,
        interpreter: Some(found.interpreter.clone()),
        handler: "index.handler".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/doctor".to_owned(),
        memory_mib: 128,
        timeout_ms: 10_000,
        ephemeral_mib: 512,
        environment: BTreeMap::new(),
        code_dir,
        layer_dirs: Vec::new(),
        logging: LoggingConfig {
            group: "doctor".to_owned(),
            format: nilas_model::LogFormat::Text,
            application_level: None,
            system_level: None,
        },
    })
}
