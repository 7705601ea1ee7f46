//! What can be called over HTTP once a service is deployed.

use serde_json::Value;

use super::json::{items, members, text, truthy};
use super::service::{Endpoint, Service};

pub(super) fn of(service: &Service) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (key, config) in members(&service.document["functions"]) {
        let mut add = |kind: &'static str, method: String, path: String| {
            endpoints.push(Endpoint { function: key.to_owned(), kind, method, path });
        };
        if truthy(&config["url"]) {
            add("url", String::new(), String::new());
        }
        for event in items(&config["events"]) {
            for kind in ["http", "httpApi"] {
                let Some(value) = event.get(kind) else { continue };
                let (method, path) = route(value);
                add(kind, method, path);
            }
            if let Some(value) = event.get("websocket") {
                let route = value.as_str().map_or_else(|| text(&value["route"]), str::to_owned);
                add("websocket", route, String::new());
            }
        }
    }
    endpoints
}

/// Method in upper case and path with its slash, of `GET hello` or `{method: get, path: hello}`.
pub(super) fn route(value: &Value) -> (String, String) {
    let (method, path) = match value {
        Value::String(short) => {
            let mut words = short.split_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next());
            match second {
                Some(path) => (first.to_owned(), path.to_owned()),
                None if first == "*" => ("ANY".to_owned(), "*".to_owned()),
                None => (first.to_owned(), String::new()),
            }
        }
        object => (text(&object["method"]), text(&object["path"])),
    };
    let method =
        if method.is_empty() || method == "*" { "ANY".to_owned() } else { method.to_uppercase() };
    let path = path.trim_start_matches('/');
    (method, format!("/{path}"))
}
