//! Which operation a path and verb name.

use nilas_wire::{Fault, percent};

use super::fault::{absent, not_found};
use super::part::{self, Kind};
use super::{Answer, Cx, api, domain, responses, stage, vpc_link};

pub(super) async fn route(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let path = cx.request.path.trim_matches('/');
    let parts: Vec<_> = path.split('/').skip(1).map(percent::decode).collect();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match (cx.request.method.as_str(), parts.as_slice()) {
        ("POST", ["apis"]) => api::create(cx).await,
        ("PUT", ["apis"]) => api::import(cx).await,
        ("GET", ["apis"]) => api::list(cx),
        ("GET", ["apis", id]) => api::get(cx, id),
        ("PATCH", ["apis", id]) => api::update(cx, id).await,
        ("PUT", ["apis", id]) => api::reimport(cx, id).await,
        ("DELETE", ["apis", id]) => api::delete(cx, id).await,
        ("DELETE", ["apis", id, "cors"]) => api::delete_cors(cx, id).await,
        (verb, ["apis", id, "stages", rest @ ..]) => stage::route(cx, verb, id, rest).await,
        (verb, ["apis", id, "deployments", rest @ ..]) => {
            stage::deployments(cx, verb, id, rest).await
        }
        (verb, ["apis", id, "routes", route, "routeresponses", rest @ ..]) => {
            responses::route(cx, verb, (id, route), rest).await
        }
        (verb, ["apis", id, kind, rest @ ..]) => match Kind::of(kind) {
            Some(kind) => part::route(cx, kind, verb, id, rest).await,
            None => Err(absent(format_args!("'{kind}' of HTTP APIs"))),
        },
        (verb, ["tags", arn @ ..]) => api::tags(cx, verb, &arn.join("/")).await,
        (verb, ["domainnames", rest @ ..]) => domain::route(cx, verb, rest).await,
        (verb, ["vpclinks", rest @ ..]) => vpc_link::route(cx, verb, rest).await,
        (_, ["portals" | "portalproducts", ..]) => {
            Err(absent(format_args!("'{}' of API Gateway's second version", parts[0])))
        }
        _ => Err(not_found("No such operation")),
    }
}
