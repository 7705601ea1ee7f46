//! CORS, which an HTTP API answers itself.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nilas_wire::{ApiRequest, ApiResponse};
use serde_json::Value;

#[derive(Debug)]
pub(super) struct Cors {
    credentials: bool,
    origins: Vec<String>,
    headers: String,
    methods: String,
    expose: String,
    max_age_s: Option<i64>,
}

impl Cors {
    pub(super) fn of(said: &Value) -> Self {
        let list = |name: &str| -> Vec<String> {
            let items = said[name].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            credentials: said["allowCredentials"].as_bool().unwrap_or_default(),
            origins: list("allowOrigins"),
            headers: list("allowHeaders").join(",").to_ascii_lowercase(),
            methods: list("allowMethods").join(",").to_ascii_uppercase(),
            expose: list("exposeHeaders").join(",").to_ascii_lowercase(),
            max_age_s: said["maxAge"].as_i64(),
        }
    }

    /// The answer to a preflight request, which no route sees.
    pub(super) fn preflight(&self, request: &ApiRequest) -> Option<ApiResponse> {
        let origin = request.header("origin")?;
        let wanted = request.header("access-control-request-method");
        if request.method != Method::OPTIONS || wanted.is_none() {
            return None;
        }
        let mut response = ApiResponse::empty(StatusCode::NO_CONTENT);
        if self.allow(origin, &mut response.headers) {
            let headers = &mut response.headers;
            set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods);
            set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers);
            if let Some(seconds) = self.max_age_s {
                set(headers, header::ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
            }
        }
        Some(response)
    }

    /// The API's headers in the place of those that the integration answered.
    pub(super) fn apply(&self, origin: Option<&str>, response: &mut ApiResponse) {
        let headers = &mut response.headers;
        for name in [
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_ALLOW_METHODS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            header::ACCESS_CONTROL_MAX_AGE,
        ] {
            headers.remove(name);
        }
        if let Some(origin) = origin
            && self.allow(origin, headers)
        {
            set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose);
        }
    }

    /// Allows `origin` if the API does; it is named itself unless all are allowed.
    fn allow(&self, origin: &str, headers: &mut HeaderMap) -> bool {
        let fits = |known: &&String| match known.as_str() {
            "*" => true,
            // `https://*` and `http://*` stand for all of their scheme.
            known => match known.strip_suffix('*') {
                Some(prefix) => origin.starts_with(prefix),
                None => known.eq_ignore_ascii_case(origin),
            },
        };
        let Some(known) = self.origins.iter().find(fits) else { return false };
        let shown = if known == "*" && !self.credentials { "*" } else { origin };
        set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, shown);
        if self.credentials {
            set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        true
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}
