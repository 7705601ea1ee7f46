//! The server's own log: lines for people on a terminal, JSON for machines otherwise, always on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogForm};

/// Installs the log of this process.
pub(crate) fn install(log: &Log, color: bool) {
    let human = match log.form {
        LogForm::Auto => std::io::stderr().is_terminal(),
        LogForm::Human => true,
        LogForm::Json => false,
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(&log.filter)).with_writer(std::io::stderr);
    if human {
        builder.with_ansi(color).with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

/// `s3s` logs as errors what clients did wrong, with their requests; what is ours to log of it, we do.
fn filter(directives: &str) -> EnvFilter {
    let filter = EnvFilter::new(directives);
    match "s3s=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}
