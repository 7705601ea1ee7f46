//! The APIs that events imply: each event becomes a path of its API, which is made if no event names one.

use std::collections::HashMap;

use super::api::openapi::OpenApi;
use super::api::swagger::Swagger;
use super::api::{http, rest};
use super::core::check::At;
use super::core::intrinsic::{any_of, conditional, reference};
use super::core::print;
use super::core::problem::{Problem, Result};
use super::core::value::{Map, Text, Val, map};
use super::{function, state_machine};

/// REST or HTTP: how the two differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Flavour {
    Rest,
    Http,
}

impl Flavour {
    fn api_kind(self) -> &'static str {
        if self == Self::Rest { rest::KIND } else { http::KIND }
    }

    fn event_kind(self) -> &'static str {
        if self == Self::Rest { "Api" } else { "HttpApi" }
    }

    /// The property with which an event names its API.
    fn id_property(self) -> &'static str {
        if self == Self::Rest { "RestApiId" } else { "ApiId" }
    }

    /// The logical id of the API of events that name none.
    fn implicit_id(self) -> &'static str {
        if self == Self::Rest { "ServerlessRestApi" } else { "ServerlessHttpApi" }
    }

    fn skeleton(self) -> Map {
        if self == Self::Rest { Swagger::skeleton() } else { OpenApi::skeleton() }
    }

    fn implicit_api(self) -> Map {
        let mut properties =
            map! { "DefinitionBody" => self.skeleton(), "__MANAGE_SWAGGER" => true };
        if self == Self::Rest {
            properties.insert("StageName", "Prod");
        }
        map! { "Type" => self.api_kind(), "Properties" => properties }
    }

    fn is_valid(self, body: Option<&Val>) -> bool {
        let valid = if self == Self::Rest { Swagger::is_valid } else { OpenApi::is_valid };
        body.is_some_and(valid)
    }

    /// The definition with changes of its paths.
    fn edit(self, body: &Val, changes: &mut dyn FnMut(Edit<'_>) -> Result<()>) -> Result<Map> {
        match self {
            Self::Rest => {
                let mut editor = Swagger::new(body)?;
                changes(Edit::Rest(&mut editor))?;
                Ok(editor.document())
            }
            Self::Http => {
                let mut editor = OpenApi::new(body)?;
                changes(Edit::Http(&mut editor))?;
                Ok(editor.document())
            }
        }
    }
}

enum Edit<'a> {
    Rest(&'a mut Swagger),
    Http(&'a mut OpenApi),
}

impl Edit<'_> {
    fn add_path(&mut self, path: &Text, method: &Text) -> Result<()> {
        match self {
            Self::Rest(editor) => editor.add_path(path, method),
            Self::Http(editor) => editor.add_path(path, method),
        }
    }

    fn path_names(&self) -> Vec<Text> {
        match self {
            Self::Rest(editor) => editor.path_names(),
            Self::Http(editor) => editor.path_names(),
        }
    }

    fn make_conditional(&mut self, path: &Text, condition: &Val) {
        match self {
            Self::Rest(editor) => editor.make_conditional(path, condition),
            Self::Http(editor) => editor.make_conditional(path, condition),
        }
    }
}

/// Gives every API without a definition an empty one.
pub(super) fn default_definitions(resources: &mut Map) {
    for flavour in [Flavour::Rest, Flavour::Http] {
        for (_, api) in resources.iter_mut() {
            let Some(api) =
                api.as_map_mut().filter(|api| api.text("Type") == Some(flavour.api_kind()))
            else {
                continue;
            };
            let defined = |name: &str| {
                api.get("Properties").and_then(|p| p.get(name)).is_some_and(Val::truthy)
            };
            if defined("DefinitionBody") || defined("DefinitionUri") {
                continue;
            }
            // A REST API has to say its stage, so one without properties is left to fail for that.
            if flavour == Flavour::Rest && !api.has("Properties") {
                continue;
            }
            if !api.has("Properties") {
                api.insert("Properties", Map::new());
            }
            if let Some(Val::Map(properties)) = api.get_mut("Properties") {
                properties.insert("DefinitionBody", flavour.skeleton());
                properties.insert("__MANAGE_SWAGGER", true);
            }
        }
    }
}

/// The conditions of methods by API and path, and the policies of the resources whose events they are.
#[derive(Debug, Default)]
struct Seen {
    conditions: HashMap<String, HashMap<String, HashMap<String, Val>>>,
    deletion: HashMap<String, Vec<Val>>,
    update_replace: HashMap<String, Vec<Val>>,
}

/// Adds the paths of events to their APIs, and the API that events imply to the template.
pub(super) fn apply(template: &mut Map, flavour: Flavour) -> Result<()> {
    let implicit = flavour.implicit_id();
    let globals = template.get("Globals").cloned().unwrap_or_default();
    let mut conditions = Map::new();
    let resources = template.map_mut("Resources");
    let existing = resources.get(implicit).map(Val::deep_copy);
    resources.insert(implicit, flavour.implicit_api());
    let mut seen = Seen::default();
    let mut problems = Vec::new();
    for id in resources.keys() {
        let body = resources.get(&id).and_then(Val::as_map);
        let Some(body) = body
            .filter(|body| matches!(body.text("Type"), Some(function::KIND | state_machine::KIND)))
        else {
            continue;
        };
        if body
            .get("Condition")
            .is_some_and(|condition| condition.truthy() && condition.as_str().is_none())
        {
            return Err(Problem::document("Every Condition member must be a string."));
        }
        let mut body = body.clone();
        match add_events(resources, &mut body, flavour, &globals, &mut seen) {
            Ok(()) => {}
            Err(problem @ Problem::Event { .. }) => problems.push(problem.of_resource(&id)),
            Err(problem) => return Err(problem),
        }
        resources.insert(&id, body);
    }
    set_attributes(resources, flavour, &seen, &mut conditions);
    add_path_conditions(resources, flavour, &seen, &mut conditions)?;
    let unused = resources
        .get(implicit)
        .and_then(|api| api.get("Properties")?.get("DefinitionBody")?.get("paths"))
        .is_some_and(|paths| !paths.truthy());
    if unused {
        match existing {
            Some(existing) => resources.insert(implicit, existing),
            None => drop(resources.remove(implicit)),
        }
    }
    if !conditions.is_empty() {
        template.map_mut("Conditions").update(&conditions);
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::Document(problems)) }
}

fn add_events(
    resources: &mut Map,
    body: &mut Map,
    flavour: Flavour,
    globals: &Val,
    seen: &mut Seen,
) -> Result<()> {
    let attribute = |body: &Map, name: &str| Val::from(body.get(name));
    let owner = body.clone();
    let Some(Val::Map(properties)) = body.get_mut("Properties") else { return Ok(()) };
    let Some(Val::Map(events)) = properties.get_mut("Events") else { return Ok(()) };
    // The translator collects them first, in a dictionary whose order is its own.
    let mut of_flavour = Map::ordered();
    for (name, event) in events.iter() {
        if event.get("Type").is_some_and(|kind| kind.is_text(flavour.event_kind())) {
            of_flavour.insert(name, event);
        }
    }
    for name in of_flavour.keys() {
        let Some(Val::Map(event)) = of_flavour.get_mut(&name) else { continue };
        let given = event.entry("Properties");
        if flavour == Flavour::Rest && !given.is_some_and(Val::truthy) {
            continue;
        }
        if given.is_some_and(|given| given.as_map().is_none()) {
            return Err(Problem::event(&name, "Properties should be a map."));
        }
        if given.is_none() {
            event.insert("Properties", Map::new());
        }
        let Some(Val::Map(given)) = event.get_mut("Properties") else { continue };
        tag_implicit(resources, &owner, given, flavour, globals);
        if !given.has(flavour.id_property()) {
            given.insert(flavour.id_property(), reference(flavour.implicit_id()));
        }
        if flavour == Flavour::Http && !given.truthy("Path") && !given.truthy("Method") {
            given.insert("Path", super::api::editor::DEFAULT_PATH);
            given.insert("Method", super::api::editor::ANY_METHOD);
        }
        let (api, path, method) = route(&name, given, flavour)?;
        let condition = attribute(&owner, "Condition");
        let paths = seen.conditions.entry(api.to_string()).or_default();
        let methods = paths.entry(path.to_string()).or_default();
        methods.insert(method.to_string(), condition.clone());
        let policies = [
            (&mut seen.deletion, "DeletionPolicy"),
            (&mut seen.update_replace, "UpdateReplacePolicy"),
        ];
        for (all, name) in policies {
            all.entry(api.to_string()).or_default().push(attribute(&owner, name));
        }
        add_path(resources, &name, (&api, &path, &method), flavour)?;
        if given.has("RouteSettings") && flavour == Flavour::Http {
            add_route_settings(resources, &name, (&api, &path, &method), given, &condition)?;
        }
    }
    if !of_flavour.is_empty() {
        events.update(&of_flavour);
    }
    Ok(())
}

/// The API, path and method of an event.
fn route(name: &str, given: &Map, flavour: Flavour) -> Result<(Text, Text, Text)> {
    let property = flavour.id_property();
    let id = match given.get(property) {
        Some(Val::Map(map)) if map.has("Ref") => map.entry("Ref").cloned().unwrap_or_default(),
        other => other.into(),
    };
    let text = |value: Option<&Val>, property: &str| {
        At::Event(name, property).string(value)?;
        Ok::<_, Problem>(value.and_then(Val::as_text).cloned().unwrap_or_else(|| "".into()))
    };
    for property in ["Path", "Method"] {
        At::Event(name, property).required(given.get(property))?;
    }
    Ok((
        text(Some(&id), property)?,
        text(given.get("Path"), "Path")?,
        text(given.get("Method"), "Method")?,
    ))
}

fn tag_implicit(resources: &mut Map, owner: &Map, event: &Map, flavour: Flavour, globals: &Val) {
    if event.has(flavour.id_property()) {
        return;
    }
    let section =
        if owner.text("Type") == Some(function::KIND) { "Function" } else { "StateMachine" };
    let setting = |name: &str| {
        let own = owner.get("Properties").and_then(|p| p.get(name)).filter(|v| v.truthy());
        own.or_else(|| globals.get(section)?.get(name)).filter(|value| value.truthy()).cloned()
    };
    let (Some(_), Some(Val::Map(tags))) = (setting("PropagateTags"), setting("Tags")) else {
        return;
    };
    if let Some(Val::Map(api)) = resources.get_mut(flavour.implicit_id())
        && let Some(Val::Map(properties)) = api.get_mut("Properties")
    {
        if let Val::Map(all) = properties.or_insert("Tags", || Map::new().into()) {
            all.update(&tags);
        }
        properties.insert("PropagateTags", true);
    }
}

fn add_path(
    resources: &mut Map,
    name: &str,
    (api, path, method): (&Text, &Text, &Text),
    flavour: Flavour,
) -> Result<()> {
    let kind =
        resources.get(api).map(|api| api.get("Type").and_then(Val::as_str).map(str::to_owned));
    let wrong = match &kind {
        None => true,
        Some(kind) => kind.as_deref() == Some(http::KIND) && flavour == Flavour::Rest,
    };
    if wrong {
        return Err(Problem::event(
            name,
            format!(
                "{} must be a valid reference to an '{}' resource in same template.",
                flavour.id_property(),
                flavour.api_kind()
            ),
        ));
    }
    let Some(Val::Map(api)) = resources.get_mut(api) else { return Ok(()) };
    let Some(Val::Map(properties)) = api.get_mut("Properties") else { return Ok(()) };
    let body = properties.get("DefinitionBody");
    if !flavour.is_valid(body) || !properties.truthy("__MANAGE_SWAGGER") {
        return Ok(());
    }
    let body = Val::from(body);
    let edited = flavour.edit(&body, &mut |mut editor| editor.add_path(path, method))?;
    properties.insert("DefinitionBody", edited);
    Ok(())
}

fn add_route_settings(
    resources: &mut Map,
    name: &str,
    (api_id, path, method): (&Text, &Text, &Text),
    given: &Map,
    condition: &Val,
) -> Result<()> {
    let any = method.as_str() == super::api::editor::ANY_METHOD;
    let route =
        if any { path.clone() } else { Text::plain(format!("{} {path}", method.to_uppercase())) };
    let Some(Val::Map(api)) = resources.get_mut(api_id) else { return Ok(()) };
    let Some(Val::Map(properties)) = api.get_mut("Properties") else { return Ok(()) };
    if let Some(all) = properties.entry("RouteSettings") {
        At::Resource(api_id, "RouteSettings").map(Some(all))?;
    }
    let own = Val::from(given.get("RouteSettings"));
    let own = if condition.truthy() { conditional(condition, own) } else { own };
    let own = At::Event(name, "RouteSettings").map(Some(&own))?.clone();
    properties.map_mut("RouteSettings").map_mut(route).update(&own);
    Ok(())
}

/// Lets the implied API be there, and be kept, as the resources whose events it has.
fn set_attributes(resources: &mut Map, flavour: Flavour, seen: &Seen, conditions: &mut Map) {
    let id = flavour.implicit_id();
    let Some(Val::Map(api)) = resources.get_mut(id) else { return };
    if let Some(paths) = seen.conditions.get(id) {
        let all = distinct(paths.values().flat_map(HashMap::values));
        if let Some(condition) = combined(all, &format!("{id}Condition"), conditions) {
            api.insert("Condition", condition);
        }
    }
    let strongest = |policies: Option<&Vec<Val>>, order: &[&str]| {
        let policies = policies?;
        let found = order.iter().find(|policy| policies.iter().any(|given| given.is_text(policy)));
        found.map(|policy| Val::from(*policy))
    };
    if let Some(policy) = strongest(seen.deletion.get(id), &["Retain", "Delete"]) {
        api.insert("DeletionPolicy", policy);
    }
    let order = ["Retain", "Snapshot", "Delete"];
    if let Some(policy) = strongest(seen.update_replace.get(id), &order) {
        api.insert("UpdateReplacePolicy", policy);
    }
}

fn distinct<'a>(conditions: impl Iterator<Item = &'a Val>) -> Vec<Val> {
    let mut all: Vec<Val> = conditions.cloned().collect();
    all.sort_by_key(print::text);
    all.dedup();
    all
}

/// The condition that one of these is true, if each is one.
fn combined(all: Vec<Val>, name: &str, conditions: &mut Map) -> Option<Val> {
    if all.is_empty() || all.iter().any(Val::is_null) {
        return None;
    }
    if let [one] = all.as_slice() {
        return Some(one.clone());
    }
    conditions.update(&any_of(all, name));
    Some(name.into())
}

fn add_path_conditions(
    resources: &mut Map,
    flavour: Flavour,
    seen: &Seen,
    conditions: &mut Map,
) -> Result<()> {
    for (id, api) in resources.iter_mut() {
        let Some(api) = api.as_map_mut().filter(|api| api.text("Type") == Some(flavour.api_kind()))
        else {
            continue;
        };
        let Some(Val::Map(properties)) = api.get_mut("Properties") else { continue };
        if !properties.truthy("__MANAGE_SWAGGER") {
            continue;
        }
        let body = Val::from(properties.get("DefinitionBody"));
        let paths = seen.conditions.get(id.as_str());
        let edited = flavour.edit(&body, &mut |mut editor| {
            for path in editor.path_names() {
                let methods = paths.and_then(|paths| paths.get(path.as_str()));
                let all = distinct(methods.into_iter().flat_map(HashMap::values));
                let name = path.replace('/', "SLASH").replace('{', "OB").replace('}', "CB");
                let name = format!("{id}{name}PathCondition");
                if let Some(condition) = combined(all, &name, conditions) {
                    editor.make_conditional(&path, &condition);
                }
            }
            Ok(())
        })?;
        properties.insert("DefinitionBody", edited);
    }
    Ok(())
}

/// Whether the template has a REST API, stated or implied, or an HTTP API with a default authorizer: only then does the
/// translator hold what the document says as Python 2.7 would.
pub(super) fn wants_old_order(template: &Map) -> bool {
    let resources: Vec<&Map> = template
        .get("Resources")
        .and_then(Val::as_map)
        .into_iter()
        .flat_map(Map::iter)
        .filter_map(|(_, resource)| resource.as_map())
        .collect();
    let has_event = |kinds: &[&str], event: &str| {
        let of_kind =
            |resource: &&&Map| resource.text("Type").is_some_and(|kind| kinds.contains(&kind));
        resources.iter().filter(of_kind).any(|resource| {
            let events =
                resource.get("Properties").and_then(|p| p.get("Events")).and_then(Val::as_map);
            events
                .into_iter()
                .flat_map(Map::iter)
                .any(|(_, given)| given.get("Type").is_some_and(|kind| kind.is_text(event)))
        })
    };
    let is = |kind: &'static str| move |resource: &&&Map| resource.text("Type") == Some(kind);
    if resources.iter().any(|resource| resource.text("Type") == Some(rest::KIND))
        || has_event(&[function::KIND, state_machine::KIND], "Api")
    {
        return true;
    }
    let default = |auth: Option<&Val>| {
        auth.and_then(|auth| auth.get("DefaultAuthorizer")).is_some_and(Val::truthy)
    };
    let global =
        default(template.get("Globals").and_then(|globals| globals.get("HttpApi")?.get("Auth")));
    resources
        .iter()
        .filter(is(http::KIND))
        .any(|api| global || default(api.get("Properties").and_then(|p| p.get("Auth"))))
        || (global && has_event(&[function::KIND], "HttpApi"))
}
