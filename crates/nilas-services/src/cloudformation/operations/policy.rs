//! SetStackPolicy, GetStackPolicy: kept and returned, without effect.

use nilas_wire::{ApiResponse, Fault};

use super::Cx;
use crate::cloudformation::fault;

const POLICY_BYTES_MAX: usize = 16_384;

pub(super) async fn set(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let cell = cx.found(cx.required("StackName")?)?;
    let policy = cx.form.get("StackPolicyBody").ok_or_else(|| {
        fault::validation("Either Stack Policy URL or Stack Policy Body must be specified.")
    })?;
    if policy.len() > POLICY_BYTES_MAX || serde_json::from_str::<serde_json::Value>(policy).is_err()
    {
        return Err(fault::validation("Error validating stack policy: Invalid stack policy"));
    }
    let policy = policy.to_owned();
    super::change_stack(cx, &cell, |stack| stack.policy = Some(policy)).await?;
    Ok(cx.answer_empty())
}

pub(super) fn get(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let cell = cx.found(cx.required("StackName")?)?;
    let state = cell.state();
    Ok(cx.answer(|xml| xml.optional("StackPolicyBody", state.stack.policy.as_deref())))
}
