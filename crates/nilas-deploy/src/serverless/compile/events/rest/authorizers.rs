//! Who may call a method: IAM, functions that decide, user pools of Cognito.

use serde_json::{Value, json};

use super::super::join;
use super::{Compiler, Event, Problem, Route, api_id, named_function, strings};
use crate::serverless::json::{text, truthy, without_nulls};
use crate::serverless::naming;

pub(super) struct Authorizer {
    /// As it is written; `AWS_IAM` in upper case.
    kind: Option<String>,
    name: String,
    arn: Value,
    /// One that exists outside of the service.
    external_id: Option<Value>,
    /// The alias of the function that decides.
    alias: Option<String>,
    is_managed_externally: bool,
    ttl_s: Option<i64>,
    identity_source: Option<String>,
    identity_validation: Option<String>,
    pub(super) claims: Vec<String>,
    scopes: Value,
}

// === impl Authorizer ===

impl Authorizer {
    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(kind))
    }

    fn is_cognito(&self) -> bool {
        self.is("COGNITO_USER_POOLS") || is_user_pool(&self.arn)
    }

    /// The authorizer's logical id, if it is made by this template.
    pub(super) fn resource_id(&self) -> Option<String> {
        let is_made = self.kind.as_deref() != Some("AWS_IAM") && self.external_id.is_none();
        is_made.then(|| naming::resource(&self.name) + "ApiGatewayAuthorizer")
    }

    /// Properties of a method that it guards.
    pub(super) fn of_method(&self) -> Vec<(&'static str, Value)> {
        if self.kind.as_deref() == Some("AWS_IAM") {
            return vec![("AuthorizationType", "AWS_IAM".into())];
        }
        let has_scopes = self.scopes.as_array().is_some_and(|scopes| !scopes.is_empty());
        let mut properties = Vec::new();
        if let Some(id) = &self.external_id {
            let is_function = self.is("TOKEN") || self.is("REQUEST");
            let kind = self.kind.clone().unwrap_or_default();
            let kind = if is_function { "CUSTOM".to_owned() } else { kind };
            properties.push(("AuthorizationType", kind.into()));
            properties.push(("AuthorizerId", id.clone()));
            if self.is("COGNITO_USER_POOLS") && has_scopes {
                properties.push(("AuthorizationScopes", self.scopes.clone()));
            }
            return properties;
        }
        let kind = if self.is_cognito() { "COGNITO_USER_POOLS" } else { "CUSTOM" };
        properties.push(("AuthorizationType", kind.into()));
        properties.push(("AuthorizerId", json!({"Ref": self.resource_id()})));
        if self.is_cognito() && has_scopes {
            properties.push(("AuthorizationScopes", self.scopes.clone()));
        }
        properties
    }

    /// The id of the permission that lets API Gateway ask it, and whom it asks.
    pub(super) fn needs_permission(&self) -> Option<(String, Value)> {
        if !truthy(&self.arn) || self.is_cognito() || self.is_managed_externally {
            return None;
        }
        let id = naming::resource(&self.name) + "LambdaPermissionApiGateway";
        let target = match &self.alias {
            Some(alias) => json!({"Ref": alias}),
            None => self.arn.clone(),
        };
        Some((id, target))
    }
}

fn is_user_pool(arn: &Value) -> bool {
    arn.as_str()
        .is_some_and(|arn| arn.starts_with("arn:") && arn.split(':').nth(2) == Some("cognito-idp"))
}

/// The last word of a function's ARN, as the Framework takes a function's name from it.
fn name_in_arn(arn: &str) -> String {
    let name = arn.rsplit(':').next().unwrap_or_default();
    name.rsplit('-').next().unwrap_or_default().to_owned()
}

pub(super) fn read(
    c: &Compiler<'_>,
    event: &Event<'_>,
    integration: &str,
) -> Result<Option<Authorizer>, Problem> {
    let settings = &event.value["authorizer"];
    if !truthy(settings) {
        return Ok(None);
    }
    let mut authorizer = Authorizer {
        kind: None,
        name: String::new(),
        arn: Value::Null,
        external_id: None,
        alias: None,
        is_managed_externally: false,
        ttl_s: None,
        identity_source: None,
        identity_validation: None,
        claims: Vec::new(),
        scopes: Value::Null,
    };
    let function = match settings.as_str() {
        Some(name) if name.eq_ignore_ascii_case("AWS_IAM") => {
            authorizer.kind = Some("AWS_IAM".to_owned());
            None
        }
        Some(arn) if arn.contains(':') => {
            authorizer.arn = settings.clone();
            authorizer.name = name_in_arn(arn);
            None
        }
        Some(key) => Some(key.to_owned()),
        None => object(c, event, settings, &mut authorizer)?,
    };
    if let Some(key) = function {
        let decides = named_function(c, event, &key)?;
        authorizer.arn = decides.target();
        authorizer.alias = decides.alias_id();
        authorizer.name = key;
    }
    let reads_whole_request = authorizer.is("REQUEST") && authorizer.ttl_s == Some(0);
    if authorizer.identity_source.is_none() && !reads_whole_request {
        authorizer.identity_source = Some("method.request.header.Authorization".to_owned());
    }
    if integration == "AWS_PROXY" && is_user_pool(&authorizer.arn) && !authorizer.claims.is_empty()
    {
        let message = "Cognito claims can only be filtered when using the lambda integration type";
        return Err(c.event_problem(event, message));
    }
    Ok(Some(authorizer))
}

/// The long form. Gives the key of the function that decides, if it is one of the service.
fn object(
    c: &Compiler<'_>,
    event: &Event<'_>,
    settings: &Value,
    authorizer: &mut Authorizer,
) -> Result<Option<String>, Problem> {
    let kind = settings["type"].as_str().filter(|kind| !kind.is_empty());
    let mut function = None;
    authorizer.kind = kind.map(str::to_owned);
    if kind.is_some() && truthy(&settings["authorizerId"]) {
        authorizer.external_id = Some(settings["authorizerId"].clone());
    } else if authorizer.is("AWS_IAM") {
        authorizer.kind = Some("AWS_IAM".to_owned());
    } else if truthy(&settings["arn"]) {
        authorizer.arn = settings["arn"].clone();
        authorizer.name = match (settings["name"].as_str(), settings["arn"].as_str()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(arn)) => name_in_arn(arn),
            (None, None) => {
                let message =
                    "Please provide an authorizer name for authorizers of type COGNITO_USER_POOLS";
                return Err(c.event_problem(event, message));
            }
        };
    } else if truthy(&settings["name"]) {
        function = Some(text(&settings["name"]));
    } else {
        let message = "Please provide either an authorizer name or ARN";
        return Err(c.event_problem(event, message));
    }
    let ttl = &settings["resultTtlInSeconds"];
    authorizer.ttl_s = Some(ttl.as_i64().or_else(|| ttl.as_str()?.parse().ok()).unwrap_or(300));
    authorizer.claims = strings(&settings["claims"]);
    authorizer.scopes = settings["scopes"].clone();
    let own = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    authorizer.identity_source = own(&settings["identitySource"]);
    authorizer.identity_validation = own(&settings["identityValidationExpression"]);
    authorizer.is_managed_externally = truthy(&settings["managedExternally"]);
    Ok(function)
}

pub(super) fn compile(c: &mut Compiler<'_>, routes: &[Route<'_>]) {
    for authorizer in routes.iter().filter_map(|route| route.authorizer.as_ref()) {
        let Some(id) = authorizer.resource_id().filter(|_| truthy(&authorizer.arn)) else {
            continue;
        };
        let mut properties = json!({
            "AuthorizerResultTtlInSeconds": authorizer.ttl_s,
            "IdentitySource": authorizer.identity_source,
            "Name": authorizer.name,
            "RestApiId": api_id(c),
            "IdentityValidationExpression": authorizer.identity_validation,
        });
        if authorizer.is_cognito() {
            properties["Type"] = "COGNITO_USER_POOLS".into();
            properties["ProviderARNs"] = json!([authorizer.arn]);
        } else {
            properties["AuthorizerUri"] = invocation_uri(authorizer.arn.clone());
            let kind = authorizer.kind.as_deref().unwrap_or("TOKEN").to_uppercase();
            properties["Type"] = kind.into();
        }
        let resource = without_nulls(json!({
            "Type": "AWS::ApiGateway::Authorizer",
            "DependsOn": authorizer.alias,
            "Properties": without_nulls(properties),
        }));
        c.resources.insert(id, resource);
    }
}

/// The address at which API Gateway asks a function.
pub(in super::super) fn invocation_uri(function: Value) -> Value {
    join(vec![
        "arn:".into(),
        json!({"Ref": "AWS::Partition"}),
        ":apigateway:".into(),
        json!({"Ref": "AWS::Region"}),
        ":lambda:path/2015-03-31/functions/".into(),
        function,
        "/invocations".into(),
    ])
}
