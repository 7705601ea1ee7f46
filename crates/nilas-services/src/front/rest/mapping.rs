//! Mappings of integrations that are no proxies: parameters and templates, in and out.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use nilas_wire::ApiResponse;
use serde_json::Value;

use super::exchange::Exchange;
use super::refusal::Refusal;
use super::snapshot::{Handling, Integration, IntegrationResponse, Passthrough};
use super::{event, integrate, proxy_answer};
use crate::vtl;

/// A request to the backend.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    pub(super) headers: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) path: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// What the backend answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// What selection patterns are matched with: the status, or a function's error message.
    pub(super) selector: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// The request that the integration's mappings make of `exchange`.
pub(super) fn request(exchange: &Exchange, integration: &Integration) -> Result<Mapped, Refusal> {
    let mut mapped = Mapped::default();
    for (target, source) in &integration.parameters {
        let Some((kind, name)) =
            target.strip_prefix("integration.request.").and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        let Some(value) = exchange.mapped(source) else { continue };
        let list = match kind {
            "header" => &mut mapped.headers,
            "querystring" => &mut mapped.query,
            "path" => &mut mapped.path,
            _ => continue,
        };
        list.push((name.to_owned(), value));
    }
    let body = converted_request(exchange, integration)?;
    let Some(template) = template(exchange, integration)? else {
        mapped.body = body;
        return Ok(mapped);
    };
    let input = input(exchange, String::from_utf8_lossy(&body).into_owned());
    let rendered = render(exchange, template, &input)?;
    mapped.body = Bytes::from(rendered.text);
    for (list, overrides) in [
        (&mut mapped.headers, rendered.request.header),
        (&mut mapped.query, rendered.request.querystring),
        (&mut mapped.path, rendered.request.path),
    ] {
        for (name, value) in overrides {
            list.retain(|(known, _)| *known != name);
            list.push((name, value));
        }
    }
    Ok(mapped)
}

/// The template for the request's content type; none where the body is passed through.
fn template<'a>(
    exchange: &Exchange,
    integration: &'a Integration,
) -> Result<Option<&'a str>, Refusal> {
    let content_type = exchange.headers.header_text("content-type").unwrap_or("application/json");
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let found = integration
        .templates
        .iter()
        .find(|(known, _)| known.split(';').next().unwrap_or_default().trim() == content_type);
    if let Some((_, template)) = found {
        return Ok(Some(template));
    }
    match integration.passthrough {
        Passthrough::WhenNoMatch => Ok(None),
        Passthrough::WhenNoTemplates if integration.templates.is_empty() => Ok(None),
        Passthrough::WhenNoTemplates | Passthrough::Never => Err(Refusal::UnsupportedMediaType),
    }
}

fn converted_request(exchange: &Exchange, integration: &Integration) -> Result<Bytes, Refusal> {
    let body = exchange.body.clone();
    Ok(match (integration.handling, exchange.body_is_binary) {
        (Some(Handling::ToText), true) => Bytes::from(BASE64.encode(&body)),
        (Some(Handling::ToBinary), false) => {
            BASE64.decode(&body).map(Bytes::from).map_err(|_| Refusal::BadBody)?
        }
        _ => body,
    })
}

fn input(exchange: &Exchange, body: String) -> vtl::Input {
    let last = |(name, values): (&str, &[String])| {
        (name.to_owned(), values.last().cloned().unwrap_or_default())
    };
    vtl::Input {
        body,
        path: exchange.variables().to_vec(),
        querystring: exchange.query.iter().map(last).collect(),
        header: exchange.headers.iter().map(last).collect(),
        stage_variables: exchange.stage.variables.clone(),
        context: event::context(exchange),
    }
}

fn render(
    exchange: &Exchange,
    template: &str,
    input: &vtl::Input,
) -> Result<vtl::Rendered, Refusal> {
    crate::aside(template.len() + input.body.len(), || vtl::render(template, input)).map_err(
        |error| {
            tracing::warn!(api = exchange.api.id, request = exchange.request_id, error = %error, "template not rendered");
            Refusal::Configuration
        },
    )
}

/// The answer of a MOCK integration: its request template names the status.
pub(super) fn mock(exchange: &Exchange, integration: &Integration) -> Result<ApiResponse, Refusal> {
    let mapped = request(exchange, integration)?;
    let text = String::from_utf8_lossy(&mapped.body);
    let status = mock_status(&text).ok_or(Refusal::Configuration)?;
    let answered =
        Answered { selector: status.to_string(), headers: Vec::new(), body: Bytes::new() };
    response(exchange, integration, answered)
}

/// `{"statusCode": 200}`, or without the quotes, as AWS takes it.
fn mock_status(text: &str) -> Option<u16> {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return match &value["statusCode"] {
            Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
    }
    let (_, rest) = text.split_once("statusCode")?;
    let rest = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
    let digits: String = rest
        .trim_start()
        .trim_start_matches(['"', '\''])
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// The client's answer, as the integration response that fits makes it.
pub(super) fn response(
    exchange: &Exchange,
    integration: &Integration,
    answered: Answered,
) -> Result<ApiResponse, Refusal> {
    let chosen = select(integration, &answered.selector).ok_or(Refusal::Configuration)?;
    let mut body = answered.body;
    let wants_binary = integrate::wants_binary(exchange);
    let mut status = chosen.status;
    let mut headers: Vec<(String, Vec<String>)> = Vec::new();
    for (target, source) in &chosen.parameters {
        let Some(name) = target.strip_prefix("method.response.header.") else { continue };
        if let Some(value) = mapped_answer(exchange, source, &answered.headers, &body) {
            headers.push((name.to_owned(), vec![value]));
        }
    }
    let accept = exchange.headers.header_text("accept").unwrap_or_default();
    let accept = accept.split([',', ';']).next().unwrap_or_default().trim();
    let by_type = |wanted: &str| chosen.templates.iter().find(|(known, _)| known == wanted);
    let template = by_type(accept)
        .or_else(|| by_type("application/json"))
        .or_else(|| chosen.templates.first());
    let mut content_type = "application/json".to_owned();
    if let Some((kind, template)) = template {
        content_type.clone_from(kind);
        // An empty template passes the body on.
        if !template.trim().is_empty() {
            let input = vtl::Input {
                body: String::from_utf8_lossy(&body).into_owned(),
                stage_variables: exchange.stage.variables.clone(),
                context: event::context(exchange),
                ..vtl::Input::default()
            };
            let rendered = render(exchange, template, &input)?;
            body = Bytes::from(rendered.text);
            status = rendered.response.status.unwrap_or(status);
            for (name, value) in rendered.response.header {
                headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
                headers.push((name, vec![value]));
            }
        }
    }
    let body = match chosen.handling {
        Some(Handling::ToBinary) => BASE64.decode(&body).map_or(body, Bytes::from),
        Some(Handling::ToText) if wants_binary => Bytes::from(BASE64.encode(&body)),
        _ => body,
    };
    let status = StatusCode::from_u16(status).map_err(|_| Refusal::Configuration)?;
    let mut response = ApiResponse::empty(status);
    response.body = body;
    response.set_header("content-type", &content_type);
    for (name, values) in headers {
        // What the API maps itself has the name it gives it.
        if let (Ok(name), Some(value)) =
            (http::HeaderName::from_bytes(name.as_bytes()), values.first())
            && let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes())
        {
            response.headers.insert(name, value);
        }
    }
    Ok(response)
}

/// The response whose pattern matches; else the default, which has none.
fn select<'a>(integration: &'a Integration, selector: &str) -> Option<&'a IntegrationResponse> {
    let responses = &integration.responses;
    let matching = responses.iter().find(|response| {
        response
            .pattern
            .as_ref()
            .is_some_and(|pattern| !selector.is_empty() && pattern.is_match(selector))
    });
    matching.or_else(|| responses.iter().find(|response| response.pattern.is_none()))
}

/// `'text'`, `integration.response.header.X`, `integration.response.body.x`, `context.x`, `stageVariables.x`
fn mapped_answer(
    exchange: &Exchange,
    source: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Option<String> {
    let Some(place) = source.strip_prefix("integration.response.") else {
        return exchange.mapped(source);
    };
    if let Some(name) = place.strip_prefix("header.") {
        let found = headers.iter().rfind(|(known, _)| known.eq_ignore_ascii_case(name));
        return found.map(|(_, value)| value.clone());
    }
    if let Some(name) = place.strip_prefix("multivalueheader.") {
        let found = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let values: Vec<&str> = found.map(|(_, value)| value.as_str()).collect();
        return (!values.is_empty()).then(|| values.join(","));
    }
    if place == "body" {
        return Some(String::from_utf8_lossy(body).into_owned());
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let path = place.strip_prefix("body.")?.trim_start_matches("$.");
    let found = path.split('.').try_fold(&body, |at, key| at.get(key))?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

/// Copies headers of a backend that is a proxy.
pub(super) fn pass_headers(response: &mut ApiResponse, headers: &[(String, String)]) {
    let mut seen: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in headers {
        match seen.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.clone()),
            None => seen.push((name.clone(), vec![value.clone()])),
        }
    }
    for (name, values) in seen {
        proxy_answer::set(response, &name, &values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mock_names_its_status_in_json_or_nearly() {
        for (text, status) in [
            ("{\"statusCode\": 200}", Some(200)),
            ("{\"statusCode\": \"201\"}", Some(201)),
            ("{statusCode:204}", Some(204)),
            ("{ statusCode : 204 }", Some(204)),
            ("{'statusCode': 500}", Some(500)),
            ("", None),
            ("{}", None),
        ] {
            assert_eq!(mock_status(text), status, "{text}");
        }
    }
}
