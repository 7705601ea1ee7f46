//! AssumeRole and GetSessionToken: credentials that end.

use nilas_model::{AuthContext, Principal, SessionCredentials};
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;
use nilas_wire::{Fault, Service};

use super::{Sts, caller_arn, date};
use crate::calls::Refusal;

const SECONDS_MIN: u64 = 900;
const SECONDS_DEFAULT: u64 = 3_600;
const SECONDS_MAX: u64 = 43_200;
/// What AWS gives the root user, and a role that another role assumes.
const HOUR_SECONDS: u64 = 3_600;
const ROOT_SESSION_SECONDS_MAX: u64 = 129_600;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=64;
const ARN_CHARS: std::ops::RangeInclusive<usize> = 20..=2_048;
/// All session policies and tags together, characters.
const PACKED_CHARS_MAX: usize = 2_048;
const TAGS_MAX: usize = 50;

/// What IAM knows of a role.
struct Role {
    id: String,
    seconds_max: u64,
}

pub(super) async fn assume_role(sts: &Sts, auth: &AuthContext, form: &Form) -> Result<Xml, Fault> {
    let role_arn = text(form, "RoleArn", ARN_CHARS)?;
    let session = text(form, "RoleSessionName", NAME_CHARS)?;
    check_characters("roleSessionName", session)?;
    let seconds = seconds(form, SECONDS_MAX)?;
    let source_identity = source_identity(form)?;
    let packed_percent = packed_percent(form)?;
    let role = role(sts, auth, role_arn).await?;
    if auth.principal != Principal::Root && seconds > HOUR_SECONDS {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(Fault::plain("ValidationError", 400, message));
    }
    if seconds > role.seconds_max {
        let message =
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(Fault::plain("ValidationError", 400, message));
    }
    let assumed =
        Principal::AssumedRole { role_arn: role_arn.to_owned(), session: session.to_owned() };
    let issued = sts.credentials.issue(&auth.account, &assumed, seconds * 1_000);
    let arn = caller_arn(&AuthContext { principal: assumed, ..auth.clone() });
    let mut xml = Xml::new();
    write_credentials(&mut xml, &issued);
    xml.element("AssumedRoleUser", |xml| {
        xml.text("AssumedRoleId", &format!("{}:{session}", role.id));
        xml.text("Arn", &arn);
    });
    if let Some(percent) = packed_percent {
        xml.text("PackedPolicySize", &percent.to_string());
    }
    xml.optional("SourceIdentity", source_identity);
    Ok(xml)
}

pub(super) fn session_token(sts: &Sts, auth: &AuthContext, form: &Form) -> Result<Xml, Fault> {
    if auth.principal != Principal::Root || auth.access_key_id.starts_with("ASIA") {
        let message = "Cannot call GetSessionToken with session credentials";
        return Err(Fault::plain("AccessDenied", 403, message));
    }
    // As on AWS, root's session lasts an hour at most, whatever it asks for.
    let seconds = seconds(form, ROOT_SESSION_SECONDS_MAX)?.min(HOUR_SECONDS);
    let issued = sts.credentials.issue(&auth.account, &Principal::Root, seconds * 1_000);
    let mut xml = Xml::new();
    write_credentials(&mut xml, &issued);
    Ok(xml)
}

/// The role's unique id, if the role is still there.
pub(super) async fn role_id(sts: &Sts, auth: &AuthContext, role_arn: &str) -> Option<String> {
    Some(find(sts, auth, role_arn).await.ok()??.id)
}

async fn role(sts: &Sts, auth: &AuthContext, role_arn: &str) -> Result<Role, Fault> {
    let own = format!("arn:aws:iam::{}:role/", auth.account.as_str());
    if !role_arn.starts_with("arn:aws:iam::") || !role_arn.contains(":role/") {
        return Err(Fault::plain("ValidationError", 400, format!("{role_arn} is invalid")));
    }
    let found = match role_arn.starts_with(&own) {
        true => find(sts, auth, role_arn).await.map_err(|refusal| failed(&refusal))?,
        false => None,
    };
    found.ok_or_else(|| {
        let caller = caller_arn(auth);
        // AWS does not tell apart what is not there and what may not be assumed.
        let message = format!(
            "User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        );
        Fault::plain("AccessDenied", 403, message)
    })
}

async fn find(sts: &Sts, auth: &AuthContext, role_arn: &str) -> Result<Option<Role>, Refusal> {
    let name = role_arn.rsplit('/').next().unwrap_or(role_arn);
    // It is this service that asks, not the caller.
    let service = AuthContext { principal: Principal::Root, ..auth.clone() };
    let members = [("RoleName".to_owned(), name.to_owned())];
    let answer = match sts.calls.query(Service::Iam, &service, "GetRole", &members).await {
        Err(refusal) if refusal.code == "NoSuchEntity" || refusal.code == "ValidationError" => {
            return Ok(None);
        }
        answer => answer?,
    };
    let member = |name| answer.text_at(&["GetRoleResult", "Role", name]).unwrap_or_default();
    if member("Arn") != role_arn {
        return Ok(None);
    }
    let seconds_max = member("MaxSessionDuration").parse().unwrap_or(SECONDS_DEFAULT);
    Ok(Some(Role { id: member("RoleId").to_owned(), seconds_max }))
}

fn failed(refusal: &Refusal) -> Fault {
    tracing::error!(error = %refusal, "IAM did not tell of a role");
    Fault::service("InternalFailure", 500, "The service failed to answer; its log says why.")
}

fn write_credentials(xml: &mut Xml, issued: &SessionCredentials) {
    xml.element("Credentials", |xml| {
        xml.text("AccessKeyId", &issued.access_key_id);
        xml.text("SecretAccessKey", &issued.secret_access_key);
        xml.text("SessionToken", &issued.session_token);
        xml.text("Expiration", &date(issued.expires_epoch_ms));
    });
}

// === members ===

fn text<'a>(
    form: &'a Form,
    member: &str,
    chars: std::ops::RangeInclusive<usize>,
) -> Result<&'a str, Fault> {
    let name = member[..1].to_ascii_lowercase() + &member[1..];
    let Some(value) = form.get(member) else {
        let message = format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        );
        return Err(Fault::plain("ValidationError", 400, message));
    };
    let count = value.chars().count();
    if count < *chars.start() {
        let constraint = format!("have length greater than or equal to {}", chars.start());
        return Err(broken(&name, value, &constraint));
    }
    if count > *chars.end() {
        let constraint = format!("have length less than or equal to {}", chars.end());
        return Err(broken(&name, value, &constraint));
    }
    Ok(value)
}

fn check_characters(name: &str, value: &str) -> Result<(), Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    match value.chars().all(legal) {
        true => Ok(()),
        false => Err(broken(name, value, "satisfy regular expression pattern: [\\w+=,.@-]*")),
    }
}

fn broken(name: &str, value: &str, constraint: &str) -> Fault {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must {constraint}"
    );
    Fault::plain("ValidationError", 400, message)
}

fn seconds(form: &Form, max: u64) -> Result<u64, Fault> {
    let Some(text) = form.get("DurationSeconds") else { return Ok(SECONDS_DEFAULT) };
    match text.parse::<u64>() {
        Ok(seconds) if seconds > max => {
            let constraint = format!("have value less than or equal to {max}");
            Err(broken("durationSeconds", text, &constraint))
        }
        Ok(seconds) if seconds >= SECONDS_MIN => Ok(seconds),
        _ => Err(broken("durationSeconds", text, "have value greater than or equal to 900")),
    }
}

fn source_identity(form: &Form) -> Result<Option<&str>, Fault> {
    if form.get("SourceIdentity").is_none() {
        return Ok(None);
    }
    let identity = text(form, "SourceIdentity", NAME_CHARS)?;
    check_characters("sourceIdentity", identity)?;
    Ok(Some(identity))
}

/// How much of their limit session policies and tags take; None without any.
fn packed_percent(form: &Form) -> Result<Option<usize>, Fault> {
    let policy = form.get("Policy");
    if let Some(policy) = policy {
        let is_object = serde_json::from_str::<serde_json::Map<_, _>>(policy).is_ok();
        if !is_object {
            let message = "Syntax errors in policy.";
            return Err(Fault::plain("MalformedPolicyDocument", 400, message));
        }
    }
    let tags = form.structures("Tags");
    if tags.len() > TAGS_MAX {
        let message = format!(
            "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to {TAGS_MAX}"
        );
        return Err(Fault::plain("ValidationError", 400, message));
    }
    let tag_chars = |tag: &Form| {
        ["Key", "Value"].iter().filter_map(|name| tag.get(name)).map(str::len).sum::<usize>()
    };
    let chars = policy.map_or(0, str::len) + tags.iter().map(tag_chars).sum::<usize>();
    if chars > PACKED_CHARS_MAX {
        let message = "Packed size of session tags and session policies consumes more than 100% of allotted space.";
        return Err(Fault::plain("PackedPolicyTooLarge", 400, message));
    }
    Ok((chars > 0).then(|| (chars * 100).div_ceil(PACKED_CHARS_MAX)))
}
