//! Variables: `${self:custom.name}` and the like, replaced by what they stand for.
//!
//! Values are found on demand: a property that another names is resolved first, whatever their order in the document.
//! What only the caller knows becomes a question, and the rest goes on, so that one round asks as much as it can.

mod parse;
mod sources;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value as Json;

use self::parse::{Argument, Piece, Source};
use super::answers::{Answer, Answers, Problem, Question};
use crate::yaml::{Key, Node, Position, Value};

/// Values that resolve to variables that resolve to variables …
const NEST_DEPTH_MAX: usize = 10;
/// Properties that wait for one another, and values within values of the resolved document: what the stack holds.
const UNDERWAY_MAX: usize = 48;
const DEPTH_MAX: usize = 192;
/// Values of the resolved document: what a few lines of references to references may become.
const NODES_MAX: usize = 200_000;
const TEXT_BYTES_MAX: usize = 32 << 20;
/// Problems that are told at once.
const PROBLEMS_MAX: usize = 10;

/// What came of a document.
pub(super) enum Resolved {
    Document(Node),
    Asks(Vec<Question>),
}

/// Why a value is not known.
enum Stop {
    /// A question is asked; the next round may know.
    Asked,
    Problem(Box<Problem>),
}

type Found<T> = Result<T, Stop>;

pub(super) struct Resolver<'a> {
    root: &'a Node,
    answers: &'a Answers,
    env: &'a BTreeMap<String, String>,
    questions: BTreeSet<Question>,
    problems: Vec<Problem>,
    /// By path of the property: what its text stands for. Inner values may still hold variables.
    known: HashMap<String, Node>,
    /// Paths of the properties that are being resolved.
    underway: Vec<String>,
    files: HashMap<String, Option<Node>>,
    nodes: usize,
    text_bytes: usize,
}

// === impl Resolver ===

impl<'a> Resolver<'a> {
    pub(super) fn new(
        root: &'a Node,
        answers: &'a Answers,
        env: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            root,
            answers,
            env,
            questions: BTreeSet::new(),
            problems: Vec::new(),
            known: HashMap::new(),
            underway: Vec::new(),
            files: HashMap::new(),
            nodes: 0,
            text_bytes: 0,
        }
    }

    /// The whole document. All problems are told at once, as the Framework tells them.
    pub(super) fn resolve(mut self, file: &str) -> Result<Resolved, Problem> {
        let root = self.root;
        let document = self.all(&mut Vec::new(), root);
        if !self.questions.is_empty() {
            return Ok(Resolved::Asks(self.questions.into_iter().collect()));
        }
        let mut seen = BTreeSet::new();
        self.problems.retain(|problem| seen.insert(problem.message.clone()));
        let Some(first) = self.problems.first() else { return Ok(Resolved::Document(document)) };
        let (at, hint) = (first.at, self.problems.iter().find_map(|p| p.hint.clone()));
        let told = self.problems.iter().take(PROBLEMS_MAX);
        let mut lines: String = told.map(|p| format!("\n  - {}", p.message)).collect();
        if self.problems.len() > PROBLEMS_MAX {
            lines += &format!("\n  and {} more", self.problems.len() - PROBLEMS_MAX);
        }
        Err(Problem {
            message: format!("Cannot resolve {file}: Variables resolution errored with:{lines}"),
            file: file.to_owned(),
            at,
            hint,
        })
    }

    /// One property, if it can be known now: for what has to be known before the rest.
    pub(super) fn early(&mut self, path: &[&str]) -> Option<Node> {
        self.property(path.iter().map(|step| (*step).to_owned()).collect()).ok().flatten()
    }

    /// Goes on past what is not known, and notes why.
    fn all(&mut self, path: &mut Vec<String>, node: &Node) -> Node {
        let node = match self.text(path, node) {
            Ok(node) => node,
            Err(stop) => {
                if let Stop::Problem(problem) = stop {
                    self.problems.push(*problem);
                }
                return Node { value: Value::Null, at: node.at, tag: None };
            }
        };
        let value = match &node.value {
            Value::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    all.push(self.all(path, item));
                    path.pop();
                }
                Value::List(all)
            }
            Value::Map(members) => {
                let mut all = Vec::with_capacity(members.len());
                for (key, member) in members {
                    path.push(key.text.clone());
                    all.push((key.clone(), self.all(path, member)));
                    path.pop();
                }
                Value::Map(all)
            }
            _ => return node,
        };
        Node { value, at: node.at, tag: node.tag }
    }

    /// As [`Self::all`], but it ends with the first value that is not known: for what another value depends on.
    fn deep(&mut self, path: &mut Vec<String>, node: &Node) -> Found<Node> {
        let node = self.text(path, node)?;
        let value = match &node.value {
            Value::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    all.push(self.deep(path, item)?);
                    path.pop();
                }
                Value::List(all)
            }
            Value::Map(members) => {
                let mut all = Vec::with_capacity(members.len());
                for (key, member) in members {
                    path.push(key.text.clone());
                    all.push((key.clone(), self.deep(path, member)?));
                    path.pop();
                }
                Value::Map(all)
            }
            _ => return Ok(node),
        };
        Ok(Node { value, at: node.at, tag: node.tag })
    }

    /// What the property at `path` is; `None` if there is none.
    fn property(&mut self, mut path: Vec<String>) -> Found<Option<Node>> {
        let mut node = self.root.clone();
        for end in 0..path.len() {
            node = self.text(&path[..end], &node)?;
            let step = &path[end];
            let inner = match &node.value {
                Value::List(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
                _ => node.get(step),
            };
            match inner {
                Some(inner) => node = inner.clone(),
                None => return Ok(None),
            }
        }
        let node = self.deep(&mut path, &node)?;
        Ok((node.value != Value::Null).then_some(node))
    }

    /// The node itself, or what its text stands for. Not what is within that.
    fn text(&mut self, path: &[String], node: &Node) -> Found<Node> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(stop(Problem::new(
                "the document is too large with its variables resolved",
            )));
        }
        if path.len() > DEPTH_MAX || self.underway.len() > UNDERWAY_MAX {
            let message = "the document is nested too deeply with its variables resolved";
            return Err(stop(Problem::new(message)));
        }
        let Value::Text(text) = &node.value else { return Ok(node.clone()) };
        if !text.contains("${") {
            return Ok(node.clone());
        }
        let key = path.join("\0");
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let property = path.join(".");
        if self.underway.contains(&key) {
            let other =
                self.underway.last().map(|path| path.replace('\0', ".")).unwrap_or_default();
            return Err(stop(Problem::new(format!(
                "Cannot resolve variable at \"{other}\": Circular reference among \"{other}\" and \"{property}\" \
                 properties"
            ))
            .at(node.at)));
        }
        self.underway.push(key.clone());
        let result = self.evaluate(text, node.at, &property, NEST_DEPTH_MAX);
        self.underway.pop();
        let mut resolved = result.map_err(|stop| match stop {
            Stop::Problem(problem) => Stop::Problem(Box::new(problem.at(node.at))),
            Stop::Asked => Stop::Asked,
        })?;
        if resolved.tag.is_none() {
            resolved.tag.clone_from(&node.tag);
        }
        self.known.insert(key, resolved.clone());
        Ok(resolved)
    }

    fn evaluate(&mut self, text: &str, at: Position, property: &str, depth: usize) -> Found<Node> {
        let parsed = parse::parse(text).map_err(|message| {
            stop(Problem::new(format!("Cannot resolve variable at \"{property}\": {message}")))
        })?;
        match parsed {
            None => Ok(Node { value: Value::Text(text.to_owned()), at, tag: None }),
            Some(pieces) => self.pieces(&pieces, at, property, depth),
        }
    }

    fn pieces(
        &mut self,
        pieces: &[Piece],
        at: Position,
        property: &str,
        depth: usize,
    ) -> Found<Node> {
        if depth == 0 {
            return Err(stop(Problem::new(format!(
                "Cannot resolve variable at \"{property}\": Excessive variables nest depth"
            ))));
        }
        if let [Piece::Variable(sources)] = pieces {
            return self.variable(sources, at, property, depth);
        }
        let mut whole = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Variable(sources) => {
                    let value = self.variable(sources, at, property, depth)?;
                    let text = scalar_text(&value).ok_or_else(|| {
                        stop(Problem::new(format!(
                            "Cannot resolve variable at \"{property}\": String value consist of variable which \
                             resolve with non-string value"
                        )))
                    })?;
                    whole.push_str(&text);
                }
            }
            if self.text_bytes + whole.len() > TEXT_BYTES_MAX {
                return Err(stop(Problem::new("the texts of the document are too long")));
            }
        }
        self.text_bytes += whole.len();
        Ok(Node { value: Value::Text(whole), at, tag: None })
    }

    /// The first source that knows a value; a text with variables again is resolved at once.
    fn variable(
        &mut self,
        sources: &[Source],
        at: Position,
        property: &str,
        depth: usize,
    ) -> Found<Node> {
        let mut last = String::new();
        for (n, source) in sources.iter().enumerate() {
            let found = match source {
                Source::Literal(value) => Some(from_json(value, at)),
                Source::Nested(pieces) if n + 1 == sources.len() => {
                    return self.pieces(pieces, at, property, depth - 1);
                }
                Source::Nested(pieces) => match self.pieces(pieces, at, property, depth - 1) {
                    Ok(node) => Some(node),
                    Err(Stop::Asked) => return Err(Stop::Asked),
                    Err(Stop::Problem(_)) => None,
                },
                Source::Lookup { kind, params, address } => {
                    last.clone_from(kind);
                    let params = self.arguments(params, at, property, depth)?;
                    let address = match address {
                        Some(address) => {
                            let mut one =
                                self.arguments(std::slice::from_ref(address), at, property, depth)?;
                            one.pop()
                        }
                        None => None,
                    };
                    self.lookup(kind, &params, address, at).map_err(|stop| named(stop, property))?
                }
            };
            let is_last_literal = matches!(source, Source::Literal(_));
            match found {
                Some(Node { value: Value::Text(text), .. }) if !is_last_literal => {
                    return self.evaluate(&text, at, property, depth - 1);
                }
                Some(node) if node.value != Value::Null || is_last_literal => {
                    return Ok(moved(node, at));
                }
                _ => {}
            }
        }
        Err(stop(Problem::new(format!(
            "Cannot resolve variable at \"{property}\": Value not found at \"{last}\" source"
        ))))
    }

    fn arguments(
        &mut self,
        arguments: &[Argument],
        at: Position,
        property: &str,
        depth: usize,
    ) -> Found<Vec<Json>> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(match argument {
                Argument::Literal(value) => value.clone(),
                Argument::Pieces(pieces) => {
                    let node = self.pieces(pieces, at, property, depth - 1)?;
                    node.to_json().unwrap_or_default()
                }
            });
        }
        Ok(values)
    }

    /// The answer to a question, which is asked if there is none yet.
    fn ask(&mut self, question: Question) -> Found<&'a Answer> {
        match self.answers.known.get(&question) {
            Some(answer) => Ok(answer),
            None => {
                self.questions.insert(question);
                Err(Stop::Asked)
            }
        }
    }
}

fn stop(problem: Problem) -> Stop {
    Stop::Problem(Box::new(problem))
}

/// Says which property a source's problem is with.
fn named(found: Stop, property: &str) -> Stop {
    match found {
        Stop::Problem(mut problem)
            if !problem.message.starts_with("Cannot resolve variable at ") =>
        {
            problem.message =
                format!("Cannot resolve variable at \"{property}\": {}", problem.message);
            Stop::Problem(problem)
        }
        other => other,
    }
}

fn scalar_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null => Some("null".to_owned()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The node as if it were written at `at`: a value from elsewhere is told of where it is used.
fn moved(node: Node, at: Position) -> Node {
    let value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(|item| moved(item, at)).collect()),
        Value::Map(members) => Value::Map(
            members
                .into_iter()
                .map(|(key, member)| (Key { text: key.text, at }, moved(member, at)))
                .collect(),
        ),
        other => other,
    };
    Node { value, at, tag: node.tag }
}

pub(super) fn from_json(json: &Json, at: Position) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => Value::Number(number.clone()),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| from_json(item, at)).collect()),
        Json::Object(map) => Value::Map(
            map.iter()
                .map(|(key, value)| (Key { text: key.clone(), at }, from_json(value, at)))
                .collect(),
        ),
    };
    Node { value, at, tag: None }
}
