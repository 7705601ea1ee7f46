//! Physical names as CloudFormation makes them: `STACK-LOGICALID-RANDOM`.

use uuid::Uuid;

/// Characters of a logical id in a name that would be too long otherwise.
const LOGICAL_ID_CHARS_MAX: usize = 24;
const TOKEN_CHARS: usize = 12;

/// `STACK-LOGICALID-TOKEN`. If it is longer than `chars_max`, the logical id is cut to 24 characters, then the stack's
/// name to what is left.
pub(crate) fn physical(stack: &str, logical_id: &str, token: &str, chars_max: usize) -> String {
    let whole = format!("{stack}-{logical_id}-{token}");
    if whole.len() <= chars_max {
        return whole;
    }
    let token = &token[..token.len().min(chars_max)];
    let left = chars_max.saturating_sub(token.len() + 2);
    let logical_id = &logical_id[..logical_id.len().min(LOGICAL_ID_CHARS_MAX).min(left)];
    let stack = &stack[..stack.len().min(left - logical_id.len())];
    let parts = [stack.trim_end_matches('-'), logical_id, token];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// Twelve random characters of `[A-Z0-9]`.
pub(crate) fn token() -> String {
    const DIGITS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut random = Uuid::new_v4().as_u128();
    let mut token = String::with_capacity(TOKEN_CHARS);
    for _ in 0..TOKEN_CHARS {
        token.push(char::from(DIGITS[(random % 36) as usize]));
        random /= 36;
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_in_their_first_two_parts() {
        let token = "ABCDEFGHIJKL";
        assert_eq!(physical("s", "F", token, 64), "s-F-ABCDEFGHIJKL");
        let long = physical(&"s".repeat(60), &"F".repeat(60), token, 64);
        assert_eq!(long.len(), 64);
        assert_eq!(long, format!("{}-{}-{token}", "s".repeat(26), "F".repeat(24)));
        assert_eq!(physical("stack", "F", token, 12), token);
        assert_eq!(physical("stack", "F", token, 15), "F-ABCDEFGHIJKL");
    }

    #[test]
    fn tokens_are_of_capital_letters_and_digits() {
        let token = token();
        assert_eq!(token.len(), 12);
        assert!(token.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
    }
}
