//! Custom domain names and the APIs that their base paths lead to.

use nilas_model::{AuthContext, limits};
use nilas_wire::Fault;
use serde_json::{Value, json};

use super::apis::{RestApis, without};
use super::fault::{bad, conflict, limit, not_found};
use super::list::page;
use super::record::{api_id, resource_id};
use super::shape::{self, Members, Shape, TEXT_MAP, member, text};
use super::{Answer, Cx, tables};

fn no_domain() -> Fault {
    not_found("Invalid domain name identifier specified")
}

fn no_mapping() -> Fault {
    not_found("Invalid base path mapping identifier specified")
}

impl RestApis {
    /// Makes the custom domain of `domain`'s name; the second version's operations do so, too.
    pub(crate) async fn domain_create(
        &self,
        auth: &AuthContext,
        mut domain: Members,
    ) -> Result<Members, Fault> {
        let name = text(&domain, "domainName").unwrap_or_default().to_owned();
        check_name(&name)?;
        let _writing = self.write().await;
        if self.domains.all().iter().any(|known| text(known, "domainName") == Some(&name)) {
            return Err(bad("The domain name you provided already exists."));
        }
        if self.domains.list(auth).len() >= limits::CUSTOM_DOMAINS_MAX {
            return Err(limit("Maximum number of domain names for this account has been reached"));
        }
        let region = auth.region.as_str();
        domain
            .entry("endpointConfiguration")
            .or_insert_with(|| json!({ "types": ["EDGE"], "ipAddressType": "ipv4" }));
        let is_regional = domain["endpointConfiguration"]["types"] == json!(["REGIONAL"]);
        if is_regional {
            let target = format!("d-{}.execute-api.{region}.amazonaws.com", api_id());
            domain.insert("regionalDomainName".to_owned(), target.into());
            domain.insert("regionalHostedZoneId".to_owned(), "Z1UJRXOUMOOFQ8".into());
        } else {
            let target = format!("d{}.cloudfront.net", api_id());
            domain.insert("distributionDomainName".to_owned(), target.into());
            domain.insert("distributionHostedZoneId".to_owned(), "Z2FDTNDATAQYW2".into());
        }
        domain.insert("domainNameStatus".to_owned(), "AVAILABLE".into());
        domain.entry("securityPolicy").or_insert_with(|| "TLS_1_2".into());
        domain.insert(MAPPINGS.to_owned(), json!([]));
        self.domains.put(auth, &name, domain.clone()).await?;
        self.refresh_domains();
        Ok(domain)
    }

    /// A domain with its mappings.
    pub(crate) fn domain(&self, auth: &AuthContext, name: &str) -> Result<Members, Fault> {
        self.domains.get(auth, name).ok_or_else(no_domain)
    }

    /// The caller's own, with their mappings.
    pub(crate) fn domain_list(&self, auth: &AuthContext) -> Vec<Members> {
        self.domains.list(auth)
    }

    pub(crate) async fn domain_delete(&self, auth: &AuthContext, name: &str) -> Result<(), Fault> {
        let _writing = self.write().await;
        self.domain(auth, name)?;
        self.domains.delete(auth, name).await?;
        self.refresh_domains();
        Ok(())
    }

    /// Changes a domain or its mappings: all of it, or nothing if `apply` refuses.
    pub(crate) async fn domain_change<T>(
        &self,
        auth: &AuthContext,
        name: &str,
        apply: impl FnOnce(&mut Members) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let _writing = self.write().await;
        let mut domain = self.domain(auth, name)?;
        let answer = apply(&mut domain)?;
        self.domains.put(auth, name, domain).await?;
        self.refresh_domains();
        Ok(answer)
    }

    /// Whether `api` is a REST API of the caller's with that stage.
    pub(crate) fn has_stage(&self, auth: &AuthContext, api: &str, stage: &str) -> Option<bool> {
        let record = self.get(auth, api).ok()?;
        Some(record.stages.contains_key(stage))
    }
}

/// The mappings of a domain, those of both versions. Each has `basePath`, `restApiId` (of whatever kind of API), `stage`,
/// and the id by which the second version knows it.
pub(crate) const MAPPINGS: &str = "mappings";
pub(crate) const MAPPING_ID: &str = "apiMappingId";
/// The base path of a mapping without one.
pub(crate) const NO_BASE_PATH: &str = "(none)";

pub(super) async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let body = shape::body(cx.request)?;
    let mut domain = shape::take(tables::DOMAIN_NAME, &body)?;
    let more = [member("domainName", Shape::Text), member("tags", TEXT_MAP)];
    domain.extend(shape::take(&more, &body)?);
    if body.contains_key("mutualTlsAuthentication") {
        return Err(super::fault::absent("mutual TLS"));
    }
    Ok(Answer::created(shown(cx.apis.domain_create(cx.auth, domain).await?)))
}

fn check_name(name: &str) -> Result<(), Fault> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let host = name.strip_prefix("*.").unwrap_or(name);
    if !(3..=253).contains(&host.len())
        || !host.bytes().all(legal)
        || !host.contains('.')
        || is_address
    {
        return Err(bad("Invalid domain name specified"));
    }
    // Names of this server's own: nothing but the API behind a domain would be reached by them.
    if ["localhost", "localhost.localstack.cloud", "amazonaws.com"]
        .iter()
        .any(|own| host.ends_with(own))
    {
        return Err(bad("The domain name is one of this server's own"));
    }
    if name.starts_with("*.") {
        return Err(super::fault::absent("wildcard domain names"));
    }
    Ok(())
}

fn shown(domain: Members) -> Members {
    without(domain, &[MAPPINGS])
}

pub(super) fn get(cx: &Cx<'_>, name: &str) -> Result<Answer, Fault> {
    Ok(Answer::ok(shown(cx.apis.domain(cx.auth, name)?)))
}

pub(super) fn list(cx: &Cx<'_>) -> Result<Answer, Fault> {
    page(cx, cx.apis.domain_list(cx.auth).into_iter().map(|domain| shown(domain).into()).collect())
}

pub(super) async fn update(cx: &Cx<'_>, name: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let answer = cx.apis.domain_change(cx.auth, name, |domain| {
        shape::patch(tables::DOMAIN_NAME, domain, &patches)?;
        Ok(shown(domain.clone()))
    });
    Ok(Answer::ok(answer.await?))
}

pub(super) async fn delete(cx: &Cx<'_>, name: &str) -> Result<Answer, Fault> {
    cx.apis.domain_delete(cx.auth, name).await?;
    Ok(Answer::accepted())
}

/// Whether a base path of `domain` leads to the API `id`.
pub(super) fn maps_to(domain: &Members, id: &str) -> bool {
    mappings(domain).iter().any(|mapping| mapping["restApiId"] == id)
}

fn mappings(domain: &Members) -> &[Value] {
    domain.get(MAPPINGS).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) async fn mapping_create(cx: &Cx<'_>, name: &str) -> Result<Answer, Fault> {
    let mut mapping = shape::take(tables::BASE_PATH_MAPPING, &shape::body(cx.request)?)?;
    let base = match text(&mapping, "basePath") {
        None | Some("" | NO_BASE_PATH) => NO_BASE_PATH.to_owned(),
        Some(base) => base.to_owned(),
    };
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"$-_.+!*'()/~".contains(&b);
    if base.starts_with('/') || !base.bytes().all(legal) {
        return Err(bad(
            "API Gateway V1 doesn't support the slash character (/) in base path mappings. To create a multi-level base path mapping, use API Gateway V2.",
        ));
    }
    mapping.insert("basePath".to_owned(), base.as_str().into());
    check_mapping(cx, &mapping)?;
    let answer = cx.apis.domain_change(cx.auth, name, |domain| {
        if mappings(domain).iter().any(|known| known["basePath"] == base.as_str()) {
            return Err(conflict("Base path already exists for this domain name"));
        }
        if let Some(list) = domain.get_mut(MAPPINGS).and_then(Value::as_array_mut) {
            let mut known = mapping.clone();
            known.insert(MAPPING_ID.to_owned(), resource_id().into());
            list.push(known.into());
        }
        Ok(mapping)
    });
    Ok(Answer::created(answer.await?))
}

fn check_mapping(cx: &Cx<'_>, mapping: &Members) -> Result<(), Fault> {
    let api = text(mapping, "restApiId").unwrap_or_default();
    let invalid = || bad(format!("Invalid REST API identifier specified: {api}"));
    let record = cx.apis.get(cx.auth, api).map_err(|_| invalid())?;
    match text(mapping, "stage") {
        Some(stage) if !stage.is_empty() && !record.stages.contains_key(stage) => {
            Err(bad("Invalid stage identifier specified"))
        }
        _ => Ok(()),
    }
}

fn shown_mapping(mapping: &Value) -> Value {
    match mapping {
        Value::Object(members) => without(members.clone(), &[MAPPING_ID]).into(),
        other => other.clone(),
    }
}

pub(super) fn mapping_list(cx: &Cx<'_>, name: &str) -> Result<Answer, Fault> {
    let domain = cx.apis.domain(cx.auth, name)?;
    page(cx, mappings(&domain).iter().map(shown_mapping).collect())
}

pub(super) fn mapping_get(cx: &Cx<'_>, name: &str, base: &str) -> Result<Answer, Fault> {
    let domain = cx.apis.domain(cx.auth, name)?;
    let found = mappings(&domain).iter().find(|mapping| mapping["basePath"] == base);
    Ok(Answer::ok(found.map(shown_mapping).ok_or_else(no_mapping)?))
}

pub(super) async fn mapping_update(cx: &Cx<'_>, name: &str, base: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let answer = cx.apis.domain_change(cx.auth, name, |domain| {
        let list = domain.get_mut(MAPPINGS).and_then(Value::as_array_mut);
        let found = list.into_iter().flatten().find(|mapping| mapping["basePath"] == base);
        let mapping = found.and_then(Value::as_object_mut).ok_or_else(no_mapping)?;
        for patch in &patches {
            // AWS's name in patches differs from that of the member.
            let path = patch.path.replace("/restapiId", "/restApiId");
            let patch = shape::Patch { path, ..patch.clone() };
            shape::apply(tables::BASE_PATH_MAPPING, mapping, &patch)?;
        }
        if text(mapping, "basePath").is_none_or(str::is_empty) {
            mapping.insert("basePath".to_owned(), NO_BASE_PATH.into());
        }
        check_mapping(cx, mapping)?;
        Ok(shown_mapping(&mapping.clone().into()))
    });
    Ok(Answer::ok(answer.await?))
}

pub(super) async fn mapping_delete(cx: &Cx<'_>, name: &str, base: &str) -> Result<Answer, Fault> {
    let remove = |domain: &mut Members| {
        let list = domain.get_mut(MAPPINGS).and_then(Value::as_array_mut);
        let list = list.ok_or_else(no_mapping)?;
        let before = list.len();
        list.retain(|mapping| mapping["basePath"] != base);
        if list.len() < before { Ok(()) } else { Err(no_mapping()) }
    };
    cx.apis.domain_change(cx.auth, name, remove).await?;
    Ok(Answer::accepted())
}
