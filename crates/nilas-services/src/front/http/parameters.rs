//! Parameter mapping: what an integration's `requestParameters` and `responseParameters` change on the way in and out.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html>
//!
//! The control plane parses mappings to refuse what is malformed, the data plane to apply them: one grammar for both.

use http::{HeaderName, HeaderValue, StatusCode};
use nilas_wire::{ApiResponse, percent};
use serde_json::Value;

use super::event;
use super::exchange::Exchange;
use crate::vtl::json_path;

/// Of a longer body no member is read, as on AWS, where it is cut off there.
const JSON_BODY_BYTES_MAX: usize = 100 * 1024;

/// Headers that no mapping touches; those that begin with one of the second list neither.
const RESERVED: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "forwarded",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "via",
];
const RESERVED_PREFIXES: [&str; 4] = ["access-control-", "apigw-", "x-amz-", "x-amzn-"];

/// Whether a mapping is of the request or of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// One entry of a mapping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    action: Action,
    target: Target,
    value: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Append,
    Overwrite,
    Remove,
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// In lower case.
    Header(String),
    Query(String),
    Path,
    Status,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

#[derive(Debug, PartialEq, Eq)]
enum Variable {
    RequestHeader(String),
    Query(String),
    /// All of it, or what is at a path of JSONPath.
    RequestBody(Option<String>),
    Path,
    PathParameter(String),
    ResponseHeader(String),
    ResponseBody(Option<String>),
    Context(String),
    Stage(String),
}

/// Why a mapping is refused; as API Gateway words it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("Invalid {side:?} Actioned Parameter destination specified: {destination}")]
    Destination { side: Side, destination: String },
    #[error("Operations on header {0} are restricted")]
    Restricted(String),
    #[error("Invalid mapping expression specified: {0}")]
    Expression(String),
}

impl Change {
    /// Reads `append:header.name` and the expression for it.
    pub(crate) fn parse(side: Side, destination: &str, expression: &str) -> Result<Self, Flaw> {
        let flaw = || Flaw::Destination { side, destination: destination.to_owned() };
        let (action, target) = destination.split_once(':').ok_or_else(flaw)?;
        let action = match action {
            "append" => Action::Append,
            "overwrite" => Action::Overwrite,
            "remove" => Action::Remove,
            _ => return Err(flaw()),
        };
        let named = target.split_once('.').filter(|(_, name)| !name.is_empty());
        let target = match (target, named, side) {
            (_, Some(("header", name)), _) => {
                let name = name.to_ascii_lowercase();
                if is_reserved(&name) {
                    return Err(Flaw::Restricted(name));
                }
                if HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return Err(flaw());
                }
                Target::Header(name)
            }
            (_, Some(("querystring", name)), Side::Request) => Target::Query(name.to_owned()),
            ("path", _, Side::Request) if action == Action::Overwrite => Target::Path,
            ("statuscode", _, Side::Response) if action == Action::Overwrite => Target::Status,
            _ => return Err(flaw()),
        };
        let value = if action == Action::Remove { Vec::new() } else { pieces(side, expression)? };
        if let (Target::Status, [Piece::Text(text)]) = (&target, value.as_slice())
            && status(text).is_none()
        {
            return Err(Flaw::Expression(expression.to_owned()));
        }
        Ok(Self { action, target, value })
    }

    /// None if it is one variable that has no value.
    fn value(&self, exchange: &Exchange, answer: Option<&ApiResponse>) -> Option<String> {
        match self.value.as_slice() {
            [Piece::Variable(variable)] => variable.of(exchange, answer),
            pieces => {
                let text = |piece: &Piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Variable(variable) => variable.of(exchange, answer).unwrap_or_default(),
                };
                Some(pieces.iter().map(text).collect())
            }
        }
    }
}

fn is_reserved(header: &str) -> bool {
    RESERVED.contains(&header) || RESERVED_PREFIXES.iter().any(|start| header.starts_with(start))
}

fn status(text: &str) -> Option<StatusCode> {
    let code = text.parse::<u16>().ok().filter(|code| (200..600).contains(code))?;
    StatusCode::from_u16(code).ok()
}

/// One variable, or text with `${variables}` in it.
fn pieces(side: Side, expression: &str) -> Result<Vec<Piece>, Flaw> {
    let flaw = || Flaw::Expression(expression.to_owned());
    let variable = |text: &str| Variable::parse(side, text).map(Piece::Variable).ok_or_else(flaw);
    if let Some(name) = expression.strip_prefix('$').filter(|name| !name.starts_with('{')) {
        return Ok(vec![variable(name)?]);
    }
    let (mut pieces, mut rest) = (Vec::new(), expression);
    while let Some((text, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(flaw)?;
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        pieces.push(variable(name)?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

impl Variable {
    /// `request.header.name`
    fn parse(side: Side, text: &str) -> Option<Self> {
        let (source, rest) = text.split_once('.')?;
        let (kind, name) = match rest.split_once('.') {
            Some((kind, name)) => (kind, Some(name)),
            None => (rest, None),
        };
        if name.is_some_and(str::is_empty) || rest.is_empty() {
            return None;
        }
        let name = name.map(str::to_owned);
        let is_path = |path: &Option<String>| {
            path.as_ref().is_none_or(|path| !path.starts_with('.') && !path.contains(".."))
                && path.as_ref().is_none_or(|path| !path.contains("?("))
        };
        Some(match (source, kind, name, side) {
            ("stageVariables", ..) => Self::Stage(rest.to_owned()),
            ("context", ..) => Self::Context(rest.to_owned()),
            ("request", "header", Some(name), Side::Request) => {
                Self::RequestHeader(name.to_ascii_lowercase())
            }
            ("request", "querystring", Some(name), Side::Request) => Self::Query(name),
            ("request", "body", path, Side::Request) if is_path(&path) => Self::RequestBody(path),
            ("request", "path", None, Side::Request) => Self::Path,
            ("request", "path", Some(name), Side::Request) => Self::PathParameter(name),
            ("response", "header", Some(name), Side::Response) => {
                Self::ResponseHeader(name.to_ascii_lowercase())
            }
            ("response", "body", path, Side::Response) if is_path(&path) => {
                Self::ResponseBody(path)
            }
            _ => return None,
        })
    }

    fn of(&self, exchange: &Exchange, answer: Option<&ApiResponse>) -> Option<String> {
        let found = |list: &[(String, String)], name: &str| {
            list.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        match self {
            Self::RequestHeader(name) => exchange.headers.get(name).cloned(),
            Self::Query(name) => {
                let query = exchange.query();
                let (_, values) = query.iter().find(|(known, _)| known == name)?;
                Some(values.join(","))
            }
            Self::RequestBody(path) => member(&exchange.request.body, path.as_deref()),
            Self::Path => Some(exchange.path_below_stage().to_owned()),
            Self::PathParameter(name) => found(&exchange.found.variables, name),
            Self::ResponseHeader(name) => joined(answer?, name),
            Self::ResponseBody(path) => member(&answer?.body, path.as_deref()),
            Self::Context(path) => event::context_value(exchange, path),
            Self::Stage(name) => found(&exchange.variables, name),
        }
    }
}

fn joined(answer: &ApiResponse, name: &str) -> Option<String> {
    let values = answer.headers.get_all(name).iter();
    let values: Vec<_> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn member(body: &[u8], path: Option<&str>) -> Option<String> {
    let Some(path) = path else { return Some(String::from_utf8_lossy(body).into_owned()) };
    if body.len() > JSON_BODY_BYTES_MAX {
        return None;
    }
    let document: Value = serde_json::from_slice(body).ok()?;
    match json_path(&document, path)? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// Applies the mapping of a request to what its integration gets. Every value is of the request as it came.
pub(super) fn map_request(exchange: &mut Exchange, changes: &[Change]) {
    let values: Vec<_> = changes.iter().map(|change| change.value(exchange, None)).collect();
    let mut query: Option<Vec<(String, Vec<String>)>> = None;
    for (change, value) in changes.iter().zip(values) {
        match (&change.target, change.action, value) {
            (Target::Header(name), Action::Remove, _) => drop(exchange.headers.remove(name)),
            (Target::Header(name), action, Some(value)) => {
                let known = exchange.headers.remove(name).filter(|_| action == Action::Append);
                let value = known.map_or(value.clone(), |known| format!("{known},{value}"));
                exchange.headers.insert(name.clone(), value);
            }
            (Target::Query(name), action, value) => {
                let query = query.get_or_insert_with(|| exchange.query());
                if action != Action::Append {
                    query.retain(|(known, _)| known != name);
                }
                if let Some(value) = value.filter(|_| action != Action::Remove) {
                    match query.iter_mut().find(|(known, _)| known == name) {
                        Some((_, values)) => values.push(value),
                        None => query.push((name.clone(), vec![value])),
                    }
                }
            }
            (Target::Path, _, Some(value)) => exchange.mapped_path = Some(value),
            _ => {}
        }
    }
    if let Some(query) = query {
        let pair = |(name, values): &(String, Vec<String>)| {
            let name = percent::encode(name).into_owned();
            values.iter().map(move |value| format!("{name}={}", percent::encode(value))).collect()
        };
        let pairs: Vec<Vec<String>> = query.iter().map(pair).collect();
        exchange.request.query = pairs.concat().join("&");
    }
}

/// Applies the mapping for an answer's status to it.
pub(super) fn map_answer(exchange: &Exchange, changes: &[Change], answer: &mut ApiResponse) {
    let values: Vec<_> =
        changes.iter().map(|change| change.value(exchange, Some(answer))).collect();
    for (change, value) in changes.iter().zip(values) {
        match (&change.target, value) {
            (Target::Status, Some(value)) => {
                if let Some(status) = status(&value) {
                    answer.status = status;
                }
            }
            (Target::Header(name), value) => {
                if change.action != Action::Append {
                    answer.headers.remove(name);
                }
                let value = value.filter(|_| change.action != Action::Remove);
                let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
                if let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) {
                    answer.headers.append(name, value);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(side: Side, destination: &str, expression: &str) -> String {
        match Change::parse(side, destination, expression) {
            Ok(change) => format!("{:?} {:?}", change.target, change.value),
            Err(flaw) => flaw.to_string(),
        }
    }

    #[test]
    fn mappings_are_read_or_refused_as_aws_words_it() {
        for (side, destination, expression, read) in [
            (
                Side::Request,
                "append:header.Header1",
                "$request.querystring.a",
                r#"Header("header1") [Variable(Query("a"))]"#,
            ),
            (
                Side::Request,
                "overwrite:path",
                "/v1/${request.path.id}/x",
                r#"Path [Text("/v1/"), Variable(PathParameter("id")), Text("/x")]"#,
            ),
            (Side::Request, "remove:querystring.qs1", "''", r#"Query("qs1") []"#),
            (
                Side::Request,
                "append:header.b",
                "$request.body.a[0].b",
                r#"Header("b") [Variable(RequestBody(Some("a[0].b")))]"#,
            ),
            (
                Side::Request,
                "append:header.b",
                "$request.body..b",
                "Invalid mapping expression specified: $request.body..b",
            ),
            (Side::Response, "overwrite:statuscode", "403", r#"Status [Text("403")]"#),
            (
                Side::Response,
                "overwrite:statuscode",
                "teapot",
                "Invalid mapping expression specified: teapot",
            ),
            (
                Side::Response,
                "append:header.a",
                "$request.header.b",
                "Invalid mapping expression specified: $request.header.b",
            ),
            (
                Side::Response,
                "append:overwrite.static",
                "x",
                "Invalid Response Actioned Parameter destination specified: append:overwrite.static",
            ),
            (
                Side::Request,
                "append:path",
                "x",
                "Invalid Request Actioned Parameter destination specified: append:path",
            ),
            (
                Side::Request,
                "overwrite:header.Authorization",
                "x",
                "Operations on header authorization are restricted",
            ),
            (
                Side::Request,
                "overwrite:header.x-amz-date",
                "x",
                "Operations on header x-amz-date are restricted",
            ),
        ] {
            assert_eq!(shown(side, destination, expression), read, "{destination}");
        }
    }
}
