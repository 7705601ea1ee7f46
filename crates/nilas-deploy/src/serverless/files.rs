//! Which files of a directory a package has.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use super::answers::Problem;
use super::service::PackageRules;

/// Packages that are looked at for `excludeDevDependencies`.
const PACKAGES_MAX: usize = 50_000;

/// The files of `names` that `rules` leave; names are relative, with slashes. `read` gives the content of one of them.
pub fn packaged_files(
    names: &[String],
    rules: &PackageRules,
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<String>, Problem> {
    let mut is_in = vec![true; names.len()];
    if rules.exclude_dev_dependencies {
        let unneeded = dev_only(names, read);
        for (state, name) in is_in.iter_mut().zip(names) {
            *state = !unneeded.iter().any(|prefix| name.starts_with(prefix.as_str()));
        }
    }
    // The last pattern that fits a file decides.
    for pattern in &rules.patterns {
        let (glob, wanted) = match pattern.strip_prefix('!') {
            Some(glob) => (glob, false),
            None => (pattern.as_str(), true),
        };
        let matcher = matcher(glob)?;
        for (state, name) in is_in.iter_mut().zip(names) {
            if matcher.is_match(name) {
                *state = wanted;
            }
        }
    }
    let kept = names.iter().zip(is_in).filter(|(_, is_in)| *is_in);
    Ok(kept.map(|(name, _)| name.clone()).collect())
}

/// `*` stays in its folder, `**` does not; names that begin with a dot are like others.
fn matcher(glob: &str) -> Result<GlobMatcher, Problem> {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    built.map(|glob| glob.compile_matcher()).map_err(|err| {
        Problem::new(format!("The package pattern \"{glob}\" is malformed: {}", err.kind()))
    })
}

/// Folders of `node_modules` that only `devDependencies` need, with a slash at the end.
fn dev_only(names: &[String], read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Vec<String> {
    let manifest = |folder: &str| -> Option<Value> {
        serde_json::from_slice(&read(&format!("{folder}package.json"))?).ok()
    };
    let Some(root) = manifest("") else { return Vec::new() };
    let folders: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix("package.json"))
        .filter(|folder| is_package(folder))
        .collect();
    let closure = |first: &[&str]| {
        let mut reached = BTreeSet::new();
        let mut open: Vec<String> = first
            .iter()
            .flat_map(|section| keys(&root, section))
            .filter_map(|name| resolve(&folders, "", &name))
            .collect();
        while let Some(folder) = open.pop() {
            if reached.len() > PACKAGES_MAX || !reached.insert(folder.clone()) {
                continue;
            }
            let Some(manifest) = manifest(&folder) else { continue };
            for section in ["dependencies", "optionalDependencies", "peerDependencies"] {
                let needed = keys(&manifest, section);
                open.extend(needed.filter_map(|name| resolve(&folders, &folder, &name)));
            }
        }
        reached
    };
    let needed = closure(&["dependencies", "optionalDependencies", "peerDependencies"]);
    let for_development = closure(&["devDependencies"]);
    for_development.difference(&needed).cloned().collect()
}

fn keys(manifest: &Value, section: &str) -> impl Iterator<Item = String> + use<> {
    let members = manifest.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
    members.into_iter().map(|(name, _)| name)
}

/// `node_modules/name/` and `…/node_modules/@scope/name/`, but no folder inside a package.
fn is_package(folder: &str) -> bool {
    let Some((_, below)) = folder.rsplit_once("node_modules/") else { return false };
    let depth = below.trim_end_matches('/').split('/').count();
    depth == if below.starts_with('@') { 2 } else { 1 }
}

/// As Node finds a package: in the folder's own `node_modules`, then in those around it.
fn resolve(folders: &BTreeSet<&str>, from: &str, name: &str) -> Option<String> {
    let mut around = from;
    loop {
        let folder = format!("{around}node_modules/{name}/");
        if folders.contains(folder.as_str()) {
            return Some(folder);
        }
        around = match around.rsplit_once("node_modules/") {
            Some((outer, _)) => outer,
            None => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], patterns: &[&str], expected: Expect) {
        let contents: BTreeMap<&str, &str> = files.iter().copied().collect();
        let names: Vec<String> = contents.keys().map(|name| (*name).to_owned()).collect();
        let rules = PackageRules {
            patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            exclude_dev_dependencies: true,
        };
        let read = |name: &str| contents.get(name).map(|text| text.as_bytes().to_vec());
        expected.assert_eq(&packaged_files(&names, &rules, &read).unwrap().join(" "));
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let files =
            [("a.js", ""), ("lib/b.js", ""), ("lib/.c", ""), (".git/x", ""), ("t/a.js", "")];
        check(&files, &["!.git/**"], expect!["a.js lib/.c lib/b.js t/a.js"]);
        check(&files, &["!**", "lib/*"], expect!["lib/.c lib/b.js"]);
        check(&files, &["!./lib/**", "lib/b.js", "!*.js"], expect![".git/x lib/b.js t/a.js"]);
        check(&files, &["!**/{a,b}.js"], expect![".git/x lib/.c"]);
    }

    #[test]
    fn what_only_development_needs_is_left_out() {
        let files = [
            ("index.js", ""),
            (
                "package.json",
                r#"{"dependencies":{"a":"1"},"devDependencies":{"d":"1","@s/e":"1","shared":"1"}}"#,
            ),
            ("node_modules/a/package.json", r#"{"dependencies":{"shared":"1"}}"#),
            ("node_modules/a/node_modules/shared/package.json", "{}"),
            ("node_modules/shared/package.json", "{}"),
            ("node_modules/d/package.json", r#"{"dependencies":{"f":"1"}}"#),
            ("node_modules/d/x.js", ""),
            ("node_modules/@s/e/package.json", "{}"),
            ("node_modules/f/package.json", "{}"),
            ("node_modules/unknown/package.json", "{}"),
        ];
        check(
            &files,
            &[],
            expect![
                "index.js node_modules/a/node_modules/shared/package.json node_modules/a/package.json node_modules/unknown/package.json package.json"
            ],
        );
    }
}
