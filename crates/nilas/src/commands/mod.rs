//! One file a command.

mod bench;
mod clock;
mod config;
mod deploy;
mod dev;
mod doctor;
mod env;
mod events;
mod function;
mod info;
mod init;
mod invoke;
mod local;
mod logs;
mod metrics;
mod package;
mod remove;
mod rollback;
mod serve;

use std::process::ExitCode;
use std::time::Instant;

use crate::cli::{self, Cli, Command};
use crate::client::Client;
use crate::config::{Config, Host};
use crate::env_vars::EnvVars;
use crate::failure::Failure;
use crate::output::Output;

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) env: EnvVars,
    pub(crate) output: Output,
    /// What `--endpoint` gave.
    pub(crate) endpoint: Option<String>,
    /// What `--region` gave.
    pub(crate) region: Option<String>,
    /// When the process began, for the time a start took.
    pub(crate) began: Instant,
}

impl Context {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.config, &self.env, self.endpoint.as_deref())
    }

    pub(crate) fn account(&self) -> &str {
        self.config.account.as_str()
    }
}

/// Runs the command; its exit code where it failed without an error to show, as `doctor` may.
pub(crate) fn run(
    cli: Cli,
    env: EnvVars,
    output: Output,
    began: Instant,
) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut cli::command(), "nilas", &mut std::io::stdout());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Version => {
            output.line(concat!("nilas ", env!("CARGO_PKG_VERSION")))?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let host = Host { root: rustix::process::geteuid().is_root(), env: &env };
    let config = crate::config::load(&cli.flags(), &host)?;
    let (endpoint, region) = (cli.global.endpoint, cli.global.region);
    let cx = Context { config, env, output, endpoint, region, began };
    match cli.command {
        Command::Serve(_) => serve::run(&cx),
        Command::Function(command) => block_on(function::run(&cx, command)),
        Command::Init(args) => init::run(&cx, &args),
        Command::Deploy(args) => block_on(deploy::run(&cx, &args)),
        Command::Dev(args) => block_on(dev::run(&cx, &args)),
        Command::Info(args) => block_on(info::run(&cx, &args)),
        Command::Rollback(args) => block_on(rollback::run(&cx, &args)),
        Command::Remove(args) => block_on(remove::run(&cx, &args)),
        Command::Package(args) => block_on(package::run(&cx, &args)),
        Command::Events(args) => block_on(events::run(&cx, &args)),
        Command::Clock(args) => block_on(clock::run(&cx, &args)),
        Command::Metrics(args) => block_on(metrics::run(&cx, &args)),
        Command::Invoke(args) => block_on(invoke::run(&cx, &args)),
        Command::Bench(args) => block_on(bench::run(&cx, &args)),
        Command::Logs(args) => block_on(logs::run(&cx, &args)),
        Command::Env(args) => env::run(&cx, &args),
        Command::Config(_) => config::run(&cx),
        Command::Doctor => doctor::run(&cx),
        Command::Completions { .. } | Command::Version => unreachable!("answered above"),
    }
}

/// A client needs no second thread.
fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}
