//! Pages of lists: `position` and `limit`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_wire::{Fault, percent};
use serde_json::{Map, Value};

use super::fault::bad;
use super::{Answer, Cx};

const ITEMS_DEFAULT: usize = 25;
const ITEMS_MAX: usize = 500;

/// The page of `items` that the request asks for. Positions are places in the list, opaque to callers.
pub(super) fn page(cx: &Cx<'_>, items: Vec<Value>) -> Result<Answer, Fault> {
    let query = |name| percent::query_value(&cx.request.query, name);
    let limit = match query("limit") {
        None => ITEMS_DEFAULT,
        Some(text) => {
            let limit: i64 = text.parse().map_err(|_| bad("Invalid limit specified"))?;
            usize::try_from(limit).unwrap_or(ITEMS_DEFAULT).clamp(1, ITEMS_MAX)
        }
    };
    let from = match query("position") {
        None => 0,
        Some(text) => position(&text).ok_or_else(|| bad("Invalid position parameter"))?,
    };
    let total = items.len();
    let shown: Vec<Value> = items.into_iter().skip(from).take(limit).collect();
    let next = from + shown.len();
    let mut body = Map::new();
    if next < total {
        body.insert("position".to_owned(), BASE64.encode(next.to_string()).into());
    }
    body.insert("item".to_owned(), shown.into());
    Ok(Answer::ok(body))
}

fn position(text: &str) -> Option<usize> {
    String::from_utf8(BASE64.decode(text).ok()?).ok()?.parse().ok()
}
