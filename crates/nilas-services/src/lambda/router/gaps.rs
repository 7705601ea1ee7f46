//! Operations that AWS has and this server does not have yet: asked for one, it says so.

use super::Operation;

pub(super) fn gap_at<'a>(method: &str, segments: &[&'a str], query: &str) -> Option<Operation<'a>> {
    let gap = GAPS.iter().find(|gap| gap.method == method && fits(gap.path, segments, query))?;
    Some(Operation::NotImplemented(gap.operation))
}

/// An operation of AWS's that is not there yet.
pub(super) struct Gap {
    method: &'static str,
    /// `{}` stands for one segment; a query is required when there is one.
    path: &'static str,
    pub(super) operation: &'static str,
}

fn fits(template: &str, segments: &[&str], query: &str) -> bool {
    let (path, required) = template.split_once('?').unwrap_or((template, ""));
    let mut wanted = path.split('/').skip(1);
    let same = segments
        .iter()
        .all(|segment| wanted.next().is_some_and(|wanted| wanted == "{}" || wanted == *segment));
    same && wanted.next().is_none()
        && (required.is_empty() || query.split('&').any(|pair| pair == required))
}

const fn gap(method: &'static str, path: &'static str, operation: &'static str) -> Gap {
    Gap { method, path, operation }
}

/// Paths with a query first: they are special cases of others.
pub(super) const GAPS: [Gap; 30] = [
    gap("POST", "/2025-12-01/durable-executions/{}/checkpoint", "CheckpointDurableExecution"),
    gap("POST", "/2025-11-30/capacity-providers", "CreateCapacityProvider"),
    gap("POST", "/2020-04-22/code-signing-configs", "CreateCodeSigningConfig"),
    gap("DELETE", "/2025-11-30/capacity-providers/{}", "DeleteCapacityProvider"),
    gap("DELETE", "/2020-04-22/code-signing-configs/{}", "DeleteCodeSigningConfig"),
    gap("DELETE", "/2025-12-01/durable-executions/{}", "DeleteDurableExecution"),
    gap("DELETE", "/2026-07-09/resource-policy/{}", "DeleteResourcePolicy"),
    gap("GET", "/2025-11-30/capacity-providers/{}", "GetCapacityProvider"),
    gap("GET", "/2020-04-22/code-signing-configs/{}", "GetCodeSigningConfig"),
    gap("GET", "/2025-12-01/durable-executions/{}", "GetDurableExecution"),
    gap("GET", "/2025-12-01/durable-executions/{}/history", "GetDurableExecutionHistory"),
    gap("GET", "/2025-12-01/durable-executions/{}/state", "GetDurableExecutionState"),
    gap("GET", "/2025-11-30/functions/{}/function-scaling-config", "GetFunctionScalingConfig"),
    gap("GET", "/2026-07-09/resource-policy/{}", "GetResourcePolicy"),
    gap("POST", "/2014-11-13/functions/{}/invoke-async", "InvokeAsync"),
    gap("GET", "/2025-11-30/capacity-providers", "ListCapacityProviders"),
    gap("GET", "/2020-04-22/code-signing-configs", "ListCodeSigningConfigs"),
    gap("GET", "/2025-12-01/functions/{}/durable-executions", "ListDurableExecutionsByFunction"),
    gap(
        "GET",
        "/2025-11-30/capacity-providers/{}/function-versions",
        "ListFunctionVersionsByCapacityProvider",
    ),
    gap("GET", "/2020-04-22/code-signing-configs/{}/functions", "ListFunctionsByCodeSigningConfig"),
    gap("POST", "/2025-12-01/durable-executions/{}/pause", "PauseDurableExecution"),
    gap("PUT", "/2025-11-30/functions/{}/function-scaling-config", "PutFunctionScalingConfig"),
    gap("PUT", "/2026-07-09/resource-policy/{}", "PutResourcePolicy"),
    gap("POST", "/2025-12-01/durable-executions/{}/resume", "ResumeDurableExecution"),
    gap(
        "POST",
        "/2025-12-01/durable-execution-callbacks/{}/fail",
        "SendDurableExecutionCallbackFailure",
    ),
    gap(
        "POST",
        "/2025-12-01/durable-execution-callbacks/{}/heartbeat",
        "SendDurableExecutionCallbackHeartbeat",
    ),
    gap(
        "POST",
        "/2025-12-01/durable-execution-callbacks/{}/succeed",
        "SendDurableExecutionCallbackSuccess",
    ),
    gap("POST", "/2025-12-01/durable-executions/{}/stop", "StopDurableExecution"),
    gap("PUT", "/2025-11-30/capacity-providers/{}", "UpdateCapacityProvider"),
    gap("PUT", "/2020-04-22/code-signing-configs/{}", "UpdateCodeSigningConfig"),
];
