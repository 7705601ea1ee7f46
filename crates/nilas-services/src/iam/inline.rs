//! Policies that are a role's own.

use nilas_model::limits::IAM_INLINE_POLICIES_CHARS_MAX;
use nilas_wire::percent;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::page::Page;
use super::role::{change, name, required};
use super::{Answer, Cx, document, fault};

const NAME_CHARS_MAX: usize = 128;

pub(super) async fn put(cx: Cx<'_>, form: &Form) -> Answer {
    let policy_name = name(form, "PolicyName", NAME_CHARS_MAX)?;
    let text = required(form, "PolicyDocument")?;
    document::check_permissions(text)?;
    change(cx, form, |role| {
        role.inline_policies.insert(policy_name.to_owned(), text.to_owned());
        let chars = |text: &String| text.chars().filter(|c| !c.is_whitespace()).count();
        let all: usize = role.inline_policies.values().map(chars).sum();
        if all > IAM_INLINE_POLICIES_CHARS_MAX {
            return Err(fault::limit_exceeded(format!(
                "Maximum policy size of {IAM_INLINE_POLICIES_CHARS_MAX} bytes exceeded for role {}",
                role.name
            )));
        }
        Ok(())
    })
    .await?;
    Ok(None)
}

pub(super) async fn get(cx: Cx<'_>, form: &Form) -> Answer {
    let role = cx.role(required(form, "RoleName")?).await?;
    let policy_name = required(form, "PolicyName")?;
    let Some(text) = role.inline_policies.get(policy_name) else {
        return Err(no_such_policy(policy_name));
    };
    let mut xml = Xml::new();
    xml.text("RoleName", &role.name);
    xml.text("PolicyName", policy_name);
    xml.text("PolicyDocument", &percent::encode(text));
    Ok(Some(xml))
}

pub(super) async fn list(cx: Cx<'_>, form: &Form) -> Answer {
    let role = cx.role(required(form, "RoleName")?).await?;
    let names: Vec<String> = role.inline_policies.into_keys().collect();
    let page = Page::of(form, names, Clone::clone)?;
    let mut xml = Xml::new();
    xml.element("PolicyNames", |xml| {
        for name in &page.items {
            xml.text("member", name);
        }
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

pub(super) async fn delete(cx: Cx<'_>, form: &Form) -> Answer {
    let policy_name = required(form, "PolicyName")?;
    change(cx, form, |role| match role.inline_policies.remove(policy_name) {
        Some(_) => Ok(()),
        None => Err(no_such_policy(policy_name)),
    })
    .await?;
    Ok(None)
}

fn no_such_policy(name: &str) -> nilas_wire::Fault {
    fault::no_such_entity(format!("The role policy with name {name} cannot be found."))
}
