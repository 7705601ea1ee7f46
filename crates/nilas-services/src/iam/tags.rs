//! Tags of roles and of managed policies.

use nilas_model::limits::IAM_TAGS_MAX;
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::page::Page;
use super::role::{change, required};
use super::{Answer, Cx, answer, fault};

const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

type Tags = Vec<(String, String)>;

/// `Tags`, checked.
pub(super) fn given(form: &Form) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    for tag in form.structures("Tags") {
        let (key, value) = (required(&tag, "Key")?, tag.get("Value").unwrap_or_default());
        if key.chars().count() > KEY_CHARS_MAX || value.chars().count() > VALUE_CHARS_MAX {
            let message = format!(
                "The tag {key} is too long: a key has up to 128 characters, a value up to 256."
            );
            return Err(Fault::plain("InvalidInput", 400, message));
        }
        if tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
            let message =
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(Fault::plain("InvalidInput", 400, message));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    check_count(&tags)?;
    Ok(tags)
}

pub(super) async fn tag_role(cx: Cx<'_>, form: &Form) -> Answer {
    let new = given(form)?;
    change(cx, form, |role| add(&mut role.tags, new)).await?;
    Ok(None)
}

pub(super) async fn untag_role(cx: Cx<'_>, form: &Form) -> Answer {
    let keys = form.strings("TagKeys");
    change(cx, form, |role| {
        role.tags.retain(|(key, _)| !keys.contains(&key.as_str()));
        Ok(())
    })
    .await?;
    Ok(None)
}

pub(super) async fn list_role(cx: Cx<'_>, form: &Form) -> Answer {
    list(form, cx.role(required(form, "RoleName")?).await?.tags)
}

pub(super) async fn tag_policy(cx: Cx<'_>, form: &Form) -> Answer {
    let new = given(form)?;
    let _writing = cx.shelf.writing().await;
    let mut policy = cx.own_policy(required(form, "PolicyArn")?).await?;
    add(&mut policy.tags, new)?;
    cx.put_policy(&policy).await?;
    Ok(None)
}

pub(super) async fn untag_policy(cx: Cx<'_>, form: &Form) -> Answer {
    let keys = form.strings("TagKeys");
    let _writing = cx.shelf.writing().await;
    let mut policy = cx.own_policy(required(form, "PolicyArn")?).await?;
    policy.tags.retain(|(key, _)| !keys.contains(&key.as_str()));
    cx.put_policy(&policy).await?;
    Ok(None)
}

pub(super) async fn list_policy(cx: Cx<'_>, form: &Form) -> Answer {
    list(form, cx.policy(required(form, "PolicyArn")?).await?.tags)
}

fn list(form: &Form, mut tags: Tags) -> Answer {
    tags.sort();
    let page = Page::of(form, tags, |(key, _)| key.clone())?;
    let mut xml = Xml::new();
    answer::tags(&mut xml, &page.items);
    page.write_end(&mut xml);
    Ok(Some(xml))
}

fn add(tags: &mut Tags, new: Tags) -> Result<(), Fault> {
    for (key, value) in new {
        tags.retain(|(known, _)| !known.eq_ignore_ascii_case(&key));
        tags.push((key, value));
    }
    check_count(tags)
}

fn check_count(tags: &Tags) -> Result<(), Fault> {
    if tags.len() > IAM_TAGS_MAX {
        let message = format!("The number of tags has reached the maximum limit: {IAM_TAGS_MAX}");
        return Err(fault::limit_exceeded(message));
    }
    Ok(())
}
