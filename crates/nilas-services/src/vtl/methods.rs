//! Methods and properties of values: those of Java's `String`, `List` and `Map` that templates use, `$input` and `$util`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::RegexBuilder;

use super::VtlError;
use super::eval::Evaluation;
use super::value::{Object, Value, put};

/// What `java.net.URLEncoder` leaves as it is.
const URL_ENCODED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');
const REGEX_BYTES_MAX: usize = 64 * 1024;
const ITEMS_MAX: usize = 100_000;
const TEXT_BYTES_MAX: usize = 10 * 1024 * 1024;

pub(super) fn property(evaluation: &Evaluation<'_>, value: &Value, name: &str) -> Value {
    match value {
        Value::Object(Object::Input) if name == "body" => evaluation.surroundings.body(),
        // A property of a list is that of its class: only `empty` and the like, which nobody uses.
        value => value.member(name).or_else(|| getter(value, name)).unwrap_or(Value::Null),
    }
}

/// `$x.empty` is `$x.isEmpty()`, `$x.class` nobody may see.
fn getter(value: &Value, name: &str) -> Option<Value> {
    match (value, name) {
        (Value::List(items), "empty") => Some(Value::Bool(items.borrow().is_empty())),
        (Value::Map(entries), "empty") => Some(Value::Bool(entries.borrow().is_empty())),
        (Value::Text(text), "empty") => Some(Value::Bool(text.is_empty())),
        _ => None,
    }
}

/// An unknown method of a value gives nothing, as an unknown property does.
pub(super) fn call(
    evaluation: &Evaluation<'_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, VtlError> {
    match (name, arguments) {
        ("equals", [other]) => return Ok(Value::Bool(value.equals(other))),
        ("toString", []) if !matches!(value, Value::Null | Value::Object(_)) => {
            return Ok(Value::text(&value.to_text()));
        }
        _ => {}
    }
    match value {
        Value::Object(Object::Input) => Ok(input(evaluation, name, arguments)),
        Value::Object(Object::Util) => util(name, arguments),
        Value::Text(text) => text_method(text, name, arguments),
        Value::List(items) => list_method(&mut items.borrow_mut(), name, arguments),
        Value::Map(_) => Ok(map_method(value, name, arguments)),
        Value::Entry(entry) => Ok(match name {
            "getKey" => Value::text(&entry.0),
            "getValue" => entry.1.clone(),
            _ => Value::Null,
        }),
        Value::Integer(_) | Value::Float(_) => Ok(number_method(value, name)),
        Value::Null | Value::Bool(_) => Ok(Value::Null),
    }
}

fn input(evaluation: &Evaluation<'_>, name: &str, arguments: &[Value]) -> Value {
    let surroundings = evaluation.surroundings;
    match (name, arguments) {
        ("path", [path]) => surroundings.at_path(&path.to_text()),
        ("json", [path]) => surroundings.json_at(&path.to_text()),
        ("params", []) => surroundings.all_parameters(),
        ("params", [name]) => surroundings.parameter(&name.to_text()),
        _ => Value::Null,
    }
}

fn util(name: &str, arguments: &[Value]) -> Result<Value, VtlError> {
    let [argument] = arguments else { return Ok(Value::Null) };
    let text = match argument {
        Value::Null => return Ok(Value::Null),
        value => value.to_text(),
    };
    Ok(match name {
        "escapeJavaScript" => Value::text(&escape_java_script(&text)),
        "parseJson" => match serde_json::from_str(&text) {
            Ok(json) => Value::of_json(&json),
            Err(_) => return Err(VtlError::Call("parseJson: the text is no JSON".to_owned())),
        },
        "urlEncode" => {
            Value::text(&utf8_percent_encode(&text, &URL_ENCODED).to_string().replace(' ', "+"))
        }
        "urlDecode" => {
            let spaced = text.replace('+', " ");
            Value::text(&percent_decode_str(&spaced).decode_utf8_lossy())
        }
        "base64Encode" => Value::text(&BASE64.encode(text)),
        "base64Decode" => match BASE64.decode(text.trim()) {
            Ok(bytes) => Value::text(&String::from_utf8_lossy(&bytes)),
            Err(_) => return Err(VtlError::Call("base64Decode: the text is no Base64".to_owned())),
        },
        _ => Value::Null,
    })
}

/// As Commons Lang does it, single quotes and slashes included.
fn escape_java_script(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (' '..='~').contains(&c) => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}

fn text_method(text: &str, name: &str, arguments: &[Value]) -> Result<Value, VtlError> {
    let texts: Vec<String> = arguments.iter().map(Value::to_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let position = |found: Option<usize>| {
        Value::Integer(found.map_or(-1, |at| text[..at].chars().count() as i64))
    };
    Ok(match (name, texts.as_slice()) {
        ("length", []) => Value::Integer(text.encode_utf16().count() as i64),
        ("isEmpty", []) => Value::Bool(text.is_empty()),
        ("trim", []) => Value::text(text.trim()),
        ("toLowerCase", []) => Value::text(&text.to_lowercase()),
        ("toUpperCase", []) => Value::text(&text.to_uppercase()),
        ("contains", [part]) => Value::Bool(text.contains(part)),
        ("startsWith", [part]) => Value::Bool(text.starts_with(part)),
        ("endsWith", [part]) => Value::Bool(text.ends_with(part)),
        ("equalsIgnoreCase", [other]) => Value::Bool(text.to_lowercase() == other.to_lowercase()),
        ("concat", [more]) => bounded(format!("{text}{more}"))?,
        ("indexOf", [part]) => position(text.find(part)),
        ("lastIndexOf", [part]) => position(text.rfind(part)),
        ("replace", [from, to]) => bounded(text.replace(from, to))?,
        ("compareTo", [other]) => Value::Integer(text.cmp(*other) as i64),
        ("charAt", [_]) => match arguments {
            [Value::Integer(at)] => slice(text, *at, Some(*at + 1)),
            _ => Value::Null,
        },
        ("substring", _) => match arguments {
            [Value::Integer(from)] => slice(text, *from, None),
            [Value::Integer(from), Value::Integer(to)] => slice(text, *from, Some(*to)),
            _ => Value::Null,
        },
        ("matches" | "replaceAll" | "replaceFirst" | "split", [pattern, ..]) => {
            with_pattern(text, name, pattern, texts.get(1).copied())?
        }
        _ => Value::Null,
    })
}

fn with_pattern(
    text: &str,
    name: &str,
    pattern: &str,
    replacement: Option<&str>,
) -> Result<Value, VtlError> {
    let whole = format!("^(?:{pattern})$");
    let pattern = if name == "matches" { &whole } else { pattern };
    let regex = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX * 16).build();
    let regex = regex.map_err(|_| VtlError::Call(format!("{name}: not a regular expression")))?;
    Ok(match (name, replacement) {
        ("matches", _) => Value::Bool(regex.is_match(text)),
        // `$1` is Java's and the crate's; `${name}` of the crate is `$name` to nobody.
        ("replaceAll", Some(with)) => bounded(regex.replace_all(text, with).into_owned())?,
        ("replaceFirst", Some(with)) => bounded(regex.replace(text, with).into_owned())?,
        ("split", None) => {
            let mut parts: Vec<&str> = regex.split(text).collect();
            // Java leaves out the empty texts at the end.
            while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
                parts.pop();
            }
            Value::list(parts.into_iter().take(ITEMS_MAX).map(Value::text).collect())
        }
        _ => Value::Null,
    })
}

fn bounded(text: String) -> Result<Value, VtlError> {
    if text.len() > TEXT_BYTES_MAX { Err(VtlError::Output) } else { Ok(Value::text(&text)) }
}

/// By characters; nothing if the text is not that long, where Java throws.
fn slice(text: &str, from: i64, to: Option<i64>) -> Value {
    let count = text.chars().count() as i64;
    let to = to.unwrap_or(count);
    if from < 0 || to > count || from > to {
        return Value::Null;
    }
    let chars = text.chars().skip(from as usize).take((to - from) as usize);
    Value::text(&chars.collect::<String>())
}

fn list_method(items: &mut Vec<Value>, name: &str, arguments: &[Value]) -> Result<Value, VtlError> {
    let index = |value: &Value| match value {
        Value::Integer(at) => usize::try_from(*at).ok(),
        _ => None,
    };
    Ok(match (name, arguments) {
        ("size", []) => Value::Integer(items.len() as i64),
        ("isEmpty", []) => Value::Bool(items.is_empty()),
        ("get", [at]) => index(at).and_then(|at| items.get(at)).cloned().unwrap_or(Value::Null),
        ("contains", [item]) => Value::Bool(items.iter().any(|known| known.equals(item))),
        ("indexOf", [item]) => {
            let found = items.iter().position(|known| known.equals(item));
            Value::Integer(found.map_or(-1, |at| at as i64))
        }
        ("add", [_] | [_, _]) if items.len() >= ITEMS_MAX => return Err(VtlError::Steps),
        ("add", [item]) => {
            items.push(item.clone());
            Value::Bool(true)
        }
        ("add", [at, item]) => {
            if let Some(at) = index(at).filter(|at| *at <= items.len()) {
                items.insert(at, item.clone());
            }
            Value::text("")
        }
        ("addAll", [Value::List(more)]) => {
            // A list added to itself is borrowed already.
            let more = more.try_borrow().map(|more| more.clone()).unwrap_or_else(|_| items.clone());
            if items.len() + more.len() > ITEMS_MAX {
                return Err(VtlError::Steps);
            }
            items.extend(more);
            Value::Bool(true)
        }
        ("set", [at, item]) => match index(at).and_then(|at| items.get_mut(at)) {
            Some(place) => std::mem::replace(place, item.clone()),
            None => Value::Null,
        },
        ("remove", [at]) => match index(at).filter(|at| *at < items.len()) {
            Some(at) => items.remove(at),
            None => Value::Null,
        },
        _ => Value::Null,
    })
}

fn map_method(map: &Value, name: &str, arguments: &[Value]) -> Value {
    let Value::Map(entries) = map else { return Value::Null };
    match (name, arguments) {
        ("size", []) => Value::Integer(entries.borrow().len() as i64),
        ("isEmpty", []) => Value::Bool(entries.borrow().is_empty()),
        ("get", [key]) => map.member(&key.to_text()).unwrap_or(Value::Null),
        ("getOrDefault", [key, other]) => {
            map.member(&key.to_text()).unwrap_or_else(|| other.clone())
        }
        ("containsKey", [key]) => Value::Bool(map.member(&key.to_text()).is_some()),
        ("containsValue", [wanted]) => {
            Value::Bool(entries.borrow().iter().any(|(_, value)| value.equals(wanted)))
        }
        ("keySet", []) => {
            Value::list(entries.borrow().iter().map(|(key, _)| Value::text(key)).collect())
        }
        ("values", []) => {
            Value::list(entries.borrow().iter().map(|(_, value)| value.clone()).collect())
        }
        ("entrySet", []) => Value::list(
            entries.borrow().iter().cloned().map(|entry| Value::Entry(entry.into())).collect(),
        ),
        ("put", [_, _]) if entries.borrow().len() >= ITEMS_MAX => Value::Null,
        ("put", [key, value]) => {
            let old = put(&mut entries.borrow_mut(), &key.to_text(), value.clone());
            old.unwrap_or_else(|| Value::text(""))
        }
        ("putAll", [Value::Map(others)]) => {
            let others = others.borrow().clone();
            for (key, value) in others {
                put(&mut entries.borrow_mut(), &key, value);
            }
            Value::text("")
        }
        ("remove", [key]) => {
            let key = key.to_text();
            let mut entries = entries.borrow_mut();
            let at = entries.iter().position(|(known, _)| *known == key);
            at.map_or(Value::Null, |at| entries.remove(at).1)
        }
        _ => Value::Null,
    }
}

fn number_method(value: &Value, name: &str) -> Value {
    let number = value.as_number().unwrap_or_default();
    match name {
        "intValue" | "longValue" => Value::Integer(number as i64),
        "doubleValue" | "floatValue" => Value::Float(number),
        // `Integer.parseInt` through an instance, which templates do: see `tests.rs`.
        _ => Value::Null,
    }
}
