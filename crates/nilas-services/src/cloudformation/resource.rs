//! A resource type as data: what it takes, what it answers, and how its service is asked to make, change and remove it.
//!
//! A type is a `ResourceType` in a file of its own below `types/`, listed in `types/mod.rs`. The engine decides when a
//! function of it is called; the function calls its service through `Cx::calls` and knows nothing of stacks.

use std::pin::Pin;
use std::sync::Arc;

use nilas_model::{AuthContext, Clock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::callbacks::Callbacks;
use super::failure::Failure;
use super::names;
use super::properties::Properties;
use crate::calls::Calls;

/// What a function of a type does, in the end.
pub(crate) type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A type that templates may name.
#[derive(Debug)]
pub(crate) struct ResourceType {
    /// `AWS::Logs::LogGroup`
    pub(crate) name: &'static str,
    /// All that it takes: any other property is refused before anything is made.
    pub(crate) properties: &'static [Property],
    /// Names for `Fn::GetAtt`. One that ends in `.*` stands for all that begin so, `*` for any.
    pub(crate) attributes: &'static [&'static str],
    /// One that fails when something is there already says so with `Failure::after`.
    pub(crate) create: for<'a> fn(&'a Cx, &'a Properties) -> Step<'a, Resource>,
    /// Only called if no property changed that means a replacement. Answering another physical id is a replacement, too:
    /// the old one is deleted when the stack's update has succeeded. One that fails half-way is called again with `old`
    /// and `new` exchanged.
    pub(crate) update: for<'a> fn(&'a Cx, Change<'a>) -> Step<'a, Resource>,
    /// What is gone already (`Failure::is_not_found`) counts as deleted.
    pub(crate) delete: for<'a> fn(&'a Cx, &'a Resource, &'a Properties) -> Step<'a, ()>,
}

/// One property, or a member of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    /// A change of it makes a new resource. Of members this says nothing: their property decides.
    pub(crate) replaces: bool,
    /// It is accepted and has no effect.
    pub(crate) inert: bool,
}

/// What a value is. Values that a template has as another scalar are converted, as CloudFormation does:
/// `"128"` is a number where a number belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Text,
    Integer,
    Number,
    Boolean,
    /// Anything, kept as it is: policy documents, API definitions.
    Json,
    List(&'static Self),
    /// Names of the template's own choosing.
    Map(&'static Self),
    Object(&'static [Property]),
}

/// What was made: as the stack remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Resource {
    /// What `Ref` answers.
    pub(crate) physical_id: String,
    /// What `Fn::GetAtt` answers.
    pub(crate) attributes: Map<String, Value>,
}

/// An update of `resource` in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) old: &'a Properties,
    pub(crate) new: &'a Properties,
}

/// What a type's functions get besides properties: who asks, and which resource of which stack it is.
#[derive(Debug, Clone)]
pub(crate) struct Cx {
    pub(crate) calls: Calls,
    pub(crate) auth: AuthContext,
    pub(crate) clock: Arc<dyn Clock>,
    /// `http://HOST:PORT`, as whoever deploys addresses this server.
    pub(crate) base_url: String,
    pub(crate) stack_name: String,
    /// The stack's ARN.
    pub(crate) stack_id: String,
    pub(crate) stack_tags: Vec<(String, String)>,
    pub(crate) logical_id: String,
    /// The type as the template names it.
    pub(crate) kind: String,
    /// Where functions answer that make resources.
    pub(crate) callbacks: Callbacks,
    /// Twelve of `[A-Z0-9]`, of this one making of this resource: the same when it is tried again after a crash, so
    /// names that are made of it are, too.
    pub(crate) token: String,
    /// The server stopped in the middle of this very step: what it was to make may be there. `create` then takes what
    /// exists under the same name or token for its own, `update` and `delete` for a part done.
    pub(crate) resumed: bool,
}

// === impl ResourceType ===

impl ResourceType {
    pub(crate) fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|known| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix) && name.len() > prefix.len(),
            None => *known == name,
        })
    }

    /// Whether going from `old` to `new` needs a new resource.
    pub(crate) fn is_replaced(&self, old: &Properties, new: &Properties) -> bool {
        let changed = |property: &&Property| old.get(property.name) != new.get(property.name);
        self.properties.iter().filter(changed).any(|property| property.replaces)
    }
}

// === impl Property ===

impl Property {
    /// A property that is changed in place.
    pub(crate) const fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: false, replaces: false, inert: false }
    }

    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, Shape::Text)
    }

    pub(crate) const fn integer(name: &'static str) -> Self {
        Self::new(name, Shape::Integer)
    }

    pub(crate) const fn boolean(name: &'static str) -> Self {
        Self::new(name, Shape::Boolean)
    }

    pub(crate) const fn json(name: &'static str) -> Self {
        Self::new(name, Shape::Json)
    }

    pub(crate) const fn list(name: &'static str, of: &'static Shape) -> Self {
        Self::new(name, Shape::List(of))
    }

    pub(crate) const fn map(name: &'static str, of: &'static Shape) -> Self {
        Self::new(name, Shape::Map(of))
    }

    pub(crate) const fn object(name: &'static str, members: &'static [Self]) -> Self {
        Self::new(name, Shape::Object(members))
    }

    /// `Tags`, a list of `Key` and `Value`.
    pub(crate) const fn tags() -> Self {
        Self::list("Tags", &Shape::TAG)
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A change of it makes a new resource.
    pub(crate) const fn replaces(self) -> Self {
        Self { replaces: true, ..self }
    }

    /// Accepted, without effect.
    pub(crate) const fn inert(self) -> Self {
        Self { inert: true, ..self }
    }
}

impl Shape {
    pub(crate) const TAG: Self =
        Self::Object(&[Property::text("Key").required(), Property::text("Value").required()]);
}

// === impl Resource ===

impl Resource {
    pub(crate) fn new(physical_id: impl Into<String>) -> Self {
        Self { physical_id: physical_id.into(), attributes: Map::new() }
    }

    /// With an attribute more.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// The attribute `name`, if it is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }
}

// === impl Cx ===

impl Cx {
    /// `STACK-LOGICALID-TOKEN`, the name of a resource that the template does not name, of at most `chars_max`.
    pub(crate) fn name(&self, chars_max: usize) -> String {
        names::physical(&self.stack_name, &self.logical_id, &self.token, chars_max)
    }

    /// As [`Cx::name`], in lower case: what S3 takes.
    pub(crate) fn lower_case_name(&self, chars_max: usize) -> String {
        self.name(chars_max).to_ascii_lowercase()
    }

    /// The property `name` of `properties`, or a name made for the resource.
    pub(crate) fn name_or(&self, properties: &Properties, name: &str, chars_max: usize) -> String {
        properties.text(name).map_or_else(|| self.name(chars_max), str::to_owned)
    }

    /// The resource's tags: the stack's, its own (`Tags`, a list of Key and Value, or a map) over them, and the three of
    /// CloudFormation.
    pub(crate) fn tags(&self, properties: &Properties) -> Vec<(String, String)> {
        let mut tags = self.own_tags(properties);
        let system = [
            ("aws:cloudformation:stack-name", &self.stack_name),
            ("aws:cloudformation:stack-id", &self.stack_id),
            ("aws:cloudformation:logical-id", &self.logical_id),
        ];
        tags.extend(system.map(|(key, value)| (key.to_owned(), value.clone())));
        tags
    }

    /// As [`Cx::tags`], without CloudFormation's: for services that take no tag of this prefix.
    pub(crate) fn own_tags(&self, properties: &Properties) -> Vec<(String, String)> {
        let mut tags = self.stack_tags.clone();
        for (key, value) in properties.tags() {
            match tags.iter_mut().find(|(known, _)| *known == key) {
                Some((_, stack_wide)) => *stack_wide = value,
                None => tags.push((key, value)),
            }
        }
        tags
    }

    /// Whether `tags` are those of this very resource of this stack.
    pub(crate) fn are_ours(&self, tags: &[(String, String)]) -> bool {
        let has = |name: &str, value: &str| {
            tags.iter().any(|(known, found)| known == name && found == value)
        };
        has("aws:cloudformation:stack-id", &self.stack_id)
            && has("aws:cloudformation:logical-id", &self.logical_id)
    }

    /// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let (region, account) = (self.auth.region.as_str(), self.auth.account.as_str());
        format!("arn:aws:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cx() -> Cx {
        super::super::testing::cx()
    }

    #[test]
    fn tags_of_the_resource_go_over_those_of_the_stack() {
        let cx = Cx {
            stack_tags: vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())],
            ..cx()
        };
        let properties = serde_json::json!({ "Tags": [{ "Key": "b", "Value": "3" }] });
        let properties = Properties::from(properties.as_object().unwrap().clone());
        let tags = cx.own_tags(&properties);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tags, [pair("a", "1"), pair("b", "3")]);
        assert!(cx.are_ours(&cx.tags(&properties)));
        assert!(!cx.are_ours(&tags));
    }
}
