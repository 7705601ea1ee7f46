//! One operation of an OpenAPI document as a method.

use nilas_wire::Fault;
use serde_json::{Map, Value, json};

use super::super::fault::bad;
use super::super::method;
use super::super::record::{Definition, random_id};
use super::super::shape::{self, Members, text};
use super::super::tables;
use super::document::{Document, Named, model_name, object};

/// What reading an operation needs to know of the document around it.
pub(super) struct Reading<'a> {
    pub(super) document: &'a Document,
    pub(super) named: &'a Named,
    /// Parameters of all operations of the path.
    pub(super) shared: &'a [Value],
    pub(super) default_validator: Option<&'a str>,
}

impl Reading<'_> {
    pub(super) fn method(
        &self,
        definition: &mut Definition,
        resource: &str,
        verb: &str,
        operation: &Map<String, Value>,
    ) -> Result<Members, Fault> {
        let mut members = Members::new();
        if let Some(id) = operation.get("operationId") {
            members.insert("operationName".to_owned(), id.clone());
        }
        self.security(operation, &mut members)?;
        let validator = text(operation, "x-amazon-apigateway-request-validator");
        if let Some(name) = validator.or(self.default_validator) {
            let id = self.named.validators.get(name);
            let id =
                id.ok_or_else(|| bad(format!("Invalid request validator specified: {name}")))?;
            members.insert("requestValidatorId".to_owned(), id.as_str().into());
        }
        self.parameters(definition, operation, &mut members)?;
        let mut made = method::new(definition, verb, shape::take(tables::METHOD, &members)?)?;
        let responses = self.responses(definition, operation)?;
        if !responses.is_empty() {
            made.insert("methodResponses".to_owned(), responses.into());
        }
        if let Some(given) = operation.get("x-amazon-apigateway-integration") {
            let integration = integration(resource, object(given)?)?;
            made.insert("methodIntegration".to_owned(), integration.into());
        }
        Ok(made)
    }

    fn security(&self, operation: &Map<String, Value>, members: &mut Members) -> Result<(), Fault> {
        members.insert("authorizationType".to_owned(), "NONE".into());
        let wanted = operation.get("security").or_else(|| self.document.security_default());
        for requirement in wanted.and_then(Value::as_array).into_iter().flatten() {
            for (name, scopes) in object(requirement)? {
                if let Some(id) = self.named.authorizers.get(name) {
                    members.insert("authorizationType".to_owned(), "CUSTOM".into());
                    members.insert("authorizerId".to_owned(), id.as_str().into());
                    if scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
                        members.insert("authorizationScopes".to_owned(), scopes.clone());
                    }
                } else if self.named.iam_schemes.contains(name) {
                    members.insert("authorizationType".to_owned(), "AWS_IAM".into());
                } else if self.named.key_schemes.contains(name) {
                    members.insert("apiKeyRequired".to_owned(), true.into());
                }
            }
        }
        let own = operation.get("x-amazon-apigateway-auth").and_then(|auth| auth.get("type"));
        if let Some(kind) = own.and_then(Value::as_str) {
            members.insert("authorizationType".to_owned(), kind.to_ascii_uppercase().into());
        }
        Ok(())
    }

    fn parameters(
        &self,
        definition: &mut Definition,
        operation: &Map<String, Value>,
        members: &mut Members,
    ) -> Result<(), Fault> {
        let own = operation.get("parameters").and_then(Value::as_array);
        let mut parameters = Map::new();
        let mut models = Map::new();
        for parameter in self.shared.iter().chain(own.into_iter().flatten()) {
            let parameter = object(self.document.resolved(parameter))?;
            let name = text(parameter, "name").unwrap_or_default();
            let place = match text(parameter, "in") {
                Some("header") => "header",
                Some("query") => "querystring",
                Some("path") => "path",
                Some("body") => {
                    if let Some(schema) = parameter.get("schema") {
                        let model = self.model(definition, schema)?;
                        models.insert("application/json".to_owned(), model.into());
                    }
                    continue;
                }
                _ => continue,
            };
            let is_required = parameter.get("required") == Some(&Value::Bool(true));
            parameters.insert(format!("method.request.{place}.{name}"), is_required.into());
        }
        let body = operation.get("requestBody").map(|body| self.document.resolved(body));
        let content = body.and_then(|body| body.get("content")).and_then(Value::as_object);
        for (content_type, media) in content.into_iter().flatten() {
            if let Some(schema) = media.get("schema") {
                let model = self.model(definition, schema)?;
                models.insert(content_type.clone(), model.into());
            }
        }
        if !parameters.is_empty() {
            members.insert("requestParameters".to_owned(), parameters.into());
        }
        if !models.is_empty() {
            members.insert("requestModels".to_owned(), models.into());
        }
        Ok(())
    }

    /// The name of the model that `schema` refers to; one is made of a schema in place.
    fn model(&self, definition: &mut Definition, schema: &Value) -> Result<String, Fault> {
        let reference = schema.get("$ref").and_then(Value::as_str);
        if let Some(name) = reference.and_then(model_name) {
            return Ok(name.to_owned());
        }
        let name = format!("MODEL{}", random_id(6));
        self.document.add_model(definition, &name, schema)?;
        Ok(name)
    }

    fn responses(
        &self,
        definition: &mut Definition,
        operation: &Map<String, Value>,
    ) -> Result<Members, Fault> {
        let mut made = Members::new();
        let responses = operation.get("responses").and_then(Value::as_object);
        for (status, response) in responses.into_iter().flatten() {
            if method::check_status(status).is_err() {
                continue;
            }
            let response = object(self.document.resolved(response))?;
            let mut models = Map::new();
            if let Some(schema) = response.get("schema") {
                models
                    .insert("application/json".to_owned(), self.model(definition, schema)?.into());
            }
            let content = response.get("content").and_then(Value::as_object);
            for (content_type, media) in content.into_iter().flatten() {
                if let Some(schema) = media.get("schema") {
                    models.insert(content_type.clone(), self.model(definition, schema)?.into());
                }
            }
            let headers = response.get("headers").and_then(Value::as_object);
            let headers: Map<String, Value> = headers
                .into_iter()
                .flatten()
                .map(|(name, _)| (format!("method.response.header.{name}"), false.into()))
                .collect();
            let mut members = Members::new();
            members.insert("statusCode".to_owned(), status.as_str().into());
            if !headers.is_empty() {
                members.insert("responseParameters".to_owned(), headers.into());
            }
            if !models.is_empty() {
                members.insert("responseModels".to_owned(), models.into());
            }
            made.insert(status.clone(), members.into());
        }
        Ok(made)
    }
}

fn integration(resource: &str, given: &Map<String, Value>) -> Result<Members, Fault> {
    let mut members = given.clone();
    for name in
        ["type", "passthroughBehavior", "contentHandling", "connectionType", "responseTransferMode"]
    {
        if let Some(value) = text(given, name) {
            members.insert(name.to_owned(), value.to_ascii_uppercase().into());
        }
    }
    if text(&members, "type") == Some("MOCK") {
        members.remove("httpMethod");
    }
    if let Some(verb) = text(given, "httpMethod").map(str::to_ascii_uppercase)
        && members.contains_key("httpMethod")
    {
        members.insert("httpMethod".to_owned(), verb.into());
    }
    let members = shape::take(tables::INTEGRATION, &members)?;
    let mut made = method::integration(resource, members)?;
    let mut responses = Members::new();
    let given = given.get("responses").and_then(Value::as_object);
    for (pattern, response) in given.into_iter().flatten() {
        let mut response = object(response)?.clone();
        let status = match response.get("statusCode") {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.clone(),
            _ => return Err(bad("Invalid integration response: statusCode is missing")),
        };
        method::check_status(&status)?;
        if let Some(handling) = text(&response, "contentHandling").map(str::to_ascii_uppercase) {
            response.insert("contentHandling".to_owned(), json!(handling));
        }
        let mut taken = shape::take(tables::INTEGRATION_RESPONSE, &response)?;
        taken.insert("statusCode".to_owned(), status.as_str().into());
        if pattern != "default" {
            taken.insert("selectionPattern".to_owned(), pattern.as_str().into());
        }
        responses.insert(status, taken.into());
    }
    if !responses.is_empty() {
        made.insert("integrationResponses".to_owned(), responses.into());
    }
    Ok(made)
}
