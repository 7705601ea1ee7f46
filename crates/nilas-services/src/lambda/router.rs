//! From method and path to an operation. The version in a path is part of it: AWS never reuses one.

use std::borrow::Cow;

use http::Method;
use nilas_wire::{ApiRequest, percent};

use super::event_invoke_config::EventInvokeOperation;
use super::layers::LayerOperation;
use super::mappings::MappingOperation;
use super::permissions::PermissionOperation;
use super::small_settings::SettingOperation;
use super::urls::UrlOperation;

mod gaps;

use gaps::gap_at;

/// A request, parsed as far as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    CreateFunction,
    ListFunctions,
    GetFunction {
        name: Cow<'a, str>,
    },
    DeleteFunction {
        name: Cow<'a, str>,
    },
    UpdateFunctionCode {
        name: Cow<'a, str>,
    },
    GetFunctionConfiguration {
        name: Cow<'a, str>,
    },
    UpdateFunctionConfiguration {
        name: Cow<'a, str>,
    },
    PublishVersion {
        name: Cow<'a, str>,
    },
    ListVersionsByFunction {
        name: Cow<'a, str>,
    },
    Invoke {
        name: Cow<'a, str>,
    },
    InvokeWithResponseStream {
        name: Cow<'a, str>,
    },
    CreateAlias {
        name: Cow<'a, str>,
    },
    ListAliases {
        name: Cow<'a, str>,
    },
    GetAlias {
        name: Cow<'a, str>,
        alias: Cow<'a, str>,
    },
    UpdateAlias {
        name: Cow<'a, str>,
        alias: Cow<'a, str>,
    },
    DeleteAlias {
        name: Cow<'a, str>,
        alias: Cow<'a, str>,
    },
    PutFunctionConcurrency {
        name: Cow<'a, str>,
    },
    GetFunctionConcurrency {
        name: Cow<'a, str>,
    },
    DeleteFunctionConcurrency {
        name: Cow<'a, str>,
    },
    PutProvisionedConcurrencyConfig {
        name: Cow<'a, str>,
    },
    GetProvisionedConcurrencyConfig {
        name: Cow<'a, str>,
    },
    ListProvisionedConcurrencyConfigs {
        name: Cow<'a, str>,
    },
    DeleteProvisionedConcurrencyConfig {
        name: Cow<'a, str>,
    },
    TagResource {
        arn: Cow<'a, str>,
    },
    UntagResource {
        arn: Cow<'a, str>,
    },
    ListTags {
        arn: Cow<'a, str>,
    },
    GetAccountSettings,
    Layer(LayerOperation<'a>),
    Permission(PermissionOperation<'a>),
    Setting(SettingOperation<'a>),
    Url(UrlOperation<'a>),
    EventInvoke(EventInvokeOperation<'a>),
    Mapping(MappingOperation<'a>),
    /// AWS has it, this server does not yet.
    NotImplemented(&'static str),
}

impl<'a> Operation<'a> {
    pub(crate) fn of(request: &'a ApiRequest) -> Option<Self> {
        route(&request.method, &request.path, &request.query)
    }

    /// As IAM policies name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateFunction => "CreateFunction",
            Self::ListFunctions => "ListFunctions",
            Self::GetFunction { .. } => "GetFunction",
            Self::DeleteFunction { .. } => "DeleteFunction",
            Self::UpdateFunctionCode { .. } => "UpdateFunctionCode",
            Self::GetFunctionConfiguration { .. } => "GetFunctionConfiguration",
            Self::UpdateFunctionConfiguration { .. } => "UpdateFunctionConfiguration",
            Self::PublishVersion { .. } => "PublishVersion",
            Self::ListVersionsByFunction { .. } => "ListVersionsByFunction",
            // One permission for both.
            Self::Invoke { .. } | Self::InvokeWithResponseStream { .. } => "InvokeFunction",
            Self::CreateAlias { .. } => "CreateAlias",
            Self::ListAliases { .. } => "ListAliases",
            Self::GetAlias { .. } => "GetAlias",
            Self::UpdateAlias { .. } => "UpdateAlias",
            Self::DeleteAlias { .. } => "DeleteAlias",
            Self::PutFunctionConcurrency { .. } => "PutFunctionConcurrency",
            Self::GetFunctionConcurrency { .. } => "GetFunctionConcurrency",
            Self::DeleteFunctionConcurrency { .. } => "DeleteFunctionConcurrency",
            Self::PutProvisionedConcurrencyConfig { .. } => "PutProvisionedConcurrencyConfig",
            Self::GetProvisionedConcurrencyConfig { .. } => "GetProvisionedConcurrencyConfig",
            Self::ListProvisionedConcurrencyConfigs { .. } => "ListProvisionedConcurrencyConfigs",
            Self::DeleteProvisionedConcurrencyConfig { .. } => "DeleteProvisionedConcurrencyConfig",
            Self::TagResource { .. } => "TagResource",
            Self::UntagResource { .. } => "UntagResource",
            Self::ListTags { .. } => "ListTags",
            Self::GetAccountSettings => "GetAccountSettings",
            Self::Layer(operation) => operation.name(),
            Self::Permission(operation) => operation.name(),
            Self::Setting(operation) => operation.name(),
            Self::Url(operation) => operation.name(),
            Self::EventInvoke(operation) => operation.name(),
            Self::Mapping(operation) => operation.name(),
            Self::NotImplemented(name) => name,
        }
    }

    /// The function it is about: a name or an ARN, as the path has it.
    pub(crate) fn function(&self) -> Option<&str> {
        match self {
            Self::CreateFunction
            | Self::ListFunctions
            | Self::GetAccountSettings
            | Self::Layer(_)
            | Self::Mapping(_)
            | Self::NotImplemented(_) => None,
            Self::GetFunction { name }
            | Self::DeleteFunction { name }
            | Self::UpdateFunctionCode { name }
            | Self::GetFunctionConfiguration { name }
            | Self::UpdateFunctionConfiguration { name }
            | Self::PublishVersion { name }
            | Self::ListVersionsByFunction { name }
            | Self::Invoke { name }
            | Self::InvokeWithResponseStream { name }
            | Self::PutFunctionConcurrency { name }
            | Self::GetFunctionConcurrency { name }
            | Self::DeleteFunctionConcurrency { name }
            | Self::PutProvisionedConcurrencyConfig { name }
            | Self::GetProvisionedConcurrencyConfig { name }
            | Self::ListProvisionedConcurrencyConfigs { name }
            | Self::DeleteProvisionedConcurrencyConfig { name }
            | Self::CreateAlias { name }
            | Self::ListAliases { name }
            | Self::GetAlias { name, .. }
            | Self::UpdateAlias { name, .. }
            | Self::DeleteAlias { name, .. } => Some(name),
            Self::TagResource { arn } | Self::UntagResource { arn } | Self::ListTags { arn } => {
                Some(arn)
            }
            Self::Permission(operation) => Some(operation.function()),
            Self::Setting(operation) => Some(operation.function()),
            Self::Url(operation) => Some(operation.function()),
            Self::EventInvoke(operation) => Some(operation.function()),
        }
    }
}

/// `path` as it came in, still percent-encoded; None when AWS has no such operation.
pub(crate) fn route<'a>(method: &Method, path: &'a str, query: &str) -> Option<Operation<'a>> {
    // SDK v2 ends some paths in a slash.
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let operation = match (method.as_str(), segments.as_slice()) {
        ("POST", ["2015-03-31", "functions", name, "invocations"]) => {
            Operation::Invoke { name: percent::decode(name) }
        }
        ("POST", ["2021-11-15", "functions", name, "response-streaming-invocations"]) => {
            Operation::InvokeWithResponseStream { name: percent::decode(name) }
        }
        ("POST", ["2015-03-31", "functions"]) => Operation::CreateFunction,
        ("GET", ["2015-03-31", "functions"]) => Operation::ListFunctions,
        ("GET", ["2015-03-31", "functions", name]) => {
            Operation::GetFunction { name: percent::decode(name) }
        }
        ("DELETE", ["2015-03-31", "functions", name]) => {
            Operation::DeleteFunction { name: percent::decode(name) }
        }
        ("PUT", ["2015-03-31", "functions", name, "code"]) => {
            Operation::UpdateFunctionCode { name: percent::decode(name) }
        }
        ("GET", ["2015-03-31", "functions", name, "configuration"]) => {
            Operation::GetFunctionConfiguration { name: percent::decode(name) }
        }
        ("PUT", ["2015-03-31", "functions", name, "configuration"]) => {
            Operation::UpdateFunctionConfiguration { name: percent::decode(name) }
        }
        ("POST", ["2015-03-31", "functions", name, "versions"]) => {
            Operation::PublishVersion { name: percent::decode(name) }
        }
        ("GET", ["2015-03-31", "functions", name, "versions"]) => {
            Operation::ListVersionsByFunction { name: percent::decode(name) }
        }
        ("POST", ["2017-03-31", "tags", arn]) => {
            Operation::TagResource { arn: percent::decode(arn) }
        }
        ("DELETE", ["2017-03-31", "tags", arn]) => {
            Operation::UntagResource { arn: percent::decode(arn) }
        }
        ("GET", ["2017-03-31", "tags", arn]) => Operation::ListTags { arn: percent::decode(arn) },
        ("GET", ["2016-08-19", "account-settings"]) => Operation::GetAccountSettings,
        (method, segments) => {
            return route_settings(method, segments, query)
                .or_else(|| LayerOperation::of(method, segments, query).map(Operation::Layer))
                .or_else(|| PermissionOperation::of(method, segments).map(Operation::Permission))
                .or_else(|| UrlOperation::of(method, segments).map(Operation::Url))
                .or_else(|| EventInvokeOperation::of(method, segments).map(Operation::EventInvoke))
                .or_else(|| MappingOperation::of(method, segments).map(Operation::Mapping))
                .or_else(|| SettingOperation::of(method, segments).map(Operation::Setting))
                .or_else(|| gap_at(method, segments, query));
        }
    };
    Some(operation)
}

/// Aliases and concurrency.
fn route_settings<'a>(method: &str, segments: &[&'a str], query: &str) -> Option<Operation<'a>> {
    let operation = match (method, segments) {
        ("POST", ["2015-03-31", "functions", name, "aliases"]) => {
            Operation::CreateAlias { name: percent::decode(name) }
        }
        ("GET", ["2015-03-31", "functions", name, "aliases"]) => {
            Operation::ListAliases { name: percent::decode(name) }
        }
        ("GET", ["2015-03-31", "functions", name, "aliases", alias]) => {
            Operation::GetAlias { name: percent::decode(name), alias: percent::decode(alias) }
        }
        ("PUT", ["2015-03-31", "functions", name, "aliases", alias]) => {
            Operation::UpdateAlias { name: percent::decode(name), alias: percent::decode(alias) }
        }
        ("DELETE", ["2015-03-31", "functions", name, "aliases", alias]) => {
            Operation::DeleteAlias { name: percent::decode(name), alias: percent::decode(alias) }
        }
        ("GET", ["2019-09-30", "functions", name, "provisioned-concurrency"]) if is_list(query) => {
            Operation::ListProvisionedConcurrencyConfigs { name: percent::decode(name) }
        }
        ("PUT", ["2017-10-31", "functions", name, "concurrency"]) => {
            Operation::PutFunctionConcurrency { name: percent::decode(name) }
        }
        ("GET", ["2019-09-30", "functions", name, "concurrency"]) => {
            Operation::GetFunctionConcurrency { name: percent::decode(name) }
        }
        ("DELETE", ["2017-10-31", "functions", name, "concurrency"]) => {
            Operation::DeleteFunctionConcurrency { name: percent::decode(name) }
        }
        ("PUT", ["2019-09-30", "functions", name, "provisioned-concurrency"]) => {
            Operation::PutProvisionedConcurrencyConfig { name: percent::decode(name) }
        }
        ("GET", ["2019-09-30", "functions", name, "provisioned-concurrency"]) => {
            Operation::GetProvisionedConcurrencyConfig { name: percent::decode(name) }
        }
        ("DELETE", ["2019-09-30", "functions", name, "provisioned-concurrency"]) => {
            Operation::DeleteProvisionedConcurrencyConfig { name: percent::decode(name) }
        }
        _ => return None,
    };
    Some(operation)
}

/// ListProvisionedConcurrencyConfigs has the path of GetProvisionedConcurrencyConfig.
fn is_list(query: &str) -> bool {
    query.split('&').any(|pair| pair == "List=ALL")
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    fn check(method: Method, path: &str, expected: Option<Operation<'_>>) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        assert_eq!(route(&method, path, query), expected, "{method} {path}");
    }

    #[test]
    fn decodes_names_of_every_form() {
        let get = |name: &'static str| Some(Operation::GetFunction { name: name.into() });
        check(Method::GET, "/2015-03-31/functions/hello", get("hello"));
        check(Method::GET, "/2015-03-31/functions/hello%3Alive/", get("hello:live"));
        check(
            Method::GET,
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af",
            get("arn:aws:lambda:us-east-1:000000000000:function:f"),
        );
        check(
            Method::POST,
            "/2015-03-31/functions/f/invocations",
            Some(Operation::Invoke { name: "f".into() }),
        );
        check(Method::GET, "/2015-03-31/functions/", Some(Operation::ListFunctions));
    }

    #[test]
    fn knows_what_is_missing_from_what_does_not_exist() {
        check(
            Method::GET,
            "/2018-10-31/layers?find=LayerVersion&Arn=x",
            Some(Operation::Layer(LayerOperation::GetLayerVersionByArn)),
        );
        check(
            Method::POST,
            "/2015-03-31/event-source-mappings/",
            Some(Operation::Mapping(MappingOperation::CreateEventSourceMapping)),
        );
        check(
            Method::GET,
            "/2025-11-30/capacity-providers",
            Some(Operation::NotImplemented("ListCapacityProviders")),
        );
        check(Method::GET, "/2015-03-31/functions/f/nothing", None);
        check(Method::PATCH, "/2015-03-31/functions/f", None);
        check(Method::GET, "/", None);
    }

    #[test]
    fn the_list_of_gaps_is_written_down() {
        let mut names: Vec<&str> = gaps::GAPS.iter().map(|gap| gap.operation).collect();
        names.sort_unstable();
        names.push("");
        expect_file!["operations_not_implemented.txt"].assert_eq(&names.join("\n"));
    }
}
