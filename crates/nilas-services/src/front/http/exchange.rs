//! One request to a stage, as all steps of its way see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::AuthContext;
use nilas_wire::{ApiRequest, Fault, percent};
use serde_json::{Map, Value};

use super::routes::Found;
use super::snapshot::{ApiSnapshot, Route, Stage};
use crate::front::{FrontRequest, Place};

#[derive(Debug)]
pub(in crate::front) struct Exchange {
    pub(in crate::front) api: Arc<ApiSnapshot>,
    pub(in crate::front) stage: String,
    pub(in crate::front) deployment: String,
    pub(in crate::front) variables: Vec<(String, String)>,
    pub(in crate::front) found: Found,
    pub(in crate::front) request: ApiRequest,
    /// With the stage, unless that is `$default`; percent-decoded.
    pub(in crate::front) path: String,
    /// Names in lower case, in their order; many values of one name joined by commas.
    pub(in crate::front) headers: BTreeMap<String, String>,
    pub(in crate::front) source_ip: String,
    pub(in crate::front) protocol: &'static str,
    pub(in crate::front) caller: Result<AuthContext, Fault>,
    pub(in crate::front) now_ms: u64,
    pub(in crate::front) authorizer: Authorized,
    /// Of a WebSocket's.
    pub(in crate::front) connection_id: Option<String>,
    /// What the integration's parameters make of the path.
    pub(super) mapped_path: Option<String>,
    pub(super) domain: Option<CustomDomain>,
}

/// The custom domain by which a request came.
#[derive(Debug)]
pub(super) struct CustomDomain {
    pub(super) host: String,
    /// Base path and all, percent-decoded.
    pub(super) path: String,
}

/// What is known of a caller when the integration is asked.
#[derive(Debug, Default)]
pub(in crate::front) enum Authorized {
    #[default]
    Nobody,
    Iam,
    Lambda(Map<String, Value>),
    /// Claims as text, and the scopes that the route asks for.
    Jwt {
        claims: Map<String, Value>,
        scopes: Vec<String>,
    },
}

impl CustomDomain {
    pub(super) fn of(place: &Place) -> Option<Self> {
        match place {
            Place::Mapped { host, sent, .. } => {
                let path = percent::decode(sent).into_owned();
                Some(Self { host: host.clone(), path })
            }
            Place::Path(_) | Place::Stage { .. } => None,
        }
    }
}

impl Exchange {
    /// Headers as an integration gets them: those of the connection left out, those of the API's own put in.
    pub(super) fn headers(
        request: &ApiRequest,
        source_ip: &str,
        now_ms: u64,
    ) -> BTreeMap<String, String> {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &request.headers {
            if ["connection", "transfer-encoding", "te", "upgrade", "keep-alive"]
                .contains(&name.as_str())
            {
                continue;
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|known| *known = format!("{known},{value}"))
                .or_insert_with(|| value.into_owned());
        }
        headers
            .entry("content-length".to_owned())
            .or_insert_with(|| request.body.len().to_string());
        headers
            .entry("x-forwarded-for".to_owned())
            .and_modify(|known| *known = format!("{known}, {source_ip}"))
            .or_insert_with(|| source_ip.to_owned());
        headers.insert("x-forwarded-port".to_owned(), request.local.port().to_string());
        headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
        headers.entry("x-amzn-trace-id".to_owned()).or_insert_with(|| {
            format!("Root=1-{:08x}-{}", now_ms / 1_000, &request.request_id.hex()[..24])
        });
        headers
    }

    pub(super) fn trace(&self) -> Option<&str> {
        self.headers.get("x-amzn-trace-id").map(String::as_str)
    }

    pub(in crate::front) fn domain_name(&self) -> String {
        if let Some(domain) = &self.domain {
            return domain.host.clone();
        }
        let host = self.request.header("host").unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        if host.starts_with(&self.api.id) {
            return host.to_owned();
        }
        format!("{}.execute-api.{}.localhost", self.api.id, self.api.region)
    }

    /// Names with all their values, decoded, in the order they came.
    pub(in crate::front) fn query(&self) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in percent::query_pairs(&self.request.query) {
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value.into_owned()),
                None => all.push((name.into_owned(), vec![value.into_owned()])),
            }
        }
        all
    }

    /// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/GET/pets`: whom policies and authorizers know it by.
    pub(super) fn arn(&self) -> String {
        let Self { api, stage, found, .. } = self;
        let route = found.route.key.replacen(' ', "", 1);
        format!("arn:aws:execute-api:{}:{}:{}/{stage}/{route}", api.region, api.account, api.id)
    }

    /// The request that connects a WebSocket, at `route` if there is one for it.
    pub(in crate::front) fn of_socket(
        api: &Arc<ApiSnapshot>,
        stage: &Stage,
        route: Option<Arc<Route>>,
        (place, front): (&Place, FrontRequest),
        now_ms: u64,
    ) -> Self {
        let source_ip = front.request.source_ip.to_string();
        Self {
            api: Arc::clone(api),
            stage: stage.name.clone(),
            deployment: stage.deployment.clone(),
            variables: stage.variables.clone(),
            found: Found { route: route.unwrap_or_default(), variables: Vec::new() },
            headers: Self::headers(&front.request, &source_ip, now_ms),
            path: percent::decode(&front.request.path).into_owned(),
            request: front.request,
            source_ip,
            protocol: front.protocol,
            caller: front.caller,
            now_ms,
            authorizer: Authorized::Nobody,
            connection_id: None,
            mapped_path: None,
            domain: CustomDomain::of(place),
        }
    }

    /// Where the stage is found again.
    pub(in crate::front) fn stage_place(&self) -> Place {
        Place::Stage { stage: self.stage.clone(), path: "/".to_owned() }
    }

    /// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/$connect`
    pub(in crate::front) fn socket_arn(&self, route: &str) -> String {
        let Self { api, stage, .. } = self;
        format!("arn:aws:execute-api:{}:{}:{}/{stage}/{route}", api.region, api.account, api.id)
    }

    /// As a route's caller sees it: the verb and path that were asked for.
    pub(super) fn request_arn(&self) -> String {
        if self.connection_id.is_some() {
            return self.socket_arn("$connect");
        }
        let Self { api, stage, request, .. } = self;
        let path = self.path_below_stage();
        format!(
            "arn:aws:execute-api:{}:{}:{}/{stage}/{}{path}",
            api.region, api.account, api.id, request.method
        )
    }

    /// Percent-decoded, beginning with a slash.
    pub(super) fn path_below_stage(&self) -> &str {
        match self.stage.as_str() {
            "$default" => self.path.as_str(),
            stage => self
                .path
                .strip_prefix('/')
                .and_then(|p| p.strip_prefix(stage))
                .unwrap_or(&self.path),
        }
    }

    /// The body and whether it is base64: text is what says it is, and is.
    pub(super) fn body(&self) -> (Option<String>, bool) {
        let bytes = &self.request.body;
        if bytes.is_empty() {
            return (None, false);
        }
        let content_type = self.headers.get("content-type").map_or("", String::as_str);
        let text = is_text(content_type).then(|| std::str::from_utf8(bytes).ok()).flatten();
        match text {
            Some(text) => (Some(text.to_owned()), false),
            None => (Some(BASE64.encode(bytes)), true),
        }
    }
}

fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty()
        || essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || ["application/json", "application/javascript", "application/xml"]
            .contains(&essence.as_str())
}
