//! Custom domain names and API mappings. Both versions of API Gateway show the same domains: this is the second's view.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-custom-domain-names.html>

use nilas_model::limits;
use nilas_wire::Fault;
use serde_json::{Value, json};

use super::fault::{absent, bad, conflict, not_found};
use super::members::{self, Members, text};
use super::record::id;
use super::{Answer, Cx, api, created, no_content, ok, page};
use crate::apigateway::{MAPPING_ID, MAPPINGS, NO_BASE_PATH};

/// What follows `/v2/domainnames`.
pub(super) async fn route(cx: &Cx<'_>, verb: &str, rest: &[&str]) -> Result<Answer, Fault> {
    match (verb, rest) {
        ("POST", []) => create(cx).await,
        ("GET", []) => {
            let domains = cx.rest.domain_list(cx.auth);
            page(cx, domains.iter().map(|domain| shown(cx, domain)).collect())
        }
        ("GET", [name]) => Ok(ok(shown(cx, &cx.rest.domain(cx.auth, name)?))),
        ("PATCH", [name]) => update(cx, name).await,
        ("DELETE", [name]) => {
            cx.rest.domain_delete(cx.auth, name).await?;
            Ok(no_content())
        }
        ("GET", [name, "apimappings"]) => {
            let domain = cx.rest.domain(cx.auth, name)?;
            page(cx, mappings(&domain).iter().map(shown_mapping).collect())
        }
        ("POST", [name, "apimappings"]) => put_mapping(cx, name, None).await,
        ("GET", [name, "apimappings", id]) => {
            let domain = cx.rest.domain(cx.auth, name)?;
            let found = mappings(&domain).iter().find(|mapping| mapping[MAPPING_ID] == *id);
            Ok(ok(found.map(shown_mapping).ok_or_else(no_mapping)?))
        }
        ("PATCH", [name, "apimappings", id]) => put_mapping(cx, name, Some(id)).await,
        ("DELETE", [name, "apimappings", id]) => delete_mapping(cx, name, id).await,
        (_, [_, "routingrules", ..]) => Err(absent("routing rules of custom domains")),
        _ => Err(not_found("No such operation")),
    }
}

fn no_mapping() -> Fault {
    not_found("Invalid API mapping identifier specified")
}

async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let mut domain = Members::new();
    domain.insert("domainName".to_owned(), text(&body, "domainName").unwrap_or_default().into());
    domain.insert("tags".to_owned(), body.get("tags").cloned().unwrap_or_else(|| json!({})));
    domain.insert(
        "endpointConfiguration".to_owned(),
        json!({ "types": ["REGIONAL"], "ipAddressType": "ipv4" }),
    );
    configure(&mut domain, &body)?;
    if text(&domain, "regionalCertificateArn").is_none() {
        return Err(bad("At least one domain name configuration with a certificate is required"));
    }
    let domain = cx.rest.domain_create(cx.auth, domain).await?;
    Ok(created(shown(cx, &domain)))
}

async fn update(cx: &Cx<'_>, name: &str) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let change = |domain: &mut Members| {
        configure(domain, &body)?;
        Ok(shown(cx, domain))
    };
    Ok(ok(cx.rest.domain_change(cx.auth, name, change).await?))
}

/// Puts what a request says into a domain as the first version has it.
fn configure(domain: &mut Members, body: &Members) -> Result<(), Fault> {
    let tls = body.get("mutualTlsAuthentication").and_then(Value::as_object);
    if tls.is_some_and(|tls| tls.get("truststoreUri").is_some_and(|uri| uri != "")) {
        return Err(absent("mutual TLS"));
    }
    match text(body, "routingMode") {
        None | Some("API_MAPPING_ONLY") => {}
        Some(_) => return Err(absent("routing rules of custom domains")),
    }
    let configurations = body.get("domainNameConfigurations").and_then(Value::as_array);
    let said = match configurations.map(Vec::as_slice) {
        None | Some([]) => return Ok(()),
        Some([Value::Object(said)]) => said,
        Some(_) => return Err(bad("Only one domain name configuration is allowed")),
    };
    if text(said, "endpointType").is_some_and(|kind| !kind.eq_ignore_ascii_case("REGIONAL")) {
        return Err(bad("Only REGIONAL endpoint type is supported for HTTP and WebSocket APIs"));
    }
    for (from, to) in [
        ("certificateArn", "regionalCertificateArn"),
        ("certificateName", "regionalCertificateName"),
        ("ownershipVerificationCertificateArn", "ownershipVerificationCertificateArn"),
        ("securityPolicy", "securityPolicy"),
    ] {
        if let Some(value) = text(said, from) {
            domain.insert(to.to_owned(), value.into());
        }
    }
    if let Some(kind) = text(said, "ipAddressType") {
        domain["endpointConfiguration"]["ipAddressType"] = kind.into();
    }
    Ok(())
}

fn shown(cx: &Cx<'_>, domain: &Members) -> Value {
    let name = text(domain, "domainName").unwrap_or_default();
    let is_regional = domain.contains_key("regionalDomainName");
    let (target, zone, certificate) = match is_regional {
        true => ("regionalDomainName", "regionalHostedZoneId", "regionalCertificateArn"),
        false => ("distributionDomainName", "distributionHostedZoneId", "certificateArn"),
    };
    let mut configuration = json!({
        "apiGatewayDomainName": domain.get(target),
        "domainNameStatus": domain.get("domainNameStatus"),
        "endpointType": if is_regional { "REGIONAL" } else { "EDGE" },
        "hostedZoneId": domain.get(zone),
        "ipAddressType": domain.get("endpointConfiguration").map(|said| &said["ipAddressType"]),
        "securityPolicy": domain.get("securityPolicy"),
    });
    for (from, to) in [
        (certificate, "certificateArn"),
        ("regionalCertificateName", "certificateName"),
        ("ownershipVerificationCertificateArn", "ownershipVerificationCertificateArn"),
    ] {
        if let Some(value) = domain.get(from) {
            configuration[to] = value.clone();
        }
    }
    json!({
        "apiMappingSelectionExpression": "$request.basepath",
        "domainName": name,
        "domainNameArn": format!("arn:aws:apigateway:{}::/domainnames/{name}", cx.auth.region.as_str()),
        "domainNameConfigurations": [configuration],
        "routingMode": "API_MAPPING_ONLY",
        "tags": domain.get("tags").cloned().unwrap_or_else(|| json!({})),
    })
}

fn mappings(domain: &Members) -> &[Value] {
    domain.get(MAPPINGS).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn shown_mapping(mapping: &Value) -> Value {
    let key = mapping["basePath"].as_str().filter(|key| *key != NO_BASE_PATH).unwrap_or_default();
    json!({
        "apiId": mapping["restApiId"],
        "apiMappingId": mapping[MAPPING_ID],
        "apiMappingKey": key,
        "stage": mapping["stage"],
    })
}

/// Makes a mapping, or changes the one that is there.
async fn put_mapping(cx: &Cx<'_>, name: &str, known: Option<&str>) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let change = |domain: &mut Members| {
        let all = domain.entry(MAPPINGS).or_insert_with(|| json!([]));
        let Some(all) = all.as_array_mut() else { return Err(bad("no mappings")) };
        let at = match known {
            None => None,
            Some(id) => {
                let at = all.iter().position(|mapping| mapping[MAPPING_ID] == id);
                Some(at.ok_or_else(no_mapping)?)
            }
        };
        let mut mapping = match at {
            Some(at) => all[at].clone(),
            None => json!({ "basePath": NO_BASE_PATH, MAPPING_ID: id(6) }),
        };
        for (from, to) in [("apiId", "restApiId"), ("stage", "stage")] {
            if let Some(value) = text(&body, from) {
                mapping[to] = value.into();
            }
        }
        if let Some(key) = text(&body, "apiMappingKey") {
            check_key(key)?;
            mapping["basePath"] = if key.is_empty() { NO_BASE_PATH } else { key }.into();
        }
        check_target(cx, &mapping, all)?;
        let is_twin = |(other, twin): (usize, &Value)| {
            Some(other) != at && twin["basePath"] == mapping["basePath"]
        };
        if all.iter().enumerate().any(is_twin) {
            return Err(conflict("ApiMapping key already exists for this domain name"));
        }
        match at {
            Some(at) => all[at] = mapping.clone(),
            None if all.len() >= limits::API_MAPPINGS_MAX => {
                return Err(bad(
                    "The maximum number of API mappings for this domain name has been reached",
                ));
            }
            None => all.push(mapping.clone()),
        }
        Ok(shown_mapping(&mapping))
    };
    let answer = cx.rest.domain_change(cx.auth, name, change).await?;
    Ok(if known.is_some() { ok(answer) } else { created(answer) })
}

/// Several levels are separated by slashes.
fn check_key(key: &str) -> Result<(), Fault> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"$-_.+!*'()/".contains(&b);
    let is_split_well = key.is_empty() || key.split('/').all(|part| !part.is_empty());
    if key.len() > 300 || !key.bytes().all(legal) || !is_split_well {
        return Err(bad(
            "API mapping key should contain only letters, numbers, and the characters $-_.+!*'()/",
        ));
    }
    Ok(())
}

/// The API must be there with its stage, and WebSocket APIs have domains of their own.
fn check_target(cx: &Cx<'_>, mapping: &Value, all: &[Value]) -> Result<(), Fault> {
    let api = mapping["restApiId"].as_str().unwrap_or_default();
    let stage = mapping["stage"].as_str().unwrap_or_default();
    let is_websocket =
        |api: &str| cx.apis.get(cx.auth, api).is_ok_and(|record| record.definition.is_websocket());
    let has_stage = match cx.apis.get(cx.auth, api) {
        Ok(record) => Some(record.stages.contains_key(stage)),
        Err(_) => cx.rest.has_stage(cx.auth, api, stage),
    };
    match has_stage {
        None => return Err(not_found(format!("Invalid API identifier specified {api}"))),
        Some(false) => return Err(bad("Invalid stage identifier specified")),
        Some(true) => {}
    }
    let differs = |other: &&Value| {
        other[MAPPING_ID] != mapping[MAPPING_ID]
            && is_websocket(other["restApiId"].as_str().unwrap_or_default()) != is_websocket(api)
    };
    if all.iter().any(|other| differs(&other)) {
        return Err(bad("Only one protocol type is allowed for the APIs of a domain name"));
    }
    Ok(())
}

async fn delete_mapping(cx: &Cx<'_>, name: &str, id: &str) -> Result<Answer, Fault> {
    let remove = |domain: &mut Members| {
        let all = domain.get_mut(MAPPINGS).and_then(Value::as_array_mut).ok_or_else(no_mapping)?;
        let before = all.len();
        all.retain(|mapping| mapping[MAPPING_ID] != id);
        if all.len() < before { Ok(()) } else { Err(no_mapping()) }
    };
    cx.rest.domain_change(cx.auth, name, remove).await?;
    Ok(no_content())
}

/// What `/v2/tags/ARN` does with a domain.
pub(super) async fn tags(cx: &Cx<'_>, verb: &str, name: &str) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let apply = |domain: &mut Members| api::retag(cx.request, verb, &body, domain);
    match verb {
        "GET" => {
            let domain = cx.rest.domain(cx.auth, name)?;
            let tags = domain.get("tags").cloned().unwrap_or_else(|| json!({}));
            Ok(ok(json!({ "tags": tags })))
        }
        "POST" => {
            cx.rest.domain_change(cx.auth, name, apply).await?;
            Ok(created(json!({})))
        }
        "DELETE" => {
            cx.rest.domain_change(cx.auth, name, apply).await?;
            Ok(no_content())
        }
        _ => Err(bad("No such operation")),
    }
}
