//! `.env` files, as the npm package `dotenv` with `dotenv-expand` reads them.

use std::collections::BTreeMap;

/// Names and values in the order of the text. `$NAME` and `${NAME}` in values stand for what is in `env` or above.
pub(super) fn parse(text: &str, env: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let entry = line.trim_start().strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| is_name(name.trim()))
        else {
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| "'\"`".contains(*c));
        // A quoted value may go on over lines.
        let quoted = quote.and_then(|quote| {
            let start =
                rest.len() - after.len() - usize::from(rest.len() > line.len()) - value.len();
            let inner = &rest[start + 1..];
            inner.find(quote).map(|end| (quote, &inner[..end], &inner[end + 1..]))
        });
        let value = match quoted {
            Some((quote, inner, behind)) => {
                rest = behind.split_once('\n').map_or("", |(_, next)| next);
                match quote {
                    '"' => expand(&inner.replace("\\n", "\n").replace("\\r", "\r"), env, &found),
                    '\'' => inner.to_owned(),
                    _ => expand(inner, env, &found),
                }
            }
            None => {
                rest = after;
                expand(value.split('#').next().unwrap_or_default().trim(), env, &found)
            }
        };
        found.push((name.trim().to_owned(), value));
    }
    found
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn expand(value: &str, env: &BTreeMap<String, String>, above: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let before = &rest[..at];
        if let Some(before) = before.strip_suffix('\\') {
            expanded.push_str(before);
            expanded.push('$');
            rest = &rest[at + 1..];
            continue;
        }
        expanded.push_str(before);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (word, next) = match braced {
            Some((word, next)) => (word, next),
            None => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                after.split_at(after.find(|c| !is_word(c)).unwrap_or(after.len()))
            }
        };
        let (name, default) = word.split_once(":-").unwrap_or((word, ""));
        let own = above.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
        if name.is_empty() {
            expanded.push('$');
        } else {
            expanded.push_str(env.get(name).or(own).map_or(default, String::as_str));
        }
        rest = next;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_commented_and_expanded() {
        let env = BTreeMap::from([("HOME".to_owned(), "/h".to_owned())]);
        let text = "# c\nA=1\nexport B = two # c\nC='a #b $A'\nD=\"x\\ny\"\nE=${A}-$HOME-${NO:-z}\nF=\"l1\nl2\"\nG=\nH=\\$A";
        let shown: Vec<String> = parse(text, &env)
            .into_iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        expect_test::expect![[
            r#"A="1" B="two" C="a #b $A" D="x\ny" E="1-/h-z" F="l1\nl2" G="" H="$A""#
        ]]
        .assert_eq(&shown.join(" "));
    }
}
