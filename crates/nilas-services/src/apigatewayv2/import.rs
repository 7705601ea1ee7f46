//! OpenAPI documents with `x-amazon-apigateway-` extensions, as ImportApi, ReimportApi and SAM's `Body` have them.

use nilas_wire::Fault;
use serde_json::{Map, Value, json};

use super::fault::{absent, bad};
use super::members::{self, Members};
use super::part;
use super::record::{Definition, id};

const VERBS: [&str; 8] =
    ["delete", "get", "head", "options", "patch", "post", "put", "x-amazon-apigateway-any-method"];

/// The API that the request's `body`, a document as text, says.
pub(super) fn read(request: &[u8]) -> Result<Definition, Fault> {
    let request = members::body(request)?;
    let text = members::text(&request, "body").unwrap_or_default();
    // JSON is YAML, but not so quickly read.
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(_) => return Err(absent("import of documents other than OpenAPI 3.0 in JSON")),
    };
    if !document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")) {
        return Err(bad("Unsupported OpenAPI version: only OpenAPI 3.0 is imported"));
    }
    let mut definition = Definition { api: api(&document)?, ..Definition::default() };
    let authorizers = authorizers(&document, &mut definition)?;
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    for (path, item) in &paths {
        for verb in VERBS {
            let Some(operation) = item.get(verb) else { continue };
            // `/$default` stands for the route that takes all that no other does.
            let key = match (path.as_str(), verb) {
                ("/$default", _) => "$default".to_owned(),
                (path, "x-amazon-apigateway-any-method") => format!("ANY {path}"),
                (path, verb) => format!("{} {path}", verb.to_ascii_uppercase()),
            };
            let security = operation.get("security").or_else(|| document.get("security"));
            route(&document, &mut definition, key, operation, (security, &authorizers))?;
        }
    }
    Ok(definition)
}

fn api(document: &Value) -> Result<Members, Fault> {
    let mut api = Map::new();
    let title = document["info"]["title"].as_str().filter(|title| !title.is_empty());
    api.insert("name".to_owned(), title.ok_or_else(|| bad("The document has no title"))?.into());
    api.insert("protocolType".to_owned(), "HTTP".into());
    for (name, value) in [
        ("version", &document["info"]["version"]),
        ("description", &document["info"]["description"]),
    ] {
        if value.is_string() {
            api.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(cors) = document.get("x-amazon-apigateway-cors") {
        api.insert("corsConfiguration".to_owned(), cors.clone());
    }
    let tags = document["tags"].as_array().cloned().unwrap_or_default();
    let tags = tags.iter().filter_map(|tag| {
        let value = tag.get("x-amazon-apigateway-tag-value")?;
        Some((tag["name"].as_str()?.to_owned(), value.clone()))
    });
    api.insert("tags".to_owned(), Value::Object(tags.collect()));
    Ok(api)
}

/// A security scheme with the id of the authorizer made of it.
struct Scheme {
    name: String,
    id: String,
    is_jwt: bool,
}

fn authorizers(document: &Value, definition: &mut Definition) -> Result<Vec<Scheme>, Fault> {
    let mut made = Vec::new();
    let schemes = document["components"]["securitySchemes"].as_object().cloned();
    for (name, scheme) in schemes.unwrap_or_default() {
        let Some(said) = scheme.get("x-amazon-apigateway-authorizer") else { continue };
        let type_ = match said["type"].as_str() {
            Some("request") => "REQUEST",
            Some("jwt") => "JWT",
            _ => return Err(bad("Invalid authorizer type specified")),
        };
        let sources = said["identitySource"].as_str().unwrap_or_default();
        let sources: Vec<&str> =
            sources.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
        let mut authorizer = Members::new();
        let mut set = |to: &str, value: Value| {
            if !value.is_null() {
                authorizer.insert(to.to_owned(), value);
            }
        };
        set("name", name.as_str().into());
        set("authorizerType", type_.into());
        set("identitySource", sources.into());
        set("authorizerUri", said["authorizerUri"].clone());
        set("authorizerPayloadFormatVersion", said["authorizerPayloadFormatVersion"].clone());
        set("enableSimpleResponses", said["enableSimpleResponses"].clone());
        set("authorizerResultTtlInSeconds", said["authorizerResultTtlInSeconds"].clone());
        set("authorizerCredentialsArn", said["authorizerCredentials"].clone());
        set("jwtConfiguration", said["jwtConfiguration"].clone());
        part::complete_authorizer(&mut authorizer)?;
        let key = id(6);
        authorizer.insert("authorizerId".to_owned(), key.as_str().into());
        definition.authorizers.insert(key.clone(), authorizer);
        made.push(Scheme { name, id: key, is_jwt: type_ == "JWT" });
    }
    Ok(made)
}

fn route(
    document: &Value,
    definition: &mut Definition,
    key: String,
    operation: &Value,
    (security, schemes): (Option<&Value>, &[Scheme]),
) -> Result<(), Fault> {
    part::check_route_key(&key)?;
    let mut said = operation.get("x-amazon-apigateway-integration").cloned();
    if let Some(name) = said.as_ref().and_then(|said| said["$ref"].as_str()) {
        let name = name.rsplit('/').next().unwrap_or_default();
        said = document["components"]["x-amazon-apigateway-integrations"].get(name).cloned();
    }
    let Some(said) = said else {
        // AWS warns of such an operation and makes no route of it.
        return Ok(());
    };
    let mut integration = Members::new();
    let kind = said["type"].as_str().unwrap_or_default().to_ascii_uppercase();
    integration.insert("integrationType".to_owned(), kind.into());
    for (from, to) in [
        ("uri", "integrationUri"),
        ("payloadFormatVersion", "payloadFormatVersion"),
        ("httpMethod", "integrationMethod"),
        ("credentials", "credentialsArn"),
        ("timeoutInMillis", "timeoutInMillis"),
        ("connectionType", "connectionType"),
        ("connectionId", "connectionId"),
        ("integrationSubtype", "integrationSubtype"),
        ("requestParameters", "requestParameters"),
        ("responseParameters", "responseParameters"),
    ] {
        if let Some(value) = said.get(from).filter(|value| !value.is_null()) {
            integration.insert(to.to_owned(), value.clone());
        }
    }
    super::integration::complete(&mut integration)?;
    let (integration_id, route_id) = (id(7), id(7));
    integration.insert("integrationId".to_owned(), integration_id.as_str().into());
    definition.integrations.insert(integration_id.clone(), integration);
    let mut route = Members::new();
    route.insert("apiKeyRequired".to_owned(), json!(false));
    route.insert("authorizationType".to_owned(), json!("NONE"));
    route.insert("routeId".to_owned(), route_id.as_str().into());
    route.insert("routeKey".to_owned(), key.into());
    route.insert("target".to_owned(), format!("integrations/{integration_id}").into());
    if let Some(name) = operation["operationId"].as_str() {
        route.insert("operationName".to_owned(), name.into());
    }
    authorize(&mut route, security, schemes)?;
    definition.routes.insert(route_id, route);
    Ok(())
}

/// A scheme that is named and not known must not leave the route open to all.
fn authorize(
    route: &mut Members,
    security: Option<&Value>,
    schemes: &[Scheme],
) -> Result<(), Fault> {
    let names = security.and_then(Value::as_array).into_iter().flatten();
    for (name, scopes) in names.filter_map(Value::as_object).flatten() {
        if name.eq_ignore_ascii_case("AWS_IAM") || name == "sigv4" {
            route.insert("authorizationType".to_owned(), json!("AWS_IAM"));
            continue;
        }
        let known = schemes.iter().find(|known| known.name == *name);
        let known = known.ok_or_else(|| bad(format!("Unknown security scheme: {name}")))?;
        let Scheme { id, is_jwt, .. } = known;
        let kind = if *is_jwt { "JWT" } else { "CUSTOM" };
        route.insert("authorizationType".to_owned(), kind.into());
        route.insert("authorizerId".to_owned(), id.as_str().into());
        if *is_jwt && scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
            route.insert("authorizationScopes".to_owned(), scopes.clone());
        }
    }
    Ok(())
}
