//! The house rules that no compiler checks. Also a test, so `cargo test` runs it.
//!
//! Ratchet: `tidy-ratchet.txt` lists the functions and files that are longer than the rule allows, with their length.
//! They may shrink, not grow; a new one needs a line there, which a reviewer sees.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;
const BLOB_BYTES_MAX: u64 = 512 * 1024;

/// Which of our crates each may depend on; a crate may skip layers, never climb.
const LAYERS: &[(&str, &[&str])] = &[
    ("nilas-model", &[]),
    ("nilas-load", &[]),
    ("nilas-wire", &["nilas-model"]),
    ("nilas-store", &["nilas-model"]),
    ("nilas-deploy", &[]),
    ("nilas-sandbox", &[]),
    ("nilas-engine", &["nilas-model", "nilas-sandbox", "nilas-store", "nilas-wire"]),
    (
        "nilas-services",
        &[
            "nilas-deploy",
            "nilas-engine",
            "nilas-model",
            "nilas-sandbox",
            "nilas-store",
            "nilas-wire",
        ],
    ),
    ("nilas-edge", &["nilas-engine", "nilas-model", "nilas-services", "nilas-wire"]),
    (
        "nilas",
        &[
            "nilas-deploy",
            "nilas-edge",
            "nilas-engine",
            "nilas-load",
            "nilas-model",
            "nilas-sandbox",
            "nilas-services",
            "nilas-store",
            "nilas-wire",
        ],
    ),
];

/// Licences a dependency may have.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(crate) fn run(root: &Path) -> Result<String, String> {
    let files = tracked(root)?;
    let mut faults = Vec::new();
    check_layers(root, &mut faults);
    check_licences(root, &mut faults)?;
    let mut long = BTreeMap::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        check_source(path, &text, &mut faults);
        measure(path, &text, &mut long);
    }
    check_ratchet(root, &long, &mut faults);
    for path in &files {
        let bytes = fs::metadata(root.join(path)).map_or(0, |m| m.len());
        if bytes > BLOB_BYTES_MAX {
            faults.push(format!(
                "{}: {} KiB; no large files in the tree",
                path.display(),
                bytes / 1024
            ));
        }
    }
    if faults.is_empty() {
        Ok(format!("tidy: {} files", files.len()))
    } else {
        Err(faults.join("\n"))
    }
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>, String> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("git ls-files: {e}"))?;
    let text = String::from_utf8_lossy(&listing.stdout).into_owned();
    Ok(text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn check_layers(root: &Path, faults: &mut Vec<String>) {
    let mut found: Vec<String> = fs::read_dir(root.join("crates"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    found.sort();
    for name in found {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            faults.push(format!(
                "crates/{name}: no layer in xtask/src/tidy.rs; change ARCHITECTURE.md first"
            ));
            continue;
        };
        let manifest = fs::read_to_string(root.join("crates").join(&name).join("Cargo.toml"))
            .unwrap_or_default();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| line.starts_with("nilas-")) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !allowed.contains(&dependency) {
                faults.push(format!("crates/{name}: may not depend on {dependency}"));
            }
        }
    }
}

/// Every package of the lock file must be usable under a permissive licence. The text is an SPDX expression; of
/// `OR` one side suffices, of `AND` all parts are needed.
fn check_licences(root: &Path, faults: &mut Vec<String>) -> Result<(), String> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_permissive(licence) {
            faults.push(format!("{} {}: licence `{licence}`", package["name"], package["version"]));
        }
    }
    Ok(())
}

/// With parentheses `AND` is taken as the outer operator, which may refuse too much, never too little.
fn is_permissive(licence: &str) -> bool {
    let allowed = |part: &str| LICENCES.contains(&part.trim_matches(['(', ')', ' ']));
    let licence = licence.replace('/', " OR ");
    if licence.contains('(') {
        licence.split(" AND ").all(|part| part.split(" OR ").any(allowed))
    } else {
        licence.split(" OR ").any(|side| side.split(" AND ").all(allowed))
    }
}

fn check_source(path: &Path, text: &str, faults: &mut Vec<String>) {
    let shown = path.display();
    let in_sandbox = path.starts_with("crates/nilas-sandbox");
    if !text.starts_with("//!") && !text.starts_with("#!") {
        faults.push(format!("{shown}: starts without a //! line that says what the file is for"));
    }
    let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if is_root
        && path.starts_with("crates")
        && !in_sandbox
        && !text.contains("#![forbid(unsafe_code)]")
    {
        faults.push(format!("{shown}: lacks #![forbid(unsafe_code)]"));
    }
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for banned in [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")]
        {
            if code.contains(banned) {
                faults.push(format!("{shown}:{}: {banned}", index + 1));
            }
        }
        let reads_environment = code.contains("env::var(") || code.contains("env::var_os(");
        // Cargo tells build scripts everything by variables.
        let may_read = path.ends_with("env_vars.rs")
            || path.ends_with("build.rs")
            || !path.starts_with("crates")
            || is_test(path);
        if reads_environment && !may_read {
            faults
                .push(format!("{shown}:{}: reads the environment outside env_vars.rs", index + 1));
        }
    }
}

fn is_test(path: &Path) -> bool {
    path.components()
        .any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "benches" | "examples")))
}

/// Adds every function and file over the limit, with its length. Tests count for neither.
fn measure(path: &Path, text: &str, long: &mut BTreeMap<String, usize>) {
    if is_test(path) || path.ends_with("tests.rs") {
        return;
    }
    let body = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines: Vec<&str> = body.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        long.insert(path.display().to_string(), lines.len());
    }
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        let close = format!("{}}}", " ".repeat(indent));
        let end = lines[start..]
            .iter()
            .position(|l| *l == close || (l.ends_with('}') && l.contains(" fn ") && *l == *line));
        if let Some(length) =
            end.map(|offset| offset + 1).filter(|&length| length > FUNCTION_LINES_MAX)
        {
            long.insert(format!("{}::{name}", path.display()), length);
        }
    }
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in
        ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "]
    {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn check_ratchet(root: &Path, long: &BTreeMap<String, usize>, faults: &mut Vec<String>) {
    let text = fs::read_to_string(root.join("xtask/tidy-ratchet.txt")).unwrap_or_default();
    let allowed: BTreeMap<&str, usize> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(item, length)| Some((item, length.parse().ok()?)))
        .collect();
    for (item, &length) in long {
        let limit = allowed.get(item.as_str()).copied().unwrap_or(0);
        if length > limit {
            faults.push(format!("{item}: {length} lines; split it (functions {FUNCTION_LINES_MAX}, files {FILE_LINES_MAX})"));
        }
    }
    for item in allowed.keys().filter(|item| !long.contains_key(**item)) {
        faults
            .push(format!("xtask/tidy-ratchet.txt: {item} is short enough now; take its line out"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        if let Err(faults) = run(&crate::root()) {
            panic!("{faults}");
        }
    }

    #[test]
    fn licences_are_read_as_expressions() {
        for licence in
            ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"]
        {
            assert!(is_permissive(licence), "{licence}");
        }
        for licence in ["", "GPL-3.0", "MIT AND GPL-2.0", "(MIT OR Zlib) AND GPL-2.0"] {
            assert!(!is_permissive(licence), "{licence}");
        }
    }

    #[test]
    fn long_functions_are_seen() {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        let mut long = BTreeMap::new();
        measure(
            Path::new("a.rs"),
            &format!("//! x\npub async fn f() {{\n{body}}}\n\nfn g() {{\n}}\n"),
            &mut long,
        );
        assert_eq!(long, BTreeMap::from([("a.rs::f".to_owned(), FUNCTION_LINES_MAX + 2)]));
    }
}
