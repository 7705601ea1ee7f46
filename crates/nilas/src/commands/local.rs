//! `nilas invoke local`: a function of the project, in the same sandbox, without deploying the project.
//!
//! The function is made under a name of its own on the running server, or, where none runs, on one that is started for
//! this invocation and keeps nothing.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use nilas_wire::percent;
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

use crate::cli::ProjectArgs;
use crate::client::{Client, ClientError};
use crate::commands::Context;
use crate::commands::function::settle;
use crate::failure::Failure;
use crate::project::{self, ProjectFunction};

const FUNCTIONS: &str = "/2015-03-31/functions";
const START_MAX: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(20);

/// A function that exists for one invocation.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) client: Client,
    pub(super) name: String,
    server: Option<Server>,
}

/// A server of this invocation's own.
#[derive(Debug)]
struct Server {
    process: Child,
    _data_dir: tempfile::TempDir,
}

#[derive(Debug, thiserror::Error)]
enum LocalError {
    #[error("cannot start a server for the invocation")]
    Start { source: std::io::Error },
    #[error("the server for the invocation does not answer")]
    Silent,
    #[error("the project does not say which {what} the function {key} has")]
    Missing { key: String, what: &'static str },
}

impl Local {
    pub(super) async fn start(
        cx: &Context,
        args: &ProjectArgs,
        key: &str,
    ) -> Result<Self, Failure> {
        let client = cx.client()?;
        let (client, server) = match client.lambda(Method::GET, settings_path(), &Value::Null).await
        {
            Err(ClientError::Connect { .. }) => {
                let (client, server) = Server::start(cx).await?;
                (client, Some(server))
            }
            Err(error) => return Err(error.into()),
            Ok(_) => (client, None),
        };
        let (project, client) = project::load_with(cx, args, client).await?;
        let function = project.function(key)?;
        let name = format!("local-{key}-{:08x}", random()?);
        let zip = function.package.map(|at| project.packages[at].zip.clone());
        let body = creation(&name, function, &zip.unwrap_or_default(), project.settings_of(key))?;
        client.lambda(Method::POST, FUNCTIONS.to_owned(), &body).await?;
        settle(&client, &name).await?;
        Ok(Self { client, name, server })
    }

    /// Removes the function, and the server if it was made for it.
    pub(super) async fn end(self) -> Result<(), Failure> {
        if let Some(mut server) = self.server {
            server.process.start_kill()?;
            server.process.wait().await?;
            return Ok(());
        }
        let group = json!({ "logGroupName": format!("/aws/lambda/{}", self.name) });
        let path = format!("{FUNCTIONS}/{}", percent::encode(&self.name));
        self.client.lambda(Method::DELETE, path, &Value::Null).await?;
        match self.client.logs("DeleteLogGroup", &group).await {
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Server {
    async fn start(cx: &Context) -> Result<(Client, Self), Failure> {
        let failed = |source| Failure::new(LocalError::Start { source });
        let data_dir = tempfile::tempdir().map_err(failed)?;
        // The server becomes another user, who must get to his data in it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(data_dir.path(), open).map_err(failed)?;
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(failed)?;
        let process = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["serve", "--listen", &address.to_string(), "--data-dir"])
            .arg(data_dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let until = Instant::now() + START_MAX;
        let client = Client::new(&cx.config, &cx.env, Some(&format!("http://{address}")))?;
        while let Err(error) = client.lambda(Method::GET, settings_path(), &Value::Null).await {
            if Instant::now() > until {
                let failure = Failure::new(LocalError::Silent);
                return Err(failure.detail(format!("  {error}")));
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok((client, Self { process, _data_dir: data_dir }))
    }
}

fn settings_path() -> String {
    "/2016-08-19/account-settings".to_owned()
}

fn creation(
    name: &str,
    function: &ProjectFunction,
    zip: &[u8],
    settings: Map<String, Value>,
) -> Result<Value, Failure> {
    let missing = |what| LocalError::Missing { key: function.key.clone(), what };
    let handler = function.handler.as_ref().ok_or_else(|| Failure::new(missing("handler")))?;
    let runtime = function.runtime.as_ref().ok_or_else(|| Failure::new(missing("runtime")))?;
    let mut body = settings;
    body.insert("FunctionName".to_owned(), name.into());
    body.insert("Handler".to_owned(), handler.as_str().into());
    body.insert("Runtime".to_owned(), runtime.as_str().into());
    body.insert("Role".to_owned(), "arn:aws:iam::000000000000:role/nilas".into());
    body.insert("Code".to_owned(), json!({ "ZipFile": STANDARD.encode(zip) }));
    Ok(body.into())
}

fn random() -> Result<u32, Failure> {
    getrandom::u32().map_err(|error| Failure::new(std::io::Error::from(error)))
}
