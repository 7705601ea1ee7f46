//! What an environment looks like from inside: arguments, variables, mounts and limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nilas_model::{
    EnvironmentId, LogFormat, RuntimeKind, SessionCredentials, VersionSnapshot, limits,
};
use nilas_sandbox::{Limits, Origin, ReadOnlyMount, SandboxSpec, Zygote};

use crate::api::EngineConfig;
use crate::environment::credentials;

/// Where the Runtime API listens inside an environment, as on AWS.
pub(crate) const RUNTIME_API_PORT: u16 = 9001;

const TASK_ROOT: &str = "/var/task";
const RUNTIME_ROOT: &str = "/var/runtime";
const LANG_ROOT: &str = "/var/lang";
const LAYER_ROOT: &str = "/opt";
const BOOTSTRAPS: [&str; 2] = ["/var/task/bootstrap", "/opt/bootstrap"];
const TELEMETRY_FD: &str = "4";

/// Least CPU of an environment, thousandths. AWS lets short bursts through however small the function is; the kernel
/// lets one quota through, which of a 128 MB share (72) would be less than a millisecond and a half.
const CPU_MILLIS_MIN: u32 = 250;
const MIB: u64 = 1_048_576;

/// What changes from one start to the next.
#[derive(Debug)]
pub(crate) struct LaunchContext<'a> {
    pub(crate) config: &'a EngineConfig,
    pub(crate) snapshot: &'a VersionSnapshot,
    pub(crate) environment: EnvironmentId,
    /// 0 for the first start of an environment, 1 for the retry of its init.
    pub(crate) attempt: u32,
    pub(crate) start: Start,
    pub(crate) log_stream: &'a str,
    pub(crate) credentials: &'a Credentials,
}

/// How a function comes by the credentials of its role.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// In its variables.
    Issued(SessionCredentials),
    /// It asks for them, with the token.
    Asked { token: String },
}

/// How an environment comes to be.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// For an invocation.
    OnDemand,
    /// Ahead of any invocation.
    Provisioned,
    /// To be initialised and then forked, for others of its version.
    Template,
    /// Forked from the template in the sandbox of this id.
    Restored { template: String },
}

/// The package and the layers have no `bootstrap`.
#[derive(Debug)]
pub(crate) struct NoBootstrap;

impl NoBootstrap {
    /// AWS's text.
    pub(crate) fn reason() -> String {
        format!("Couldn't find valid bootstrap(s): [{}]", BOOTSTRAPS.join(" "))
    }
}

/// The sandbox of one environment.
pub(crate) fn sandbox_spec(cx: &LaunchContext<'_>) -> Result<SandboxSpec, NoBootstrap> {
    let snapshot = cx.snapshot;
    let (mounts, symlinks) = file_system(cx.config, snapshot);
    let custom = snapshot.kind == RuntimeKind::Custom;
    let mut listeners = vec![cx.config.host_endpoint_port];
    if custom || matches!(cx.credentials, Credentials::Asked { .. }) {
        listeners.push(RUNTIME_API_PORT);
    }
    Ok(SandboxSpec {
        id: format!("{}{}", cx.environment, if cx.attempt == 0 { "" } else { "r" }),
        argv: arguments(snapshot)?,
        env: variables(cx).into_iter().collect(),
        cwd: PathBuf::from(TASK_ROOT),
        mounts,
        symlinks,
        limits: sandbox_limits(cx.config, snapshot),
        origin: match (&cx.start, zygote(cx.config, snapshot)) {
            (Start::Restored { template }, _) => Origin::Template(template.clone()),
            (_, Some(zygote)) => Origin::Zygote(zygote),
            (_, None) => Origin::Program,
        },
        template: matches!(cx.start, Start::Template),
        listeners,
        outbound: cx.config.outbound,
    })
}

fn arguments(snapshot: &VersionSnapshot) -> Result<Vec<String>, NoBootstrap> {
    let words: &[&str] = match snapshot.kind {
        RuntimeKind::Node => &["/var/lang/bin/node", "/var/runtime/nilas-node.js"],
        RuntimeKind::Python => &["/var/lang/bin/python3", "/var/runtime/nilas_python.py"],
        RuntimeKind::Custom => {
            let in_layers = snapshot.layer_dirs.iter().any(|layer| has_bootstrap(layer));
            match (has_bootstrap(&snapshot.code_dir), in_layers) {
                (true, _) => &BOOTSTRAPS[..1],
                (false, true) => &BOOTSTRAPS[1..],
                (false, false) => return Err(NoBootstrap),
            }
        }
    };
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

/// Variables that an interpreter, its libraries or the dynamic linker read while they boot, so that a fork of a booted
/// one comes too late for them; a `*` at the end stands for any rest.
const BOOT_VARIABLES: [&str; 26] = [
    "AWS_LAMBDA_EXEC_WRAPPER",
    "GLIBC_TUNABLES",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LD_*",
    "MALLOC_*",
    "NODE_COMPILE_CACHE*",
    "NODE_DEBUG*",
    "NODE_DISABLE_*",
    "NODE_EXTRA_CA_CERTS",
    "NODE_ICU_DATA",
    "NODE_NO_*",
    "NODE_OPTIONS",
    "NODE_PENDING_*",
    "NODE_PRESERVE_*",
    "NODE_REDIRECT_WARNINGS",
    "NODE_REPL_*",
    "NODE_SKIP_*",
    "NODE_TEST_CONTEXT",
    "NODE_USE_*",
    "NODE_V8_COVERAGE",
    "OPENSSL_*",
    "PYTHON*",
    "SSL_CERT_*",
    "UV_*",
];

/// The interpreter to fork for the function. None if it has to be started anew: custom runtimes, and functions that
/// tell their interpreter how to boot.
pub(crate) fn zygote(config: &EngineConfig, snapshot: &VersionSnapshot) -> Option<Zygote> {
    let at_boot = |name: &String| {
        BOOT_VARIABLES.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == known,
        })
    };
    let interpreter = snapshot.interpreter.as_ref()?;
    if !config.zygotes || snapshot.environment.keys().any(at_boot) {
        return None;
    }
    let argv: &[&str] = match snapshot.kind {
        // No thread but the first, which a fork would lose.
        RuntimeKind::Node => &[
            "/var/lang/bin/node",
            "--single-threaded",
            "--v8-pool-size=0",
            // After seconds without garbage collections V8 does one to shrink the heap. A fork is frozen by then, and
            // would do it in its next invocation, to make 3 MiB that it shares with all others its own.
            "--no-memory-reducer",
            "/var/runtime/nilas-node.js",
        ],
        RuntimeKind::Python => &["/var/lang/bin/python3", "/var/runtime/nilas_python.py"],
        RuntimeKind::Custom => return None,
    };
    let (mut mounts, symlinks) = file_system(config, snapshot);
    mounts.retain(|mount| {
        [LANG_ROOT, RUNTIME_ROOT].iter().any(|shared| mount.target == Path::new(shared))
    });
    let mut env = defaults(config, snapshot);
    env.insert("NILAS_ZYGOTE".to_owned(), "1".to_owned());
    // The one default that depends on the identifier; forks look for it anew.
    env.remove("NODE_PATH");
    Some(Zygote {
        name: interpreter.executable.display().to_string(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: env.into_iter().collect(),
        mounts,
        symlinks,
    })
}

/// A dangling or outward link counts too: the sandbox resolves it inside, and fails there.
fn has_bootstrap(dir: &Path) -> bool {
    dir.join("bootstrap").symlink_metadata().is_ok_and(|found| !found.is_dir())
}

type Link = (PathBuf, PathBuf);

fn file_system(
    config: &EngineConfig,
    snapshot: &VersionSnapshot,
) -> (Vec<ReadOnlyMount>, Vec<Link>) {
    let mount =
        |sources: Vec<PathBuf>, target: &str| ReadOnlyMount { sources, target: target.into() };
    let mut mounts = vec![mount(vec![snapshot.code_dir.clone()], TASK_ROOT)];
    let mut symlinks = Vec::new();
    if !snapshot.layer_dirs.is_empty() {
        mounts.push(mount(snapshot.layer_dirs.clone(), LAYER_ROOT));
    }
    if snapshot.kind != RuntimeKind::Custom {
        mounts.push(mount(vec![config.runtime_dir.clone()], RUNTIME_ROOT));
    }
    if let Some(interpreter) = &snapshot.interpreter {
        match &interpreter.prefix {
            Some(prefix) => mounts.push(mount(vec![prefix.clone()], LANG_ROOT)),
            None => {
                let name = interpreter.executable.file_name().and_then(|name| name.to_str());
                let plain = if snapshot.kind == RuntimeKind::Node { "node" } else { "python3" };
                for name in [Some(plain), name.filter(|name| *name != plain)].into_iter().flatten()
                {
                    let link = Path::new(LANG_ROOT).join("bin").join(name);
                    symlinks.push((link, interpreter.executable.clone()));
                }
            }
        }
    }
    (mounts, symlinks)
}

fn sandbox_limits(config: &EngineConfig, snapshot: &VersionSnapshot) -> Limits {
    let share = u64::from(snapshot.memory_mib) * 1_000 / u64::from(limits::MEMORY_MIB_PER_CPU);
    Limits {
        memory_bytes: u64::from(snapshot.memory_mib + config.memory_overhead_mib) * MIB,
        cpu_millis: u32::try_from(share).unwrap_or(u32::MAX).max(CPU_MILLIS_MIN),
        processes: limits::PROCESSES_MAX,
        files: limits::FILES_MAX,
        tmp_bytes: u64::from(snapshot.ephemeral_mib) * MIB,
    }
}

/// Defaults, then the function's own, then what the function cannot change: CreateFunction refuses the reserved
/// names, and what slips through must not reach the runtime either.
fn variables(cx: &LaunchContext<'_>) -> BTreeMap<String, String> {
    let mut variables = defaults(cx.config, cx.snapshot);
    variables.extend(cx.snapshot.environment.clone());
    variables.extend(reserved(cx).into_iter().map(|(name, value)| (name.to_owned(), value)));
    variables
}

/// What every function on the same interpreter gets.
fn defaults(config: &EngineConfig, snapshot: &VersionSnapshot) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("LANG", "en_US.UTF-8");
    set("PATH", "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin");
    set(
        "LD_LIBRARY_PATH",
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    );
    set("PWD", TASK_ROOT);
    set("TZ", ":UTC");
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    set("AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000");
    set("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", config.host_endpoint_port));
    match snapshot.kind {
        RuntimeKind::Node => {
            // Layers are made for the identifier, whichever Node runs it.
            let named = snapshot.runtime.strip_prefix("nodejs").filter(|major| !major.is_empty());
            let found = snapshot.interpreter.as_ref().map(|found| found.version.as_str());
            let major = named.or(found).and_then(|version| version.split('.').next());
            let own = major.map(|major| format!("/opt/nodejs/node{major}/node_modules:"));
            let shared =
                "/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task";
            set("NODE_PATH", &format!("{}{shared}", own.unwrap_or_default()));
        }
        RuntimeKind::Python => {
            set("PYTHONPATH", RUNTIME_ROOT);
            set("LC_CTYPE", "C.UTF-8");
            set("SHLVL", "0");
        }
        RuntimeKind::Custom => {}
    }
    variables
}

/// What AWS calls the way an environment is initialised.
pub(crate) fn initialization_type(snapshot: &VersionSnapshot, start: &Start) -> &'static str {
    match start {
        _ if snapshot.snap_start => "snap-start",
        Start::Provisioned => "provisioned-concurrency",
        Start::OnDemand | Start::Template | Start::Restored { .. } => "on-demand",
    }
}

fn reserved(cx: &LaunchContext<'_>) -> Vec<(&'static str, String)> {
    let snapshot = cx.snapshot;
    let region = snapshot.region.as_str().to_owned();
    let initialization = initialization_type(snapshot, &cx.start);
    let mut reserved = vec![
        ("AWS_REGION", region.clone()),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", snapshot.memory_mib.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", snapshot.name.as_str().to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", snapshot.version.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization.to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{RUNTIME_API_PORT}")),
        ("LAMBDA_RUNTIME_DIR", RUNTIME_ROOT.to_owned()),
        ("LAMBDA_TASK_ROOT", TASK_ROOT.to_owned()),
        ("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1".to_owned()),
        ("_AWS_XRAY_DAEMON_PORT", "2000".to_owned()),
        ("_HANDLER", snapshot.handler.clone()),
    ];
    match cx.credentials {
        Credentials::Issued(issued) => reserved.extend([
            ("AWS_ACCESS_KEY_ID", issued.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", issued.secret_access_key.clone()),
            ("AWS_SESSION_TOKEN", issued.session_token.clone()),
        ]),
        Credentials::Asked { token } => {
            let uri = format!("http://127.0.0.1:{RUNTIME_API_PORT}{}", credentials::PATH);
            reserved.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri));
            reserved.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN", token.clone()));
        }
    }
    // A snapshot is taken before its environments have a stream; see "Monitoring for Lambda SnapStart".
    if !snapshot.snap_start {
        reserved.push(("AWS_LAMBDA_LOG_GROUP_NAME", snapshot.logging.group.clone()));
        reserved.push(("AWS_LAMBDA_LOG_STREAM_NAME", cx.log_stream.to_owned()));
    }
    if snapshot.kind != RuntimeKind::Custom {
        reserved.push(("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", snapshot.runtime)));
        reserved.push(("_LAMBDA_TELEMETRY_LOG_FD", TELEMETRY_FD.to_owned()));
    }
    if snapshot.logging.format == LogFormat::Json {
        reserved.push(("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()));
        if let Some(level) = snapshot.logging.application_level {
            reserved.push(("AWS_LAMBDA_LOG_LEVEL", level.as_str().to_owned()));
        }
    }
    reserved
}
