//! What this host gives the current user, found out by looking and, for namespaces, by trying in a child.
//!
//! Invariant: leaves nothing behind: no group, no mount, no rule, no setting changes.

mod cgroups;
mod trial;

use std::fs;
use std::path::Path;

use crate::Finding;
use crate::net::{pasta_lack, program};

/// The oldest Linux everything works on: `cgroup.kill` is the youngest thing nilas wants.
const KERNEL_WANTED: (u32, u32) = (5, 14);

const NAMESPACES: &str = "namespaces";
const PROC: &str = "proc in sandboxes";
/// What no sandbox starts without.
const NEEDED: [&str; 2] = [NAMESPACES, PROC];

/// All findings, the most basic first. Takes some ten milliseconds.
pub fn inspect_host() -> Vec<Finding> {
    let root = rustix::process::geteuid().is_root();
    let mut findings = vec![kernel()];
    findings.extend(namespaces(&trial::run()));
    findings.push(seccomp());
    findings.extend(cgroups::inspect());
    findings.push(pressure());
    if root {
        findings.push(packet_filter());
    } else {
        findings.push(rootless_network());
    }
    findings.push(user_ids(root));
    findings
}

/// Whether sandboxes can start on a host with these findings, however much less they then give.
pub fn can_run(findings: &[Finding]) -> bool {
    !findings.iter().any(|finding| !finding.ok && NEEDED.contains(&finding.feature.as_ref()))
}

// === kernel ===

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let ok = version(&release).is_some_and(|version| version >= KERNEL_WANTED);
    Finding {
        feature: "kernel".into(),
        ok,
        detail: format!("Linux {release}"),
        cost: (!ok).then(|| {
            "no cgroup.kill (5.14), no overlay mounts in user namespaces (5.11)".to_owned()
        }),
        remedy: (!ok).then(|| "upgrade to a distribution with Linux 5.14 or newer".to_owned()),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

// === namespaces ===

fn namespaces(report: &trial::Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    let refused: Vec<String> = report
        .namespaces
        .iter()
        .filter_map(|(name, result)| result.as_ref().err().map(|error| format!("{name}: {error}")))
        .collect();
    let ok = refused.is_empty();
    findings.push(Finding {
        feature: NAMESPACES.into(),
        ok,
        detail: if ok {
            let names: Vec<&str> = report.namespaces.iter().map(|(name, _)| *name).collect();
            names.join(", ")
        } else {
            refused.join("; ")
        },
        cost: (!ok).then(|| "no sandbox starts".to_owned()),
        remedy: (!ok).then(namespace_remedy),
    });
    findings.push(mount_finding(
        PROC,
        &report.proc,
        "the sandbox cannot have a /proc of its own: no environment starts",
        "outside containers nothing hides /proc; in one, run it with --security-opt systempaths=unconfined",
    ));
    findings.push(mount_finding(
        "overlay mounts",
        &report.overlay,
        "functions with more than one layer cannot be shown merged at /opt",
        "sudo modprobe overlay",
    ));
    findings
}

fn mount_finding(
    feature: &'static str,
    result: &std::io::Result<()>,
    cost: &str,
    remedy: &str,
) -> Finding {
    let ok = result.is_ok();
    Finding {
        feature: feature.into(),
        ok,
        detail: result
            .as_ref()
            .map_or_else(ToString::to_string, |()| "in a user namespace".to_owned()),
        cost: (!ok).then(|| cost.to_owned()),
        remedy: (!ok).then(|| remedy.to_owned()),
    }
}

/// The switch that is off, of those distributions have.
fn namespace_remedy() -> String {
    let switches = [
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
        ("user/max_net_namespaces", "0", "sudo sysctl -w user.max_net_namespaces=15000"),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    let off = switches
        .iter()
        .find(|(path, value, _)| setting(path).is_some_and(|setting| setting == *value));
    off.map_or_else(
        || {
            "run nilas outside a container, or in one with --security-opt seccomp=unconfined"
                .to_owned()
        },
        |(_, _, command)| (*command).to_owned(),
    )
}

fn setting(path: &str) -> Option<String> {
    Some(fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().to_owned())
}

// === seccomp, pressure ===

fn seccomp() -> Finding {
    let actions = setting("kernel/seccomp/actions_avail");
    let ok =
        actions.as_ref().is_some_and(|actions| actions.split(' ').any(|action| action == "errno"));
    Finding {
        feature: "seccomp".into(),
        ok,
        detail: actions.unwrap_or_else(|| "no seccomp filters".to_owned()),
        cost: (!ok).then(|| "function code may use every system call of the kernel".to_owned()),
        remedy: (!ok).then(|| "use a kernel built with CONFIG_SECCOMP_FILTER".to_owned()),
    }
}

fn pressure() -> Finding {
    let ok = fs::read_to_string("/proc/pressure/memory").is_ok();
    Finding {
        feature: "pressure information".into(),
        ok,
        detail: if ok {
            "/proc/pressure".to_owned()
        } else {
            "/proc/pressure is missing or off".to_owned()
        },
        cost: (!ok)
            .then(|| "shortage of memory is noticed later, from free memory alone".to_owned()),
        remedy: (!ok).then(|| "add psi=1 to the kernel's command line".to_owned()),
    }
}

// === network ===

fn packet_filter() -> Finding {
    let found = program::find("nft").or_else(|| program::find("iptables-restore"));
    let ok = found.is_some();
    Finding {
        feature: "packet filter".into(),
        ok,
        detail: found.map_or_else(|| "neither nft nor iptables".to_owned(), |path| path.display().to_string()),
        cost: (!ok).then(|| "functions reach nothing but nilas itself".to_owned()),
        remedy: (!ok).then(|| {
            "sudo apt-get install nftables (Debian, Ubuntu) or sudo dnf install nftables (Fedora)".to_owned()
        }),
    }
}

fn rootless_network() -> Finding {
    let lack = pasta_lack();
    Finding {
        feature: "outbound network".into(),
        ok: lack.is_none(),
        detail: lack.as_ref().map_or_else(|| "pasta".to_owned(), |(detail, _)| detail.clone()),
        cost: lack.is_some().then(|| "functions reach nothing but nilas itself".to_owned()),
        remedy: lack.map(|(_, remedy)| remedy.to_owned()),
    }
}

/// Whether sandboxes have user ids of their own on the host.
fn user_ids(root: bool) -> Finding {
    Finding {
        feature: "user ids".into(),
        ok: root,
        detail: if root {
            "a range for each environment"
        } else {
            "this user's own for all environments"
        }
        .to_owned(),
        cost: (!root).then(|| "namespaces alone keep environments apart".to_owned()),
        remedy: (!root).then(|| "run nilas as root: it drops its privileges itself".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_as_distributions_write_them() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.14.0-362.el9.x86_64"), Some((5, 14)));
        assert_eq!(version("4.4-generic"), Some((4, 4)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn only_what_sandboxes_cannot_do_without_keeps_them_from_running() {
        let lacking = |feature: &'static str| Finding {
            feature: feature.into(),
            ok: false,
            detail: String::new(),
            cost: None,
            remedy: None,
        };
        assert!(can_run(&[lacking("overlay mounts"), lacking("outbound network")]));
        for feature in NEEDED {
            assert!(!can_run(&[lacking(feature)]), "{feature}");
        }
    }

    #[test]
    fn every_lack_has_a_cost_and_a_remedy() {
        for finding in inspect_host() {
            assert_eq!(finding.ok, finding.cost.is_none(), "{finding:?}");
            assert_eq!(finding.ok, finding.remedy.is_none(), "{finding:?}");
            assert!(!finding.detail.is_empty(), "{finding:?}");
        }
    }
}
