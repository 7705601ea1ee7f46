//! `provider.variableSyntax`: before version 3 a service could say with an expression how its variables look.
//!
//! The expressions in use differ in what is around a variable: `\${{([ ~:a-zA-Z0-9._'",\-\/\(\)]+?)}}` reads
//! `${{self:custom.x}}`. The delimiters are taken from the expression, and texts rewritten to `${…}`, where what looked
//! like a variable before is none.

use crate::yaml::{Node, Value};

/// Rewrites the document's texts to the syntax of today, if it has one of its own.
pub(super) fn modernize(root: &mut Node) {
    let syntax = root.get("provider").and_then(|provider| provider.get("variableSyntax"));
    let Some(syntax) = syntax.and_then(Node::as_str) else { return };
    let Some((open, close)) = delimiters(syntax) else { return };
    if (open.as_str(), close.as_str()) != ("${", "}") {
        rewrite(root, &open, &close);
    }
}

/// What is before and behind the expression's first group.
fn delimiters(expression: &str) -> Option<(String, String)> {
    let mut open = String::new();
    let mut chars = expression.char_indices();
    let mut group = None;
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => open.push(chars.next()?.1),
            '(' => {
                group = Some(at);
                break;
            }
            other => open.push(other),
        }
    }
    group?;
    let close: String = expression[expression.rfind(')')? + 1..].replace('\\', "");
    (!open.is_empty() && !close.is_empty()).then_some((open, close))
}

fn rewrite(node: &mut Node, open: &str, close: &str) {
    match &mut node.value {
        Value::Text(text) if text.contains('$') || text.contains(open) => {
            *text = rewritten(text, open, close);
        }
        Value::List(items) => items.iter_mut().for_each(|item| rewrite(item, open, close)),
        Value::Map(members) => {
            members.iter_mut().for_each(|(_, member)| rewrite(member, open, close));
        }
        _ => {}
    }
}

fn rewritten(text: &str, open: &str, close: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((inner, after)) =
            rest.strip_prefix(open).and_then(|after| after.split_once(close))
        {
            out += "${";
            out += inner;
            out += "}";
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            out += "\\${";
            rest = after;
        } else {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            out += &rest[..next];
            rest = &rest[next..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_taken_from_the_expression() {
        let rows = [
            (r#"\${{([ ~:a-zA-Z0-9._@'",\-\/\(\)]+?)}}"#, Some(("${{", "}}"))),
            (r"\${((?!AWS)[ ~:a-zA-Z0-9._]+?)}", Some(("${", "}"))),
            ("nothing", None),
        ];
        for (expression, expected) in rows {
            let found = delimiters(expression);
            let found = found.as_ref().map(|(open, close)| (open.as_str(), close.as_str()));
            assert_eq!(found, expected, "{expression}");
        }
        assert_eq!(
            rewritten("${{self:a}}-${AWS::Region}", "${{", "}}"),
            "${self:a}-\\${AWS::Region}"
        );
    }
}
