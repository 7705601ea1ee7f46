//! Which archives a service needs, and which files go into each.

use std::collections::BTreeSet;

use super::answers::Problem;
use super::json::{items, members, text, truthy};
use super::service::{Contents, Notice, Package, PackageRules, Service};

/// What never goes into an archive unless a pattern says so.
const EXCLUDED: [&str; 7] = [
    ".git/**",
    ".gitignore",
    ".DS_Store",
    "npm-debug.log",
    "yarn-*.log",
    ".serverless/**",
    ".serverless_plugins/**",
];

/// Decides about every function and layer.
pub(super) fn plan(service: &mut Service, plugins: Option<&str>) -> Result<(), Problem> {
    let mut packages: Vec<Package> = Vec::new();
    let package = service.document["package"].clone();
    let own_archive = package["artifact"].as_str().map(str::to_owned);
    let mut warned = false;
    for index in 0..service.functions.len() {
        let key = service.functions[index].key.clone();
        let config = service.document["functions"][&key].clone();
        if truthy(&config["image"]) {
            continue;
        }
        let own = &config["package"];
        let is_alone = truthy(&own["individually"]) || truthy(&package["individually"]);
        let has_patterns =
            ["patterns", "include", "exclude"].iter().any(|name| truthy(&own[*name]));
        if !is_alone && has_patterns && !warned && !truthy(&own["artifact"]) {
            warned = true;
            service.warnings.push(Notice {
                message: "Package patterns at function level are only applicable if package.individually is set to \
                          true at service level or function level; those of the service apply"
                    .to_owned(),
                at: Some(service.position(&["functions", &key, "package"])),
            });
        }
        let (name, contents) = match own["artifact"].as_str() {
            Some(archive) => (base_name(archive), Contents::Archive(archive.to_owned())),
            None => match &own_archive {
                Some(archive) if !truthy(&own["individually"]) => {
                    (base_name(archive), Contents::Archive(archive.clone()))
                }
                _ if is_alone => {
                    let rules = rules(service, plugins, &[&package, own], true);
                    (format!("{key}.zip"), Contents::Files { directory: String::new(), rules })
                }
                _ => {
                    let rules = rules(service, plugins, &[&package], true);
                    let contents = Contents::Files { directory: String::new(), rules };
                    (format!("{}.zip", service.name), contents)
                }
            },
        };
        service.functions[index].package = Some(add(&mut packages, name, contents, &key));
    }
    for index in 0..service.layers.len() {
        let key = service.layers[index].key.clone();
        let config = service.document["layers"][&key].clone();
        let contents = match (config["package"]["artifact"].as_str(), config["path"].as_str()) {
            (Some(archive), _) => Contents::Archive(archive.to_owned()),
            (None, Some(path)) => Contents::Files {
                directory: path.trim_start_matches("./").trim_end_matches('/').to_owned(),
                rules: rules(service, plugins, &[&package, &config["package"]], false),
            },
            (None, None) => {
                return Err(Problem::new(format!("Layer \"{key}\" has no \"path\""))
                    .at(service.position(&["layers", &key])));
            }
        };
        service.layers[index].package = add(&mut packages, format!("{key}.zip"), contents, "");
    }
    service.packages = packages;
    Ok(())
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Adds the archive unless it is there, under a name of its own.
fn add(packages: &mut Vec<Package>, name: String, contents: Contents, function: &str) -> String {
    let functions = if function.is_empty() { Vec::new() } else { vec![function.to_owned()] };
    let mut unique = name.clone();
    for n in 2.. {
        match packages.iter_mut().find(|package| package.name == unique) {
            None => break,
            Some(known) if known.contents == contents => {
                known.functions.extend(functions);
                return unique;
            }
            Some(_) => unique = format!("{}-{n}.zip", name.trim_end_matches(".zip")),
        }
    }
    packages.push(Package { name: unique.clone(), contents, functions });
    unique
}

/// Exclusions first, then what the sections bring: what is written later has the last word.
fn rules(
    service: &Service,
    plugins: Option<&str>,
    sections: &[&serde_json::Value],
    without_layers: bool,
) -> PackageRules {
    let document = &service.document;
    let mut excluded: Vec<String> = EXCLUDED.iter().map(|glob| (*glob).to_owned()).collect();
    excluded.push(base_name(&service.file));
    excluded.extend(plugins.map(str::to_owned));
    if without_layers {
        excluded.extend(
            members(&document["layers"])
                .filter_map(|(_, layer)| layer["path"].as_str())
                .map(|path| format!("{path}/**")),
        );
    }
    if truthy(&document["useDotenv"]) {
        excluded.push(".env*".to_owned());
    }
    // Versions 1 and 2: `exclude`, then `include`.
    let list = |name: &str| -> Vec<String> {
        sections.iter().flat_map(|section| items(&section[name])).map(text).collect()
    };
    excluded.extend(list("exclude"));
    let mut patterns: Vec<String> = excluded
        .iter()
        .map(|glob| match glob.strip_prefix('!') {
            Some(kept) => kept.to_owned(),
            None => format!("!{glob}"),
        })
        .collect();
    patterns.extend(list("include"));
    patterns.extend(list("patterns"));
    let mut seen = BTreeSet::new();
    let mut kept: Vec<String> = Vec::new();
    for pattern in patterns {
        // The first of two equal ones stays, as in a set of JavaScript's.
        if seen.insert(pattern.clone()) {
            kept.push(pattern);
        }
    }
    // A layer is packaged as it is.
    let excludes = without_layers && document["package"]["excludeDevDependencies"] != false;
    PackageRules { patterns: kept, exclude_dev_dependencies: excludes }
}
