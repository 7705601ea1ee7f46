//! Lists in pages: `MaxItems` and `Marker` in, `IsTruncated` and `Marker` out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::fault;

const ITEMS_DEFAULT: usize = 100;
const ITEMS_MAX: usize = 1_000;

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    marker: Option<String>,
}

impl<T> Page<T> {
    /// Of `items`, which are in the order of `key`, what `form` asks for.
    pub(super) fn of(
        form: &Form,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<Self, Fault> {
        let limit = match form.get("MaxItems") {
            None => ITEMS_DEFAULT,
            Some(text) => match text.parse() {
                Ok(items @ 1..=ITEMS_MAX) => items,
                _ => {
                    let constraint = "have value less than or equal to 1000";
                    return Err(fault::constraint("MaxItems", text, constraint));
                }
            },
        };
        let after = form.get("Marker").map(decode).transpose()?;
        let mut items: Vec<T> = items
            .into_iter()
            .filter(|item| after.as_ref().is_none_or(|a| key(item) > *a))
            .collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let marker = items.last().filter(|_| more).map(|item| BASE64.encode(key(item)));
        Ok(Self { items, marker })
    }

    pub(super) fn write_end(&self, xml: &mut Xml) {
        xml.text("IsTruncated", if self.marker.is_some() { "true" } else { "false" });
        xml.optional("Marker", self.marker.as_deref());
    }
}

fn decode(marker: &str) -> Result<String, Fault> {
    let bytes = BASE64.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| fault::validation(format!("Invalid Marker: {marker}")))
}
