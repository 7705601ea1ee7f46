//! Names of parameters, and what requests call them by.

use nilas_wire::Fault;

use super::fault;

const NAME_CHARS_MAX: usize = 1_011;
const LEVELS_MAX: usize = 15;

/// What a request asks for: a name, and a version's number or label behind a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selected<'a> {
    pub(super) name: &'a str,
    pub(super) selector: Option<&'a str>,
}

/// Out of a name or an ARN.
pub(super) fn select(text: &str) -> Selected<'_> {
    let text = match text.strip_prefix("arn:aws:ssm:") {
        Some(rest) => rest.split_once(":parameter").map_or(rest, |(_, name)| name),
        None => text,
    };
    match text.split_once(':') {
        Some((name, selector)) => Selected { name, selector: Some(selector) },
        None => Selected { name: text, selector: None },
    }
}

/// Whether a new parameter may be called so.
pub(super) fn check(name: &str) -> Result<(), Fault> {
    let first = name.trim_start_matches('/').to_ascii_lowercase();
    if name.starts_with("/aws/") || name.eq_ignore_ascii_case("/aws") {
        let message = format!("No access to reserved parameter name: {name}.");
        return Err(fault::plain("AccessDeniedException", message));
    }
    if first.starts_with("aws") || first.starts_with("ssm") {
        let form = if name.contains('/') { "path" } else { "name" };
        let message = format!(
            "Parameter {form}: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_"
        );
        return Err(Fault::validation(message));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(Fault::validation("Parameter name must be a fully qualified name."));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if !name.chars().all(legal) || name.is_empty() || name.ends_with('/') || name.contains("//") {
        let message = "Invalid parameter name. Please use correct syntax for referencing a version/label. Only a mix of letters, numbers and the following 3 symbols .-_ are allowed; sub-paths are divided by a slash.";
        return Err(Fault::validation(message));
    }
    if name.len() > NAME_CHARS_MAX {
        let constraint = format!("have length less than or equal to {NAME_CHARS_MAX}");
        return Err(crate::json_api::constraint("name", name, &constraint));
    }
    if name.matches('/').count() > LEVELS_MAX {
        let message = "A hierarchy can have a maximum of 15 levels. For more information, see Requirements and constraints for parameter names in the AWS Systems Manager User Guide.";
        return Err(fault::plain("HierarchyLevelLimitExceededException", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_may_tell_a_version() {
        let rows = [
            ("a", "a", None),
            ("/a/b:3", "/a/b", Some("3")),
            ("a:label", "a", Some("label")),
            ("arn:aws:ssm:us-east-1:000000000000:parameter/a/b", "/a/b", None),
            ("arn:aws:ssm:us-east-1:000000000000:parameter/a:7", "/a", Some("7")),
        ];
        for (text, name, selector) in rows {
            assert_eq!(select(text), Selected { name, selector }, "{text}");
        }
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "/a", "/a/b.c-d_e", "A1"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/b", "/a/", "/a//b", "aws", "/ssm/x", "/aws/x", "ä", "a b", "a:1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"/a".repeat(15)).is_ok());
        assert!(check(&"/a".repeat(16)).is_err());
    }
}
