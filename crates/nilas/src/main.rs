//! The nilas binary: command line, configuration, wiring, signals, shutdown order.
//!
//! Invariant: no AWS behaviour lives here; the commands for people are clients of the same API as everybody else's.
#![forbid(unsafe_code)]

mod cli;
mod client;
mod commands;
mod config;
mod env_vars;
mod failure;
mod logging;
mod output;
mod package;
mod project;
#[cfg(test)]
mod reference;
mod server;
mod stack;
mod watch;

use std::process::ExitCode;
use std::time::Instant;

use crate::cli::Cli;
use crate::env_vars::EnvVars;
use crate::output::Output;

fn main() -> ExitCode {
    let began = Instant::now();
    // The spawner is this binary once more. It comes before everything: nobody may have made a thread yet.
    let first = std::env::args_os().nth(1).unwrap_or_default();
    if first == nilas_sandbox::SPAWNER_ARGUMENT {
        nilas_sandbox::spawner_main();
    }
    let (done, output) = if first == server::SEARCH_COMMAND {
        let overrides = std::env::args_os().nth(2).unwrap_or_default();
        (server::search_and_tell(&overrides).map(|()| ExitCode::SUCCESS), Output::plain())
    } else {
        let cli = Cli::of_process();
        let env = EnvVars::of_process();
        let output = Output::new(&cli.global, &env);
        (commands::run(cli, env, output, began), output)
    };
    match done {
        Ok(code) => code,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to tell it to if stderr is gone.
            drop(failure.show(&mut std::io::stderr().lock(), output.error_color));
            ExitCode::FAILURE
        }
    }
}
