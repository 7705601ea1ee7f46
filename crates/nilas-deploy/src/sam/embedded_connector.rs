//! Connectors that are written within the resources they start from.

use super::connector::{KIND, PROPERTIES};
use super::core::check::At;
use super::core::problem::{Problem, Result};
use super::core::resource::Source;
use super::core::value::{Map, Text, Val, map};

/// Makes resources of their own of them.
pub(super) fn take_all(resources: &mut Map, problems: &mut Vec<Problem>) {
    let mut found = Map::new();
    for (id, resource) in resources.iter_mut() {
        let Some(resource) = resource.as_map_mut() else { continue };
        let Some(connectors) = resource.remove("Connectors") else { continue };
        let path = format!("{id}.Connectors");
        match At::Attribute(&id, &path).map(Some(&connectors)) {
            Err(problem) => problems.push(problem),
            Ok(connectors) => {
                for (name, body) in connectors.iter() {
                    match embedded(&id, name, body) {
                        Ok(connector) => found.insert(format!("{id}{name}"), connector),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
        }
    }
    for (id, connector) in found.iter() {
        if resources.has(id) {
            problems.push(Problem::Duplicate {
                id: id.to_string(),
                made: id.to_string(),
                kind: KIND.to_owned(),
            });
        } else {
            resources.insert(id, connector);
        }
    }
}

fn embedded(id: &Text, name: &str, body: &Val) -> Result<Map> {
    let full = format!("{id}{name}");
    let Val::Map(body) = body else {
        return Err(Problem::resource(&full, format!("{id}.{full} should be a map.")));
    };
    let mut connector = body.clone();
    connector.insert("Type", KIND);
    let path = format!("Connectors.{name}.Properties");
    let mut properties = At::Attribute(id, &path).map(connector.entry("Properties"))?.clone();
    let mut source = map! { "Id" => id };
    if let Some(given) = properties.remove("SourceReference") {
        let path = format!("{path}.SourceReference");
        let given = At::Resource(id, &path).map(Some(&given))?;
        if given.has("Id") {
            let message = "'Id' shouldn't be defined in 'SourceReference'.";
            return Err(Problem::resource(name, message));
        }
        source.update(given);
    }
    properties.insert("Source", source);
    connector.insert("Properties", properties);
    // Checks it as the resource that it is.
    Source::parse(&full.into(), KIND, &[PROPERTIES], &connector)?;
    Ok(connector)
}
