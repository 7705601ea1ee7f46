//! `AWS::ApiGatewayV2::DomainName`

use http::Method;
use serde_json::{Map, Value};

use super::{call, lowered, tags};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::DomainName",
    properties: &[
        Property::text("DomainName").required().replaces(),
        Property::json("DomainNameConfigurations"),
        Property::json("MutualTlsAuthentication"),
        Property::text("RoutingMode"),
        Property::json("Tags"),
    ],
    attributes: &["DomainNameArn", "RegionalDomainName", "RegionalHostedZoneId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

fn path(name: &str) -> String {
    format!("/v2/domainnames/{}", nilas_wire::percent::encode(name))
}

fn body(properties: &Properties) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(list) = properties.get("DomainNameConfigurations").and_then(Value::as_array) {
        let lower = |item: &Value| match item {
            Value::Object(members) => lowered(members).into(),
            other => other.clone(),
        };
        let list: Vec<Value> = list.iter().map(lower).collect();
        body.insert("domainNameConfigurations".to_owned(), list.into());
    }
    if let Some(Value::Object(tls)) = properties.get("MutualTlsAuthentication") {
        body.insert("mutualTlsAuthentication".to_owned(), lowered(tls).into());
    }
    if let Some(mode) = properties.get("RoutingMode") {
        body.insert("routingMode".to_owned(), mode.clone());
    }
    body
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = properties.required("DomainName")?;
    let mut body = body(properties);
    body.insert("domainName".to_owned(), name.into());
    body.insert("tags".to_owned(), tags(cx, properties));
    let made = match call(cx, Method::POST, "/v2/domainnames", Some(body.into())).await {
        Err(refusal) if cx.resumed => {
            call(cx, Method::GET, &path(name), None).await.map_err(|_| refusal)?
        }
        made => made?,
    };
    let configuration = &made["domainNameConfigurations"][0];
    let mut resource = Resource::new(name);
    for (attribute, value) in [
        ("DomainNameArn", &made["domainNameArn"]),
        ("RegionalDomainName", &configuration["apiGatewayDomainName"]),
        ("RegionalHostedZoneId", &configuration["hostedZoneId"]),
    ] {
        resource = resource.with(attribute, value.as_str().unwrap_or_default());
    }
    Ok(resource)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let name = &change.resource.physical_id;
    call(cx, Method::PATCH, &path(name), Some(body(change.new).into())).await?;
    super::retag(cx, &format!("domainnames/{name}"), change.new).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, Method::DELETE, &path(&resource.physical_id), None).await?;
    Ok(())
}
