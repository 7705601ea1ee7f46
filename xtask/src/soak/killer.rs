//! Who kills environments from outside, as an administrator or a machine short of memory may.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use super::answers::Answers;
use crate::bench::processes;
use crate::bench::target::Nilas;
use crate::dice::Dice;

const KILL_EVERY: Duration = Duration::from_millis(150);

/// Ends some process of some environment of this server now and then: its first, or any below that.
pub(super) fn kill_at_random(nilas: &Nilas, dice: &mut Dice, done: &AtomicBool) -> Answers {
    let mut killed = Answers::default();
    while !done.load(Ordering::Relaxed) {
        thread::sleep(KILL_EVERY);
        let children = processes::children_by_parent();
        let mut targets = nilas.environments(&children);
        if targets.is_empty() {
            continue;
        }
        let mut target = targets.swap_remove(dice.below(targets.len()));
        let kind = kind(target);
        while dice.below(3) > 0
            && let Some(below) = children.get(&target).filter(|below| !below.is_empty())
        {
            target = below[dice.below(below.len())];
        }
        // It may have ended by itself meanwhile, and its number been given to whatever process.
        if processes::kill_descendant(target, nilas.pid()) {
            killed.tally(format!("killed from outside: {kind}"));
        }
    }
    killed
}

/// By its pid namespaces: those of a restored environment are below its template's.
fn kind(init: u32) -> &'static str {
    if processes::pid_namespaces(Path::new(&format!("/proc/{init}"))) > 2 {
        return "restored environment";
    }
    // As seen from within, where the template itself is in one.
    let seen = fs::read_dir(format!("/proc/{init}/root/proc")).into_iter().flatten().flatten();
    let below = seen.map(|entry| processes::pid_namespaces(&entry.path())).any(|depth| depth > 1);
    if below { "template" } else { "environment" }
}
