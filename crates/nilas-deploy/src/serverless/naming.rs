//! The Framework's names: logical ids of resources and outputs, and the parts they are made of.
//!
//! They are kept to the letter: a stack that the Framework has deployed is updated, not replaced.

/// With the first letter in upper case.
pub(super) fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// A function's, layer's or authorizer's name as a part of logical ids.
pub(super) fn resource(name: &str) -> String {
    upper_first(&name.replace('-', "Dash").replace('_', "Underscore"))
}

/// Letters and digits only.
pub(super) fn alphanumeric(name: &str) -> String {
    upper_first(&name.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
}

pub(super) fn lambda(function: &str) -> String {
    resource(function) + "LambdaFunction"
}

/// One part of a path: `{userId}` is `UseridVar`.
pub(super) fn path_part(part: &str) -> String {
    let lower = part.to_lowercase().replace('-', "Dash");
    let with_variables = match (lower.find('{'), lower.rfind('}')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}Var{}", &lower[..open], &lower[open + 1..close], &lower[close + 1..])
        }
        _ => lower,
    };
    alphanumeric(&with_variables)
}

pub(super) fn path(path: &str) -> String {
    path.split('/').map(path_part).collect()
}

/// `GET` is `Get`.
pub(super) fn method(method: &str) -> String {
    upper_first(&method.to_lowercase())
}

/// The words of a name, as lodash finds them: `application/json` has two, `fooBarV2` four.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let run =
            |from: usize, is: fn(&char) -> bool| chars[from..].iter().take_while(|c| is(c)).count();
        let upper = run(at, char::is_ascii_uppercase);
        let lower = run(at + upper, char::is_ascii_lowercase);
        let digits = run(at, char::is_ascii_digit);
        let length = match (upper, lower) {
            (2.., 1..) => upper - 1,
            (0 | 1, 1..) => upper + lower,
            (1.., 0) => upper,
            _ => digits,
        };
        if length == 0 {
            at += 1;
            continue;
        }
        words.push(chars[at..at + length].iter().collect());
        at += length;
    }
    words
}

pub(super) fn start_case(text: &str) -> String {
    words(text).iter().map(|word| upper_first(word)).collect()
}

pub(super) fn pascal_case(text: &str) -> String {
    words(text).iter().map(|word| upper_first(&word.to_lowercase())).collect()
}

/// A WebSocket route's key: `$connect` is `Sconnect`.
pub(super) fn websocket_route(route: &str) -> String {
    route
        .replace('$', "S")
        .replace('/', "Slash")
        .replace('-', "Dash")
        .replace('_', "Underscore")
        .replace('.', "Period")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_frameworks() {
        type Row = (&'static str, fn(&str) -> String, &'static str);
        let rows: [Row; 10] = [
            ("my-func_a", resource, "MyDashfuncUnderscorea"),
            ("users/{userId}/a-b", path, "UsersUseridVarADashb"),
            ("{proxy+}", path, "ProxyVar"),
            ("GET", method, "Get"),
            ("my.bucket-1", alphanumeric, "Mybucket1"),
            ("application/json", start_case, "ApplicationJson"),
            ("fooBarV2", start_case, "FooBarV2"),
            ("HTTPServer", pascal_case, "HttpServer"),
            ("$connect", websocket_route, "Sconnect"),
            ("", upper_first, ""),
        ];
        for (name, make, expected) in rows {
            assert_eq!(make(name), expected, "{name}");
        }
    }
}
