//! The last step: the document's own `resources` and `outputs` on top of what was made.

use serde_json::{Map, Value, json};

use super::super::json::{self, members};
use super::{Compiled, Compiler, Problem};

pub(super) fn finish(mut c: Compiler<'_>) -> Result<Compiled, Problem> {
    let mut template = std::mem::take(&mut c.template);
    template.insert("Resources".into(), std::mem::take(&mut c.resources).into());
    template.insert("Outputs".into(), exported(&mut c).into());
    let mut template = Value::Object(template);
    let mut own = c.service.document["resources"].clone();
    let extensions = match &mut own {
        Value::Object(own) => own.shift_remove("extensions").unwrap_or_default(),
        _ => Value::Null,
    };
    if own.is_object() {
        json::merge(&mut template, &own);
    }
    for (id, extension) in members(&extensions) {
        extend(&c, &mut template, id, extension)?;
    }
    for resource in template["Resources"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(properties) = resource.get_mut("Properties") {
            json::strip_nulls(properties);
        }
    }
    Ok(Compiled { template, existing_buckets: c.existing_buckets, warnings: c.warnings })
}

/// Other stacks can import every output that was made.
fn exported(c: &mut Compiler<'_>) -> Map<String, Value> {
    let mut outputs = std::mem::take(&mut c.outputs);
    for (name, output) in &mut outputs {
        let export = format!("sls-{}-{}-{name}", c.service.name, c.service.stage);
        output["Export"] = json!({"Name": export});
    }
    outputs
}

fn extend(c: &Compiler<'_>, template: &mut Value, id: &str, by: &Value) -> Result<(), Problem> {
    let path = ["resources", "extensions", id];
    let Some(resource) = template["Resources"].get_mut(id) else {
        return Err(c.problem(
            &path,
            format!("Cannot extend \"{id}\" resource, as it's not found in generated stack"),
        ));
    };
    for (attribute, value) in members(by) {
        match attribute {
            "Condition"
            | "CreationPolicy"
            | "DeletionPolicy"
            | "UpdatePolicy"
            | "UpdateReplacePolicy" => resource[attribute] = value.clone(),
            "Properties" | "Metadata" => {
                if !resource[attribute].is_object() {
                    resource[attribute] = Map::new().into();
                }
                for (name, value) in members(value) {
                    resource[attribute][name] = value.clone();
                }
            }
            "DependsOn" => {
                let known = json::items(&resource[attribute]);
                let all: Vec<Value> = known.iter().chain(json::items(value)).cloned().collect();
                resource[attribute] = all.into();
            }
            _ => {
                return Err(c.problem(
                    &path,
                    format!(
                        "Cannot extend \"{id}\" resource, as extending the \"{attribute}\" attribute at this point is \
                         not supported"
                    ),
                ));
            }
        }
    }
    Ok(())
}
