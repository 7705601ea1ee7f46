//! Identity and Access Management (query protocol): roles, their policies, and managed policies.
//!
//! An account's, whatever region is asked. Users, groups and instance profiles are not kept: nilas has one root key and
//! the sessions of roles.

mod answer;
mod attachment;
mod document;
mod fault;
mod inline;
mod managed;
mod page;
mod policy;
mod record;
mod role;
mod tags;
mod version;

use std::sync::Arc;

use nilas_model::{AuthContext, Clock};
use nilas_store::Records;
use nilas_wire::query::{self, Form};
use nilas_wire::xml::Xml;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service, encode_fault};

use crate::shelf::Shelf;

const XMLNS: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// The roles and policies of all accounts.
#[derive(Debug)]
pub(crate) struct Iam {
    shelf: Shelf,
    clock: Arc<dyn Clock>,
}

/// What an operation gets besides its members.
#[derive(Clone, Copy)]
struct Cx<'a> {
    shelf: &'a Shelf,
    account: &'a str,
    now_ms: u64,
}

/// What an operation answers: the inside of its result, or no result at all.
type Answer = Result<Option<Xml>, Fault>;

impl Iam {
    pub(crate) fn new(records: Records, clock: Arc<dyn Clock>) -> Self {
        Self { shelf: Shelf::new(records, "iam"), clock }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let form = Form::of(request);
        let account = auth.account.as_str();
        let cx = Cx { shelf: &self.shelf, account, now_ms: self.clock.epoch_ms() };
        let action = form.get("Action").unwrap_or_default();
        let id = &request.request_id;
        match run(cx, action, &form).await {
            Ok(Some(result)) => query::answer(action, XMLNS, id, |xml| xml.append(&result)),
            Ok(None) => query::answer_empty(action, XMLNS, id),
            Err(fault) => encode_fault(Service::Iam.protocol(), &fault, id),
        }
    }
}

async fn run(cx: Cx<'_>, action: &str, form: &Form) -> Answer {
    match action {
        "CreateRole" => role::create(cx, form).await,
        "GetRole" => role::get(cx, form).await,
        "ListRoles" => role::list(cx, form).await,
        "UpdateRole" => role::update(cx, form).await,
        "UpdateRoleDescription" => role::update_description(cx, form).await,
        "UpdateAssumeRolePolicy" => role::update_trust(cx, form).await,
        "DeleteRole" => role::delete(cx, form).await,
        "PutRolePermissionsBoundary" => role::put_boundary(cx, form).await,
        "DeleteRolePermissionsBoundary" => role::delete_boundary(cx, form).await,
        "CreateServiceLinkedRole" => role::create_service_linked(cx, form).await,
        "TagRole" => tags::tag_role(cx, form).await,
        "UntagRole" => tags::untag_role(cx, form).await,
        "ListRoleTags" => tags::list_role(cx, form).await,
        "TagPolicy" => tags::tag_policy(cx, form).await,
        "UntagPolicy" => tags::untag_policy(cx, form).await,
        "ListPolicyTags" => tags::list_policy(cx, form).await,
        "PutRolePolicy" => inline::put(cx, form).await,
        "GetRolePolicy" => inline::get(cx, form).await,
        "ListRolePolicies" => inline::list(cx, form).await,
        "DeleteRolePolicy" => inline::delete(cx, form).await,
        "AttachRolePolicy" => attachment::attach(cx, form).await,
        "DetachRolePolicy" => attachment::detach(cx, form).await,
        "ListAttachedRolePolicies" => attachment::list(cx, form).await,
        "ListEntitiesForPolicy" => attachment::entities(cx, form).await,
        "CreatePolicy" => policy::create(cx, form).await,
        "GetPolicy" => policy::get(cx, form).await,
        "ListPolicies" => policy::list(cx, form).await,
        "DeletePolicy" => policy::delete(cx, form).await,
        "CreatePolicyVersion" => version::create(cx, form).await,
        "GetPolicyVersion" => version::get(cx, form).await,
        "ListPolicyVersions" => version::list(cx, form).await,
        "SetDefaultPolicyVersion" => version::set_default(cx, form).await,
        "DeletePolicyVersion" => version::delete(cx, form).await,
        "GetUser" => get_user(cx, form),
        "ListAccountAliases" => Ok(Some(answer::no_aliases())),
        "" => Err(fault::missing_action()),
        action => Err(fault::unknown_action(action)),
    }
}

/// The root user is the only one there is.
fn get_user(cx: Cx<'_>, form: &Form) -> Answer {
    match form.get("UserName") {
        Some(name) => {
            Err(fault::no_such_entity(format!("The user with name {name} cannot be found.")))
        }
        None => Ok(Some(answer::root_user(cx.account))),
    }
}
