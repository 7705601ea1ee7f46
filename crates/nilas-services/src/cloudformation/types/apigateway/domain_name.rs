//! `AWS::ApiGateway::DomainName`

use super::{ENDPOINT, body, delete, get, lowered, operations, patch, post, retag, tags};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

const MEMBERS: [&str; 7] = [
    "CertificateArn",
    "EndpointAccessMode",
    "EndpointConfiguration",
    "OwnershipVerificationCertificateArn",
    "RegionalCertificateArn",
    "RoutingMode",
    "SecurityPolicy",
];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::DomainName",
    properties: &[
        Property::text("CertificateArn"),
        Property::text("DomainName").required().replaces(),
        Property::text("EndpointAccessMode"),
        Property::object("EndpointConfiguration", ENDPOINT),
        Property::json("MutualTlsAuthentication"),
        Property::text("OwnershipVerificationCertificateArn"),
        Property::text("RegionalCertificateArn"),
        Property::text("RoutingMode"),
        Property::text("SecurityPolicy"),
        Property::tags(),
    ],
    attributes: &[
        "DistributionDomainName",
        "DistributionHostedZoneId",
        "DomainNameArn",
        "RegionalDomainName",
        "RegionalHostedZoneId",
    ],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| {
        Box::pin(async move { delete(cx, &format!("/domainnames/{}", resource.physical_id)).await })
    },
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = properties.required("DomainName")?;
    let mut body = body(properties, &MEMBERS);
    body.insert("domainName".to_owned(), name.into());
    body.insert("tags".to_owned(), tags(cx, properties));
    if let Some(endpoint) = properties.get("EndpointConfiguration") {
        body.insert("endpointConfiguration".to_owned(), lowered(endpoint));
    }
    if let Some(tls) = properties.get("MutualTlsAuthentication") {
        body.insert("mutualTlsAuthentication".to_owned(), lowered(tls));
    }
    let made = match post(cx, "/domainnames", body).await {
        Err(failure) if cx.resumed => {
            get(cx, &format!("/domainnames/{name}")).await.map_err(|_| failure)?
        }
        made => made?,
    };
    let mut resource = Resource::new(name);
    for (attribute, member) in [
        ("DistributionDomainName", "distributionDomainName"),
        ("DistributionHostedZoneId", "distributionHostedZoneId"),
        ("RegionalDomainName", "regionalDomainName"),
        ("RegionalHostedZoneId", "regionalHostedZoneId"),
    ] {
        resource = resource.with(attribute, made[member].as_str().unwrap_or_default());
    }
    let region = cx.auth.region.as_str();
    Ok(resource.with("DomainNameArn", format!("arn:aws:apigateway:{region}::/domainnames/{name}")))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let name = &change.resource.physical_id;
    patch(cx, &format!("/domainnames/{name}"), operations(change, &MEMBERS)).await?;
    retag(cx, &format!("domainnames/{name}"), change.new).await?;
    Ok(change.resource.clone())
}
