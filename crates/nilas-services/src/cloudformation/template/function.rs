//! Intrinsic functions as they are written: an object with one member, named after the function.

use serde_json::Value;

use super::error::TemplateError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Base64,
    Cidr,
    Condition,
    Equals,
    FindInMap,
    GetAtt,
    GetAzs,
    If,
    ImportValue,
    Join,
    Length,
    Not,
    Or,
    Ref,
    Select,
    Split,
    Sub,
    ToJsonString,
    Transform,
}

const NAMES: [(&str, Function); 20] = [
    ("Fn::And", Function::And),
    ("Fn::Base64", Function::Base64),
    ("Fn::Cidr", Function::Cidr),
    ("Condition", Function::Condition),
    ("Fn::Equals", Function::Equals),
    ("Fn::FindInMap", Function::FindInMap),
    ("Fn::GetAtt", Function::GetAtt),
    ("Fn::GetAZs", Function::GetAzs),
    ("Fn::If", Function::If),
    ("Fn::ImportValue", Function::ImportValue),
    ("Fn::Join", Function::Join),
    ("Fn::Length", Function::Length),
    ("Fn::Not", Function::Not),
    ("Fn::Or", Function::Or),
    ("Ref", Function::Ref),
    ("Fn::Select", Function::Select),
    ("Fn::Split", Function::Split),
    ("Fn::Sub", Function::Sub),
    ("Fn::ToJsonString", Function::ToJsonString),
    ("Fn::Transform", Function::Transform),
];

/// The function that `value` calls, and its argument; None if it is a plain value. `Condition` counts only where
/// `in_condition` says that it can be one: elsewhere it is a member as any other, such as of a policy's statement.
pub(super) fn called(
    value: &Value,
    in_condition: bool,
) -> Result<Option<(Function, &Value)>, TemplateError> {
    let Value::Object(members) = value else { return Ok(None) };
    let Some((name, argument)) = members.iter().next() else { return Ok(None) };
    if members.len() != 1 {
        return Ok(None);
    }
    match NAMES.iter().find(|(known, _)| known == name) {
        Some((_, Function::Condition)) if !in_condition || !argument.is_string() => Ok(None),
        Some((_, function)) => Ok(Some((*function, argument))),
        None if name.starts_with("Fn::") => {
            let mut known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            known.retain(|name| *name != "Fn::Transform");
            Err(TemplateError::of(format!(
                "Encountered unsupported function: {name} Supported functions are: [{}]",
                known.join(", ")
            )))
        }
        None => Ok(None),
    }
}

/// The two parts of `Fn::GetAtt`: a list of two, or one text with a dot. Of a list the second part may be a function.
pub(super) fn get_att(argument: &Value) -> Result<(&str, Value), TemplateError> {
    let malformed = || {
        TemplateError::of(
            "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute",
        )
    };
    let (id, attribute) = match argument {
        Value::String(text) => {
            let (id, attribute) = text.split_once('.').ok_or_else(malformed)?;
            (id, Value::from(attribute))
        }
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(id), attribute @ (Value::String(_) | Value::Object(_))] => {
                (id.as_str(), attribute.clone())
            }
            // The attribute itself may have dots, and be written in parts.
            [Value::String(id), rest @ ..] if rest.len() > 1 => {
                let parts: Option<Vec<&str>> = rest.iter().map(Value::as_str).collect();
                (id.as_str(), parts.ok_or_else(malformed)?.join(".").into())
            }
            _ => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    if id.is_empty() || attribute.as_str() == Some("") {
        return Err(malformed());
    }
    Ok((id, attribute))
}

/// A piece of the text of `Fn::Sub`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    /// `${NAME}`, without spaces around.
    Variable(&'a str),
}

/// Takes the text of `Fn::Sub` apart. `${!x}` is the literal `${x}`.
pub(super) fn sub_pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let inside = &rest[start + 2..start + length];
        pieces.push(Piece::Literal(&rest[..start]));
        match inside.strip_prefix('!') {
            Some(_) => {
                pieces.push(Piece::Literal("${"));
                pieces.push(Piece::Literal(&rest[start + 3..=start + length]));
            }
            None => {
                let name = inside.trim();
                let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
                if name.is_empty() || !name.chars().all(legal) {
                    return Err(TemplateError::of(
                        "variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons",
                    ));
                }
                pieces.push(Piece::Variable(name));
            }
        }
        rest = &rest[start + length + 1..];
    }
    pieces.push(Piece::Literal(rest));
    Ok(pieces)
}

/// What `${NAME}` stands for, beside the template's names.
type Variables = serde_json::Map<String, Value>;

/// The text of `Fn::Sub` and its variables.
pub(super) fn sub_argument(argument: &Value) -> Result<(&str, Option<&Variables>), TemplateError> {
    match argument {
        Value::String(text) => return Ok((text, None)),
        Value::Array(parts) => {
            if let [Value::String(text), Value::Object(variables)] = parts.as_slice() {
                return Ok((text, Some(variables)));
            }
        }
        _ => {}
    }
    Err(TemplateError::of(
        "One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, \
         and an optional second argument to specify a mapping of values to replace in the string",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_knows_literals() {
        let pieces = sub_pieces("a${B}c${!D}e${ F.G }$h").unwrap();
        let text: Vec<String> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => (*text).to_owned(),
                Piece::Variable(name) => format!("<{name}>"),
            })
            .collect();
        assert_eq!(text.concat(), "a<B>c${D}e<F.G>$h");
        assert!(sub_pieces("${a b}").is_err());
        assert_eq!(sub_pieces("${open").unwrap(), [Piece::Literal("${open")]);
    }

    #[test]
    fn get_att_is_a_list_or_a_text() {
        for argument in ["\"A.Outputs.B\"", "[\"A\", \"Outputs.B\"]", "[\"A\", \"Outputs\", \"B\"]"]
        {
            let argument: Value = serde_json::from_str(argument).unwrap();
            assert_eq!(get_att(&argument).unwrap(), ("A", "Outputs.B".into()));
        }
        for argument in ["\"A\"", "[]", "[\"A\", 1]", "{}", "\".B\"", "[\"A\", \"\"]"] {
            let argument: Value = serde_json::from_str(argument).unwrap();
            assert!(get_att(&argument).is_err(), "{argument}");
        }
    }
}
