//! Custom domains of APIs: the domain, what of it the API answers, and its records in Route 53.

use std::sync::LazyLock;

use indexmap::IndexMap;
use regex::Regex;

use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{get_att, reference};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result, listed};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, list, map};

/// Groups of records by their logical ids: APIs of one hosted zone share a group.
pub(in crate::sam) type RecordSets = IndexMap<String, Resource>;

static NOT_IN_BASE_PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[^0-9a-zA-Z/\-_]").expect("the expression is well-formed"));

/// The domain of a REST API. Settings that are found are put into the source: they count in the deployment's digest.
pub(super) fn rest(cx: &mut Context, source: &mut Source) -> Result<Vec<Resource>> {
    let Some(domain) = source.get("Domain") else { return Ok(Vec::new()) };
    let id = source.id.clone();
    let mut domain = At::Resource(&id, "Domain").map(Some(domain))?.clone();
    let private = domain.text("EndpointConfiguration") == Some("PRIVATE");
    let name = At::Resource(&id, "Domain.DomainName").required(domain.get("DomainName"))?.clone();
    let certificate =
        At::Resource(&id, "Domain.CertificateArn").required(domain.get("CertificateArn"))?.clone();
    let (prefix, kind) = if private {
        ("ApiGatewayDomainNameV2", "AWS::ApiGateway::DomainNameV2")
    } else {
        ("ApiGatewayDomainName", "AWS::ApiGateway::DomainName")
    };
    let domain_id = print::hashed_id(prefix, &name);
    let attributes = source.passed_on();
    let mut made = Resource::new(domain_id.as_str(), kind, &attributes)?;
    made.set("DomainName", name.clone());
    if !private {
        domain.insert("ApiDomainName", domain_id.as_str());
    }
    let endpoint = endpoint(&mut domain, &id)?;
    let regional = endpoint.is_text("REGIONAL");
    made.set(if regional { "RegionalCertificateArn" } else { "CertificateArn" }, certificate);
    let mut configuration = map! { "Types" => list![endpoint] };
    configuration
        .insert_some("IpAddressType", domain.get("IpAddressType").filter(|kind| kind.truthy()));
    made.set("EndpointConfiguration", configuration);
    if !private {
        made.set("MutualTlsAuthentication", mutual_tls(&domain, &id)?);
    }
    for setting in
        ["SecurityPolicy", "EndpointAccessMode", "Policy", "OwnershipVerificationCertificateArn"]
    {
        let fits = match setting {
            "Policy" => private,
            "OwnershipVerificationCertificateArn" => !private,
            _ => true,
        };
        made.set(setting, domain.get(setting).filter(|value| fits && value.truthy()));
    }
    let mut all = vec![made];
    all.extend(base_paths(source, &domain, &domain_id, private)?);
    let association = if private { association(source, &domain, &domain_id)? } else { None };
    let target = if private { name } else { domain_id.into() };
    records(cx, source, &mut domain, &target)?.into_iter().for_each(|records| all.push(records));
    all.extend(association);
    source.properties.insert("Domain", domain);
    Ok(all)
}

/// The kind of endpoint: regional where the document says none.
fn endpoint(domain: &mut Map, id: &str) -> Result<Val> {
    const KINDS: &[&str] = &["EDGE", "REGIONAL", "PRIVATE"];
    match domain.get("EndpointConfiguration") {
        None => {
            domain.insert("EndpointConfiguration", "REGIONAL");
            Ok("REGIONAL".into())
        }
        Some(Val::Text(kind)) if KINDS.contains(&kind.as_str()) => Ok(kind.into()),
        Some(_) => Err(Problem::resource(
            id,
            format!("EndpointConfiguration for Custom Domains must be one of {}.", listed(KINDS)),
        )),
    }
}

fn mutual_tls(domain: &Map, id: &str) -> Result<Val> {
    const FIELDS: &[&str] = &["TruststoreUri", "TruststoreVersion"];
    let given = domain.get("MutualTlsAuthentication").filter(|given| given.truthy());
    if given.is_none() {
        return Ok(Val::Null);
    }
    let given = At::Resource(id, "Domain.MutualTlsAuthentication").map(given)?;
    if given.keys().iter().any(|key| !FIELDS.contains(&key.as_str())) {
        return Err(Problem::resource(
            id,
            format!("Available Domain.MutualTlsAuthentication fields are {}.", listed(FIELDS)),
        ));
    }
    let mut settings = Map::new();
    for field in FIELDS {
        settings.insert_some(field, given.get(field).filter(|value| value.truthy()));
    }
    Ok(settings.into())
}

/// The base paths, if the document names any.
fn named_base_paths(domain: &Map) -> Option<Vec<Val>> {
    match domain.get("BasePath").filter(|path| path.truthy())? {
        path @ Val::Text(_) => Some(vec![path.clone()]),
        Val::List(paths) => Some(paths.clone()),
        _ => None,
    }
}

fn base_paths(
    source: &Source,
    domain: &Map,
    domain_id: &str,
    private: bool,
) -> Result<Vec<Resource>> {
    let (kind, name) = if private {
        ("AWS::ApiGateway::BasePathMappingV2", "DomainNameArn")
    } else {
        ("AWS::ApiGateway::BasePathMapping", "DomainName")
    };
    let mapping = |id: String, path: Option<&str>| {
        let mut mapping = Resource::new(id, kind, &source.passed_on())?;
        mapping.set(name, reference(domain_id));
        mapping.set("RestApiId", reference(&source.id));
        mapping.set("Stage", reference(format!("{}.Stage", source.id)));
        if let Some(path) = path {
            mapping.set("BasePath", path);
        }
        Ok(mapping)
    };
    let Some(paths) = named_base_paths(domain) else {
        return Ok(vec![mapping(format!("{}BasePathMapping", source.id), None)?]);
    };
    let paths = Val::List(paths);
    let paths = At::Resource(&source.id, "Domain.BasePath").strings(Some(&paths))?;
    let normalize = domain.entry("NormalizeBasePath").is_none_or(Val::truthy);
    let made = paths.iter().filter_map(Val::as_str).map(|path| {
        let normal: String = path.chars().filter(|c| c.is_alphanumeric()).collect();
        let id = format!("{}{normal}BasePathMapping", source.id);
        mapping(id, Some(if normalize { &normal } else { path }))
    });
    made.collect()
}

fn association(source: &Source, domain: &Map, domain_id: &str) -> Result<Option<Resource>> {
    let Some(given) = domain.get("AccessAssociation") else { return Ok(None) };
    let given = At::Resource(&source.id, "Domain.AccessAssociation").map(Some(given))?;
    let endpoint = Val::from(given.get("VpcEndpointId"));
    let id = print::hashed_id("DomainNameAccessAssociation", &list![&endpoint, domain_id]);
    let kind = "AWS::ApiGateway::DomainNameAccessAssociation";
    let mut made = Resource::new(id, kind, &source.passed_on())?;
    made.set("DomainNameArn", reference(domain_id));
    made.set("AccessAssociationSourceType", "VPCE");
    made.set("AccessAssociationSource", endpoint);
    Ok(Some(made))
}

/// Adds the domain's records to the group of its hosted zone; answers the group as it is then.
fn records(
    cx: &mut Context,
    source: &Source,
    domain: &mut Map,
    target: &Val,
) -> Result<Option<Resource>> {
    let Some(route53) = domain.get("Route53") else { return Ok(None) };
    let mut route53 = At::Resource(&source.id, "Domain.Route53").map(Some(route53))?.clone();
    let zone = hosted_zone(&route53, &source.id)?;
    let attributes = source.passed_on();
    let kind = "AWS::Route53::RecordSetGroup";
    if let Some(separate) = route53.get("SeparateRecordSetGroup").filter(|s| s.truthy()) {
        let path = "Domain.Route53.SeparateRecordSetGroup";
        At::Resource(&source.id, path).boolean(Some(separate))?;
        let key = list![&zone, domain.get("DomainName")];
        let mut group = Resource::new(print::hashed_id("RecordSetGroup", &key), kind, &attributes)?;
        for name in ["HostedZoneId", "HostedZoneName"] {
            group.set(name, route53.get(name).filter(|value| value.truthy()));
        }
        group.set("RecordSets", record_sets(domain, target, &mut route53));
        domain.insert("Route53", route53);
        return Ok(Some(group));
    }
    let id = print::hashed_id("RecordSetGroup", &zone);
    if !cx.record_sets.contains_key(&id) {
        let mut group = Resource::new(id.as_str(), kind, &attributes)?;
        for name in ["HostedZoneId", "HostedZoneName"] {
            group.set(name, route53.get(name));
        }
        group.set("RecordSets", Vec::new());
        cx.record_sets.insert(id.clone(), group);
    }
    let new = record_sets(domain, target, &mut route53);
    domain.insert("Route53", route53);
    Ok(extended(cx, &id, new))
}

fn extended(cx: &mut Context, id: &str, new: Vec<Val>) -> Option<Resource> {
    let group = cx.record_sets.get_mut(id)?;
    if let Some(Val::List(records)) = group.properties.get_mut("RecordSets") {
        records.extend(new);
    }
    Some(group.clone())
}

fn hosted_zone(route53: &Map, id: &str) -> Result<Val> {
    let (zone, name) = (route53.get("HostedZoneId"), route53.get("HostedZoneName"));
    if zone.is_none() && name.is_none() {
        return Err(Problem::resource(
            id,
            "HostedZoneId or HostedZoneName is required to enable Route53 support on Custom Domains.",
        ));
    }
    Ok(zone.filter(|zone| zone.truthy()).or(name).into())
}

fn record_sets(domain: &Map, target: &Val, route53: &mut Map) -> Vec<Val> {
    let alias = alias_target(domain, target, route53);
    let record = |kind: &str| {
        let mut record = map! {
            "Name" => domain.get("DomainName"),
            "Type" => kind,
            "AliasTarget" => alias.clone(),
        };
        record.insert_some("Region", route53.get("Region"));
        record.insert_some("SetIdentifier", route53.get("SetIdentifier"));
        Val::from(record)
    };
    let mut records = vec![record("A")];
    if route53.get("IpV6") == Some(&Val::Bool(true)) {
        records.push(record("AAAA"));
    }
    records
}

fn alias_target(domain: &Map, target: &Val, route53: &mut Map) -> Map {
    let mut alias = Map::new();
    alias.insert_some("EvaluateTargetHealth", route53.get("EvaluateTargetHealth"));
    let attribute = |name: &str| get_att(target.as_str().unwrap_or_default(), name);
    match domain.text("EndpointConfiguration") {
        Some("REGIONAL") => {
            alias.insert("HostedZoneId", attribute("RegionalHostedZoneId"));
            alias.insert("DNSName", attribute("RegionalDomainName"));
        }
        Some("EDGE") => {
            if route53.get("DistributionDomainName").is_none() {
                route53.insert("DistributionDomainName", attribute("DistributionDomainName"));
            }
            alias.insert("HostedZoneId", "Z2FDTNDATAQYW2");
            alias.insert("DNSName", route53.get("DistributionDomainName"));
        }
        _ => {
            alias.insert("HostedZoneId", route53.get("VpcEndpointHostedZoneId"));
            alias.insert("DNSName", route53.get("VpcEndpointDomainName"));
        }
    }
    alias
}

/// The domain of an HTTP API.
pub(super) fn http(cx: &mut Context, source: &mut Source) -> Result<Vec<Resource>> {
    let Some(domain) = source.get("Domain") else { return Ok(Vec::new()) };
    let id = source.id.clone();
    let mut domain = At::Resource(&id, "Domain").map(Some(domain))?.clone();
    let (Some(name), Some(certificate)) =
        (domain.get("DomainName").cloned(), domain.get("CertificateArn").cloned())
    else {
        return Err(source.problem(
            "Custom Domains only works if both DomainName and CertificateArn are provided.",
        ));
    };
    let domain_id = print::hashed_id("ApiGatewayDomainNameV2", &name);
    let attributes = source.passed_on();
    let kind = "AWS::ApiGatewayV2::DomainName";
    let mut made = Resource::new(domain_id.as_str(), kind, &attributes)?;
    made.set("DomainName", name);
    made.set("Tags", map! { "httpapi:createdBy" => "SAM" });
    match domain.get("EndpointConfiguration") {
        None => domain.insert("EndpointConfiguration", "REGIONAL"),
        Some(endpoint) if endpoint.is_text("REGIONAL") => {}
        Some(_) => {
            return Err(source
                .problem("EndpointConfiguration for Custom Domains must be one of ['REGIONAL']."));
        }
    }
    let mut configuration = map! { "CertificateArn" => certificate, "EndpointType" => "REGIONAL" };
    for setting in ["OwnershipVerificationCertificateArn", "SecurityPolicy"] {
        configuration.insert_some(setting, domain.get(setting).filter(|value| value.truthy()));
    }
    made.set("DomainNameConfigurations", list![configuration]);
    made.set("MutualTlsAuthentication", http_mutual_tls(&domain, &id)?);
    let mut all = vec![made];
    all.extend(http_mappings(source, &domain, &domain_id)?);
    if let Some(route53) = domain.get("Route53") {
        let mut route53 = At::Resource(&id, "Domain.Route53").map(Some(route53))?.clone();
        let group_id = print::hashed_id("RecordSetGroup", &hosted_zone(&route53, &id)?);
        if !cx.record_sets.contains_key(&group_id) {
            let kind = "AWS::Route53::RecordSetGroup";
            let mut group = Resource::new(group_id.as_str(), kind, &attributes)?;
            let zone = if route53.has("HostedZoneId") { "HostedZoneId" } else { "HostedZoneName" };
            group.set(zone, route53.get(zone));
            group.set("RecordSets", Vec::new());
            cx.record_sets.insert(group_id.clone(), group);
        }
        let new = record_sets(&domain, &domain_id.as_str().into(), &mut route53);
        all.extend(extended(cx, &group_id, new));
    }
    source.properties.insert("Domain", domain);
    Ok(all)
}

fn http_mutual_tls(domain: &Map, id: &str) -> Result<Val> {
    let given = domain.get("MutualTlsAuthentication").filter(|given| given.truthy());
    let Some(given) = given else { return Ok(Val::Null) };
    let fields = "['TruststoreUri', 'TruststoreVersion']";
    let Val::Map(given) = given else {
        return Err(Problem::resource(
            id,
            format!(
                "MutualTlsAuthentication must be a map with at least one of the following fields {fields}."
            ),
        ));
    };
    let mut unknown: Vec<String> = given.keys().iter().map(ToString::to_string).collect();
    unknown.retain(|key| !matches!(key.as_str(), "TruststoreUri" | "TruststoreVersion"));
    unknown.sort();
    if !unknown.is_empty() {
        let message = format!("Available MutualTlsAuthentication fields are {fields}.");
        return Err(Problem::resource(&unknown.join(","), message));
    }
    let mut settings = Map::new();
    for field in ["TruststoreUri", "TruststoreVersion"] {
        settings.insert_some(field, given.get(field).filter(|value| value.truthy()));
    }
    Ok(settings.into())
}

fn http_mappings(source: &Source, domain: &Map, domain_id: &str) -> Result<Vec<Resource>> {
    let mapping = |id: String, key: Option<&str>| {
        let mut mapping = Resource::new(id, "AWS::ApiGatewayV2::ApiMapping", &source.passed_on())?;
        mapping.set("DomainName", reference(domain_id));
        mapping.set("ApiId", reference(&source.id));
        mapping.set("Stage", reference(format!("{}.Stage", source.id)));
        if let Some(key) = key {
            mapping.set("ApiMappingKey", key);
        }
        Ok(mapping)
    };
    let Some(paths) = named_base_paths(domain) else {
        return Ok(vec![mapping(format!("{}ApiMapping", source.id), None)?]);
    };
    let made = paths.iter().map(|path| {
        let Some(path) = path.as_str() else {
            return Err(source.problem("Basepath must be a string."));
        };
        if NOT_IN_BASE_PATH.is_match(path) {
            return Err(source.problem("Invalid Basepath name provided."));
        }
        let normal = path.replace(['-', '_', '/'], "");
        mapping(format!("{}{normal}ApiMapping", source.id), Some(path.trim_matches('/')))
    });
    made.collect()
}
