//! Which operations there are: a method and a path each.

use nilas_wire::{Fault, percent};

use super::{Answer, Cx, fault};
use super::{
    account, api, deployment, domain, import, key, method, part, resource, stage, tags, usage_plan,
};

pub(super) async fn route(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let path = cx.request.path.trim_matches('/');
    let parts: Vec<String> =
        path.split('/').map(|part| percent::decode(part).into_owned()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let verb = cx.request.method.as_str();
    match parts.as_slice() {
        ["restapis", rest @ ..] => api_route(cx, verb, rest).await,
        ["apikeys", rest @ ..] => key_route(cx, verb, rest).await,
        ["usageplans", rest @ ..] => plan_route(cx, verb, rest).await,
        ["domainnames", rest @ ..] => domain_route(cx, verb, rest).await,
        ["account"] => match verb {
            "GET" => Ok(account::get(cx)),
            "PATCH" => account::update(cx).await,
            _ => Err(unknown()),
        },
        ["tags", arn] => match verb {
            "GET" => tags::get(cx, arn),
            "PUT" => tags::tag(cx, arn).await,
            "DELETE" => tags::untag(cx, arn).await,
            _ => Err(unknown()),
        },
        ["vpclinks", ..] => Err(fault::absent("VPC links")),
        ["clientcertificates", ..] => Err(fault::absent("client certificates")),
        ["sdktypes", ..] => Err(fault::absent("generated SDKs")),
        ["domainnameaccessassociations" | "rejectdomainnameaccessassociations", ..] => {
            Err(fault::absent("private domain names"))
        }
        _ => Err(unknown()),
    }
}

async fn api_route(cx: &Cx<'_>, verb: &str, parts: &[&str]) -> Result<Answer, Fault> {
    let mode = percent::query_value(&cx.request.query, "mode");
    match (verb, parts) {
        ("POST", []) if mode.as_deref() == Some("import") => import::import(cx).await,
        ("POST", []) => api::create(cx).await,
        ("GET", []) => api::list(cx),
        ("GET", [id]) => api::get(cx, id),
        ("PUT", [id]) => import::put(cx, id).await,
        ("PATCH", [id]) => api::update(cx, id).await,
        ("DELETE", [id]) => api::delete(cx, id).await,
        (_, [id, "resources", rest @ ..]) => resource_route(cx, verb, id, rest).await,
        ("POST", [id, "deployments"]) => deployment::create(cx, id).await,
        ("GET", [id, "deployments"]) => deployment::list(cx, id),
        ("GET", [id, "deployments", deployment]) => deployment::get(cx, id, deployment).await,
        ("PATCH", [id, "deployments", deployment]) => deployment::update(cx, id, deployment).await,
        ("DELETE", [id, "deployments", deployment]) => deployment::delete(cx, id, deployment).await,
        ("POST", [id, "stages"]) => stage::create(cx, id).await,
        ("GET", [id, "stages"]) => stage::list(cx, id),
        ("GET", [id, "stages", stage]) => stage::get(cx, id, stage),
        ("PATCH", [id, "stages", stage]) => stage::update(cx, id, stage).await,
        ("DELETE", [id, "stages", stage]) => stage::delete(cx, id, stage).await,
        ("DELETE", [id, "stages", stage, "cache", "data" | "authorizers"]) => {
            stage::flush_cache(cx, id, stage)
        }
        (_, [_, "stages", _, "exports", _]) => Err(fault::absent("GetExport")),
        (_, [_, "stages", _, "sdks", _]) => Err(fault::absent("generated SDKs")),
        (_, [_, "documentation", ..]) => Err(fault::absent("documentation parts")),
        ("POST", [_, "authorizers", _]) => Err(fault::absent("TestInvokeAuthorizer")),
        ("GET", [_, "models", _, "default_template"]) => Err(fault::absent("GetModelTemplate")),
        (_, [id, collection, rest @ ..]) => match part::Kind::of(collection) {
            Some(kind) => part_route(cx, verb, kind, id, rest).await,
            None => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

async fn part_route(
    cx: &Cx<'_>,
    verb: &str,
    kind: part::Kind,
    api: &str,
    parts: &[&str],
) -> Result<Answer, Fault> {
    match (verb, parts) {
        ("POST", []) if kind != part::Kind::GatewayResponse => part::create(cx, kind, api).await,
        ("GET", []) => part::list(cx, kind, api),
        ("GET", [id]) => part::get(cx, kind, api, id),
        ("PUT", [id]) if kind == part::Kind::GatewayResponse => {
            part::put_response(cx, api, id).await
        }
        ("PATCH", [id]) => part::update(cx, kind, api, id).await,
        ("DELETE", [id]) => part::delete(cx, kind, api, id).await,
        _ => Err(unknown()),
    }
}

async fn resource_route(
    cx: &Cx<'_>,
    verb: &str,
    api: &str,
    parts: &[&str],
) -> Result<Answer, Fault> {
    match (verb, parts) {
        ("GET", []) => resource::list(cx, api),
        ("POST", [parent]) => resource::create(cx, api, parent).await,
        ("GET", [id]) => resource::get(cx, api, id),
        ("PATCH", [id]) => resource::update(cx, api, id).await,
        ("DELETE", [id]) => resource::delete(cx, api, id).await,
        ("POST", [_, "methods", _]) => Err(fault::absent("TestInvokeMethod")),
        (_, [resource, "methods", method, rest @ ..]) => {
            let at = method::Place { api, resource, verb: method };
            match (verb, rest) {
                ("PUT", []) => method::put(cx, at).await,
                ("PUT", ["responses", status]) => method::put_response(cx, at, status).await,
                ("PUT", ["integration"]) => method::put_integration(cx, at).await,
                ("PUT", ["integration", "responses", status]) => {
                    method::put_integration_response(cx, at, status).await
                }
                ("GET", rest) => method::get(cx, at, rest),
                ("PATCH", rest) => method::update(cx, at, rest).await,
                ("DELETE", rest) => method::delete(cx, at, rest).await,
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

async fn key_route(cx: &Cx<'_>, verb: &str, parts: &[&str]) -> Result<Answer, Fault> {
    let mode = percent::query_value(&cx.request.query, "mode");
    match (verb, parts) {
        ("POST", []) if mode.as_deref() == Some("import") => Err(fault::absent("ImportApiKeys")),
        ("POST", []) => key::create(cx).await,
        ("GET", []) => key::list(cx),
        ("GET", [id]) => key::get(cx, id),
        ("PATCH", [id]) => key::update(cx, id).await,
        ("DELETE", [id]) => key::delete(cx, id).await,
        _ => Err(unknown()),
    }
}

async fn plan_route(cx: &Cx<'_>, verb: &str, parts: &[&str]) -> Result<Answer, Fault> {
    match (verb, parts) {
        ("POST", []) => usage_plan::create(cx).await,
        ("GET", []) => usage_plan::list(cx),
        ("GET", [id]) => usage_plan::get(cx, id),
        ("PATCH", [id]) => usage_plan::update(cx, id).await,
        ("DELETE", [id]) => usage_plan::delete(cx, id).await,
        ("POST", [id, "keys"]) => usage_plan::key_add(cx, id).await,
        ("GET", [id, "keys"]) => usage_plan::key_list(cx, id),
        ("GET", [id, "keys", key]) => usage_plan::key_get(cx, id, key),
        ("DELETE", [id, "keys", key]) => usage_plan::key_remove(cx, id, key).await,
        (_, [_, "usage"] | [_, "keys", _, "usage"]) => Err(fault::absent("usage figures")),
        _ => Err(unknown()),
    }
}

async fn domain_route(cx: &Cx<'_>, verb: &str, parts: &[&str]) -> Result<Answer, Fault> {
    match (verb, parts) {
        ("POST", []) => domain::create(cx).await,
        ("GET", []) => domain::list(cx),
        ("GET", [name]) => domain::get(cx, name),
        ("PATCH", [name]) => domain::update(cx, name).await,
        ("DELETE", [name]) => domain::delete(cx, name).await,
        ("POST", [name, "basepathmappings"]) => domain::mapping_create(cx, name).await,
        ("GET", [name, "basepathmappings"]) => domain::mapping_list(cx, name),
        ("GET", [name, "basepathmappings", base]) => domain::mapping_get(cx, name, base),
        ("PATCH", [name, "basepathmappings", base]) => domain::mapping_update(cx, name, base).await,
        ("DELETE", [name, "basepathmappings", base]) => {
            domain::mapping_delete(cx, name, base).await
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> Fault {
    Fault::plain("UnknownOperationException", 404, "There is no such operation of API Gateway.")
}
