//! Development commands: `cargo xtask tidy` checks the house rules, `cargo xtask bench` measures on this machine,
//! `cargo xtask density` shows how many environments it can keep, `cargo xtask soak` looks for what a server under abuse
//! leaves behind, and `cargo xtask sim` replays a seed of the pool's simulation.

mod bench;
mod density;
mod dice;
mod sim;
mod soak;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy | bench [peers | deploy] [--json] [--quick] | density [N] | soak [INVOCATIONS [SEED]] | sim SEED [STEPS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("tidy") => tidy::run(&root()),
        Some("bench") => bench::run(&root(), &arguments[1..]),
        Some("density") => density::run(&root(), &arguments[1..]),
        Some("soak") => soak::run(&root(), &arguments[1..]),
        Some("sim") => sim::run(&arguments[1..]),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(report) => {
            print(&report);
            ExitCode::SUCCESS
        }
        Err(message) => {
            print(&message);
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "a report is this program's output")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
