//! JSONPath as Jayway has it. A path to one place, the usual case, is walked here; the others are those of RFC 9535.

use serde_json::Value;
use serde_json_path::JsonPath;

const PATH_BYTES_MAX: usize = 1_024;

/// What is at `path`; None if there is nothing. A path to several places gives a list.
pub(crate) fn find(document: &Value, path: &str) -> Option<Value> {
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let path = path.trim();
    // Jayway takes `foo.bar` for `$.foo.bar`.
    let path = if path.starts_with('$') { path.to_owned() } else { format!("$.{path}") };
    if let Some(steps) = definite(&path) {
        return steps.iter().try_fold(document, |value, step| step.of(value)).cloned();
    }
    if let Some(path) = path.strip_suffix(".length()") {
        return match find(document, path)? {
            Value::Array(items) => Some(items.len().into()),
            Value::Object(members) => Some(members.len().into()),
            _ => None,
        };
    }
    let nodes = JsonPath::parse(&path).ok()?.query(document);
    Some(nodes.all().into_iter().cloned().collect())
}

enum Step {
    Member(String),
    Index(i64),
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match (self, value) {
            (Self::Member(name), Value::Object(members)) => members.get(name),
            (Self::Index(at), Value::Array(items)) => {
                let at = if *at < 0 { *at + items.len() as i64 } else { *at };
                usize::try_from(at).ok().and_then(|at| items.get(at))
            }
            _ => None,
        }
    }
}

/// The steps of a path that leads to one place only.
fn definite(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty() || name.contains(['*', '(', '@', '?']) {
                return None;
            }
            steps.push(Step::Member(name.to_owned()));
            rest = &after[end..];
            continue;
        }
        let inside = rest.strip_prefix('[')?;
        if let Some(quote) = inside.chars().next().filter(|c| *c == '\'' || *c == '"') {
            let inside = &inside[1..];
            let end = inside.find(quote)?;
            steps.push(Step::Member(inside[..end].to_owned()));
            rest = inside[end + 1..].strip_prefix(']')?;
        } else {
            let end = inside.find(']')?;
            steps.push(Step::Index(inside[..end].trim().parse().ok()?));
            rest = &inside[end + 1..];
        }
    }
    Some(steps)
}
