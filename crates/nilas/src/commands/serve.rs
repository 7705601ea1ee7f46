//! `nilas serve`: see `server`.

use std::process::ExitCode;

use crate::commands::Context;
use crate::failure::Failure;
use crate::server;

pub(crate) fn run(cx: &Context) -> Result<ExitCode, Failure> {
    crate::logging::install(&cx.config.log, cx.output.error_color);
    server::serve(cx)
}
