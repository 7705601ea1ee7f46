//! What API Gateway puts into mapping templates: `$input`, `$context`, `$stageVariables`, `$util`, `$method`.

use serde_json::{Map, Value as Json};

use super::VtlError;
use super::eval::Evaluation;
use super::json_path;
use super::parse::parse;
use super::value::{Object, Value};

/// What a template is rendered with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    /// `$input.body`
    pub(crate) body: String,
    /// Parameters of the request by their place: `path`, `querystring`, `header`. Empty for responses.
    pub(crate) path: Vec<(String, String)>,
    pub(crate) querystring: Vec<(String, String)>,
    pub(crate) header: Vec<(String, String)>,
    pub(crate) stage_variables: Vec<(String, String)>,
    /// `$context`, as an object of objects.
    pub(crate) context: Json,
}

/// A rendered template, and what it asked to be changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// `$context.requestOverride`
    pub(crate) request: Overrides,
    /// `$context.responseOverride`
    pub(crate) response: Overrides,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Overrides {
    pub(crate) status: Option<u16>,
    pub(crate) header: Vec<(String, String)>,
    pub(crate) querystring: Vec<(String, String)>,
    pub(crate) path: Vec<(String, String)>,
}

/// Renders `template`.
pub(crate) fn render(template: &str, input: &Input) -> Result<Rendered, VtlError> {
    let nodes = parse(template)?;
    let surroundings = Surroundings {
        input,
        // API Gateway takes a body that is no JSON for a text.
        document: serde_json::from_str(&input.body)
            .unwrap_or_else(|_| Json::String(input.body.clone())),
    };
    let context = Value::of_json(&input.context);
    let stage_variables = Value::of_json(&Json::Object(object(&input.stage_variables)));
    let variables = vec![
        ("input", Value::Object(Object::Input)),
        ("util", Value::Object(Object::Util)),
        ("context", context),
        ("stageVariables", stage_variables),
    ];
    let mut evaluation = Evaluation::new(&surroundings, variables);
    let text = evaluation.run(&nodes)?;
    let overrides = |name: &str| {
        let found = evaluation.variable("context").and_then(|context| context.member(name));
        found.map(|value| Overrides::of(&value)).unwrap_or_default()
    };
    Ok(Rendered {
        request: overrides("requestOverride"),
        response: overrides("responseOverride"),
        text,
    })
}

impl Overrides {
    fn of(value: &Value) -> Self {
        let pairs = |name: &str| match value.member(name) {
            Some(Value::Map(entries)) => entries
                .borrow()
                .iter()
                .map(|(name, value)| (name.clone(), value.to_text()))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            status: value.member("status").and_then(|status| status.to_text().trim().parse().ok()),
            header: pairs("header"),
            querystring: pairs("querystring"),
            path: pairs("path"),
        }
    }
}

/// The request or response that a template is rendered for.
pub(super) struct Surroundings<'a> {
    input: &'a Input,
    document: Json,
}

impl Surroundings<'_> {
    pub(super) fn body(&self) -> Value {
        Value::text(&self.input.body)
    }

    /// `$input.path(…)`; nothing is an empty text.
    pub(super) fn at_path(&self, path: &str) -> Value {
        match json_path::find(&self.document, path) {
            None | Some(Json::Null) => Value::text(""),
            Some(found) => Value::of_json(&found),
        }
    }

    /// `$input.json(…)`; nothing is an empty text in quotes.
    pub(super) fn json_at(&self, path: &str) -> Value {
        match json_path::find(&self.document, path) {
            None => Value::text("\"\""),
            Some(found) => Value::text(&found.to_string()),
        }
    }

    /// `$input.params()`
    pub(super) fn all_parameters(&self) -> Value {
        let input = self.input;
        let places =
            [("path", &input.path), ("querystring", &input.querystring), ("header", &input.header)];
        let places = places
            .into_iter()
            .map(|(name, pairs)| (name.to_owned(), Value::of_json(&Json::Object(object(pairs)))));
        Value::map(places.collect())
    }

    /// `$input.params(…)`: looked for in path, query string and headers; else an empty text.
    pub(super) fn parameter(&self, name: &str) -> Value {
        let input = self.input;
        let exact = input.path.iter().chain(&input.querystring).find(|(known, _)| known == name);
        let header = || input.header.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let found = exact.or_else(header).map(|(_, value)| value.as_str());
        Value::text(found.unwrap_or_default())
    }
}

/// The last one of each name.
fn object(pairs: &[(String, String)]) -> Map<String, Json> {
    pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}
