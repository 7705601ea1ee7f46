//! Runs a template.

use std::collections::HashMap;
use std::rc::Rc;

use super::VtlError;
use super::ast::{Expression, Node, Operator, Part, Reference};
use super::mapping::Surroundings;
use super::methods;
use super::value::{self, Object, Value};

const STEPS_MAX: usize = 1_000_000;
/// API Gateway's limit.
const ROUNDS_MAX: usize = 1_000;
const OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;
const DEPTH_MAX: usize = 64;
const LIST_ITEMS_MAX: usize = 100_000;

pub(super) struct Evaluation<'a> {
    pub(super) surroundings: &'a Surroundings<'a>,
    variables: HashMap<String, Value>,
    blocks: HashMap<String, Rc<[Node]>>,
    macros: HashMap<String, Rc<Macro>>,
    steps: usize,
    depth: usize,
}

struct Macro {
    parameters: Vec<String>,
    body: Vec<Node>,
}

/// What comes after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Stop,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>, variables: Vec<(&str, Value)>) -> Self {
        Self {
            surroundings,
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            blocks: HashMap::new(),
            macros: HashMap::new(),
            steps: 0,
            depth: 0,
        }
    }

    pub(super) fn run(&mut self, nodes: &[Node]) -> Result<String, VtlError> {
        let mut out = String::new();
        self.nodes(nodes, &mut out)?;
        Ok(out)
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    fn step(&mut self) -> Result<(), VtlError> {
        self.steps += 1;
        if self.steps > STEPS_MAX { Err(VtlError::Steps) } else { Ok(()) }
    }

    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<Flow, VtlError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(VtlError::Depth);
        }
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, out)?;
            if flow != Flow::On {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Result<Flow, VtlError> {
        self.step()?;
        match node {
            Node::Text(text) => write(out, text)?,
            Node::Reference(reference) => self.write_reference(reference, out)?,
            Node::Set { target, value } => {
                let value = self.value(value)?;
                self.assign(target, value)?;
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.value(condition)?.is_true() {
                        return self.nodes(body, out);
                    }
                }
                return self.nodes(otherwise, out);
            }
            Node::Foreach { variable, items, body } => {
                return self.foreach(variable, items, body, out);
            }
            Node::Define { variable, body } => {
                self.blocks.insert(variable.clone(), body.clone().into());
            }
            Node::Macro { name, parameters, body } => {
                let found = Macro { parameters: parameters.clone(), body: body.clone() };
                self.macros.insert(name.clone(), Rc::new(found));
            }
            Node::Call { name, arguments, source } => {
                return self.call(name, arguments, source, out);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Stop => return Ok(Flow::Stop),
        }
        Ok(Flow::On)
    }

    fn foreach(
        &mut self,
        variable: &str,
        items: &Expression,
        body: &[Node],
        out: &mut String,
    ) -> Result<Flow, VtlError> {
        let items = match self.value(items)? {
            Value::List(items) => items.borrow().clone(),
            Value::Map(entries) => {
                entries.borrow().iter().map(|(_, value)| value.clone()).collect()
            }
            _ => return Ok(Flow::On),
        };
        if items.len() > ROUNDS_MAX {
            return Err(VtlError::Rounds(ROUNDS_MAX));
        }
        let names = [variable, "foreach", "velocityCount"];
        let before = names.map(|name| self.variables.get(name).cloned());
        let count = items.len();
        let mut flow = Flow::On;
        for (at, item) in items.into_iter().enumerate() {
            self.variables.insert(variable.to_owned(), item);
            self.variables.insert("foreach".to_owned(), round(at, count));
            self.variables.insert("velocityCount".to_owned(), Value::Integer(at as i64 + 1));
            flow = self.nodes(body, out)?;
            if flow != Flow::On {
                break;
            }
        }
        for (name, value) in names.iter().zip(before) {
            match value {
                Some(value) => self.variables.insert((*name).to_owned(), value),
                None => self.variables.remove(*name),
            };
        }
        Ok(if flow == Flow::Stop { Flow::Stop } else { Flow::On })
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[Expression],
        source: &str,
        out: &mut String,
    ) -> Result<Flow, VtlError> {
        let Some(found) = self.macros.get(name).cloned() else {
            write(out, source)?;
            return Ok(Flow::On);
        };
        let mut before = Vec::new();
        for (at, parameter) in found.parameters.iter().enumerate() {
            let value = match arguments.get(at) {
                Some(argument) => self.value(argument)?,
                None => Value::Null,
            };
            before.push((parameter, self.variables.insert(parameter.clone(), value)));
        }
        let flow = self.nodes(&found.body, out)?;
        for (parameter, value) in before {
            match value {
                Some(value) => self.variables.insert(parameter.clone(), value),
                None => self.variables.remove(parameter),
            };
        }
        Ok(if flow == Flow::Stop { Flow::Stop } else { Flow::On })
    }

    fn write_reference(&mut self, reference: &Reference, out: &mut String) -> Result<(), VtlError> {
        if reference.parts.is_empty()
            && let Some(block) = self.blocks.get(&reference.name).cloned()
        {
            self.nodes(&block, out)?;
            return Ok(());
        }
        match self.reference(reference)? {
            Value::Null if reference.quiet => Ok(()),
            Value::Null => write(out, &reference.source),
            value => write(out, &value.to_text()),
        }
    }

    fn reference(&mut self, reference: &Reference) -> Result<Value, VtlError> {
        self.step()?;
        let mut value = match self.variables.get(&reference.name) {
            Some(value) => value.clone(),
            None => return Ok(Value::Null),
        };
        // What is missing in these is empty, and not rendered as it is written.
        let is_given = matches!(reference.name.as_str(), "context" | "stageVariables");
        for part in &reference.parts {
            value = self.part(value, part)?;
        }
        if is_given && matches!(value, Value::Null) {
            return Ok(Value::text(""));
        }
        Ok(value)
    }

    fn part(&mut self, value: Value, part: &Part) -> Result<Value, VtlError> {
        match part {
            Part::Property(name) => Ok(methods::property(self, &value, name)),
            Part::Method(name, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.value(argument)?);
                }
                self.step()?;
                methods::call(self, &value, name, &values)
            }
            Part::Index(index) => {
                let index = self.value(index)?;
                Ok(at_index(&value, &index))
            }
        }
    }

    fn assign(&mut self, target: &Reference, value: Value) -> Result<(), VtlError> {
        let Some((last, before)) = target.parts.split_last() else {
            // Velocity leaves a variable as it is when there is no value for it.
            if !matches!(value, Value::Null) {
                self.variables.insert(target.name.clone(), value);
            }
            return Ok(());
        };
        let Some(mut owner) = self.variables.get(&target.name).cloned() else { return Ok(()) };
        for part in before {
            let next = self.part(owner.clone(), part)?;
            owner = match (next, part) {
                // `$context.responseOverride.header.x`: the maps on the way are made.
                (Value::Null, Part::Property(name)) if target.name == "context" => {
                    let made = Value::map(Vec::new());
                    set_member(&owner, name, made.clone());
                    made
                }
                (next, _) => next,
            };
        }
        match last {
            Part::Property(name) => set_member(&owner, name, value),
            Part::Index(index) => {
                let index = self.value(index)?;
                set_index(&owner, &index, value);
            }
            Part::Method(..) => {}
        }
        Ok(())
    }

    pub(super) fn value(&mut self, expression: &Expression) -> Result<Value, VtlError> {
        self.step()?;
        Ok(match expression {
            Expression::Null => Value::Null,
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Integer(value) => Value::Integer(*value),
            Expression::Float(value) => Value::Float(*value),
            Expression::Text(text) => Value::text(text),
            Expression::Template(nodes) => {
                let mut out = String::new();
                self.nodes(nodes, &mut out)?;
                Value::text(&out)
            }
            Expression::List(items) => {
                Value::list(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?)
            }
            Expression::Map(entries) => {
                let mut made = Vec::new();
                for (key, value) in entries {
                    let key = self.value(key)?.to_text();
                    let value = self.value(value)?;
                    value::put(&mut made, &key, value);
                }
                Value::map(made)
            }
            Expression::Range(first, last) => range(&self.value(first)?, &self.value(last)?)?,
            Expression::Reference(reference) => self.reference(reference)?,
            Expression::Not(inner) => Value::Bool(!self.value(inner)?.is_true()),
            Expression::Minus(inner) => match self.value(inner)? {
                Value::Integer(value) => Value::Integer(value.wrapping_neg()),
                Value::Float(value) => Value::Float(-value),
                _ => Value::Null,
            },
            Expression::Binary(operator, left, right) => self.binary(*operator, left, right)?,
        })
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Expression,
        right: &Expression,
    ) -> Result<Value, VtlError> {
        let left = self.value(left)?;
        match operator {
            Operator::Or if left.is_true() => return Ok(Value::Bool(true)),
            Operator::And if !left.is_true() => return Ok(Value::Bool(false)),
            _ => {}
        }
        let right = self.value(right)?;
        Ok(match operator {
            Operator::Or | Operator::And => Value::Bool(right.is_true()),
            Operator::Equal => Value::Bool(left.equals(&right)),
            Operator::NotEqual => Value::Bool(!left.equals(&right)),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => compare(operator, &left, &right),
            _ => calculate(operator, &left, &right),
        })
    }
}

fn write(out: &mut String, text: &str) -> Result<(), VtlError> {
    if out.len() + text.len() > OUTPUT_BYTES_MAX {
        return Err(VtlError::Output);
    }
    out.push_str(text);
    Ok(())
}

/// `$foreach` in round `at` of `count`.
fn round(at: usize, count: usize) -> Value {
    let integer = |value: usize| Value::Integer(value as i64);
    let members = [
        ("count", integer(at + 1)),
        ("index", integer(at)),
        ("hasNext", Value::Bool(at + 1 < count)),
        ("first", Value::Bool(at == 0)),
        ("last", Value::Bool(at + 1 == count)),
    ];
    Value::map(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn at_index(value: &Value, index: &Value) -> Value {
    match (value, index) {
        (Value::List(items), Value::Integer(at)) => {
            let items = items.borrow();
            let at = if *at < 0 { *at + items.len() as i64 } else { *at };
            usize::try_from(at).ok().and_then(|at| items.get(at)).cloned().unwrap_or(Value::Null)
        }
        (value, index) => value.member(&index.to_text()).unwrap_or(Value::Null),
    }
}

fn set_member(owner: &Value, name: &str, value: Value) {
    if let Value::Map(entries) = owner {
        value::put(&mut entries.borrow_mut(), name, value);
    }
}

fn set_index(owner: &Value, index: &Value, value: Value) {
    match (owner, index) {
        (Value::List(items), Value::Integer(at)) => {
            let mut items = items.borrow_mut();
            if let Some(item) = usize::try_from(*at).ok().and_then(|at| items.get_mut(at)) {
                *item = value;
            }
        }
        (owner, index) => set_member(owner, &index.to_text(), value),
    }
}

fn range(first: &Value, last: &Value) -> Result<Value, VtlError> {
    let (Value::Integer(first), Value::Integer(last)) = (first, last) else {
        return Ok(Value::Null);
    };
    if first.abs_diff(*last) >= LIST_ITEMS_MAX as u64 {
        return Err(VtlError::Steps);
    }
    let items: Vec<Value> = if first <= last {
        (*first..=*last).map(Value::Integer).collect()
    } else {
        (*last..=*first).rev().map(Value::Integer).collect()
    };
    Ok(Value::list(items))
}

fn compare(operator: Operator, left: &Value, right: &Value) -> Value {
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.partial_cmp(right),
        _ => match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => None,
        },
    };
    let Some(order) = order else { return Value::Bool(false) };
    Value::Bool(match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn calculate(operator: Operator, left: &Value, right: &Value) -> Value {
    if let (Value::Integer(left), Value::Integer(right)) = (left, right) {
        let result = match operator {
            Operator::Add => left.checked_add(*right),
            Operator::Subtract => left.checked_sub(*right),
            Operator::Multiply => left.checked_mul(*right),
            Operator::Divide => left.checked_div(*right),
            _ => left.checked_rem(*right),
        };
        return result.map_or(Value::Null, Value::Integer);
    }
    if let (Some(left), Some(right)) = (left.as_number(), right.as_number()) {
        let result = match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            _ => left % right,
        };
        return if result.is_finite() { Value::Float(result) } else { Value::Null };
    }
    let joins = operator == Operator::Add
        && (matches!(left, Value::Text(_)) || matches!(right, Value::Text(_)));
    if !joins || matches!(left, Value::Object(Object::Input | Object::Util)) {
        return Value::Null;
    }
    let text = left.to_text() + &right.to_text();
    if text.len() > OUTPUT_BYTES_MAX { Value::Null } else { Value::text(&text) }
}
