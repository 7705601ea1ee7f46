//! Filters of lists of parameters.

use nilas_wire::Fault;
use serde::Deserialize;

use super::fault;
use super::record::Parameter;

const FILTERS_MAX: usize = 50;
const KEYS: [&str; 7] = ["Name", "Type", "KeyId", "Path", "Label", "Tier", "DataType"];

/// `ParameterStringFilter`
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    key: String,
    option: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl Filter {
    /// As `ParametersFilter` compares, which has no options.
    pub(super) fn of_older_kind(self) -> Self {
        let option = (self.key == "Name").then(|| "BeginsWith".to_owned());
        Self { option, ..self }
    }
}

pub(super) fn check(filters: &[Filter]) -> Result<(), Fault> {
    if filters.len() > FILTERS_MAX {
        let message = format!("A request may have {FILTERS_MAX} filters at most.");
        return Err(fault::plain("InvalidFilterValue", message));
    }
    for filter in filters {
        if !KEYS.contains(&filter.key.as_str()) && !filter.key.starts_with("tag:") {
            return Err(crate::json_api::constraint(
                "parameterFilters.1.member.key",
                &filter.key,
                "satisfy regular expression pattern: tag:.+|Name|Type|KeyId|Path|Label|Tier|DataType",
            ));
        }
        let options: &[&str] = match filter.key.as_str() {
            "Path" => &["Recursive", "OneLevel"],
            "Name" => &["BeginsWith", "Equals", "Contains"],
            _ => &["BeginsWith", "Equals"],
        };
        if let Some(option) = filter.option.as_deref().filter(|option| !options.contains(option)) {
            let message = format!(
                "The following filter option is not valid: {option}. Valid options include: [{}].",
                options.join(", ")
            );
            return Err(fault::plain("InvalidFilterOption", message));
        }
        if filter.values.is_empty() && !filter.key.starts_with("tag:") {
            let message =
                "The following filter values are missing : null for filter key ".to_owned();
            return Err(fault::plain("InvalidFilterValue", message + &filter.key));
        }
    }
    Ok(())
}

/// Whether `parameter` passes all of `filters`, each by one of its values.
pub(super) fn matches(filters: &[Filter], parameter: &Parameter) -> bool {
    filters.iter().all(|filter| passes(filter, parameter))
}

fn passes(filter: &Filter, parameter: &Parameter) -> bool {
    let newest = parameter.newest();
    let option = filter.option.as_deref().unwrap_or("Equals");
    let is_one = |found: &str| {
        filter.values.iter().any(|value| match option {
            "BeginsWith" => found.starts_with(value.as_str()),
            "Contains" => found.contains(value.as_str()),
            _ => found == value,
        })
    };
    match filter.key.as_str() {
        // A leading slash does not matter here.
        "Name" => is_one(&parameter.name) || is_one(parameter.name.trim_start_matches('/')),
        "Type" => is_one(&newest.kind),
        "Tier" => is_one(&newest.tier),
        "DataType" => is_one(&newest.data_type),
        "KeyId" => newest.key_id.as_deref().is_some_and(is_one),
        "Label" => {
            parameter.versions.iter().any(|version| version.labels.iter().any(|l| is_one(l)))
        }
        "Path" => filter.values.iter().any(|path| {
            let path = format!("{}/", path.trim_end_matches('/'));
            let rest = parameter.name.strip_prefix(&path);
            rest.is_some_and(|rest| option == "Recursive" || !rest.contains('/'))
        }),
        key => {
            let key = key.strip_prefix("tag:").unwrap_or(key);
            let tag = parameter.tags.iter().find(|(known, _)| known == key);
            tag.is_some_and(|(_, value)| filter.values.is_empty() || is_one(value))
        }
    }
}
