//! YAML documents as trees that know where each part of them is written.
//!
//! Scalars are read by the core schema of YAML 1.2, as js-yaml reads them for the Serverless Framework, with one
//! difference that CloudFormation needs: digits after a leading zero stay text, or account ids would lose it.
//! Anchors, aliases and merge keys (`<<`) are resolved, within limits.

use std::collections::{HashMap, HashSet};
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Number;

/// Nodes of one document, aliases expanded: what a few lines of hostile YAML may become.
const NODES_MAX: usize = 500_000;
const DEPTH_MAX: usize = 128;

/// One value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub at: Position,
    /// Without the exclamation mark: `Ref` of `!Ref`.
    pub tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no key twice.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub text: String,
    pub at: Position,
}

/// Both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// Why a document is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {}, column {}", at.line, at.column)]
pub struct YamlError {
    pub message: String,
    pub at: Position,
}

/// Reads the one document in `text`. An empty text is `Null`.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if root.is_some() => {
                return Err(error(
                    "expected a single document in the stream, but found more",
                    position(&span),
                ));
            }
            event => root = Some(reader.node(event, &span, 0)?),
        }
    }
    Ok(root.unwrap_or(Node { value: Value::Null, at: Position { line: 1, column: 1 }, tag: None }))
}

// === impl Node ===

impl Node {
    /// The member `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(members) = &self.value else { return None };
        members.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members of a map; none of anything else.
    pub fn members(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    /// As JSON, with the short forms of CloudFormation's functions (`!Ref x`, `!GetAtt a.b`) written out.
    pub fn to_json(&self) -> Result<serde_json::Value, YamlError> {
        let plain = match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect::<Result<_, _>>()?,
            Value::Map(members) => {
                let mut map = serde_json::Map::new();
                for (key, node) in members {
                    map.insert(key.text.clone(), node.to_json()?);
                }
                map.into()
            }
        };
        match &self.tag {
            None => Ok(plain),
            Some(tag) => self.function(tag, plain),
        }
    }

    fn function(
        &self,
        tag: &str,
        argument: serde_json::Value,
    ) -> Result<serde_json::Value, YamlError> {
        const FUNCTIONS: [&str; 17] = [
            "And",
            "Base64",
            "Cidr",
            "Equals",
            "FindInMap",
            "GetAZs",
            "GetAtt",
            "If",
            "ImportValue",
            "Join",
            "Length",
            "Not",
            "Or",
            "Select",
            "Split",
            "Sub",
            "ToJsonString",
        ];
        let name = match tag {
            "Ref" | "Condition" => tag.to_owned(),
            "Transform" => "Fn::Transform".to_owned(),
            _ if FUNCTIONS.contains(&tag) => format!("Fn::{tag}"),
            _ => return Err(error(&format!("unknown tag !<!{tag}>"), self.at)),
        };
        let argument = match (tag, argument) {
            // "!GetAtt a.b.c": the attribute itself may have dots.
            ("GetAtt", serde_json::Value::String(text)) => {
                let (id, attribute) = text.split_once('.').unwrap_or((&text, ""));
                serde_json::json!([id, attribute])
            }
            (_, argument) => argument,
        };
        Ok(serde_json::json!({ name: argument }))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next() {
            Some(Ok(found)) => Ok(found),
            Some(Err(err)) => {
                let mark = err.marker();
                let at = Position { line: mark.line(), column: mark.col() + 1 };
                Err(error(err.info(), at))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, YamlError> {
        let at = position(span);
        self.count(1, at)?;
        if depth > DEPTH_MAX {
            return Err(error("the document is nested too deeply", at));
        }
        let (anchor, tag, value) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| error("an alias names no anchor before it", at))?;
                self.count(size(&node), at)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = match &tag {
                    Some(tag) if tag.is_yaml_core_schema() => core_scalar(&tag.suffix, &text, at)?,
                    Some(_) => Value::Text(text.into_owned()),
                    None if plain => plain_scalar(&text),
                    None => Value::Text(text.into_owned()),
                };
                (anchor, tag, value)
            }
            Event::SequenceStart(anchor, tag) => (anchor, tag, self.list(depth)?),
            Event::MappingStart(anchor, tag) => (anchor, tag, self.map(depth)?),
            _ => return Err(error("a value is missing", at)),
        };
        let tag = tag.filter(|tag| !tag.is_yaml_core_schema()).map(|tag| tag.suffix.clone());
        let node = Node { value, at, tag };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut members: Vec<(Key, Node)> = Vec::new();
        let mut keys = HashSet::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let at = position(&span);
            let key = match self.node(event, &span, depth + 1)?.value {
                Value::Text(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                Value::Null => "null".to_owned(),
                Value::List(_) | Value::Map(_) => {
                    return Err(error("a key must be a scalar", at));
                }
            };
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            if key == "<<" {
                merged.push(node);
            } else if keys.insert(key.clone()) {
                members.push((Key { text: key, at }, node));
            } else {
                return Err(error(&format!("duplicated mapping key \"{key}\""), at));
            }
        }
        for node in merged {
            merge(&mut members, &mut keys, node)?;
        }
        Ok(Value::Map(members))
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(error("the document is too large with its aliases expanded", at));
        }
        Ok(())
    }
}

/// Members of the map, or of the list of maps, at `<<`: those that the map itself has not.
fn merge(
    members: &mut Vec<(Key, Node)>,
    keys: &mut HashSet<String>,
    source: Node,
) -> Result<(), YamlError> {
    match source.value {
        Value::Map(others) => {
            for (key, node) in others {
                if keys.insert(key.text.clone()) {
                    members.push((key, node));
                }
            }
            Ok(())
        }
        Value::List(sources) => {
            sources.into_iter().try_for_each(|source| merge(members, keys, source))
        }
        _ => Err(error(
            "cannot merge mappings; the provided source object is unacceptable",
            source.at,
        )),
    }
}

fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(number) => Value::Number(number),
        None => Value::Text(text.to_owned()),
    }
}

fn core_scalar(kind: &str, text: &str, at: Position) -> Result<Value, YamlError> {
    let value = plain_scalar(text);
    match (kind, &value) {
        ("str", _) => Ok(Value::Text(text.to_owned())),
        ("int" | "float", Value::Number(_)) | ("bool", Value::Bool(_)) | ("null", Value::Null) => {
            Ok(value)
        }
        _ => Err(error(&format!("cannot resolve a node with !<tag:yaml.org,2002:{kind}>"), at)),
    }
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, radix| {
        i64::from_str_radix(digits.strip_prefix(prefix)?, radix).ok().map(Number::from)
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.starts_with("0x") {
        return radix("0x", 16);
    }
    if digits.starts_with("0o") {
        return radix("0o", 8);
    }
    let bytes = digits.as_bytes();
    if bytes.len() > 1 && bytes[0] == b'0' && bytes[1].is_ascii_digit() {
        return None;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let is_float = digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && digits.bytes().any(|b| b.is_ascii_digit());
    is_float.then(|| text.parse::<f64>().ok().and_then(Number::from_f64)).flatten()
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(members) => 1 + members.iter().map(|(_, node)| size(node) + 1).sum::<usize>(),
        _ => 1,
    }
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

fn error(message: &str, at: Position) -> YamlError {
    YamlError { message: message.to_owned(), at }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let shown = match parse(text).and_then(|node| node.to_json()) {
            Ok(json) => json.to_string(),
            Err(err) => err.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn scalars_are_read_by_the_core_schema() {
        check(
            "{a: 1, b: -2.5, c: yes, d: true, e: ~, f: 012345678901, g: 0x1F, h: 2012-10-17, i: '1', j: 1e3, k: .5}",
            expect![[
                r#"{"a":1,"b":-2.5,"c":"yes","d":true,"e":null,"f":"012345678901","g":31,"h":"2012-10-17","i":"1","j":1000.0,"k":0.5}"#
            ]],
        );
    }

    #[test]
    fn short_forms_are_written_out() {
        check(
            "a: !Ref X\nb: !GetAtt A.Outputs.B\nc: !Sub ['${x}', {x: !Ref Y}]\nd: !If [C, 1, !Ref AWS::NoValue]\ne: !Not [!Condition C]",
            expect![[
                r#"{"a":{"Ref":"X"},"b":{"Fn::GetAtt":["A","Outputs.B"]},"c":{"Fn::Sub":["${x}",{"x":{"Ref":"Y"}}]},"d":{"Fn::If":["C",1,{"Ref":"AWS::NoValue"}]},"e":{"Fn::Not":[{"Condition":"C"}]}}"#
            ]],
        );
        check("a:\n  - !Nothing x", expect!["unknown tag !<!Nothing> at line 2, column 5"]);
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        check(
            "base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\nd: *b",
            expect![[r#"{"base":{"x":1,"y":2},"c":{"y":3,"x":1},"d":{"x":1,"y":2}}"#]],
        );
        let bomb = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            text + &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
        });
        check(
            &bomb,
            expect!["the document is too large with its aliases expanded at line 17, column 18"],
        );
    }

    #[test]
    fn errors_say_where() {
        check("a: 1\na: 2", expect![[r#"duplicated mapping key "a" at line 2, column 1"#]]);
        check(
            "a: [1",
            expect!["while parsing a flow sequence, expected ',' or ']' at line 2, column 1"],
        );
        check(
            "a: 1\n---\nb: 2",
            expect!["expected a single document in the stream, but found more at line 3, column 1"],
        );
        check("", expect!["null"]);
    }
}
