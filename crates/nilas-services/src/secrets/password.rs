//! GetRandomPassword.

use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault;
use crate::seal::random as random_bytes;

pub(super) const ALPHANUMERIC: &str =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const LENGTH_DEFAULT: usize = 32;
const LENGTH: std::ops::RangeInclusive<usize> = 1..=4_096;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Random {
    password_length: Option<usize>,
    exclude_characters: String,
    exclude_numbers: bool,
    exclude_punctuation: bool,
    exclude_uppercase: bool,
    exclude_lowercase: bool,
    include_space: bool,
    require_each_included_type: Option<bool>,
}

pub(super) fn random(input: &Random) -> Result<Value, Fault> {
    Ok(json!({ "RandomPassword": password(input)? }))
}

fn password(input: &Random) -> Result<String, Fault> {
    let length = input.password_length.unwrap_or(LENGTH_DEFAULT);
    if !LENGTH.contains(&length) {
        return Err(fault::invalid_parameter("PasswordLength must be between 1 and 4096."));
    }
    let kinds = [
        (UPPER, input.exclude_uppercase),
        (LOWER, input.exclude_lowercase),
        (DIGITS, input.exclude_numbers),
        (PUNCTUATION, input.exclude_punctuation),
        (" ", !input.include_space),
    ];
    let allowed = |c: &char| !input.exclude_characters.contains(*c);
    let included = kinds.iter().filter(|(_, is_excluded)| !is_excluded);
    let kinds: Vec<String> =
        included.map(|(kind, _)| kind.chars().filter(allowed).collect()).collect();
    let kinds: Vec<&String> = kinds.iter().filter(|kind| !kind.is_empty()).collect();
    let all: String = kinds.iter().map(|kind| kind.as_str()).collect();
    if all.is_empty() {
        let message = "There aren't any available characters for the password.";
        return Err(fault::invalid_parameter(message));
    }
    if !input.require_each_included_type.unwrap_or(true) {
        return Ok(characters(length, &all));
    }
    if length < kinds.len() {
        let message = "PasswordLength is too short for a character of each type.";
        return Err(fault::invalid_parameter(message));
    }
    let mut made: Vec<char> =
        kinds.iter().map(|kind| characters(1, kind)).collect::<String>().chars().collect();
    made.extend(characters(length - made.len(), &all).chars());
    shuffle(&mut made);
    Ok(made.into_iter().collect())
}

/// `count` of the characters of `of`, which has some, each as likely as any other.
pub(super) fn characters(count: usize, of: &str) -> String {
    let of: Vec<char> = of.chars().collect();
    (0..count).map(|_| of[below(of.len())]).collect()
}

fn shuffle(items: &mut [char]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1));
    }
}

/// A number below `end`, all equally likely.
fn below(end: usize) -> usize {
    let end = end as u64;
    // Numbers of the incomplete last stretch would favour the small ones.
    let usable = u64::MAX - u64::MAX % end;
    loop {
        let number = u64::from_le_bytes(random_bytes());
        if number < usable {
            return usize::try_from(number % end).expect("it is below a usize");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_have_what_was_asked_for() {
        for _ in 0..100 {
            let made = password(&Random { password_length: Some(4), ..Random::default() }).unwrap();
            for kind in [UPPER, LOWER, DIGITS, PUNCTUATION] {
                assert_eq!(made.chars().filter(|c| kind.contains(*c)).count(), 1, "{made}");
            }
        }
        let digits = Random {
            exclude_uppercase: true,
            exclude_lowercase: true,
            exclude_punctuation: true,
            exclude_characters: "0123456".to_owned(),
            ..Random::default()
        };
        let made = password(&digits).unwrap();
        assert!(made.len() == 32 && made.chars().all(|c| "789".contains(c)), "{made}");
    }

    #[test]
    fn impossible_passwords_are_refused() {
        assert!(password(&Random { password_length: Some(3), ..Random::default() }).is_err());
        assert!(password(&Random { password_length: Some(0), ..Random::default() }).is_err());
        let nothing = ALPHANUMERIC.to_owned() + PUNCTUATION;
        assert!(password(&Random { exclude_characters: nothing, ..Random::default() }).is_err());
    }
}
