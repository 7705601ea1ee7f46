//! The authorizers of a REST API.

use crate::sam::context::{Context, arn_text, authorizer_uri};
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{reference, sub_with};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Text, Val, map, ordered};

const DETAILS: &str = "x-amazon-apigateway-authorizer";

#[derive(Debug)]
pub(super) struct Authorizer {
    pub(super) name: Text,
    /// What the document says of it; empty for IAM.
    given: Map,
    iam: bool,
}

/// The authorizers that `Auth` names; none at all where it names none.
pub(super) fn read_all(id: &str, auth: &Map, with_default: bool) -> Result<Vec<Authorizer>> {
    // The order is that of a dictionary of Python 2.7.
    let mut all = Map::ordered();
    let default = auth.get("DefaultAuthorizer").and_then(Val::as_text);
    if let Some(iam) = default.filter(|default| with_default && default.as_str() == "AWS_IAM") {
        all.insert(iam, Val::Null);
    }
    if let Some(given) = auth.get("Authorizers").filter(|authorizers| authorizers.truthy()) {
        for (name, given) in At::Resource(id, "Auth.Authorizers").map(Some(given))?.iter() {
            let path = format!("Auth.Authorizers.{name}");
            let given = At::Resource(id, &path).map(Some(given))?;
            Authorizer { name: name.clone(), given: given.clone(), iam: false }.check(id)?;
            all.insert(name, given.clone());
        }
    }
    let read = all.iter().map(|(name, given)| Authorizer {
        name: name.clone(),
        given: given.as_map().cloned().unwrap_or_default(),
        iam: given.is_null(),
    });
    Ok(read.collect())
}

impl Authorizer {
    fn check(&self, id: &str) -> Result<()> {
        let name = &self.name;
        let kind = self.given.get("FunctionPayloadType");
        let known = kind.is_none_or(|kind| kind.is_text("TOKEN") || kind.is_text("REQUEST"));
        if !known {
            let kind = kind.map(print::text).unwrap_or_default();
            return Err(Problem::resource(
                id,
                format!("{name} Authorizer has invalid 'FunctionPayloadType': {kind}."),
            ));
        }
        if self.payload() == "REQUEST" && self.lacks_identity(id)? {
            return Err(Problem::resource(
                id,
                format!(
                    "{name} Authorizer must specify Identity with at least one of Headers, QueryStrings, StageVariables, \
                 or Context."
                ),
            ));
        }
        if let Some(scopes) = self.given.get("AuthorizationScopes") {
            At::Resource(id, &format!("Authorizers.{name}.AuthorizationScopes"))
                .list(Some(scopes))?;
        }
        if let Some(disable) = self.given.get("DisableFunctionDefaultPermissions") {
            let path = format!("Authorizers.{name}.DisableFunctionDefaultPermissions");
            At::Resource(id, &path).boolean(Some(disable))?;
        }
        Ok(())
    }

    /// A cached answer needs something to be cached by.
    fn lacks_identity(&self, id: &str) -> Result<bool> {
        let Some(identity) = self.given.get("Identity").filter(|identity| identity.truthy()) else {
            return Ok(true);
        };
        let path = format!("Authorizer.{}.Identity", self.name);
        let identity = At::Resource(id, &path).map(Some(identity))?;
        let missing = !["Headers", "QueryStrings", "StageVariables", "Context"]
            .iter()
            .any(|name| identity.truthy(name));
        let cached = match identity.get("ReauthorizeEvery") {
            Some(Val::Number(seconds)) => seconds.as_f64().is_some_and(|seconds| seconds >= 1.0),
            Some(Val::Text(seconds)) => seconds.trim().parse::<i64>().is_ok_and(|s| s > 0),
            _ => true,
        };
        Ok(cached && missing)
    }

    fn payload(&self) -> &str {
        self.given.text("FunctionPayloadType").filter(|kind| !kind.is_empty()).unwrap_or("TOKEN")
    }

    fn cognito(&self) -> bool {
        self.given.truthy("UserPoolArn")
    }

    pub(super) fn scopes(&self) -> Val {
        self.given.get("AuthorizationScopes").cloned().unwrap_or_else(|| Vec::new().into())
    }

    /// How it is written among the definition's security definitions.
    pub(super) fn definition(&self, id: &str, partition: &str) -> Result<Map> {
        let identity = self.given.get("Identity").filter(|identity| identity.truthy());
        let lambda = !self.iam && !self.cognito();
        let kind = match (self.iam, self.cognito()) {
            (true, _) => "awsSigv4",
            (_, true) => "cognito_user_pools",
            _ => "custom",
        };
        let mut definition = ordered! {
            "type" => "apiKey",
            "name" => self.header(id, identity, lambda)?,
            "in" => "header",
            "x-amazon-apigateway-authtype" => kind,
        };
        let mut details = Map::ordered();
        if self.cognito() {
            details.insert("type", "cognito_user_pools");
            let pools =
                super::swagger::as_list(self.given.get("UserPoolArn").unwrap_or(&Val::Null));
            details.insert("providerARNs", pools);
        } else if lambda {
            let kind = if self.payload() == "REQUEST" { "request" } else { "token" };
            details = Map::ordered_from(&map! { "type" => kind });
            let function = Val::from(self.given.get("FunctionArn"));
            details.insert("authorizerUri", authorizer_uri(partition, &function));
            let seconds = identity.and_then(|identity| identity.get("ReauthorizeEvery"));
            details.insert_some("authorizerResultTtlInSeconds", seconds);
            let role = self.given.get("FunctionInvokeRole");
            let role = role.filter(|role| role.truthy() && !role.is_text("NONE"));
            details.insert_some("authorizerCredentials", role);
            if self.payload() == "REQUEST" {
                let source = self.identity_source(id, identity)?;
                if !source.is_empty() {
                    details.insert("identitySource", source);
                }
            }
        }
        if self.cognito() || (lambda && self.payload() == "TOKEN") {
            let expression = identity.and_then(|identity| identity.get("ValidationExpression"));
            if let Some(expression) = expression.filter(|expression| expression.truthy()) {
                details.insert("identityValidationExpression", expression);
            }
        }
        if !details.is_empty() {
            definition.insert(DETAILS, details);
        }
        Ok(definition)
    }

    fn header(&self, id: &str, identity: Option<&Val>, lambda: bool) -> Result<Val> {
        if lambda && self.payload() == "REQUEST" {
            return Ok("Unused".into());
        }
        if identity.is_some_and(|identity| identity.as_map().is_none()) {
            return Err(Problem::resource(
                id,
                "Auth.Authorizers.<Authorizer>.Identity must be a dict (LambdaTokenAuthorizationIdentity, \
                 LambdaRequestAuthorizationIdentity or CognitoAuthorizationIdentity).",
            ));
        }
        let header = identity.and_then(|identity| identity.get("Header")).filter(|h| h.truthy());
        Ok(header.cloned().unwrap_or_else(|| "Authorization".into()))
    }

    fn identity_source(&self, id: &str, identity: Option<&Val>) -> Result<Text> {
        let (mut sources, mut marked) = (Vec::new(), false);
        for (name, prefix) in [
            ("Headers", "method.request.header."),
            ("QueryStrings", "method.request.querystring."),
            ("StageVariables", "stageVariables."),
            ("Context", "context."),
        ] {
            let values = identity.and_then(|identity| identity.get(name)).filter(|v| v.truthy());
            if values.is_none() {
                continue;
            }
            let path = format!("Auth.Authorizers.{}.Identity.{name}", self.name);
            for value in At::Resource(id, &path).strings(values)? {
                if let Val::Text(value) = value {
                    marked |= value.marked;
                    sources.push(format!("{prefix}{value}"));
                }
            }
        }
        Ok(Text::new(sources.join(", "), marked))
    }
}

/// What lets API Gateway invoke the authorizers' functions.
pub(super) fn permissions(cx: &Context, source: &Source, auth: &Map) -> Result<Vec<Resource>> {
    let mut made = Vec::new();
    for authorizer in read_all(&source.id, auth, false)? {
        let function = authorizer.given.get("FunctionArn").filter(|function| function.truthy());
        let Some(function) = function else { continue };
        if authorizer.given.truthy("DisableFunctionDefaultPermissions") {
            continue;
        }
        made.push(permission(cx.partition, source, &authorizer.name, function)?);
    }
    Ok(made)
}

/// What lets API Gateway invoke one authorizer's function.
pub(super) fn permission(
    partition: &str,
    source: &Source,
    name: &str,
    function: &Val,
) -> Result<Resource> {
    let id = format!("{}{name}AuthorizerPermission", source.id);
    let mut permission = Resource::new(id, "AWS::Lambda::Permission", &source.passed_on())?;
    let text = arn_text(partition, "execute-api", "${__ApiId__}/authorizers/*");
    permission.set("Action", "lambda:InvokeFunction");
    permission.set("FunctionName", function);
    permission.set("Principal", "apigateway.amazonaws.com");
    permission.set("SourceArn", sub_with(text, map! { "__ApiId__" => reference(&source.id) }));
    Ok(permission)
}
