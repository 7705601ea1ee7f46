//! The Parameters section, and the values that a deployment gives.

use std::collections::BTreeMap;

use nilas_model::limits::{TEMPLATE_PARAMETER_BYTES_MAX, TEMPLATE_PARAMETERS_MAX};
use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::error::TemplateError;
use super::evaluate::comparable;

/// Bytes that a compiled `AllowedPattern` may take.
const PATTERN_BYTES_MAX: usize = 1_048_576;

/// A parameter as the template declares it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// `String`, `AWS::SSM::Parameter::Value<String>`
    pub(crate) kind: String,
    pub(crate) default: Option<String>,
    pub(crate) no_echo: bool,
    pub(crate) description: Option<String>,
    pub(crate) constraint_description: Option<String>,
    pub(crate) allowed_values: Vec<String>,
    pub(crate) allowed_pattern: Option<String>,
    pub(crate) min_length: Option<f64>,
    pub(crate) max_length: Option<f64>,
    pub(crate) min_value: Option<f64>,
    pub(crate) max_value: Option<f64>,
}

/// What a deployment says of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    Value(String),
    /// `UsePreviousValue`
    Previous,
}

const MEMBERS: [&str; 11] = [
    "AllowedPattern",
    "AllowedValues",
    "ConstraintDescription",
    "Default",
    "Description",
    "MaxLength",
    "MaxValue",
    "MinLength",
    "MinValue",
    "NoEcho",
    "Type",
];

/// The parameters that `root` declares.
pub(crate) fn declared(root: &Map<String, Value>) -> Result<Vec<Parameter>, TemplateError> {
    let section = root.get("Parameters").and_then(Value::as_object);
    if section.is_some_and(|section| section.len() > TEMPLATE_PARAMETERS_MAX) {
        return Err(TemplateError::format(format!(
            "Number of parameters is greater than maximum allowed, {TEMPLATE_PARAMETERS_MAX}"
        )));
    }
    section.into_iter().flatten().map(|(name, members)| parameter(name, members)).collect()
}

fn parameter(name: &str, members: &Value) -> Result<Parameter, TemplateError> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(TemplateError::format(format!("Parameter name {name} is non alphanumeric.")));
    }
    let members = members.as_object().ok_or_else(|| {
        TemplateError::format(format!(
            "[/Parameters/{name}] Every Parameters member must be a JSON object."
        ))
    })?;
    if let Some(unknown) = members.keys().find(|member| !MEMBERS.contains(&member.as_str())) {
        return Err(TemplateError(format!("Invalid template parameter property '{unknown}'")));
    }
    let kind = members.get("Type").and_then(Value::as_str).ok_or_else(|| {
        TemplateError::format("Every Parameters object must contain a Type member.")
    })?;
    if !is_known(kind) {
        return Err(TemplateError::format(format!("Unrecognized parameter type: {kind}")));
    }
    let default = match members.get("Default") {
        None | Some(Value::Null) => None,
        Some(Value::Array(_) | Value::Object(_)) => {
            return Err(TemplateError::format("Every Default member must be a string."));
        }
        Some(value) => Some(comparable(value)),
    };
    let text = |member: &str| members.get(member).and_then(Value::as_str).map(str::to_owned);
    let number =
        |member: &str| members.get(member).and_then(|value| comparable(value).parse().ok());
    let allowed = members.get("AllowedValues").and_then(Value::as_array);
    Ok(Parameter {
        name: name.to_owned(),
        kind: kind.to_owned(),
        default,
        no_echo: members.get("NoEcho").is_some_and(|value| comparable(value) == "true"),
        description: text("Description"),
        constraint_description: text("ConstraintDescription"),
        allowed_values: allowed.into_iter().flatten().map(comparable).collect(),
        allowed_pattern: text("AllowedPattern"),
        min_length: number("MinLength"),
        max_length: number("MaxLength"),
        min_value: number("MinValue"),
        max_value: number("MaxValue"),
    })
}

fn is_known(kind: &str) -> bool {
    let element = |kind: &str| {
        kind == "String"
            || kind == "Number"
            || (kind.starts_with("AWS::") && !kind.contains('<') && kind.split("::").count() >= 4)
    };
    if let Some(inner) = inside(kind, "AWS::SSM::Parameter::Value") {
        return inner == "CommaDelimitedList"
            || element(inner)
            || inside(inner, "List").is_some_and(element);
    }
    kind == "CommaDelimitedList" || element(kind) || inside(kind, "List").is_some_and(element)
}

/// `X` of `OUTER<X>`
fn inside<'a>(kind: &'a str, outer: &str) -> Option<&'a str> {
    kind.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>')
}

/// The texts that the parameters have: given, as before, or by default.
pub(crate) fn choose(
    parameters: &[Parameter],
    given: &BTreeMap<String, Given>,
    previous: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let known = |name: &String| parameters.iter().any(|parameter| parameter.name == *name);
    let unknown: Vec<&str> = given.keys().filter(|name| !known(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(TemplateError(format!(
            "Parameters: [{}] do not exist in the template",
            unknown.join(", ")
        )));
    }
    let mut chosen = BTreeMap::new();
    let mut missing = Vec::new();
    for parameter in parameters {
        let text = match given.get(&parameter.name) {
            Some(Given::Value(text)) => Some(text),
            Some(Given::Previous) => previous.get(&parameter.name),
            None => parameter.default.as_ref(),
        };
        match text {
            Some(text) => {
                parameter.check(text)?;
                chosen.insert(parameter.name.clone(), text.clone());
            }
            None => missing.push(parameter.name.as_str()),
        }
    }
    if !missing.is_empty() {
        return Err(TemplateError(format!(
            "Parameters: [{}] must have values",
            missing.join(", ")
        )));
    }
    Ok(chosen)
}

/// The parameters that name a parameter of SSM: their names and the names there.
pub(crate) fn ssm_names<'a>(
    parameters: &'a [Parameter],
    chosen: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    parameters.iter().filter(|parameter| parameter.is_ssm()).filter_map(|parameter| {
        Some((parameter.name.as_str(), chosen.get(&parameter.name)?.as_str()))
    })
}

/// What `Ref` of each parameter answers: a text, or a list of texts. `from_ssm` has the values of those in SSM.
pub(crate) fn values(
    parameters: &[Parameter],
    chosen: &BTreeMap<String, String>,
    from_ssm: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let value = |parameter: &Parameter| {
        let text = from_ssm.get(&parameter.name).or_else(|| chosen.get(&parameter.name))?;
        Some((parameter.name.clone(), parameter.value(text)))
    };
    parameters.iter().filter_map(value).collect()
}

// === impl Parameter ===

impl Parameter {
    /// The constraints speak of the name there, if it is one in SSM.
    fn is_ssm(&self) -> bool {
        self.kind.starts_with("AWS::SSM::Parameter::Value<")
    }

    fn is_list(&self) -> bool {
        let kind = inside(&self.kind, "AWS::SSM::Parameter::Value").unwrap_or(&self.kind);
        kind == "CommaDelimitedList" || kind.starts_with("List<")
    }

    fn is_number(&self) -> bool {
        matches!(self.kind.as_str(), "Number" | "List<Number>")
    }

    fn value(&self, text: &str) -> Value {
        if !self.is_list() {
            return text.into();
        }
        if text.is_empty() {
            return Value::Array(Vec::new());
        }
        text.split(',').map(str::trim).collect::<Vec<_>>().into()
    }

    fn check(&self, text: &str) -> Result<(), TemplateError> {
        let name = &self.name;
        if text.len() > TEMPLATE_PARAMETER_BYTES_MAX {
            return Err(TemplateError(format!(
                "Parameter '{name}' must contain at most {TEMPLATE_PARAMETER_BYTES_MAX} characters"
            )));
        }
        let fault = match self.value(text) {
            Value::Array(items) => items.iter().find_map(|item| self.fault(&comparable(item))),
            _ => self.fault(text),
        };
        match (fault, &self.constraint_description) {
            (None, _) => Ok(()),
            (Some(_), Some(text)) => Err(TemplateError(format!(
                "Parameter '{name}' failed to satisfy constraint: {text}"
            ))),
            (Some(fault), None) => Err(TemplateError(format!("Parameter '{name}' {fault}"))),
        }
    }

    fn fault(&self, text: &str) -> Option<String> {
        if self.is_number() {
            let Ok(number) = text.parse::<f64>() else {
                return Some("must be a number".to_owned());
            };
            if let Some(min) = self.min_value.filter(|min| number < *min) {
                return Some(format!("must be a number not less than {min}"));
            }
            if let Some(max) = self.max_value.filter(|max| number > *max) {
                return Some(format!("must be a number not greater than {max}"));
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a text of 2^52 characters fits in no request"
        )]
        let length = text.chars().count() as f64;
        if let Some(min) = self.min_length.filter(|min| length < *min) {
            return Some(format!("must contain at least {min} characters"));
        }
        if let Some(max) = self.max_length.filter(|max| length > *max) {
            return Some(format!("must contain at most {max} characters"));
        }
        if !self.allowed_values.is_empty() && !self.allowed_values.iter().any(|known| known == text)
        {
            return Some("must be one of AllowedValues".to_owned());
        }
        let pattern = self.allowed_pattern.as_ref()?;
        // Java's expressions have more than ours, such as looking ahead: what does not compile is not checked.
        let expression = RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .ok()?;
        (!expression.is_match(text)).then(|| format!("must match pattern {pattern}"))
    }
}
