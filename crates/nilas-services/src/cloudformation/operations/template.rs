//! GetTemplate, GetTemplateSummary, ValidateTemplate.

use std::collections::BTreeSet;

use nilas_wire::xml::Xml;
use nilas_wire::{ApiResponse, Fault};
use serde_json::{Map, Value};

use super::Cx;
use super::describe::write_texts;
use super::input::{demanded, source};
use crate::cloudformation::fault;
use crate::cloudformation::stack::TemplateTexts;
use crate::cloudformation::template::{
    Parameter, Template, comparable, declared_parameters, parse, transform_names,
};

pub(super) async fn get(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let (name, set) = (cx.form.get("StackName"), cx.form.get("ChangeSetName"));
    let texts = match set.filter(|set| !set.is_empty()) {
        Some(set) => {
            let (cell, set) = super::change_set::found(cx, name, set)?;
            let uuid = cell.state().stack.uuid.clone();
            cx.service.stacks.template(&uuid, set.deployment.template).await
        }
        None => {
            let name = cx.required("StackName")?;
            let state = cx.found(name)?.state();
            let operation = state.stack.operation.as_ref();
            let target = operation.and_then(|operation| operation.target.as_ref());
            match state.stack.deployment.as_ref().or(target) {
                Some(deployment) => {
                    cx.service.stacks.template(&state.stack.uuid, deployment.template).await
                }
                None => cx.service.stacks.template(&state.stack.uuid, state.stack.templates).await,
            }
        }
    };
    let texts = texts.map_err(fault::of_store)?;
    let texts = texts.ok_or_else(|| fault::no_stack(name.unwrap_or_default()))?;
    let body = match cx.form.get("TemplateStage") {
        None | Some("Original") => texts.original,
        Some("Processed") => processed(&texts),
        Some(other) => {
            let allowed = "Member must satisfy enum value set: [Original, Processed]";
            return Err(fault::constraint(other, "templateStage", allowed));
        }
    };
    Ok(cx.answer(|xml| {
        xml.text("TemplateBody", &body);
        write_texts(xml, "StagesAvailable", &["Original".to_owned(), "Processed".to_owned()]);
    }))
}

fn processed(texts: &TemplateTexts) -> String {
    if texts.transforms.is_empty() {
        return texts.original.clone();
    }
    let mut root = texts.processed.clone();
    root.shift_remove("Transform");
    Value::Object(root).to_string()
}

/// A template's root and parameters, as far as they can be read without values for the parameters.
struct Read {
    root: Map<String, Value>,
    parameters: Vec<Parameter>,
    transforms: Vec<String>,
}

fn read(text: &str) -> Result<Read, Fault> {
    let root = parse(text).map_err(|error| fault::of_template(&error))?;
    let parameters = declared_parameters(&root).map_err(|error| fault::of_template(&error))?;
    let names = transform_names(&root).map_err(|error| fault::of_template(&error))?;
    let transforms: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if transforms.is_empty() {
        Template::read(root.clone()).map_err(|error| fault::of_template(&error))?;
    } else if !root.get("Resources").is_some_and(Value::is_object) {
        return Err(fault::validation(
            "Template format error: At least one Resources member must be defined.",
        ));
    }
    Ok(Read { root, parameters, transforms })
}

pub(super) async fn validate(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let read = read(&source(cx, None).await?)?;
    Ok(cx.answer(|xml| {
        xml.members("Parameters", &read.parameters, |xml, parameter| {
            xml.text("ParameterKey", &parameter.name);
            xml.optional("DefaultValue", parameter.default.as_deref());
            xml.text("NoEcho", if parameter.no_echo { "true" } else { "false" });
            xml.optional("Description", parameter.description.as_deref());
        });
        write_summary(xml, &read);
    }))
}

pub(super) async fn summary(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let named = cx.form.get("StackName").filter(|name| !name.is_empty());
    let text = match named {
        None => source(cx, None).await?,
        Some(name) => {
            let state = cx.found(name)?.state();
            let deployment = state.stack.deployment.clone().unwrap_or_default();
            let texts = cx.service.stacks.template(&state.stack.uuid, deployment.template).await;
            texts.map_err(fault::of_store)?.ok_or_else(|| fault::no_stack(name))?.original
        }
    };
    let read = read(&text)?;
    let resources = read.root.get("Resources").and_then(Value::as_object).into_iter().flatten();
    let kinds: BTreeSet<String> = resources
        .filter_map(|(_, declared)| declared.get("Type").and_then(Value::as_str))
        .map(str::to_owned)
        .collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    Ok(cx.answer(|xml| {
        xml.members("Parameters", &read.parameters, write_declaration);
        write_summary(xml, &read);
        write_texts(xml, "ResourceTypes", &kinds);
        xml.text("Version", "2010-09-09");
        let metadata = read.root.get("Metadata").map(Value::to_string);
        xml.optional("Metadata", metadata.as_deref());
    }))
}

fn write_declaration(xml: &mut Xml, parameter: &Parameter) {
    xml.text("ParameterKey", &parameter.name);
    xml.optional("DefaultValue", parameter.default.as_deref());
    xml.text("ParameterType", &parameter.kind);
    xml.text("NoEcho", if parameter.no_echo { "true" } else { "false" });
    xml.optional("Description", parameter.description.as_deref());
    xml.element("ParameterConstraints", |xml| {
        if !parameter.allowed_values.is_empty() {
            write_texts(xml, "AllowedValues", &parameter.allowed_values);
        }
    });
}

/// What both answers have.
fn write_summary(xml: &mut Xml, read: &Read) {
    xml.optional("Description", read.root.get("Description").map(comparable).as_deref());
    let resources = read.root.get("Resources").and_then(Value::as_object).into_iter().flatten();
    let none = Map::new();
    let resources = resources.filter_map(|(_, declared)| {
        let properties = declared.get("Properties").and_then(Value::as_object).unwrap_or(&none);
        Some((declared.get("Type")?.as_str()?, properties))
    });
    let mut capabilities: Vec<String> = Vec::new();
    let mut reason = None;
    let resources: Vec<_> = resources.collect();
    if let Some(needed) = demanded(resources.iter().copied()) {
        capabilities.push(needed.to_owned());
        let kinds: BTreeSet<&str> = resources
            .iter()
            .map(|(kind, _)| *kind)
            .filter(|kind| kind.starts_with("AWS::IAM::"))
            .collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        reason =
            Some(format!("The following resource(s) require capabilities: [{}]", kinds.join(", ")));
    }
    if !read.transforms.is_empty() {
        capabilities.push("CAPABILITY_AUTO_EXPAND".to_owned());
        let text = format!(
            "The following transform(s) require capabilities: [{}]",
            read.transforms.join(", ")
        );
        reason = Some(reason.map_or(text.clone(), |reason| format!("{reason}; {text}")));
    }
    write_texts(xml, "Capabilities", &capabilities);
    xml.optional("CapabilitiesReason", reason.as_deref());
    write_texts(xml, "DeclaredTransforms", &read.transforms);
}
