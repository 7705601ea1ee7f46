//! From text to tree: texts, references and directives. Expressions are in `parse_expression.rs`.

use super::VtlError;
use super::ast::{Expression, Node, Part, Reference};

/// Blocks, lists and calls inside one another.
const DEPTH_MAX: usize = 64;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) depth: usize,
}

/// What ended a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    OfText,
    OfBlock,
    Else,
    ElseIf,
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, VtlError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let (nodes, end) = parser.block()?;
    if end != Ending::OfText {
        return Err(parser.error("a directive that ends a block has none to end"));
    }
    Ok(nodes)
}

impl<'a> Parser<'a> {
    pub(super) fn error(&self, message: &str) -> VtlError {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        VtlError::Syntax { message: message.to_owned(), line, column }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn eat(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    pub(super) fn expect(&mut self, expected: &str) -> Result<(), VtlError> {
        if self.eat(expected) { Ok(()) } else { Err(self.error(&format!("expected `{expected}`"))) }
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn identifier(&mut self) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += end;
        Some(rest[..end].to_owned())
    }

    pub(super) fn enter(&mut self) -> Result<(), VtlError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(VtlError::Depth) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn block(&mut self) -> Result<(Vec<Node>, Ending), VtlError> {
        self.enter()?;
        let mut nodes = Vec::new();
        let end = loop {
            let Some(c) = self.peek() else { break Ending::OfText };
            match c {
                '$' => {
                    let node = self.reference_or_text()?;
                    push(&mut nodes, node);
                }
                '#' => {
                    if let Some(end) = self.hash(&mut nodes)? {
                        break end;
                    }
                }
                '\\' if self.escape(&mut nodes) => {}
                _ => {
                    let rest = self.rest();
                    let length = rest[c.len_utf8()..]
                        .find(['$', '#', '\\'])
                        .map_or(rest.len(), |at| at + c.len_utf8());
                    self.at += length;
                    push(&mut nodes, Node::Text(rest[..length].to_owned()));
                }
            }
        };
        self.leave();
        Ok((nodes, end))
    }

    /// `\$` and `\#` before what would be a reference or a directive.
    fn escape(&mut self, nodes: &mut Vec<Node>) -> bool {
        let rest = &self.rest()[1..];
        let Some(c) = rest.chars().next().filter(|c| *c == '$' || *c == '#') else {
            return false;
        };
        self.at += 2;
        push(nodes, Node::Text(c.to_string()));
        true
    }

    /// A comment, a directive or a plain `#`; answers what ended the block, if that did.
    fn hash(&mut self, nodes: &mut Vec<Node>) -> Result<Option<Ending>, VtlError> {
        if self.eat("##") {
            let rest = self.rest();
            self.at += rest.find('\n').map_or(rest.len(), |at| at + 1);
            return Ok(None);
        }
        if self.eat("#*") {
            let rest = self.rest();
            self.at += rest.find("*#").map_or(rest.len(), |at| at + 2);
            return Ok(None);
        }
        if self.eat("#[[") {
            let rest = self.rest();
            let end = rest.find("]]#").ok_or_else(|| self.error("`#[[` without `]]#`"))?;
            self.at += end + 3;
            push(nodes, Node::Text(rest[..end].to_owned()));
            return Ok(None);
        }
        let start = self.at;
        self.at += 1;
        let braced = self.eat("{");
        let Some(name) = self.identifier() else {
            self.at = start + 1;
            push(nodes, Node::Text("#".to_owned()));
            return Ok(None);
        };
        if braced {
            self.expect("}")?;
        }
        let end = match name.as_str() {
            "end" => Some(Ending::OfBlock),
            "else" => Some(Ending::Else),
            "elseif" => Some(Ending::ElseIf),
            _ => None,
        };
        if end.is_some() {
            if end != Some(Ending::ElseIf) {
                self.skip_line_end();
            }
            return Ok(end);
        }
        match self.directive(&name, start)? {
            Some(node) => nodes.push(node),
            None => {
                self.at = start + 1;
                push(nodes, Node::Text("#".to_owned()));
            }
        }
        Ok(None)
    }

    /// None for what only looks like a directive.
    fn directive(&mut self, name: &str, start: usize) -> Result<Option<Node>, VtlError> {
        let node = match name {
            "set" => self.set()?,
            "if" => return self.conditional().map(Some),
            "foreach" => return self.foreach().map(Some),
            "define" => {
                self.open()?;
                let variable = self.variable()?;
                self.close()?;
                self.skip_line_end();
                Node::Define { variable, body: self.body()? }
            }
            "macro" => self.macro_definition()?,
            "break" => Node::Break,
            "stop" => Node::Stop,
            _ => return self.call(name, start),
        };
        if matches!(node, Node::Set { .. } | Node::Break | Node::Stop) {
            self.skip_line_end();
        }
        Ok(Some(node))
    }

    fn open(&mut self) -> Result<(), VtlError> {
        self.skip_space();
        self.expect("(")?;
        self.skip_space();
        Ok(())
    }

    fn close(&mut self) -> Result<(), VtlError> {
        self.skip_space();
        self.expect(")")
    }

    fn set(&mut self) -> Result<Node, VtlError> {
        self.open()?;
        let target =
            self.reference()?.ok_or_else(|| self.error("`#set` needs a reference to set"))?;
        self.skip_space();
        self.expect("=")?;
        let value = self.expression()?;
        self.close()?;
        Ok(Node::Set { target, value })
    }

    fn conditional(&mut self) -> Result<Node, VtlError> {
        let mut branches = Vec::new();
        loop {
            self.open()?;
            let condition = self.expression()?;
            self.close()?;
            self.skip_line_end();
            let (body, end) = self.block()?;
            branches.push((condition, body));
            match end {
                Ending::ElseIf => {}
                Ending::OfBlock => return Ok(Node::If { branches, otherwise: Vec::new() }),
                Ending::Else => {
                    return Ok(Node::If { branches, otherwise: self.body()? });
                }
                Ending::OfText => return Err(self.error("`#if` without `#end`")),
            }
        }
    }

    fn foreach(&mut self) -> Result<Node, VtlError> {
        self.open()?;
        let variable = self.variable()?;
        self.skip_space();
        self.expect("in")?;
        let items = self.expression()?;
        self.close()?;
        self.skip_line_end();
        Ok(Node::Foreach { variable, items, body: self.body()? })
    }

    fn macro_definition(&mut self) -> Result<Node, VtlError> {
        self.open()?;
        let name = self.identifier().ok_or_else(|| self.error("`#macro` needs a name"))?;
        let mut parameters = Vec::new();
        loop {
            self.skip_space();
            self.eat(",");
            self.skip_space();
            if self.eat(")") {
                break;
            }
            parameters.push(self.variable()?);
        }
        self.skip_line_end();
        Ok(Node::Macro { name, parameters, body: self.body()? })
    }

    fn call(&mut self, name: &str, start: usize) -> Result<Option<Node>, VtlError> {
        let before = self.at;
        if !self.eat("(") {
            return Ok(None);
        }
        let Ok(arguments) = self.arguments_until(")") else {
            self.at = before;
            return Ok(None);
        };
        let source = self.text[start..self.at].to_owned();
        Ok(Some(Node::Call { name: name.to_owned(), arguments, source }))
    }

    fn body(&mut self) -> Result<Vec<Node>, VtlError> {
        match self.block()? {
            (body, Ending::OfBlock) => Ok(body),
            _ => Err(self.error("a block without `#end`")),
        }
    }

    /// `$name`
    fn variable(&mut self) -> Result<String, VtlError> {
        self.skip_space();
        self.expect("$")?;
        let braced = self.eat("{");
        let name = self.identifier().ok_or_else(|| self.error("expected a variable"))?;
        if braced {
            self.expect("}")?;
        }
        Ok(name)
    }

    /// Velocity swallows the end of a line that holds nothing after a directive.
    fn skip_line_end(&mut self) {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let after = &rest[blank..];
        if after.starts_with('\n') {
            self.at += blank + 1;
        } else if after.starts_with("\r\n") {
            self.at += blank + 2;
        }
    }

    fn reference_or_text(&mut self) -> Result<Node, VtlError> {
        if let Some(reference) = self.reference()? {
            return Ok(Node::Reference(reference));
        }
        self.at += 1;
        Ok(Node::Text("$".to_owned()))
    }

    /// None, and nothing read, for a `$` that begins no reference.
    pub(super) fn reference(&mut self) -> Result<Option<Reference>, VtlError> {
        let start = self.at;
        if !self.eat("$") {
            return Ok(None);
        }
        let quiet = self.eat("!");
        let braced = self.eat("{");
        let Some(name) = self.identifier() else {
            self.at = start;
            return Ok(None);
        };
        let parts = self.parts()?;
        if braced {
            self.expect("}")?;
        }
        let source = self.text[start..self.at].to_owned();
        Ok(Some(Reference { name, parts, quiet, source }))
    }

    fn parts(&mut self) -> Result<Vec<Part>, VtlError> {
        self.enter()?;
        let mut parts = Vec::new();
        loop {
            let before = self.at;
            if self.eat("[") {
                let index = self.expression()?;
                self.skip_space();
                self.expect("]")?;
                parts.push(Part::Index(index));
                continue;
            }
            if !self.eat(".") {
                break;
            }
            let Some(name) = self.identifier() else {
                // A full stop behind a reference.
                self.at = before;
                break;
            };
            if self.eat("(") {
                parts.push(Part::Method(name, self.arguments_until(")")?));
            } else {
                parts.push(Part::Property(name));
            }
        }
        self.leave();
        Ok(parts)
    }

    pub(super) fn arguments_until(&mut self, end: &str) -> Result<Vec<Expression>, VtlError> {
        let mut arguments = Vec::new();
        loop {
            self.skip_space();
            if self.eat(end) {
                return Ok(arguments);
            }
            arguments.push(self.expression()?);
            self.skip_space();
            if !self.eat(",") && !self.rest().starts_with(end) {
                return Err(self.error(&format!("expected `,` or `{end}`")));
            }
        }
    }
}

/// Texts beside one another become one.
fn push(nodes: &mut Vec<Node>, node: Node) {
    match (nodes.last_mut(), node) {
        (Some(Node::Text(text)), Node::Text(more)) => text.push_str(&more),
        (_, node) => nodes.push(node),
    }
}
