//! One request to a stage, as all steps of its way see it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderName, header};
use nilas_model::AuthContext;
use nilas_wire::{Fault, percent};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::snapshot::{ApiSnapshot, Found, StageSnapshot};
use crate::front::FrontRequest;
use crate::sts;

/// Headers that end at the door.
const DROPPED: [&str; 12] = [
    "connection",
    "content-length",
    "content-md5",
    "expect",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "te",
    "transfer-encoding",
    "trailer",
    "upgrade",
    "www-authenticate",
];

/// A request on its way through a stage.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) api: Arc<ApiSnapshot>,
    pub(super) stage: Arc<StageSnapshot>,
    /// None before the route is known, and where there is none.
    pub(super) found: Option<Found>,
    pub(super) verb: String,
    /// Below the stage, as sent; below a custom domain with the base path.
    pub(super) path: String,
    /// With what is before it: the stage, or on a custom domain nothing.
    pub(super) full_path: String,
    pub(super) query: Multi,
    pub(super) headers: Multi,
    pub(super) body: Bytes,
    pub(super) body_is_binary: bool,
    pub(super) caller: Result<AuthContext, Fault>,
    pub(super) request_id: String,
    pub(super) extended_id: String,
    /// `Root=1-…`
    pub(super) trace: String,
    pub(super) source_ip: String,
    pub(super) protocol: &'static str,
    pub(super) domain: String,
    pub(super) now_ms: u64,
    /// What the authorizer said, `principalId` among it.
    pub(super) authorizer: Option<Arc<Map<String, Value>>>,
    /// Value and id of the API key.
    pub(super) api_key: Option<(String, String)>,
    /// Whether the caller's signature was demanded and verified.
    pub(super) iam: bool,
}

/// Names with one or more values each, in the order they came.
#[derive(Debug, Default, Clone)]
pub(super) struct Multi(Vec<(String, Vec<String>)>);

/// Of each name the last value.
pub(super) struct Single<'a>(pub(super) &'a Multi);

impl Multi {
    pub(super) fn of_query(query: &str) -> Self {
        let mut multi = Self::default();
        let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
        for (name, value) in percent::query_pairs(query) {
            match places.get(&name) {
                Some(place) => multi.0[*place].1.push(value.into_owned()),
                None => {
                    places.insert(name.clone(), multi.0.len());
                    multi.0.push((name.into_owned(), vec![value.into_owned()]));
                }
            }
        }
        multi
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// The values of exactly `name`.
    pub(super) fn get(&self, name: &str) -> Option<&[String]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, values)| values)
    }

    /// The values of the header `name`, whatever its case.
    pub(super) fn header(&self, name: &str) -> Option<&[String]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, values)| values)
    }

    /// The last value of the header `name`.
    pub(super) fn header_text(&self, name: &str) -> Option<&str> {
        self.header(name)?.last().map(String::as_str)
    }

    fn push(&mut self, name: String, values: Vec<String>) {
        self.0.push((name, values));
    }
}

impl Serialize for Multi {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, values) in &self.0 {
            map.serialize_entry(name, values)?;
        }
        map.end()
    }
}

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.0.len()))?;
        for (name, values) in self.0.iter() {
            map.serialize_entry(name, values.last().map_or("", String::as_str))?;
        }
        map.end()
    }
}

/// Where in an API a request is.
pub(super) struct At {
    pub(super) api: Arc<ApiSnapshot>,
    pub(super) stage: Arc<StageSnapshot>,
    /// Below the stage, what is matched.
    pub(super) route: String,
    /// What `path` of the event says.
    pub(super) path: String,
    /// What `requestContext.path` says.
    pub(super) full_path: String,
}

impl Exchange {
    pub(super) fn new(at: At, front: FrontRequest, now_ms: u64) -> Self {
        let FrontRequest { request, protocol, caller, .. } = front;
        let hex = request.request_id.hex();
        let trace = trace(request.header("x-amzn-trace-id"), &hex, now_ms);
        let host = request.header("host").unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        let domain = if host.starts_with(at.api.id.as_str())
            || !host.contains("localhost") && host.parse::<std::net::IpAddr>().is_err()
        {
            host.to_owned()
        } else {
            format!("{}.execute-api.{}.localhost", at.api.id, at.api.region.as_str())
        };
        let source_ip = request.source_ip.to_string();
        let headers = headers(&request, protocol, &source_ip, &trace);
        let content_type = headers.header_text("content-type").unwrap_or_default();
        let types = &at.stage.routes.binary_types;
        let body_is_binary = !request.body.is_empty() && is_binary(types, content_type);
        let found = at.stage.routes.find(request.method.as_str(), &at.route);
        let extended_id = BASE64.encode(&hex.as_bytes()[..11]);
        Self {
            found,
            verb: request.method.as_str().to_owned(),
            path: at.path,
            full_path: at.full_path,
            query: Multi::of_query(&request.query),
            headers,
            body_is_binary,
            body: request.body,
            caller,
            request_id: request.request_id.to_string(),
            extended_id,
            trace,
            source_ip,
            protocol,
            domain,
            now_ms,
            authorizer: None,
            api_key: None,
            iam: false,
            api: at.api,
            stage: at.stage,
        }
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    pub(super) fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    pub(super) fn variables(&self) -> &[(String, String)] {
        self.found.as_ref().map_or(&[], |found| found.variables.as_slice())
    }

    pub(super) fn stage_variable(&self, name: &str) -> Option<&str> {
        let found = self.stage.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/VERB/PATH`
    pub(super) fn method_arn(&self) -> String {
        let (region, account) = (self.api.region.as_str(), self.api.account.as_str());
        let path = self.path.trim_start_matches('/');
        let (api, stage, verb) = (&self.api.id, &self.stage.name, &self.verb);
        format!("arn:aws:execute-api:{region}:{account}:{api}/{stage}/{verb}/{path}")
    }

    /// As [`Self::method_arn`], with the resource's path: what permissions of functions name.
    pub(super) fn source_arn(&self) -> String {
        let (region, account) = (self.api.region.as_str(), self.api.account.as_str());
        let path = self.found.as_ref().map_or("/", |found| found.resource.path.as_str());
        let (api, stage, verb) = (&self.api.id, &self.stage.name, &self.verb);
        format!("arn:aws:execute-api:{region}:{account}:{api}/{stage}/{verb}{path}")
    }

    /// The value that a mapping names: `method.request.header.X`, `context.x`, `stageVariables.x`, `'text'`.
    pub(super) fn mapped(&self, source: &str) -> Option<String> {
        if let Some(text) = source.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            return Some(text.to_owned());
        }
        if let Some(name) = source.strip_prefix("stageVariables.") {
            return self.stage_variable(name).map(str::to_owned);
        }
        if let Some(path) = source.strip_prefix("context.") {
            return super::event::context_value(self, path).map(|value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            });
        }
        let source = source.strip_prefix("method.request.")?;
        if source == "body" {
            return Some(self.body_text().into_owned());
        }
        if let Some(path) = source.strip_prefix("body.") {
            let body: Value = serde_json::from_slice(&self.body).ok()?;
            let path = path.trim_start_matches("$.");
            let found = path.split('.').try_fold(&body, |at, key| at.get(key))?;
            return Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        }
        let (kind, name) = source.split_once('.')?;
        match kind {
            "header" => self.headers.header_text(name).map(str::to_owned),
            "multivalueheader" => self.headers.header(name).map(|values| values.join(",")),
            "querystring" => self.query.get(name)?.last().cloned(),
            "multivaluequerystring" => self.query.get(name).map(|values| values.join(",")),
            "path" => {
                let found = self.variables().iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// The user's ARN, if a signature was demanded.
    pub(super) fn user_arn(&self) -> Option<String> {
        let auth = self.caller.as_ref().ok().filter(|_| self.iam)?;
        Some(sts::caller_arn(auth))
    }
}

/// Whether `content_type` is one of an API's binary media types.
pub(super) fn is_binary(types: &[String], content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    types.iter().any(|known| known == "*/*" || known.eq_ignore_ascii_case(essence))
}

/// `Root=1-…`, the caller's if it has one.
fn trace(caller: Option<&str>, hex: &str, now_ms: u64) -> String {
    let root =
        caller.and_then(|text| text.split(';').find(|part| part.trim().starts_with("Root=")));
    match root.map(str::trim).filter(|root| root.len() == 40) {
        Some(root) => root.to_owned(),
        None => format!("Root=1-{:08x}-{}", now_ms / 1_000, &hex[..24]),
    }
}

/// The headers of `request` as functions see them, those of the front door added.
///
/// A client's own spelling is lost when it is parsed. With HTTP/1.1 names are written as AWS's samples have them,
/// `User-Agent`, with HTTP/2 in lower case, as they came.
fn headers(
    request: &nilas_wire::ApiRequest,
    protocol: &str,
    source_ip: &str,
    trace: &str,
) -> Multi {
    let spelt = |name: &HeaderName| match protocol {
        "HTTP/2.0" => name.as_str().to_owned(),
        _ => title_case(name.as_str()),
    };
    let added = ["x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"];
    let mut multi = Multi::default();
    for name in request.headers.keys() {
        if DROPPED.contains(&name.as_str()) || added.contains(&name.as_str()) {
            continue;
        }
        let values = request.headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        multi.push(spelt(name), values.collect());
    }
    let forwarded = match request.header("x-forwarded-for") {
        Some(before) => format!("{before}, {source_ip}"),
        None => source_ip.to_owned(),
    };
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let port = host.and_then(|host| host.rsplit_once(':')).map_or("80", |(_, port)| port);
    multi.push("X-Amzn-Trace-Id".to_owned(), vec![trace.to_owned()]);
    multi.push("X-Forwarded-For".to_owned(), vec![forwarded]);
    multi.push("X-Forwarded-Port".to_owned(), vec![port.to_owned()]);
    multi.push("X-Forwarded-Proto".to_owned(), vec!["http".to_owned()]);
    multi
}

fn title_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut capital = true;
    for c in name.chars() {
        out.push(if capital { c.to_ascii_uppercase() } else { c });
        capital = c == '-';
    }
    out
}
