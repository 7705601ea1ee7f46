//! Who may call a REST API's methods: authorizers, keys, and the resource policy.

use super::editor;
use super::swagger::{POLICY, Swagger, as_list};
use crate::sam::core::intrinsic::sub_with;
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Text, Val, list, map, ordered};

impl Swagger {
    fn security_mut(&mut self) -> Result<&mut Map> {
        if !self.security.truthy() {
            self.security = Map::ordered().into();
        }
        self.security.as_map_mut().ok_or_else(|| {
            Problem::Template("securityDefinitions must be a dictionary.".to_owned())
        })
    }

    pub(super) fn add_security_definition(&mut self, name: &Text, definition: Map) -> Result<()> {
        self.security_mut()?.insert(name, definition);
        Ok(())
    }

    fn add_iam_definition(&mut self) -> Result<()> {
        let security = self.security_mut()?;
        if !security.has("AWS_IAM") {
            let definition = ordered! {
                "x-amazon-apigateway-authtype" => "awsSigv4",
                "type" => "apiKey",
                "name" => "Authorization",
                "in" => "header",
            };
            security.update(&ordered! { "AWS_IAM" => definition });
        }
        Ok(())
    }

    pub(super) fn add_api_key_definition(&mut self) -> Result<()> {
        let security = self.security_mut()?;
        if !security.has("api_key") {
            let definition =
                ordered! { "type" => "apiKey", "name" => "x-api-key", "in" => "header" };
            security.update(&ordered! { "api_key" => definition });
        }
        Ok(())
    }

    /// Authorizes the methods of a path that say nothing of it themselves.
    pub(super) fn set_default_authorizer(
        &mut self,
        path: &str,
        default: &Text,
        names: &[Text],
        scopes: &Val,
        preflight: bool,
    ) -> Result<()> {
        let mut iam = false;
        for (method, definition) in self.all_methods_mut(path)? {
            if method.as_str() == "options" && !preflight {
                continue;
            }
            let (mut others, mut given) = (Vec::new(), Vec::new());
            for security in security_maps(definition, path, &method)? {
                let authorizer = security
                    .keys()
                    .iter()
                    .any(|key| key.as_str() == "AWS_IAM" || names.contains(key));
                if authorizer { &mut given } else { &mut others }.push(Val::Map(security));
            }
            let none = others.iter().position(|security| {
                security.as_map().is_some_and(|security| security.has("NONE"))
            });
            if let Some(none) = none {
                others.remove(none);
            } else if given.is_empty() {
                others.push(ordered! { default => scopes }.into());
            } else {
                others.extend(given);
            }
            iam |= set_security(definition, others);
        }
        if iam { self.add_iam_definition() } else { Ok(()) }
    }

    /// Wants a key for the methods of a path that do not say otherwise.
    pub(super) fn set_default_api_key(&mut self, path: &str, preflight: bool) -> Result<()> {
        for (method, definition) in self.all_methods_mut(path)? {
            let existing = security_maps(definition, path, &method)?;
            let (mut others, mut refuses) = (Vec::new(), false);
            for security in &existing {
                if security.has("api_key") || security.has("api_key_false") {
                    refuses |= security.has("api_key_false");
                } else {
                    others.push(Val::Map(security.clone()));
                }
            }
            if !refuses && (method.as_str() != "options" || preflight) {
                others.push(ordered! { "api_key" => Vec::new() }.into());
            }
            let existing: Vec<Val> = existing.into_iter().map(Val::Map).collect();
            if others != existing {
                definition.insert("security", others);
            }
        }
        Ok(())
    }

    /// Sets what an event says of its method.
    pub(in crate::sam) fn add_auth(
        &mut self,
        path: &str,
        method: &Text,
        auth: &Map,
        api_auth: Option<&Val>,
    ) -> Result<()> {
        let authorizers = api_auth.and_then(|auth| auth.get("Authorizers"));
        if let Some(authorizer) = auth.get("Authorizer").filter(|authorizer| authorizer.truthy()) {
            let scopes = auth.get("AuthorizationScopes");
            self.set_authorizer(path, method, authorizer, authorizers, scopes)?;
        }
        let Some(required) = auth.get("ApiKeyRequired").map(Val::truthy) else { return Ok(()) };
        let name = if required { "api_key" } else { "api_key_false" };
        let mut found = false;
        for definition in self.methods_mut(path, method)? {
            found = true;
            let mut security = editor::security_list(definition, path, method)?;
            security.push(ordered! { name => Vec::new() }.into());
            definition.insert("security", security);
        }
        if found && required { self.add_api_key_definition() } else { Ok(()) }
    }

    fn set_authorizer(
        &mut self,
        path: &str,
        method: &Text,
        authorizer: &Val,
        authorizers: Option<&Val>,
        scopes: Option<&Val>,
    ) -> Result<()> {
        let name = authorizer.as_text().cloned().unwrap_or_else(|| print::text(authorizer).into());
        let mut granted: Val = Vec::new().into();
        let known = authorizers.filter(|all| name.as_str() != "NONE" && all.truthy());
        if let Some(config) = known.and_then(|all| all.get(&name)) {
            if config.as_map().is_none() {
                return Err(Problem::document(format!(
                    "Type of authorizer '{name}' must be a dictionary"
                )));
            }
            if let Some(scopes) = scopes.or_else(|| config.get("AuthorizationScopes")) {
                granted = scopes.clone();
            }
        }
        let mut iam = false;
        for definition in self.methods_mut(path, method)? {
            let mut security = editor::security_list(definition, path, method)?;
            security.push(ordered! { &name => &granted }.into());
            iam |= set_security(definition, security);
        }
        if iam { self.add_iam_definition() } else { Ok(()) }
    }

    /// Lets through or keeps out accounts, addresses and networks, on all methods of a path.
    pub(in crate::sam) fn add_resource_policy(
        &mut self,
        policy: &Map,
        path: &Text,
        stage: &Val,
    ) -> Result<()> {
        let resources = self.method_arns(path, stage)?;
        for (name, effect) in [("AwsAccountWhitelist", "Allow"), ("AwsAccountBlacklist", "Deny")] {
            if let Some(accounts) = policy.get(name).filter(|accounts| accounts.truthy()) {
                self.add_accounts(accounts, effect, &resources)?;
            }
        }
        for (name, condition) in
            [("IpRangeWhitelist", "NotIpAddress"), ("IpRangeBlacklist", "IpAddress")]
        {
            if let Some(ranges) = policy.get(name).filter(|ranges| ranges.truthy()) {
                let condition = map! { condition => map! { "aws:SourceIp" => as_list(ranges) } };
                self.add_allow_and_deny(&resources, condition);
            }
        }
        for (list, condition) in [("Blacklist", "StringEquals"), ("Whitelist", "StringNotEquals")] {
            let sources = networks(policy, list)?;
            if !sources.is_empty() {
                self.add_allow_and_deny(&resources, map! { condition => sources });
            }
        }
        self.doc.insert(POLICY, self.policy.clone());
        Ok(())
    }

    fn method_arns(&self, path: &Text, stage: &Val) -> Result<Val> {
        let methods: Vec<Text> = self.items(path)?.into_iter().flat_map(Map::keys).collect();
        let pattern = editor::path_pattern(path, true);
        let arns = methods.iter().map(|method| {
            let any = matches!(editor::normal_method(method).as_str(), editor::ANY_METHOD);
            let name = if any { "*".to_owned() } else { method.to_uppercase() };
            let marked = path.marked || (!any && method.marked);
            let text = Text::new(format!("execute-api:/${{__Stage__}}/{name}{pattern}"), marked);
            sub_with(text, map! { "__Stage__" => stage })
        });
        Ok(arns.collect::<Vec<_>>().into())
    }

    fn add_accounts(&mut self, accounts: &Val, effect: &str, resources: &Val) -> Result<()> {
        if !matches!(accounts, Val::List(_) | Val::Map(_)) {
            return Err(Problem::document(format!(
                "Type of '{}' must be a list or dictionary",
                print::text(accounts)
            )));
        }
        let statement: Val = ordered! {
            "Effect" => effect,
            "Action" => "execute-api:Invoke",
            "Resource" => resources,
            "Principal" => ordered! { "AWS" => as_list(accounts) },
        }
        .into();
        self.policy.insert("Version", "2012-10-17");
        let statements = match self.policy.get("Statement") {
            None => statement,
            Some(existing) => {
                let mut statements = as_list(existing);
                statements.push(statement);
                statements.into()
            }
        };
        self.policy.insert("Statement", statements);
        Ok(())
    }

    fn add_allow_and_deny(&mut self, resources: &Val, condition: Map) {
        let statement = |effect: &str| {
            ordered! {
                "Effect" => effect,
                "Action" => "execute-api:Invoke",
                "Resource" => resources,
                "Principal" => "*",
            }
        };
        let mut deny = statement("Deny");
        deny.insert("Condition", condition);
        self.add_statements(list![statement("Allow"), deny]);
    }

    fn add_statements(&mut self, new: Val) {
        self.policy.insert("Version", "2012-10-17");
        let statements = match self.policy.get("Statement") {
            None => new,
            Some(existing) => {
                let mut statements = as_list(existing);
                for statement in as_list(&new) {
                    if !statements.contains(&statement) {
                        statements.push(statement);
                    }
                }
                statements.into()
            }
        };
        self.policy.insert("Statement", statements);
    }

    pub(in crate::sam) fn add_custom_statements(&mut self, statements: &Val) {
        self.add_statements(statements.clone());
        self.doc.insert(POLICY, self.policy.clone());
    }
}

/// Sets what a method wants, if anything; says whether that starts with IAM.
fn set_security(definition: &mut Map, security: Vec<Val>) -> bool {
    let iam = security.first().and_then(Val::as_map).is_some_and(|first| first.has("AWS_IAM"));
    if !security.is_empty() {
        definition.insert("security", security);
    }
    iam
}

fn security_maps(definition: &Map, path: &str, method: &str) -> Result<Vec<Map>> {
    let security = editor::security_list(definition, path, method)?;
    let maps = security.into_iter().map(|security| match security {
        Val::Map(map) => Ok(map),
        other => Err(Problem::document(format!(
            "{} in Security for path {path} method {method} is not a valid dictionary.",
            print::text(&other)
        ))),
    });
    maps.collect()
}

/// The networks and endpoints that a policy lists.
fn networks(policy: &Map, list: &str) -> Result<Map> {
    let mut sources = Map::ordered();
    let mut add = |kind: &str, values: Vec<Val>| {
        if let Val::List(all) = sources.or_insert(kind, || Vec::new().into()) {
            all.extend(values);
        }
    };
    let name = format!("SourceVpc{list}");
    if let Some(given) = policy.get(&name) {
        let given = as_list(given);
        if given.iter().any(|id| id.as_str().is_none()) {
            return Err(Problem::document(format!(
                "{name} must be a list of strings. Use IntrinsicVpc{list} instead for values that use Intrinsic \
                 Functions"
            )));
        }
        for (prefix, kind) in [("vpc-", "aws:SourceVpc"), ("vpce-", "aws:SourceVpce")] {
            let matching = |id: &Val| id.as_str().is_some_and(|id| id.starts_with(prefix));
            let found: Vec<Val> = given.iter().filter(|id| matching(id)).cloned().collect();
            if !found.is_empty() {
                add(kind, found);
            }
        }
    }
    for (name, kind) in [("IntrinsicVpc", "aws:SourceVpc"), ("IntrinsicVpce", "aws:SourceVpce")] {
        if let Some(given) = policy.get(&format!("{name}{list}")) {
            add(kind, as_list(given));
        }
    }
    let any = sources.iter().any(|(_, values)| values.truthy());
    Ok(if any { sources } else { Map::new() })
}
