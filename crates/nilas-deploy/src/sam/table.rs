//! `AWS::Serverless::SimpleTable`: a DynamoDB table with a primary key.

use super::core::check::At;
use super::core::print;
use super::core::problem::Result;
use super::core::property::{Kind, Property, optional, passed};
use super::core::resource::{Resource, Source, tag_list};
use super::core::value::{Map, Text, Val, list, map};

pub(super) const KIND: &str = "AWS::Serverless::SimpleTable";

const PROPERTIES: &[Property] = &[
    passed("PointInTimeRecoverySpecification"),
    optional("PrimaryKey", Kind::MapOfText),
    optional("ProvisionedThroughput", Kind::MapOfIntegers),
    optional("TableName", Kind::TextOrMap),
    optional("Tags", Kind::Map),
    optional("SSESpecification", Kind::Map),
];

pub(super) fn expand(id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let source = Source::parse(id, KIND, &[PROPERTIES], body)?;
    let mut table = Resource::new(id, "AWS::DynamoDB::Table", &source.attributes)?
        .depending_on(&source.depends_on);
    let (name, kind) = primary_key(&source)?;
    table.set(
        "AttributeDefinitions",
        list![map! { "AttributeName" => &name, "AttributeType" => kind }],
    );
    table.set("KeySchema", list![map! { "AttributeName" => name, "KeyType" => "HASH" }]);
    if !source.truthy("ProvisionedThroughput") {
        table.set("BillingMode", "PAY_PER_REQUEST");
    }
    for name in [
        "PointInTimeRecoverySpecification",
        "ProvisionedThroughput",
        "SSESpecification",
        "TableName",
    ] {
        table.set(name, source.get(name).filter(|value| value.truthy()));
    }
    if let Some(tags) = source.map("Tags").filter(|tags| !tags.is_empty()) {
        table.set("Tags", tag_list(tags));
    }
    Ok(vec![table])
}

fn primary_key(source: &Source) -> Result<(Val, &'static str)> {
    let Some(key) = source.map("PrimaryKey").filter(|key| !key.is_empty()) else {
        return Ok(("id".into(), "S"));
    };
    let name = At::Resource(&source.id, "PrimaryKey.Name").required(key.get("Name"))?;
    let kind = At::Resource(&source.id, "PrimaryKey.Type").required(key.get("Type"))?;
    let letter = match kind.as_str() {
        Some("String") => "S",
        Some("Number") => "N",
        Some("Binary") => "B",
        _ => {
            let kind = print::text(kind);
            return Err(source.problem(format!("Invalid 'Type' \"{kind}\".")));
        }
    };
    Ok((name.clone(), letter))
}
