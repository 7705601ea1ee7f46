//! System call filters, compiled from the JSON of each role in `seccomp/`.
//!
//! A role lists what it may call (`allow`), what it is refused with EPERM (`deny`: known and dangerous), and a reason
//! for each rule. Whatever is in neither list answers ENOSYS, so that libraries fall back as on an older kernel; libc
//! needs that of clone3, whose flags a filter cannot read.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which processes a filter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The main process and all its descendants.
    Function,
    /// A main process that will be forked into other sandboxes: a function's, that may join namespaces. It lacks the
    /// rights over any but those that are made for its forks.
    Template,
    /// Our pid 1.
    Init,
}

/// The programs of one role, in the order to install them.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    programs: Vec<BpfProgram>,
}

impl Filter {
    /// The programs as the kernel takes them.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        let instruction = |filter: &seccompiler::sock_filter| {
            let [code_low, code_high] = filter.code.to_ne_bytes();
            let [a, b, c, d] = filter.k.to_ne_bytes();
            [code_low, code_high, filter.jt, filter.jf, a, b, c, d]
        };
        self.programs.iter().map(|program| program.iter().flat_map(instruction).collect()).collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("filter data of role {role}: {source}")]
    Data { role: &'static str, source: serde_json::Error },
    #[error("filter of role {role}: {source}")]
    Compile { role: &'static str, source: seccompiler::Error },
    #[error("installing a filter: {0}")]
    Install(seccompiler::Error),
    #[error("no filter for this architecture: {0}")]
    Architecture(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    role: String,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    why: String,
    /// Only there, if given.
    arch: Option<String>,
    syscalls: Vec<String>,
    /// Conditions in seccompiler's own shape, all of which must hold.
    #[serde(default)]
    args: Vec<Value>,
}

impl Rules {
    fn allow_to_join(&mut self) {
        for rule in &mut self.deny {
            rule.syscalls.retain(|syscall| syscall != "setns");
        }
        self.allow.push(Rule {
            why: "a template's helpers join the namespaces of its forks".to_owned(),
            arch: None,
            syscalls: vec!["setns".to_owned()],
            args: Vec::new(),
        });
    }
}

const ENOSYS: u32 = libc::ENOSYS as u32;
const EPERM: u32 = libc::EPERM as u32;

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Function | Self::Template => "function",
            Self::Init => "init",
        }
    }

    fn data(self) -> &'static str {
        match self {
            Self::Function | Self::Template => include_str!("seccomp/function.json"),
            Self::Init => include_str!("seccomp/init.json"),
        }
    }
}

/// Compiles the filter of `role` for this machine.
pub(crate) fn compile(role: Role) -> Result<Filter, FilterError> {
    let arch = std::env::consts::ARCH;
    compile_for(role, arch)
}

/// Refuses io_uring, as a kernel without it would. For zygotes: libuv gives each of its loops a ring at boot, which forks
/// would share with the zygote, and abort when their own filter refuses its use.
pub(crate) fn without_io_uring() -> Result<Filter, FilterError> {
    without(libc::SYS_io_uring_setup, ENOSYS)
}

/// Refuses to join namespaces: with the filter of its template, which stays in force, a fork has that of a function.
pub(crate) fn without_setns() -> Result<Filter, FilterError> {
    without(libc::SYS_setns, EPERM)
}

fn without(syscall: i64, answer: u32) -> Result<Filter, FilterError> {
    let arch = std::env::consts::ARCH;
    let target =
        TargetArch::try_from(arch).map_err(|_| FilterError::Architecture(arch.to_owned()))?;
    let rules = BTreeMap::from([(syscall, Vec::new())]);
    let (other, refused) = (SeccompAction::Allow, SeccompAction::Errno(answer));
    let compiled = SeccompFilter::new(rules, other, refused, target)
        .and_then(BpfProgram::try_from)
        .map_err(|source| FilterError::Compile { role: "one call", source: source.into() })?;
    Ok(Filter { programs: vec![compiled] })
}

/// Installs `filter` for this process and all it starts. Sets no_new_privs, which the kernel demands.
pub(crate) fn install(filter: &Filter) -> Result<(), FilterError> {
    filter
        .programs
        .iter()
        .try_for_each(|program| seccompiler::apply_filter(program))
        .map_err(FilterError::Install)
}

fn compile_for(role: Role, arch: &str) -> Result<Filter, FilterError> {
    let target =
        TargetArch::try_from(arch).map_err(|_| FilterError::Architecture(arch.to_owned()))?;
    let mut rules: Rules = serde_json::from_str(role.data())
        .map_err(|source| FilterError::Data { role: role.name(), source })?;
    if role == Role::Template {
        rules.allow_to_join();
    }
    debug_assert_eq!(rules.role, role.name(), "each role's file names its role");
    // Two programs, since one has only one answer for matches. The kernel takes the strictest answer, and among equals
    // (both are errno) the program installed last: so EPERM of the deny list wins over ENOSYS.
    let allow = json!({ "mismatch_action": { "errno": ENOSYS }, "match_action": "allow", "filter": table(&rules.allow, arch) });
    let deny = json!({ "mismatch_action": "allow", "match_action": { "errno": EPERM }, "filter": table(&rules.deny, arch) });
    let mut sources = BTreeMap::from([("1-allow", allow)]);
    if !rules.deny.is_empty() {
        sources.insert("2-deny", deny);
    }
    let text = json!(sources).to_string();
    let compiled = seccompiler::compile_from_json(text.as_bytes(), target)
        .map_err(|source| FilterError::Compile { role: role.name(), source })?;
    let ordered: BTreeMap<String, BpfProgram> = compiled.into_iter().collect();
    Ok(Filter { programs: ordered.into_values().collect() })
}

/// The rules that hold on `arch`, one entry a system call, in seccompiler's shape.
fn table(rules: &[Rule], arch: &str) -> Vec<Value> {
    let mut table = Vec::new();
    for rule in rules.iter().filter(|rule| rule.arch.as_deref().is_none_or(|only| only == arch)) {
        for syscall in &rule.syscalls {
            let mut entry = json!({ "syscall": syscall, "comment": rule.why });
            if !rule.args.is_empty() {
                entry["args"] = json!(rule.args);
            }
            table.push(entry);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_compiles_for_every_architecture() {
        for role in [Role::Function, Role::Template, Role::Init] {
            for arch in ["x86_64", "aarch64"] {
                let filter = compile_for(role, arch)
                    .unwrap_or_else(|error| panic!("{role:?} on {arch}: {error:?}"));
                assert!(
                    filter.programs.iter().all(|program| program.len() < 4_096),
                    "the kernel takes 4,096 steps"
                );
            }
        }
    }

    #[test]
    fn every_rule_has_a_reason_and_a_system_call() {
        for role in [Role::Function, Role::Init] {
            let rules: Rules = serde_json::from_str(role.data()).unwrap();
            for rule in rules.allow.iter().chain(&rules.deny) {
                assert!(!rule.why.trim().is_empty() && !rule.syscalls.is_empty(), "{rule:?}");
            }
        }
    }

    #[test]
    fn nothing_unconditional_is_both_allowed_and_denied() {
        let rules: Rules = serde_json::from_str(Role::Function.data()).unwrap();
        let unconditional = |list: &[Rule]| -> Vec<String> {
            list.iter()
                .filter(|rule| rule.args.is_empty())
                .flat_map(|rule| rule.syscalls.clone())
                .collect()
        };
        let allowed = unconditional(&rules.allow);
        for denied in unconditional(&rules.deny) {
            assert!(!allowed.contains(&denied), "{denied}");
        }
    }
}
