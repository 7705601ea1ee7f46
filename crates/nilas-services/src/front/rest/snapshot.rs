//! REST APIs as the data plane sees them: immutable, replaced whole when a deployment or a stage changes.

use std::collections::HashMap;
use std::sync::Arc;

use nilas_model::{AccountId, Region};
use regex::Regex;
use serde_json::Value;

use super::policy::Policy;
use super::schema::Schema;
use crate::apigateway::{
    ApiRecord, Definition, DeploymentRecord, Members, flag, pairs, text, texts, validates,
};
use crate::front::throttle::Throttle;

/// One API with its stages.
#[derive(Debug)]
pub(crate) struct ApiSnapshot {
    pub(super) id: String,
    pub(super) account: AccountId,
    pub(super) region: Region,
    /// Only its custom domains lead to it.
    pub(super) endpoint_disabled: bool,
    pub(super) stages: HashMap<String, Arc<StageSnapshot>>,
    /// By deployment.
    pub(super) routes: HashMap<String, Arc<Routes>>,
}

#[derive(Debug)]
pub(crate) struct StageSnapshot {
    pub(super) name: String,
    pub(super) deployment: String,
    pub(super) variables: Vec<(String, String)>,
    /// By `pets/{id}/GET`, with `*` for any resource or method.
    pub(super) throttles: HashMap<String, Throttle>,
    pub(super) routes: Arc<Routes>,
}

/// One deployment, ready to be matched.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    root: Node,
    pub(super) binary_types: Vec<String>,
    pub(super) key_from_authorizer: bool,
    pub(super) policy: Option<Policy>,
    pub(super) responses: HashMap<String, GatewayResponse>,
    pub(super) authorizers: HashMap<String, Arc<Authorizer>>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Self>,
    variable: Option<(String, Box<Self>)>,
    greedy: Option<(String, Arc<Resource>)>,
    resource: Option<Arc<Resource>>,
}

#[derive(Debug)]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) path: String,
    /// By verb, `ANY` among them.
    methods: HashMap<String, Arc<Method>>,
}

#[derive(Debug)]
pub(super) struct Method {
    pub(super) verb: String,
    pub(super) authorization: Authorization,
    pub(super) key_required: bool,
    pub(super) operation_name: Option<String>,
    /// Parameters that must be there, as `method.request.header.X`.
    pub(super) required_parameters: Vec<String>,
    /// Schemas of the body by content type, if the body is validated.
    pub(super) body_models: Option<HashMap<String, Arc<Schema>>>,
    pub(super) integration: Integration,
}

#[derive(Debug, Clone)]
pub(super) enum Authorization {
    None,
    Iam,
    /// The authorizer's id; one that is gone denies all.
    Custom(String),
}

#[derive(Debug)]
pub(super) struct Authorizer {
    pub(super) id: String,
    pub(super) is_token: bool,
    pub(super) uri: String,
    /// As `method.request.header.Authorization`.
    pub(super) sources: Vec<String>,
    pub(super) validation: Option<Regex>,
    pub(super) ttl_s: u64,
    pub(super) has_credentials: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lambda,
    LambdaProxy,
    Http,
    HttpProxy,
    Mock,
    /// A service of AWS's other than Lambda.
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passthrough {
    WhenNoMatch,
    WhenNoTemplates,
    Never,
}

#[derive(Debug)]
pub(super) struct Integration {
    pub(super) kind: Kind,
    pub(super) uri: String,
    pub(super) verb: String,
    pub(super) has_credentials: bool,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) templates: Vec<(String, String)>,
    pub(super) passthrough: Passthrough,
    pub(super) handling: Option<Handling>,
    pub(super) timeout_ms: u64,
    /// Response transfer mode `STREAM`.
    pub(super) streams: bool,
    pub(super) responses: Vec<IntegrationResponse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handling {
    ToBinary,
    ToText,
}

#[derive(Debug)]
pub(super) struct IntegrationResponse {
    pub(super) status: u16,
    /// None is the default response.
    pub(super) pattern: Option<Regex>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) templates: Vec<(String, String)>,
    pub(super) handling: Option<Handling>,
}

#[derive(Debug)]
pub(super) struct GatewayResponse {
    pub(super) status: Option<u16>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) templates: Vec<(String, String)>,
}

/// A method that was found, with the values of the path's variables, decoded.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) resource: Arc<Resource>,
    pub(super) method: Arc<Method>,
    pub(super) variables: Vec<(String, String)>,
}

// === impl ApiSnapshot ===

impl ApiSnapshot {
    /// `record`, its deployments in `routes` by id. Stages whose deployment is not there are left out.
    pub(crate) fn of(record: &ApiRecord, routes: &HashMap<String, Arc<Routes>>) -> Self {
        let stage = |(name, stage): (&String, &Members)| {
            let deployment = text(stage, "deploymentId")?;
            let snapshot = StageSnapshot {
                name: name.clone(),
                deployment: deployment.to_owned(),
                variables: pairs(stage, "variables"),
                throttles: throttles(stage),
                routes: Arc::clone(routes.get(deployment)?),
            };
            Some((name.clone(), Arc::new(snapshot)))
        };
        Self {
            id: record.id.clone(),
            account: AccountId::parse(&record.account).expect("the account of whoever made it"),
            region: Region::parse(&record.region).expect("the region of whoever made it"),
            endpoint_disabled: flag(&record.api, "disableExecuteApiEndpoint"),
            stages: record.stages.iter().filter_map(stage).collect(),
            routes: routes.clone(),
        }
    }
}

fn throttles(stage: &Members) -> HashMap<String, Throttle> {
    let settings = stage.get("methodSettings").and_then(Value::as_object);
    let throttle = |(method, setting): (&String, &Value)| {
        Some((method.clone(), throttle(setting, "throttlingRateLimit", "throttlingBurstLimit")?))
    };
    settings.into_iter().flatten().filter_map(throttle).collect()
}

/// The limits in `members`; none if it says none.
pub(super) fn throttle(members: &Value, rate: &str, burst: &str) -> Option<Throttle> {
    let rate_per_s = members.get(rate)?.as_f64()?;
    let burst = members.get(burst).and_then(Value::as_f64).unwrap_or(rate_per_s);
    Some(Throttle { rate_per_s, burst })
}

// === impl Routes ===

impl Routes {
    pub(crate) fn of(deployment: &DeploymentRecord) -> Self {
        let DeploymentRecord { api, definition } = deployment;
        let responses = definition.responses.iter();
        let authorizers = definition.authorizers.iter();
        let mut routes = Self {
            root: Node::default(),
            binary_types: texts(api, "binaryMediaTypes"),
            key_from_authorizer: text(api, "apiKeySource") == Some("AUTHORIZER"),
            policy: text(api, "policy").filter(|text| !text.is_empty()).map(Policy::parse),
            responses: responses
                .map(|(name, response)| (name.clone(), GatewayResponse::of(response)))
                .collect(),
            authorizers: authorizers
                .map(|(id, authorizer)| (id.clone(), Arc::new(Authorizer::of(id, authorizer))))
                .collect(),
        };
        for resource in definition.resources.values().filter(|known| !known.methods.is_empty()) {
            let methods = resource.methods.iter().filter_map(|(verb, method)| {
                Some((verb.clone(), Arc::new(Method::of(verb, method, definition)?)))
            });
            let compiled = Arc::new(Resource {
                id: resource.id.clone(),
                path: resource.path.clone(),
                methods: methods.collect(),
            });
            routes.root.put(&segments(&resource.path), compiled);
        }
        routes
    }

    /// The method for a request of `verb` to `path`, which is percent-encoded. Literal parts go before variables,
    /// those before greedy ones; what has no such method is passed over.
    pub(super) fn find(&self, verb: &str, path: &str) -> Option<Found> {
        let raw = segments(path);
        let decoded: Vec<String> =
            raw.iter().map(|part| nilas_wire::percent::decode(part).into_owned()).collect();
        let mut variables = Vec::new();
        let (resource, method) = self.root.find(verb, &decoded, &mut variables)?;
        Some(Found { resource, method, variables })
    }
}

/// The parts of a path; a slash at its end means nothing.
fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() { Vec::new() } else { path.split('/').collect() }
}

impl Node {
    fn put(&mut self, parts: &[&str], resource: Arc<Resource>) {
        let Some((part, rest)) = parts.split_first() else {
            self.resource = Some(resource);
            return;
        };
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            return self.literals.entry((*part).to_owned()).or_default().put(rest, resource);
        };
        match name.strip_suffix('+') {
            Some(name) => self.greedy = Some((name.to_owned(), resource)),
            None => {
                let variable =
                    self.variable.get_or_insert_with(|| (name.to_owned(), Box::default()));
                variable.1.put(rest, resource);
            }
        }
    }

    fn find(
        &self,
        verb: &str,
        parts: &[String],
        variables: &mut Vec<(String, String)>,
    ) -> Option<(Arc<Resource>, Arc<Method>)> {
        let Some((part, rest)) = parts.split_first() else {
            return self.resource.as_ref().and_then(|resource| resource.method(verb));
        };
        if let Some(found) =
            self.literals.get(part).and_then(|node| node.find(verb, rest, variables))
        {
            return Some(found);
        }
        if let Some((name, node)) = &self.variable
            && !part.is_empty()
        {
            let known = variables.len();
            variables.push((name.clone(), part.clone()));
            if let Some(found) = node.find(verb, rest, variables) {
                return Some(found);
            }
            variables.truncate(known);
        }
        let (name, resource) = self.greedy.as_ref()?;
        let found = resource.method(verb)?;
        variables.push((name.clone(), parts.join("/")));
        Some(found)
    }
}

impl Resource {
    fn method(self: &Arc<Self>, verb: &str) -> Option<(Arc<Self>, Arc<Method>)> {
        let method = self.methods.get(verb).or_else(|| self.methods.get("ANY"))?;
        Some((Arc::clone(self), Arc::clone(method)))
    }
}

impl Method {
    fn of(verb: &str, method: &Members, definition: &Definition) -> Option<Self> {
        let validator =
            text(method, "requestValidatorId").and_then(|id| definition.validators.get(id));
        let (checks_body, checks_parameters) = validator.map_or((false, false), validates);
        let parameters = method.get("requestParameters").and_then(Value::as_object);
        let required =
            parameters.into_iter().flatten().filter(|(_, flag)| flag == &&Value::Bool(true));
        let models = || {
            let schema = |(content_type, name): (String, String)| {
                let model = definition.models.get(&name)?;
                Some((content_type, Arc::new(Schema::parse(text(model, "schema")?, definition))))
            };
            pairs(method, "requestModels").into_iter().filter_map(schema).collect()
        };
        Some(Self {
            verb: verb.to_owned(),
            authorization: match text(method, "authorizationType") {
                Some("AWS_IAM") => Authorization::Iam,
                Some("CUSTOM" | "COGNITO_USER_POOLS") => Authorization::Custom(
                    text(method, "authorizerId").unwrap_or_default().to_owned(),
                ),
                _ => Authorization::None,
            },
            key_required: flag(method, "apiKeyRequired"),
            operation_name: text(method, "operationName").map(str::to_owned),
            required_parameters: match checks_parameters {
                true => required.map(|(name, _)| name.clone()).collect(),
                false => Vec::new(),
            },
            body_models: checks_body.then(models),
            integration: Integration::of(method.get("methodIntegration")?.as_object()?),
        })
    }
}

impl Authorizer {
    fn of(id: &str, authorizer: &Members) -> Self {
        let sources = text(authorizer, "identitySource").unwrap_or_default().split(',');
        let expression = text(authorizer, "identityValidationExpression");
        let ttl = authorizer.get("authorizerResultTtlInSeconds").and_then(Value::as_u64);
        Self {
            id: id.to_owned(),
            is_token: text(authorizer, "type") == Some("TOKEN"),
            uri: text(authorizer, "authorizerUri").unwrap_or_default().to_owned(),
            sources: sources
                .map(|source| source.trim().to_owned())
                .filter(|source| !source.is_empty())
                .collect(),
            validation: expression.filter(|text| !text.is_empty()).and_then(whole),
            ttl_s: ttl.unwrap_or(300),
            has_credentials: text(authorizer, "authorizerCredentials")
                .is_some_and(|text| !text.is_empty()),
        }
    }
}

/// An expression that must match all of a text, as Java's `matches` does.
fn whole(expression: &str) -> Option<Regex> {
    Regex::new(&format!("^(?s:{expression})$"))
        .inspect_err(|error| tracing::warn!(expression, %error, "expression not understood"))
        .ok()
}

impl Integration {
    fn of(integration: &Members) -> Self {
        let uri = text(integration, "uri").unwrap_or_default().to_owned();
        let is_lambda = uri.contains(":lambda:");
        let kind = match text(integration, "type") {
            Some("AWS_PROXY") => Kind::LambdaProxy,
            Some("AWS") if is_lambda => Kind::Lambda,
            Some("AWS") => Kind::Service,
            Some("HTTP") => Kind::Http,
            Some("HTTP_PROXY") => Kind::HttpProxy,
            _ => Kind::Mock,
        };
        let responses = integration.get("integrationResponses").and_then(Value::as_object);
        let responses = responses.into_iter().flatten().filter_map(|(status, response)| {
            IntegrationResponse::of(status, response.as_object()?)
        });
        Self {
            kind,
            uri,
            verb: text(integration, "httpMethod").unwrap_or_default().to_owned(),
            has_credentials: text(integration, "credentials").is_some_and(|text| !text.is_empty()),
            parameters: pairs(integration, "requestParameters"),
            templates: pairs(integration, "requestTemplates"),
            passthrough: match text(integration, "passthroughBehavior") {
                Some("WHEN_NO_TEMPLATES") => Passthrough::WhenNoTemplates,
                Some("NEVER") => Passthrough::Never,
                _ => Passthrough::WhenNoMatch,
            },
            handling: handling(integration),
            timeout_ms: integration
                .get("timeoutInMillis")
                .and_then(Value::as_u64)
                .unwrap_or(29_000),
            streams: text(integration, "responseTransferMode") == Some("STREAM"),
            responses: responses.collect(),
        }
    }
}

impl IntegrationResponse {
    fn of(status: &str, response: &Members) -> Option<Self> {
        let pattern = text(response, "selectionPattern").filter(|text| !text.is_empty());
        Some(Self {
            status: status.parse().ok()?,
            pattern: pattern.and_then(whole),
            parameters: pairs(response, "responseParameters"),
            templates: pairs(response, "responseTemplates"),
            handling: handling(response),
        })
    }
}

fn handling(members: &Members) -> Option<Handling> {
    match text(members, "contentHandling")? {
        "CONVERT_TO_BINARY" => Some(Handling::ToBinary),
        "CONVERT_TO_TEXT" => Some(Handling::ToText),
        _ => None,
    }
}

impl GatewayResponse {
    fn of(response: &Members) -> Self {
        Self {
            status: text(response, "statusCode").and_then(|status| status.parse().ok()),
            parameters: pairs(response, "responseParameters"),
            templates: pairs(response, "responseTemplates"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn routes(paths: &[(&str, &str)]) -> Routes {
        let mut definition = Definition::default();
        for (verb, path) in paths {
            let resource = json!({
                "id": path, "parent": null, "path_part": null, "path": path,
                "methods": { *verb: { "methodIntegration": { "type": "MOCK" } } },
            });
            let resource = serde_json::from_value(resource).unwrap();
            definition.resources.insert((*path).to_owned(), resource);
        }
        Routes::of(&DeploymentRecord { api: Members::new(), definition })
    }

    #[test]
    fn literals_go_before_variables_and_those_before_greedy_ones() {
        let routes = routes(&[
            ("ANY", "/"),
            ("GET", "/pets"),
            ("GET", "/pets/{id}"),
            ("GET", "/pets/mine"),
            ("ANY", "/pets/{id}/toys"),
            ("ANY", "/{proxy+}"),
        ]);
        let check = |verb, path, expected: &str, variables: &[(&str, &str)]| {
            let found = routes.find(verb, path).unwrap();
            assert_eq!(found.resource.path, expected, "{path}");
            let found: Vec<_> =
                found.variables.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(found, variables, "{path}");
        };
        check("GET", "/", "/", &[]);
        check("GET", "/pets/", "/pets", &[]);
        check("GET", "/pets/mine", "/pets/mine", &[]);
        check("GET", "/pets/a%20b", "/pets/{id}", &[("id", "a b")]);
        check("PUT", "/pets/1/toys", "/pets/{id}/toys", &[("id", "1")]);
        check("POST", "/pets/1", "/{proxy+}", &[("proxy", "pets/1")]);
        check("GET", "/x//y", "/{proxy+}", &[("proxy", "x//y")]);
    }

    #[test]
    fn what_has_no_method_is_not_found() {
        let routes = routes(&[("GET", "/pets/{id}")]);
        assert!(routes.find("POST", "/pets/1").is_none());
        assert!(routes.find("GET", "/pets").is_none());
        assert!(routes.find("GET", "/").is_none());
    }
}
