//! `AWS::SecretsManager::Secret`

use nilas_wire::Service;
use serde_json::{Map, Value, json};

use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

/// Characters of a secret's name.
const NAME_CHARS_MAX: usize = 512;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SecretsManager::Secret",
    properties: &[
        Property::text("Description"),
        Property::object("GenerateSecretString", GENERATE),
        Property::text("KmsKeyId"),
        Property::text("Name").replaces(),
        Property::text("SecretString"),
        Property::tags(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

const GENERATE: &[Property] = &[
    Property::text("ExcludeCharacters"),
    Property::boolean("ExcludeLowercase"),
    Property::boolean("ExcludeNumbers"),
    Property::boolean("ExcludePunctuation"),
    Property::boolean("ExcludeUppercase"),
    Property::text("GenerateStringKey"),
    Property::boolean("IncludeSpace"),
    Property::integer("PasswordLength"),
    Property::boolean("RequireEachIncludedType"),
    Property::text("SecretStringTemplate"),
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name_or(properties, "Name", NAME_CHARS_MAX);
    let content = match (properties.text("SecretString"), properties.object("GenerateSecretString"))
    {
        (Some(_), Some(_)) => {
            let message = "You can't specify both SecretString and GenerateSecretString.";
            return Err(Failure::invalid(message));
        }
        (Some(text), None) => text.to_owned(),
        (None, Some(generate)) => generated(cx, generate).await?,
        (None, None) => generated(cx, &Map::new()).await?,
    };
    let mut body = Value::Object(properties.pick(&["Description", "KmsKeyId"]));
    body["Name"] = name.as_str().into();
    body["SecretString"] = content.into();
    body["Tags"] = tag_list(cx.own_tags(properties));
    let created = match call(cx, "CreateSecret", body).await {
        Err(failure) if cx.resumed && failure.is_already_exists() => {
            call(cx, "DescribeSecret", json!({ "SecretId": name })).await?
        }
        created => created?,
    };
    let arn = created["ARN"].as_str().ok_or_else(|| Failure::no_member("ARN"))?;
    Ok(Resource::new(arn).with("Id", arn))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = &change.resource.physical_id;
    let changed = |name: &&str| change.new.differs(change.old, name);
    let mut body = Value::Object(change.new.pick(&["Description", "KmsKeyId"]));
    body["SecretId"] = id.as_str().into();
    // A new recipe makes a new secret; the recipe that was followed already does not.
    match (change.new.text("SecretString"), change.new.object("GenerateSecretString")) {
        (Some(text), None) if changed(&"SecretString") => body["SecretString"] = text.into(),
        (None, Some(generate)) if changed(&"GenerateSecretString") => {
            body["SecretString"] = generated(cx, generate).await?.into();
        }
        (Some(_), Some(_)) => {
            let message = "You can't specify both SecretString and GenerateSecretString.";
            return Err(Failure::invalid(message));
        }
        _ => {}
    }
    call(cx, "UpdateSecret", body).await?;
    let tags = cx.own_tags(change.new);
    let is_gone = |key: &String| !tags.iter().any(|(known, _)| known == key);
    let gone: Vec<String> =
        change.old.tags().into_iter().map(|(key, _)| key).filter(is_gone).collect();
    if !gone.is_empty() {
        call(cx, "UntagResource", json!({ "SecretId": id, "TagKeys": gone })).await?;
    }
    if !tags.is_empty() {
        call(cx, "TagResource", json!({ "SecretId": id, "Tags": tag_list(tags) })).await?;
    }
    Ok(change.resource.clone())
}

/// A password, or the template's object with a password in it.
async fn generated(cx: &Cx, generate: &Map<String, Value>) -> Result<String, Failure> {
    let mut recipe = generate.clone();
    let template = recipe.remove("SecretStringTemplate");
    let key = recipe.remove("GenerateStringKey");
    let answer = call(cx, "GetRandomPassword", recipe.into()).await?;
    let password = &answer["RandomPassword"];
    match (template.as_ref().and_then(Value::as_str), key.as_ref().and_then(Value::as_str)) {
        (None, None) => {
            password.as_str().map(str::to_owned).ok_or_else(|| Failure::no_member("RandomPassword"))
        }
        (Some(template), Some(key)) => {
            let members = serde_json::from_str::<Map<String, Value>>(template);
            let mut members = members
                .map_err(|_| Failure::invalid("SecretStringTemplate is not a JSON object."))?;
            members.insert(key.to_owned(), password.clone());
            Ok(Value::Object(members).to_string())
        }
        _ => Err(Failure::invalid(
            "You must specify both SecretStringTemplate and GenerateStringKey, or neither.",
        )),
    }
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let body = json!({ "SecretId": resource.physical_id, "ForceDeleteWithoutRecovery": true });
    call(cx, "DeleteSecret", body).await.map(drop)
}

fn tag_list(tags: Vec<(String, String)>) -> Value {
    tags.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

async fn call(cx: &Cx, operation: &str, body: Value) -> Result<Value, Failure> {
    Ok(cx.calls.json(Service::SecretsManager, &cx.auth, operation, body).await?)
}
