//! What can be typed after `nilas`.

mod values;

use std::path::PathBuf;

use clap::{
    ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, value_parser,
};

use crate::config::{self, Flags};
use crate::env_vars;
use values::{parse_duration_ms, parse_variable};

/// Runs AWS Lambda functions on your own Linux machine.
///
/// Start the server with `nilas serve`; then the aws CLI, the AWS SDKs and the commands below talk to it.
#[derive(Debug, Parser)]
#[command(name = "nilas", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Configuration file [default: nilas/nilas.toml in $XDG_CONFIG_HOME, /etc/nilas/nilas.toml for root]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where functions, logs and the root key are kept [default: nilas in $XDG_DATA_HOME, /var/lib/nilas for root]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Server to talk to [default: $AWS_ENDPOINT_URL, else the configured address]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Region to work in [default: $AWS_REGION, else us-east-1]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Print JSON instead of tables and sentences
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Make a new project from a template
    Init(InitArgs),
    /// Deploy the project: serverless.yml, a SAM or a CloudFormation template
    Deploy(DeployArgs),
    /// Deploy the project at every change, and show invocations and logs as they happen
    Dev(DevArgs),
    /// Show what is deployed of the project, with its URLs
    Info(StackArgs),
    /// Go back to an earlier deployment of the project, or list them
    Rollback(RollbackArgs),
    /// Delete what is deployed of the project
    Remove(StackArgs),
    /// Write the packages and the template that deploy would send
    Package(PackageArgs),
    /// Invoke a function and print what it answers
    Invoke(InvokeArgs),
    /// Print the log of a function
    Logs(LogsArgs),
    /// Print invocations, errors, throttles and durations of the project's functions
    Metrics(MetricsArgs),
    /// Show events that wait for functions, or try them now
    Events(EventsArgs),
    /// Show the server's clock, or move it (see serve --virtual-clock)
    Clock(ClockArgs),
    /// Create, change and look at functions
    #[command(subcommand, visible_alias = "fn")]
    Function(FunctionCommand),
    /// Print what AWS's tools need to reach the server, for `eval "$(nilas env)"`
    Env(EnvArgs),
    /// Print the effective configuration and where each value comes from
    Config(ServeArgs),
    /// Measure what the running server does on this machine
    Bench(BenchArgs),
    /// Tell what this machine offers to functions, and what is missing
    Doctor,
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// User to become when started by root [default: nilas, or an unused high id where there is no such user]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// 12-digit account number [default: 000000000000]
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Form (auto, human, json) and level of the server's log, such as json,debug [default: auto,info]
    #[arg(long, value_name = "FORM,LEVEL")]
    log: Option<String>,
    /// Concurrent executions of the account [default: 1000]
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<String>,
    /// Memory for all environments together [default: what the machine has, less a tenth or 512]
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<String>,
    /// How many times that memory the memory sizes of busy environments may be together [default: 4]
    #[arg(long, value_name = "FACTOR")]
    memory_overcommit: Option<String>,
    /// Idle time after which an environment is stopped [default: 300000]
    #[arg(long, value_name = "MILLISECONDS")]
    idle_ms: Option<String>,
    /// Time running invocations get when the server stops [default: 10000]
    #[arg(long, value_name = "MILLISECONDS")]
    shutdown_ms: Option<String>,
    /// Whether functions reach the outside world: on or off [default: on]
    #[arg(long, value_name = "SWITCH")]
    outbound: Option<String>,
    /// Whether Node and Python are forked, booted, for each environment: on or off [default: on]
    #[arg(long, value_name = "SWITCH")]
    zygotes: Option<String>,
    /// Whether `nilas clock advance` may move the time of retries and schedules: on or off [default: off]
    #[arg(long, value_name = "SWITCH")]
    virtual_clock: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionCommand {
    /// List functions
    #[command(visible_alias = "ls")]
    List,
    /// Create a function
    Create(CreateArgs),
    /// Change the code or the configuration of a function
    Update(UpdateArgs),
    /// Delete a function
    #[command(visible_alias = "rm")]
    Delete {
        /// Name or ARN
        name: String,
    },
    /// Show everything about a function
    Show {
        /// Name or ARN
        name: String,
        /// Version or alias
        #[arg(long)]
        qualifier: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the function
    pub(crate) name: String,
    /// Package: a directory, one source file, or a zip archive
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(crate) code: PathBuf,
    /// Runtime, such as nodejs22.x, python3.13 or provided.al2023 [default: guessed from the files]
    #[arg(long)]
    pub(crate) runtime: Option<String>,
    /// Handler, such as index.handler [default: guessed from the files]
    #[arg(long)]
    pub(crate) handler: Option<String>,
    /// Execution role
    #[arg(long, value_name = "ARN", default_value = "arn:aws:iam::000000000000:role/nilas")]
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Name or ARN
    pub(crate) name: String,
    /// New package: a directory, one source file, or a zip archive
    #[arg(long, value_name = "PATH")]
    pub(crate) code: Option<PathBuf>,
    /// New runtime
    #[arg(long)]
    pub(crate) runtime: Option<String>,
    /// New handler
    #[arg(long)]
    pub(crate) handler: Option<String>,
    /// New execution role
    #[arg(long, value_name = "ARN")]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// Settings that create and update share.
#[derive(Debug, Args)]
pub(crate) struct SettingArgs {
    /// Memory
    #[arg(long, value_name = "MIB")]
    pub(crate) memory: Option<u32>,
    /// Time one invocation may take
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// Environment variable; may be given several times, and replaces all earlier ones
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = parse_variable, action = ArgAction::Append)]
    pub(crate) variables: Vec<(String, String)>,
    /// Description
    #[arg(long)]
    pub(crate) description: Option<String>,
}

/// Which project, and how its variables are answered.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Project options")]
pub(crate) struct ProjectArgs {
    /// Directory of the project [default: the current one]
    #[arg(long, short = 'C', value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The project's file [default: serverless.yml or template.yaml in the directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// Stage of a service [default: what serverless.yml says, else dev]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) stage: Option<String>,
    /// Answer to ${param:KEY} in serverless.yml; may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parse_variable, action = ArgAction::Append)]
    pub(crate) params: Vec<(String, String)>,
    /// Answer to ${opt:KEY} in serverless.yml; may be given several times
    #[arg(long = "opt", value_name = "KEY=VALUE", value_parser = parse_variable, action = ArgAction::Append)]
    pub(crate) options: Vec<(String, String)>,
    /// Stack of a template [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// Parameter of a template; may be given several times
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = parse_variable, action = ArgAction::Append)]
    pub(crate) parameters: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StackArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The deployment to go back to; without it the deployments are listed
    #[arg(long, short, value_name = "TIMESTAMP")]
    pub(crate) timestamp: Option<u64>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PackageArgs {
    /// Where to write [default: .nilas in the project]
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Only this function of the project
    #[arg(long, short, value_name = "KEY")]
    pub(crate) function: Option<String>,
    /// How far to look back, such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration_ms)]
    pub(crate) since: u64,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only this function, by its name, and its events one by one
    #[arg(long, short, value_name = "NAME", global = true)]
    pub(crate) function: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Option<EventsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Try events that wait for their next attempt now
    Retry {
        /// Only this one
        request_id: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClockArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ClockCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Move the clock forward
    Advance {
        /// Such as 90s, 2m, 6h or 1d
        #[arg(value_parser = parse_duration_ms)]
        by: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Which template
    #[arg(value_enum)]
    pub(crate) template: InitTemplate,
    /// Directory to make [default: the template's name]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitTemplate {
    /// One Node function
    Node,
    /// One Python function
    Python,
    /// One Rust function on a custom runtime
    Rust,
    /// An HTTP API with two routes
    HttpApi,
    /// A function that runs on a schedule
    Scheduled,
    /// A function that keeps its database connection between events
    Pooling,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// Name or ARN; `local` with --function runs it without deploying it
    #[arg(required_unless_present = "function")]
    pub(crate) name: Option<String>,
    /// Function of the project in the directory
    #[arg(long, short, value_name = "KEY")]
    pub(crate) function: Option<String>,
    /// Event: JSON, @FILE, or - for standard input
    #[arg(long, short, visible_alias = "payload", default_value = "{}")]
    pub(crate) data: String,
    /// File that holds the event
    #[arg(long, short, value_name = "FILE", conflicts_with = "data")]
    pub(crate) path: Option<PathBuf>,
    /// Hand the event over and do not wait for the answer
    #[arg(long = "async")]
    pub(crate) asynchronous: bool,
    /// Print the end of the invocation's log to standard error
    #[arg(long, short)]
    pub(crate) log: bool,
    /// Version or alias
    #[arg(long)]
    pub(crate) qualifier: Option<String>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Name of a function, or a log group that starts with /
    #[arg(required_unless_present = "function")]
    pub(crate) name: Option<String>,
    /// Function of the project in the directory
    #[arg(long, short, value_name = "KEY", conflicts_with = "name")]
    pub(crate) function: Option<String>,
    /// Go on printing new lines
    #[arg(long, short, visible_alias = "follow")]
    pub(crate) tail: bool,
    /// How far to look back, such as 30s, 10m, 2h or 1d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration_ms)]
    pub(crate) since: u64,
    /// Print only events that match a CloudWatch Logs filter pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

/// All bounded, so that a run ends in minutes and leaves the server places for others.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Cold starts of each runtime, one after the other
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = value_parser!(u16).range(1..=200))]
    pub(crate) cold_starts: u16,
    /// Different functions that are started at the same moment
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = value_parser!(u16).range(1..=200))]
    pub(crate) at_once: u16,
    /// Warm invocations over one connection
    #[arg(long, value_name = "COUNT", default_value = "2000", value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) requests: u32,
    /// How long throughput over 16 connections is measured
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = value_parser!(u16).range(1..=60))]
    pub(crate) seconds: u16,
}

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// Write a profile for AWS's tools instead of printing exports
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "nilas")]
    pub(crate) profile: Option<String>,
    /// Syntax to print [default: that of $SHELL]
    #[arg(long, value_name = "SHELL")]
    pub(crate) shell: Option<ShellSyntax>,
    /// Address and port the server was told to listen on
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellSyntax {
    /// bash, zsh, dash and every other descendant of the Bourne shell
    Sh,
    Fish,
}

/// The command line, with the list of environment variables where people look for it.
pub(crate) fn command() -> clap::Command {
    let width = env_vars::ALL.iter().map(|var| var.name.len()).max().unwrap_or_default();
    let lines = env_vars::ALL.iter().map(|var| format!("  {:<width$}  {}", var.name, var.doc));
    let help = format!("Environment variables:\n{}", lines.collect::<Vec<_>>().join("\n"));
    Cli::command().mut_subcommand("config", |config| config.after_long_help(help))
}

impl Cli {
    /// Parses the process's arguments, or says what is wrong with them and exits.
    pub(crate) fn of_process() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// What the command line says about the configuration.
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = Flags { config_file: self.global.config.clone(), ..Flags::default() };
        flags.set(&config::DATA_DIR, self.global.data_dir.as_ref().map(|dir| dir.display()));
        flags.set(&config::REGION, self.global.region.as_ref());
        if let Command::Serve(args) | Command::Config(args) = &self.command {
            flags.set(&config::LISTEN, args.listen.as_ref());
            flags.set(&config::USER, args.user.as_ref());
            flags.set(&config::ACCOUNT, args.account.as_ref());
            flags.set(&config::LOG, args.log.as_ref());
            flags.set(&config::CONCURRENCY, args.concurrency.as_ref());
            flags.set(&config::MEMORY_MIB, args.memory_mib.as_ref());
            flags.set(&config::MEMORY_OVERCOMMIT, args.memory_overcommit.as_ref());
            flags.set(&config::IDLE_MS, args.idle_ms.as_ref());
            flags.set(&config::SHUTDOWN_MS, args.shutdown_ms.as_ref());
            flags.set(&config::NETWORK_OUTBOUND, args.outbound.as_ref());
            flags.set(&config::ZYGOTES, args.zygotes.as_ref());
            flags.set(&config::VIRTUAL_CLOCK, args.virtual_clock.as_ref());
        }
        if let Command::Env(args) = &self.command {
            flags.set(&config::LISTEN, args.listen.as_ref());
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration_ms("10m"), Ok(600_000));
        assert_eq!(parse_duration_ms("1w"), Ok(604_800_000));
        for text in ["", "10", "m", "1y", "-1s", "99999999999999999999s", "18446744073709551615w"] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_may_hold_equals_signs_and_may_be_empty() {
        assert_eq!(parse_variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_variable("A="), Ok(("A".to_owned(), String::new())));
        assert!(parse_variable("A").is_err());
        assert!(parse_variable("=b").is_err());
    }

    #[test]
    fn help_is_readable() {
        let help = command().term_width(100).render_help().to_string();
        expect![[r#"
            Runs AWS Lambda functions on your own Linux machine

            Usage: nilas [OPTIONS] <COMMAND>

            Commands:
              serve        Run the server
              init         Make a new project from a template
              deploy       Deploy the project: serverless.yml, a SAM or a CloudFormation template
              dev          Deploy the project at every change, and show invocations and logs as they happen
              info         Show what is deployed of the project, with its URLs
              rollback     Go back to an earlier deployment of the project, or list them
              remove       Delete what is deployed of the project
              package      Write the packages and the template that deploy would send
              invoke       Invoke a function and print what it answers
              logs         Print the log of a function
              metrics      Print invocations, errors, throttles and durations of the project's functions
              events       Show events that wait for functions, or try them now
              clock        Show the server's clock, or move it (see serve --virtual-clock)
              function     Create, change and look at functions [alias: fn]
              env          Print what AWS's tools need to reach the server, for `eval "$(nilas env)"`
              config       Print the effective configuration and where each value comes from
              bench        Measure what the running server does on this machine
              doctor       Tell what this machine offers to functions, and what is missing
              completions  Print a completion script for a shell
              version      Print the version
              help         Print this message or the help of the given subcommand(s)

            Options:
              -h, --help     Print help (see more with '--help')
              -V, --version  Print version

            Global options:
                  --config <FILE>    Configuration file [default: nilas/nilas.toml in $XDG_CONFIG_HOME,
                                     /etc/nilas/nilas.toml for root]
                  --data-dir <DIR>   Where functions, logs and the root key are kept [default: nilas in
                                     $XDG_DATA_HOME, /var/lib/nilas for root]
                  --endpoint <URL>   Server to talk to [default: $AWS_ENDPOINT_URL, else the configured address]
                  --region <REGION>  Region to work in [default: $AWS_REGION, else us-east-1]
                  --json             Print JSON instead of tables and sentences
                  --color <WHEN>     When to use colours [default: auto] [possible values: auto, always, never]
        "#]].assert_eq(&help);
    }
}
