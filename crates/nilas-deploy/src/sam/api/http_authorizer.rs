//! The authorizers of an HTTP API.

use crate::sam::context::authorizer_uri;
use crate::sam::core::check::At;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Text, Val, map};

const DETAILS: &str = "x-amazon-apigateway-authorizer";

/// Settings with whom they are for.
const SETTINGS: &[(&str, Kind, &str)] = &[
    ("AuthorizationScopes", Kind::Jwt, "OAuth2 Authorizer"),
    ("JwtConfiguration", Kind::Jwt, "OAuth2 Authorizer"),
    (
        "IdentitySource",
        Kind::Jwt,
        "OAuth2 Authorizer. For Lambda Authorizer, use the 'Identity' property instead",
    ),
    ("FunctionArn", Kind::Lambda, "Lambda Authorizer"),
    ("FunctionInvokeRole", Kind::Lambda, "Lambda Authorizer"),
    ("Identity", Kind::Lambda, "Lambda Authorizer"),
    ("AuthorizerPayloadFormatVersion", Kind::Lambda, "Lambda Authorizer"),
    ("EnableSimpleResponses", Kind::Lambda, "Lambda Authorizer"),
    ("EnableFunctionDefaultPermissions", Kind::Lambda, "Lambda Authorizer"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Iam,
    Jwt,
    Lambda,
}

#[derive(Debug)]
pub(super) struct Authorizer {
    pub(super) name: Text,
    given: Map,
    kind: Kind,
}

pub(super) fn read_all(id: &str, auth: &Map) -> Result<Vec<Authorizer>> {
    let mut all = Vec::new();
    if auth.get("EnableIamAuthorizer") == Some(&Val::Bool(true)) {
        all.push(Authorizer { name: "AWS_IAM".into(), given: Map::new(), kind: Kind::Iam });
    }
    let Some(given) = auth.get("Authorizers").filter(|given| given.truthy()) else {
        return Ok(all);
    };
    for (name, given) in At::Resource(id, "Auth.Authorizers").map(Some(given))?.iter() {
        let path = format!("Auth.Authorizers.{name}");
        let given = At::Resource(id, &path).map(Some(given))?.clone();
        if given.has("OpenIdConnectUrl") {
            return Err(Problem::resource(
                id,
                format!(
                    "'OpenIdConnectUrl' is no longer a supported property for authorizer '{name}'. Please refer to the AWS \
                 SAM documentation."
                ),
            ));
        }
        let jwt = given.get("JwtConfiguration").filter(|jwt| jwt.truthy());
        if jwt.is_some() {
            At::Resource(id, "JwtConfiguration").map(jwt)?;
        }
        let kind = if jwt.is_some() { Kind::Jwt } else { Kind::Lambda };
        let authorizer = Authorizer { name: name.clone(), given, kind };
        authorizer.check(id)?;
        all.push(authorizer);
    }
    Ok(all)
}

impl Authorizer {
    fn check(&self, id: &str) -> Result<()> {
        let fault = |message: String| Err(Problem::resource(id, message));
        let name = &self.name;
        let given = &self.given;
        if given.get("AuthorizationScopes").is_some_and(|scopes| scopes.as_list().is_none()) {
            return fault("AuthorizationScopes must be a list.".to_owned());
        }
        for (setting, kind, whose) in SETTINGS {
            // An empty JwtConfiguration counts as none.
            let present =
                given.get(setting).is_some_and(|v| *setting != "JwtConfiguration" || v.truthy());
            if present && *kind != self.kind {
                return fault(format!("{setting} is only supported for {whose}."));
            }
        }
        if self.kind == Kind::Jwt && !given.truthy("IdentitySource") {
            return fault(format!("{name} OAuth2 Authorizer must define 'IdentitySource'."));
        }
        if self.kind == Kind::Lambda {
            for setting in ["FunctionArn", "AuthorizerPayloadFormatVersion"] {
                if !given.truthy(setting) {
                    return fault(format!("{name} Lambda Authorizer must define '{setting}'."));
                }
            }
        }
        if let Some(enable) = given.get("EnableFunctionDefaultPermissions") {
            let path = format!("Authorizers.{name}.EnableFunctionDefaultPermissions");
            At::Resource(id, &path).boolean(Some(enable))?;
        }
        Ok(())
    }

    pub(super) fn scopes(&self) -> Val {
        self.given.get("AuthorizationScopes").cloned().unwrap_or_else(|| Vec::new().into())
    }

    /// The function that API Gateway is to be let invoke.
    pub(super) fn permitted_function(&self) -> Option<&Val> {
        let permitted = self.given.truthy("EnableFunctionDefaultPermissions");
        self.given.get("FunctionArn").filter(|function| permitted && function.truthy())
    }

    /// How it is written among the definition's security schemes.
    pub(super) fn scheme(&self, id: &str, partition: &str) -> Result<Map> {
        match self.kind {
            Kind::Iam => Ok(map! {
                "type" => "apiKey",
                "name" => "Authorization",
                "in" => "header",
                "x-amazon-apigateway-authtype" => "awsSigv4",
            }),
            Kind::Jwt => {
                let mut jwt = Map::new();
                let given = self.given.get("JwtConfiguration").and_then(Val::as_map);
                for (key, value) in given.into_iter().flat_map(Map::iter) {
                    jwt.insert(key.to_lowercase(), value);
                }
                let details = map! {
                    "jwtConfiguration" => jwt,
                    "identitySource" => self.given.get("IdentitySource"),
                    "type" => "jwt",
                };
                Ok(map! { "type" => "oauth2", DETAILS => details })
            }
            Kind::Lambda => self.lambda_scheme(id, partition),
        }
    }

    fn lambda_scheme(&self, id: &str, partition: &str) -> Result<Map> {
        let given = &self.given;
        let function = Val::from(given.get("FunctionArn"));
        let mut details = map! {
            "type" => "request",
            "authorizerUri" => authorizer_uri(partition, &function),
        };
        let role = given.get("FunctionInvokeRole");
        let role = role.filter(|role| role.truthy() && !role.is_text("NONE"));
        details.insert_some("authorizerCredentials", role);
        if let Some(identity) = given.get("Identity").filter(|identity| identity.truthy()) {
            let path = format!("Auth.Authorizers.{}.Identity", self.name);
            let identity = At::Resource(id, &path).map(Some(identity))?;
            details.insert_some("authorizerResultTtlInSeconds", identity.get("ReauthorizeEvery"));
            details.insert("identitySource", self.identity_source(id, identity)?);
        }
        let version = given.get("AuthorizerPayloadFormatVersion");
        details.insert("authorizerPayloadFormatVersion", version);
        let simple = given.get("EnableSimpleResponses").filter(|simple| simple.truthy());
        details.insert_some("enableSimpleResponses", simple);
        Ok(map! { "type" => "apiKey", "name" => "Unused", "in" => "header", DETAILS => details })
    }

    fn identity_source(&self, id: &str, identity: &Map) -> Result<Vec<Val>> {
        let mut sources = Vec::new();
        for (prefix, name) in [
            ("$request.header.", "Headers"),
            ("$request.querystring.", "QueryStrings"),
            ("$stageVariables.", "StageVariables"),
            ("$context.", "Context"),
        ] {
            let values = identity.get(name).filter(|values| values.truthy());
            if values.is_some() {
                let path = format!("Authorizers.{}.Identity.{name}", self.name);
                let values = At::Resource(id, &path).strings(values)?;
                let values = values.iter().filter_map(Val::as_str);
                sources.extend(values.map(|value| Val::from(format!("{prefix}{value}"))));
            }
        }
        Ok(sources)
    }
}
