//! Checks before a function is asked: required parameters, and bodies by JSON Schema.

use serde_json::{Value, json};

use super::{Compiler, Route, api_id, is_required, method_id};
use crate::serverless::json::{members, truthy, without_nulls};
use crate::serverless::naming;

pub(super) fn compile(c: &mut Compiler<'_>, routes: &[Route<'_>]) {
    let validator = format!("ApiGateway{}RequestValidator", naming::alphanumeric(&c.service.name));
    for route in routes {
        let schemas = &route.request["schemas"];
        let requires = route.parameters.iter().any(|(_, value)| truthy(&is_required(value)));
        if !requires && !truthy(schemas) {
            continue;
        }
        let name = format!(
            "{}-{} | Validate request body and querystring parameters",
            c.service.name, c.service.stage
        );
        let resource = json!({
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {
                "RestApiId": api_id(c),
                "ValidateRequestBody": true,
                "ValidateRequestParameters": true,
                "Name": name,
            },
        });
        c.resources.insert(validator.clone(), resource);
        let method = method_id(&route.path, &route.method);
        c.resources[&method]["Properties"]["RequestValidatorId"] = json!({"Ref": validator});
        for (kind, schema) in members(schemas) {
            let model = model(c, &method, kind, schema);
            c.resources[&method]["Properties"]["RequestModels"][kind] = json!({"Ref": model});
        }
    }
}

/// The schema of one content type: written here, or by name under `provider.apiGateway.request.schemas`.
fn model(c: &mut Compiler<'_>, method: &str, kind: &str, schema: &Value) -> String {
    let shared =
        schema.as_str().map(|name| &c.provider()["apiGateway"]["request"]["schemas"][name]);
    let (id, kind, config) = match shared.filter(|shared| truthy(shared)) {
        Some(shared) => {
            let name = schema.as_str().unwrap_or_default();
            (format!("ApiGateway{}Model", naming::pascal_case(name)), "application/json", shared)
        }
        None => (format!("{method}{}Model", naming::start_case(kind)), kind, schema),
    };
    let definition = if truthy(&config["schema"]) { &config["schema"] } else { config };
    let is_named = truthy(&config["schema"]) || id.starts_with("ApiGateway") && shared.is_some();
    let or_none = |value: &Value| (is_named && truthy(value)).then(|| value.clone());
    let properties = without_nulls(json!({
        "RestApiId": api_id(c),
        "ContentType": kind,
        "Schema": definition,
        "Name": or_none(&config["name"]),
        "Description": or_none(&config["description"]),
    }));
    let resource = json!({"Type": "AWS::ApiGateway::Model", "Properties": properties});
    c.resources.insert(id.clone(), resource);
    id
}
