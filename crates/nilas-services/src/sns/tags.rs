//! Tags of topics.

use std::sync::Arc;

use nilas_model::limits::SNS_TAGS_MAX;
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::{Answer, Sns, Topic, fault};

const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// `Tags`, checked.
pub(super) fn given(form: &Form) -> Result<Vec<(String, String)>, Fault> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in form.structures("Tags") {
        let key = tag.get("Key").ok_or_else(|| fault::missing("Key"))?;
        let value = tag.get("Value").unwrap_or_default();
        if key.is_empty()
            || key.chars().count() > KEY_CHARS_MAX
            || value.chars().count() > VALUE_CHARS_MAX
        {
            return Err(fault::invalid(
                "Tags Reason: a key has 1 to 128 characters, a value up to 256",
            ));
        }
        if tags.iter().any(|(known, _)| known == key) {
            return Err(fault::invalid("Duplicated keys are not allowed."));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    check_count(&tags)?;
    Ok(tags)
}

impl Sns {
    pub(super) async fn tag(&self, form: &Form) -> Answer {
        let new = given(form)?;
        let _writing = self.shelf.writing().await;
        let mut topic = (*self.tagged(form)?).clone();
        for (key, value) in new {
            match topic.tags.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => topic.tags.push((key, value)),
            }
        }
        check_count(&topic.tags)?;
        self.put_topic(topic).await?;
        Ok(Some(Xml::new()))
    }

    pub(super) async fn untag(&self, form: &Form) -> Answer {
        let keys = form.strings("TagKeys");
        let _writing = self.shelf.writing().await;
        let mut topic = (*self.tagged(form)?).clone();
        topic.tags.retain(|(key, _)| !keys.contains(&key.as_str()));
        self.put_topic(topic).await?;
        Ok(Some(Xml::new()))
    }

    pub(super) fn list_tags(&self, form: &Form) -> Answer {
        let topic = self.tagged(form)?;
        let mut xml = Xml::new();
        xml.members("Tags", &topic.tags, |xml, (key, value)| {
            xml.text("Key", key);
            xml.text("Value", value);
        });
        Ok(Some(xml))
    }

    fn tagged(&self, form: &Form) -> Result<Arc<Topic>, Fault> {
        let arn = form.get("ResourceArn").ok_or_else(|| fault::missing("ResourceArn"))?;
        self.topic_of(arn).map_err(|fault| match fault.code.as_ref() {
            "NotFound" => Fault::plain("ResourceNotFound", 404, "Resource does not exist"),
            _ => fault,
        })
    }
}

fn check_count(tags: &[(String, String)]) -> Result<(), Fault> {
    if tags.len() > SNS_TAGS_MAX {
        let message = "Could not complete request: tag quota of per resource exceeded";
        return Err(Fault::plain("TagLimitExceeded", 400, message));
    }
    Ok(())
}
