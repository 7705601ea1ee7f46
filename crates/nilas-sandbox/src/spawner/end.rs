//! The end of sandboxes: reaped, told, removed.

use std::time::Duration;

use rustix::process::WaitOptions;

use super::{Live, RETIRE_TRIES_MAX, Spawner};
use crate::protocol::{Event, Failure};
use crate::spec::Exit;
use crate::sys;

impl Spawner {
    /// Finds the sandboxes whose pid 1 has ended. Other children, such as pasta, are waited for by their owners.
    pub(super) fn reap(&mut self) {
        let ended: Vec<u32> = self
            .ending
            .iter()
            .filter(|slot| {
                self.live.get(slot).is_none_or(|live| {
                    let state = rustix::process::waitpid(Some(live.pid), WaitOptions::NOHANG);
                    !matches!(state, Ok(None))
                })
            })
            .copied()
            .collect();
        for slot in ended {
            self.ending.remove(&slot);
            self.preparing.remove(&slot);
            self.starting.remove(&slot);
            self.shells.retain(|shell| *shell != slot);
            self.primed.retain(|(_, shell)| *shell != slot);
            if let Some(live) = self.live.remove(&slot) {
                let home = live.home;
                self.finish(live);
                home.into_iter().for_each(|home| self.settle(home));
            }
        }
    }

    /// Pid 1 has been reaped, so the kernel has ended every process of its namespace before.
    fn finish(&mut self, live: Live) {
        let oom_killed = live.cgroup.oom_killed();
        let event = match (live.token, live.parts, live.failure) {
            (Some(token), Some(_), failure) => {
                let reason =
                    if oom_killed { "out of memory" } else { "its first process was killed" };
                let failure = failure.unwrap_or_else(|| Failure::Step {
                    step: "start".to_owned(),
                    reason: reason.to_owned(),
                });
                Some(Event::Failed { token, failure })
            }
            (Some(token), None, _) => {
                let (code, signal) = live.ended.unwrap_or((None, Some(libc::SIGKILL)));
                Some(Event::Ended { token, exit: Exit { code, signal, out_of_memory: oom_killed } })
            }
            // A shell nobody has asked for yet: one that could not be made, or had to go.
            (None, _, failure) => failure.map(|failure| {
                if live.home.is_none() {
                    self.stock.give_up();
                }
                let step = "make a sandbox ahead".to_owned();
                Event::Trouble { step, reason: format!("{failure:?}") }
            }),
        };
        event.iter().for_each(|event| self.tell(event));
        if let Some(attachment) = live.attachment {
            self.network.detach(attachment);
        }
        self.retiring.push((live.cgroup, 0));
    }

    pub(super) fn retire(&mut self) {
        let mut stuck = 0;
        self.retiring.retain_mut(|(cgroup, tries)| {
            *tries += 1;
            let gone = cgroup.remove();
            stuck += u32::from(!gone && *tries >= RETIRE_TRIES_MAX);
            !gone && *tries < RETIRE_TRIES_MAX
        });
        if stuck > 0 {
            let reason = format!("{stuck} still busy; the next start of the server removes them");
            self.tell(&Event::Trouble { step: "remove cgroups".to_owned(), reason });
        }
    }

    /// Kills and removes everything.
    pub(super) fn end(&mut self) {
        self.zygotes.end();
        for live in self.live.values() {
            live.kill();
        }
        // A template is not gone before those below it.
        let (below, others): (Vec<Live>, Vec<Live>) =
            std::mem::take(&mut self.live).into_values().partition(|live| live.home.is_some());
        for live in below.into_iter().chain(others) {
            sys::best_effort(rustix::process::waitpid(Some(live.pid), WaitOptions::empty()));
            if let Some(attachment) = live.attachment {
                self.network.detach(attachment);
            }
            self.retiring.push((live.cgroup, 0));
        }
        while !self.retiring.is_empty() {
            self.retire();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.network.tear_down();
        self.layout.tear_down();
    }
}
