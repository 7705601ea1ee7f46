//! `nilas doctor`: what this machine offers to functions, what is missing, what that costs and what mends it.

mod zygotes;

use std::borrow::Cow;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use nilas_sandbox::Finding;
use nilas_services::lambda::{InstalledRuntime, RuntimeCatalog};
use serde_json::json;

use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{Output, table};
use crate::server;

pub(crate) fn run(cx: &Context) -> Result<ExitCode, Failure> {
    let runtimes =
        RuntimeCatalog::new(server::runtimes_config(&cx.config), server::search_paths(&cx.env))
            .list();
    let mut findings = nilas_sandbox::inspect_host();
    findings.push(runtimes_finding(&runtimes));
    findings.push(data_dir_finding(&cx.config.data_dir));
    findings.push(port_finding(cx));
    let can_run = nilas_sandbox::can_run(&findings) && !runtimes.is_empty();
    if can_run {
        findings.push(zygotes::finding(&runtimes, cx.config.zygotes));
    }
    if cx.output.json {
        let report = json!({
            "functions_can_run": can_run,
            "findings": findings,
            "runtimes": runtimes.iter().map(|runtime| json!({
                "family": runtime.family,
                "version": runtime.interpreter.version,
                "executable": runtime.interpreter.executable,
            })).collect::<Vec<_>>(),
        });
        cx.output.json(&report)?;
    } else {
        cx.output.line(&as_text(&findings, &runtimes, cx.output))?;
    }
    Ok(if can_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line a feature; below one that is missing, what that costs and what mends it.
fn as_text(findings: &[Finding], runtimes: &[InstalledRuntime], output: Output) -> String {
    let width = findings.iter().map(|finding| finding.feature.len()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for finding in findings {
        let mark = if finding.ok { output.green("ok     ") } else { output.yellow("missing") };
        lines.push(format!("{mark}  {:<width$}  {}", finding.feature, finding.detail));
        if finding.ok {
            continue;
        }
        let below = [("costs", &finding.cost), ("mend", &finding.remedy)];
        for (label, text) in
            below.into_iter().filter_map(|(label, text)| Some((label, text.as_ref()?)))
        {
            lines.push(format!("         {:width$}  {}: {text}", "", output.dim(label)));
        }
    }
    let rows = runtimes.iter().map(|runtime| {
        let interpreter = &runtime.interpreter;
        vec![
            runtime.family.clone(),
            interpreter.version.clone(),
            interpreter.executable.display().to_string(),
        ]
    });
    lines.push(String::new());
    lines.push(table(&["RUNTIME", "VERSION", "EXECUTABLE"], rows.collect()));
    lines.join("\n")
}

fn runtimes_finding(runtimes: &[InstalledRuntime]) -> Finding {
    let has = |family: &str| runtimes.iter().any(|runtime| runtime.family.starts_with(family));
    let (node, python) = (has("nodejs"), has("python"));
    let missing = match (node, python) {
        (true, true) => None,
        (false, true) => Some("Node"),
        (true, false) => Some("Python"),
        (false, false) => Some("Node or Python"),
    };
    Finding {
        feature: Cow::Borrowed("runtimes"),
        ok: missing.is_none(),
        detail: missing.map_or("Node and Python are installed".to_owned(), |missing| {
            format!("no {missing} found")
        }),
        cost: missing.map(|missing| {
            format!("functions of {missing} runtimes are refused; provided.* ones run")
        }),
        remedy: missing
            .map(|_| "apt install nodejs python3, or set [runtimes] in nilas.toml".to_owned()),
    }
}

fn data_dir_finding(dir: &Path) -> Finding {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(dir);
    let writable = rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok();
    let state = if existing == dir { "in use already, or ready" } else { "made at first start" };
    Finding {
        feature: Cow::Borrowed("data directory"),
        ok: writable,
        detail: if writable {
            format!("{} ({state})", dir.display())
        } else {
            not_writable(existing)
        },
        cost: (!writable).then(|| "the server does not start".to_owned()),
        remedy: (!writable)
            .then(|| "nilas serve --data-dir DIR, with a directory of yours".to_owned()),
    }
}

fn not_writable(dir: &Path) -> String {
    match fs::metadata(dir) {
        Ok(_) => format!("{} cannot be written by this user", dir.display()),
        Err(error) => format!("{}: {error}", dir.display()),
    }
}

fn port_finding(cx: &Context) -> Finding {
    let listen = cx.config.listen;
    let bound = TcpListener::bind(listen);
    let running = matches!(&bound, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
    let detail = match &bound {
        Ok(_) => format!("{listen} is free"),
        Err(_) if running => format!("{listen} is in use: a server runs there"),
        Err(error) => format!("{listen}: {error}"),
    };
    let ok = bound.is_ok() || running;
    Finding {
        feature: Cow::Borrowed("port"),
        ok,
        detail,
        cost: (!ok).then(|| "the server does not start".to_owned()),
        remedy: (!ok).then(|| "nilas serve --listen 127.0.0.1:4566".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_runtimes_are_told_with_their_price() {
        let finding = runtimes_finding(&[]);
        assert!(!finding.ok);
        assert_eq!(finding.detail, "no Node or Python found");
        assert!(finding.cost.is_some() && finding.remedy.is_some());
    }

    #[test]
    fn a_data_directory_that_is_not_there_yet_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        assert!(data_dir_finding(&dir.path().join("a/b")).ok);
    }
}
