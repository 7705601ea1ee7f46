//! Which files go into an archive: the rules applied to what is there.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use super::answers::Problem;
use super::json::members;
use super::service::PackageRules;

// === impl PackageRules ===

impl PackageRules {
    /// The directories whose files [`choose`] has to be given, relative to the one that is packaged: the empty text for
    /// itself, and those outside of it that patterns name (`../shared/**`).
    pub fn directories(&self) -> Vec<String> {
        let mut directories = BTreeSet::from([String::new()]);
        for pattern in self.patterns.iter().filter(|pattern| pattern.starts_with("../")) {
            let fixed = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
            let end = fixed.rfind('/').unwrap_or_default();
            directories.insert(fixed[..end].to_owned());
        }
        directories.into_iter().collect()
    }
}

/// The name in the archive of a file: without the steps up that lead to it.
pub fn archive_name(path: &str) -> &str {
    let mut name = path;
    while let Some(rest) = name.strip_prefix("../").or_else(|| name.strip_prefix("./")) {
        name = rest;
    }
    name
}

/// The files of `files` that go into the archive, in order. Paths have slashes and are relative to the directory that
/// is packaged; directories themselves are not among them. `read` gives the content of one of them, and is asked for
/// `package.json` only.
pub fn choose(
    files: &[String],
    rules: &PackageRules,
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<String>, Problem> {
    let mut is_in: BTreeMap<&str, bool> =
        files.iter().map(|file| (file.as_str(), !file.starts_with("../"))).collect();
    for pattern in &rules.patterns {
        let (keeps, glob) = match pattern.strip_prefix('!') {
            Some(glob) => (false, glob),
            None => (true, pattern.as_str()),
        };
        let matcher = matcher(glob)?;
        for (file, state) in &mut is_in {
            if matcher.is_match(file) {
                *state = keeps;
            }
        }
    }
    if rules.exclude_dev_dependencies {
        // Last: no pattern brings them back.
        let development = development(files, read);
        for (file, state) in &mut is_in {
            if development.holds(file) {
                *state = false;
            }
        }
    }
    let chosen: Vec<String> =
        is_in.into_iter().filter(|(_, state)| *state).map(|(file, _)| file.to_owned()).collect();
    if chosen.is_empty() {
        return Err(Problem::new("No file matches include / exclude patterns"));
    }
    Ok(chosen)
}

fn matcher(glob: &str) -> Result<GlobMatcher, Problem> {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    if ["!(", "+(", "@(", "?(", "*("].iter().any(|form| glob.contains(form)) {
        return Err(Problem::new(format!(
            "The pattern \"{glob}\" has an extended form, which is not read here"
        ))
        .hint("write several patterns, or alternatives in braces: {a,b}"));
    }
    GlobBuilder::new(glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|err| Problem::new(format!("The pattern \"{glob}\" is none: {}", err.kind())))
}

/// What only `devDependencies` bring in.
#[derive(Default)]
struct Development {
    /// Folders of packages, with a slash at the end.
    folders: BTreeSet<String>,
    /// Links in `.bin`.
    programs: BTreeSet<String>,
}

impl Development {
    fn holds(&self, file: &str) -> bool {
        self.programs.contains(file)
            || file.match_indices('/').any(|(at, _)| self.folders.contains(&file[..=at]))
    }
}

/// For each project (a `package.json` outside of `node_modules`): the packages that `npm ls --dev` lists and
/// `npm ls --prod` does not.
fn development(files: &[String], read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Development {
    let known: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let manifest = |folder: &str| -> Option<Value> {
        let path = format!("{folder}package.json");
        known.contains(path.as_str()).then(|| serde_json::from_slice(&read(&path)?).ok())?
    };
    let projects = files
        .iter()
        .filter_map(|file| file.strip_suffix("package.json"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .filter(|folder| !folder.split('/').any(|part| part == "node_modules"));
    let (mut wanted, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for project in projects {
        let Some(root) = manifest(project) else { continue };
        reach(project, &root, &["dependencies", "optionalDependencies"], &manifest, &mut needed);
        reach(project, &root, &["devDependencies"], &manifest, &mut wanted);
    }
    let mut development = Development::default();
    for folder in wanted.difference(&needed) {
        let Some((modules, name)) = folder.trim_end_matches('/').rsplit_once('/') else { continue };
        let manifest = manifest(folder).unwrap_or_default();
        let mut add = |program: &str| {
            development.programs.insert(format!("{modules}/.bin/{program}"));
        };
        match &manifest["bin"] {
            Value::String(_) => add(name),
            programs => members(programs).for_each(|(program, _)| add(program)),
        }
        development.folders.insert(folder.clone());
    }
    development
}

/// Adds the folders of all packages that the dependencies of `kinds` lead to.
fn reach(
    project: &str,
    root: &Value,
    kinds: &[&str],
    manifest: &dyn Fn(&str) -> Option<Value>,
    found: &mut BTreeSet<String>,
) {
    let names = |package: &Value, kinds: &[&str]| -> Vec<String> {
        kinds
            .iter()
            .flat_map(|kind| members(&package[*kind]))
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    let mut open: Vec<(String, String)> =
        names(root, kinds).into_iter().map(|name| (project.to_owned(), name)).collect();
    while let Some((from, name)) = open.pop() {
        let Some((folder, package)) = resolve(&from, &name, manifest) else { continue };
        if found.insert(folder.clone()) {
            let kinds = ["dependencies", "optionalDependencies", "peerDependencies"];
            open.extend(names(&package, &kinds).into_iter().map(|name| (folder.clone(), name)));
        }
    }
}

/// As Node looks for a package: in `node_modules` here, then in each folder above.
fn resolve(
    from: &str,
    name: &str,
    manifest: &dyn Fn(&str) -> Option<Value>,
) -> Option<(String, Value)> {
    let mut base = from.to_owned();
    loop {
        if !base.ends_with("node_modules/") {
            let folder = format!("{base}node_modules/{name}/");
            if let Some(package) = manifest(&folder) {
                return Some((folder, package));
            }
        }
        if base.is_empty() {
            return None;
        }
        let above = base.trim_end_matches('/').rfind('/').map_or(0, |at| at + 1);
        base.truncate(above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], patterns: &[&str], expected: &str) {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let rules = PackageRules {
            patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            exclude_dev_dependencies: false,
        };
        let shown = match choose(&files, &rules, &|_| None) {
            Ok(chosen) => chosen.join(" "),
            Err(problem) => problem.message,
        };
        assert_eq!(shown, expected, "{patterns:?}");
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let files =
            ["a.js", "src/b.js", "src/.hidden/c.js", "src/d.test.js", ".env", "../lib/e.js"];
        check(&files, &[], ".env a.js src/.hidden/c.js src/b.js src/d.test.js");
        check(&files, &["!**", "src/**", "!**/*.test.js"], "src/.hidden/c.js src/b.js");
        check(&files, &["!*", "!./src/.hidden/**"], "src/b.js src/d.test.js");
        check(&files, &["!**", "../lib/**"], "../lib/e.js");
        check(&files, &["!**/*.{js,env}", "!.env"], "No file matches include / exclude patterns");
        check(
            &files,
            &["!(a).js", "!+(b)"],
            "The pattern \"+(b)\" has an extended form, which is not read here",
        );
        assert_eq!(archive_name("../../lib/e.js"), "lib/e.js");
    }

    #[test]
    fn directories_outside_are_named() {
        let rules = PackageRules {
            patterns: ["../shared/**", "../../x/y*.js", "src/**"].map(str::to_owned).to_vec(),
            exclude_dev_dependencies: true,
        };
        assert_eq!(rules.directories(), ["", "../../x", "../shared"]);
    }

    #[test]
    fn development_dependencies_stay_out() {
        let manifests = [
            (
                "package.json",
                r#"{"dependencies": {"a": "1"}, "devDependencies": {"jest": "1", "a": "1"}}"#,
            ),
            ("node_modules/a/package.json", r#"{"dependencies": {"shared": "1"}}"#),
            ("node_modules/shared/package.json", "{}"),
            (
                "node_modules/jest/package.json",
                r#"{"bin": {"jest": "x"}, "dependencies": {"@jest/core": "1", "shared": "1", "deep": "1"}}"#,
            ),
            ("node_modules/jest/node_modules/deep/package.json", r#"{"bin": "x"}"#),
            ("node_modules/@jest/core/package.json", "{}"),
        ];
        let mut files: Vec<String> = manifests.iter().map(|(path, _)| (*path).to_owned()).collect();
        files.extend(
            [
                "node_modules/.bin/jest",
                "node_modules/jest/i.js",
                "node_modules/jest/node_modules/.bin/deep",
                "x.js",
            ]
            .map(str::to_owned),
        );
        let rules = PackageRules { patterns: Vec::new(), exclude_dev_dependencies: true };
        let read = |path: &str| {
            manifests
                .iter()
                .find(|(known, _)| *known == path)
                .map(|(_, text)| text.as_bytes().to_vec())
        };
        let chosen = choose(&files, &rules, &read).expect("some files");
        assert_eq!(
            chosen,
            [
                "node_modules/a/package.json",
                "node_modules/shared/package.json",
                "package.json",
                "x.js"
            ]
        );
    }
}
