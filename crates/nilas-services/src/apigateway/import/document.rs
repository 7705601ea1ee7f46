//! An OpenAPI document, and what it says of an API as a whole.

use std::collections::BTreeMap;

use nilas_wire::Fault;
use serde_json::{Map, Value};

use super::super::fault::bad;
use super::super::part::{self, Kind};
use super::super::record::Definition;
use super::super::resource;
use super::super::shape::{self, Members, text};
use super::super::tables;
use super::{DEPTH_MAX, operation};

/// A document of either version.
#[derive(Debug)]
pub(super) struct Document {
    root: Map<String, Value>,
    is_swagger: bool,
}

/// What operations name: by the name they use, what the API has for it.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Ids of authorizers by the name of their scheme.
    pub(super) authorizers: BTreeMap<String, String>,
    /// Schemes of API keys, and those that sign.
    pub(super) key_schemes: Vec<String>,
    pub(super) iam_schemes: Vec<String>,
    /// Ids of validators by name.
    pub(super) validators: BTreeMap<String, String>,
}

impl Document {
    /// JSON or YAML.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let invalid = |why: String| {
            bad(format!(
                "Invalid OpenAPI input. The following errors with the input file have been reported: {why}"
            ))
        };
        let text = std::str::from_utf8(body).map_err(|_| invalid("not UTF-8".to_owned()))?;
        let root = match serde_json::from_str::<Value>(text) {
            Ok(root) => root,
            Err(_) if !text.trim_start().starts_with('{') => yaml(text).map_err(invalid)?,
            Err(error) => return Err(invalid(error.to_string())),
        };
        let Value::Object(root) = root else { return Err(invalid("not an object".to_owned())) };
        let version = |name: &str| {
            root.get(name).map(|version| match version {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        };
        let is_swagger = match (version("swagger"), version("openapi")) {
            (Some(version), _) if version.starts_with('2') => true,
            (_, Some(version)) if version.starts_with("3.") => false,
            _ => {
                return Err(invalid(
                    "Unsupported version: swagger 2.0 and openapi 3.0 are supported".to_owned(),
                ));
            }
        };
        Ok(Self { root, is_swagger })
    }

    /// Members of the API itself.
    pub(super) fn api(&self) -> Result<Members, Fault> {
        let mut api = Members::new();
        let info = self.root.get("info").and_then(Value::as_object);
        for (from, to) in
            [("title", "name"), ("description", "description"), ("version", "version")]
        {
            let found = info.and_then(|info| info.get(from));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                Some(number @ Value::Number(_)) => number.to_string(),
                _ => continue,
            };
            api.insert(to.to_owned(), text.into());
        }
        if text(&api, "name").is_none_or(str::is_empty) {
            return Err(bad("Invalid OpenAPI input: the document has no title"));
        }
        for (extension, member) in [
            ("binary-media-types", "binaryMediaTypes"),
            ("minimum-compression-size", "minimumCompressionSize"),
            ("api-key-source", "apiKeySource"),
        ] {
            if let Some(value) = self.extension(extension) {
                api.insert(member.to_owned(), value.clone());
            }
        }
        if let Some(policy) = self.extension("policy") {
            let text = policy.as_str().map_or_else(|| policy.to_string(), str::to_owned);
            api.insert("policy".to_owned(), text.into());
        }
        let endpoint = self.extension("endpoint-configuration");
        if let Some(disabled) = endpoint.and_then(|given| given.get("disableExecuteApiEndpoint")) {
            api.insert("disableExecuteApiEndpoint".to_owned(), disabled.clone());
        }
        shape::take(tables::REST_API, &api)
    }

    pub(super) fn tags(&self) -> Option<Value> {
        let tags: Map<String, Value> = self
            .root
            .get("tags")?
            .as_array()?
            .iter()
            .filter_map(|tag| {
                let value = tag.get("x-amazon-apigateway-tag-value")?;
                Some((tag.get("name")?.as_str()?.to_owned(), value.as_str()?.into()))
            })
            .collect();
        (!tags.is_empty()).then(|| tags.into())
    }

    pub(super) fn base_path(&self) -> String {
        let base = if self.is_swagger {
            self.root.get("basePath").and_then(Value::as_str).unwrap_or_default().to_owned()
        } else {
            let server = self.root.get("servers").and_then(|servers| servers.get(0));
            let variable = server.and_then(|server| server.pointer("/variables/basePath/default"));
            variable.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let base = base.trim_matches('/');
        if base.is_empty() { String::new() } else { format!("/{base}") }
    }

    fn extension(&self, name: &str) -> Option<&Value> {
        self.root.get(&format!("x-amazon-apigateway-{name}"))
    }

    /// Puts all that the document has into `definition`.
    pub(super) fn apply(&self, definition: &mut Definition, base: &str) -> Result<(), Fault> {
        let named =
            Named { validators: self.validators(definition)?, ..self.security(definition)? };
        self.models(definition)?;
        let responses = self.extension("gateway-responses").and_then(Value::as_object);
        for (name, response) in responses.into_iter().flatten() {
            part::check_response_type(name)?;
            let mut members = object(response)?.clone();
            if let Some(Value::Number(status)) = members.get("statusCode") {
                let status = status.to_string();
                members.insert("statusCode".to_owned(), status.into());
            }
            let members = shape::take(tables::GATEWAY_RESPONSE, &members)?;
            definition.responses.insert(name.clone(), part::own_response(name, members)?);
        }
        let default_validator = self.extension("request-validator").and_then(Value::as_str);
        let paths = self.root.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            let item = object(item)?;
            let id = ensure(definition, &format!("{base}{path}"))?;
            let shared = item.get("parameters").and_then(Value::as_array);
            for (verb, operation) in item {
                let verb = match verb.as_str() {
                    "x-amazon-apigateway-any-method" => "ANY".to_owned(),
                    "get" | "put" | "post" | "delete" | "options" | "head" | "patch" => {
                        verb.to_ascii_uppercase()
                    }
                    _ => continue,
                };
                let reading = operation::Reading {
                    document: self,
                    named: &named,
                    shared: shared.map_or(&[], Vec::as_slice),
                    default_validator,
                };
                let method = reading.method(definition, &id, &verb, object(operation)?)?;
                if let Some(resource) = definition.resources.get_mut(&id) {
                    resource.methods.insert(verb, method);
                }
            }
        }
        Ok(())
    }

    /// Schemes of `securityDefinitions`; those with an authorizer become one.
    fn security(&self, definition: &mut Definition) -> Result<Named, Fault> {
        let mut named = Named::default();
        let schemes = match self.is_swagger {
            true => self.root.get("securityDefinitions"),
            false => self.root.get("components").and_then(|parts| parts.get("securitySchemes")),
        };
        for (name, scheme) in schemes.and_then(Value::as_object).into_iter().flatten() {
            let scheme = object(scheme)?;
            let authorizer =
                scheme.get("x-amazon-apigateway-authorizer").and_then(Value::as_object);
            if let Some(given) = authorizer {
                let id = add_authorizer(definition, name, scheme, given)?;
                named.authorizers.insert(name.clone(), id);
            } else if text(scheme, "x-amazon-apigateway-authtype")
                .is_some_and(|kind| kind.eq_ignore_ascii_case("awsSigv4"))
            {
                named.iam_schemes.push(name.clone());
            } else if text(scheme, "type") == Some("apiKey") {
                named.key_schemes.push(name.clone());
            }
        }
        Ok(named)
    }

    fn validators(&self, definition: &mut Definition) -> Result<BTreeMap<String, String>, Fault> {
        let mut ids = BTreeMap::new();
        let validators = self.extension("request-validators").and_then(Value::as_object);
        for (name, validator) in validators.into_iter().flatten() {
            let mut members = shape::take(tables::REQUEST_VALIDATOR, object(validator)?)?;
            members.insert("name".to_owned(), name.as_str().into());
            let known =
                definition.validators.iter().find(|(_, known)| text(known, "name") == Some(name));
            let known = known.map(|(id, _)| id.clone());
            let (id, mut made) = part::new(Kind::RequestValidator, members)?;
            let id = known.unwrap_or(id);
            made.insert("id".to_owned(), id.as_str().into());
            definition.validators.insert(id.clone(), made);
            ids.insert(name.clone(), id);
        }
        Ok(ids)
    }

    fn models(&self, definition: &mut Definition) -> Result<(), Fault> {
        let models = match self.is_swagger {
            true => self.root.get("definitions"),
            false => self.root.get("components").and_then(|parts| parts.get("schemas")),
        };
        for (name, schema) in models.and_then(Value::as_object).into_iter().flatten() {
            self.add_model(definition, name, schema)?;
        }
        Ok(())
    }

    /// Makes a model of `schema`, its references turned to models of the API.
    pub(super) fn add_model(
        &self,
        definition: &mut Definition,
        name: &str,
        schema: &Value,
    ) -> Result<(), Fault> {
        let mut schema = schema.clone();
        refer_to_models(&mut schema, 0)?;
        let mut members = Members::new();
        members.insert("name".to_owned(), name.into());
        members.insert("contentType".to_owned(), "application/json".into());
        if let Some(description) = schema.get("description").cloned() {
            members.insert("description".to_owned(), description);
        }
        members.insert("schema".to_owned(), schema.to_string().into());
        let (key, model) = part::new(Kind::Model, members)?;
        definition.models.insert(key, model);
        Ok(())
    }

    /// What `value` is if it is a reference into the document.
    pub(super) fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let reference = value.get("$ref").and_then(Value::as_str);
        let place = reference.and_then(|reference| reference.strip_prefix('#'));
        let Some(place) = place else { return value };
        let mut at: Option<&Value> = None;
        for key in place.trim_start_matches('/').split('/') {
            let key = key.replace("~1", "/").replace("~0", "~");
            at = match at {
                None => self.root.get(&key),
                Some(value) => value.get(&key),
            };
            if at.is_none() {
                break;
            }
        }
        at.unwrap_or(value)
    }

    /// Requirements of all operations that say none themselves.
    pub(super) fn security_default(&self) -> Option<&Value> {
        self.root.get("security")
    }
}

fn add_authorizer(
    definition: &mut Definition,
    name: &str,
    scheme: &Members,
    given: &Members,
) -> Result<String, Fault> {
    let mut given = given.clone();
    let kind = text(&given, "type").unwrap_or_default().to_ascii_uppercase();
    given.insert("type".to_owned(), kind.as_str().into());
    given.insert("name".to_owned(), name.into());
    if let Some(auth_type) = text(scheme, "x-amazon-apigateway-authtype").map(str::to_owned) {
        given.insert("authType".to_owned(), auth_type.into());
    }
    if kind == "TOKEN" && !given.contains_key("identitySource") {
        let header = text(scheme, "name").unwrap_or("Authorization");
        given.insert("identitySource".to_owned(), format!("method.request.header.{header}").into());
    }
    let members = shape::take(tables::AUTHORIZER, &given)?;
    let known = definition.authorizers.iter().find(|(_, known)| text(known, "name") == Some(name));
    let known = known.map(|(id, _)| id.clone());
    let (id, mut made) = part::new(Kind::Authorizer, members)?;
    let id = known.unwrap_or(id);
    made.insert("id".to_owned(), id.as_str().into());
    definition.authorizers.insert(id.clone(), made);
    Ok(id)
}

/// The id of the resource at `path`, made with all above it if it is not there.
fn ensure(definition: &mut Definition, path: &str) -> Result<String, Fault> {
    let root = definition.root().map(|root| root.id.clone());
    let mut at = root.ok_or_else(|| bad("The API has no root resource"))?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let child = definition.resources.values().find(|child| {
            child.parent.as_deref() == Some(&at) && child.path_part.as_deref() == Some(part)
        });
        let child = child.map(|child| child.id.clone());
        at = match child {
            Some(id) => id,
            None => {
                resource::check_place(definition, &at, part)?;
                definition.add(&at, part)
            }
        };
    }
    Ok(at)
}

/// Turns references to schemas of the document into those to models of an API.
fn refer_to_models(schema: &mut Value, depth: usize) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(bad("Invalid OpenAPI input: a schema is nested too deeply"));
    }
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = model_name(reference)
            {
                *reference = format!("https://apigateway.amazonaws.com/restapis/api/models/{name}");
            }
            members.values_mut().try_for_each(|member| refer_to_models(member, depth + 1))
        }
        Value::Array(items) => {
            items.iter_mut().try_for_each(|item| refer_to_models(item, depth + 1))
        }
        _ => Ok(()),
    }
}

/// The model of `#/definitions/Pet` or `#/components/schemas/Pet`.
pub(super) fn model_name(reference: &str) -> Option<&str> {
    let name = reference
        .strip_prefix("#/definitions/")
        .or_else(|| reference.strip_prefix("#/components/schemas/"))?;
    (!name.contains('/')).then_some(name)
}

pub(super) fn object(value: &Value) -> Result<&Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| bad("Invalid OpenAPI input: an object is expected"))
}

fn yaml(text: &str) -> Result<Value, String> {
    nilas_deploy::yaml::parse(text)
        .and_then(|node| node.to_json())
        .map_err(|error| error.to_string())
}
