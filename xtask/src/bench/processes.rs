//! What the bench starts: processes that listen, their descendants, their memory, and their end.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Time between SIGTERM and SIGKILL.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A process that listens, and ends with the bench: in the terminal's group, so that Ctrl-C reaches it, and by `Drop`.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens. What it prints goes to the log, or nowhere.
    pub(crate) fn start(
        command: &mut Command,
        address: SocketAddr,
        within: Duration,
        log: Option<&Path>,
    ) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let (out, err) = match log {
            Some(path) => {
                let file =
                    fs::File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
                let twin = file.try_clone().map_err(|e| e.to_string())?;
                (Stdio::from(file), Stdio::from(twin))
            }
            None => (Stdio::null(), Stdio::null()),
        };
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let mut server = Self::of(child.map_err(|e| format!("{program}: {e}"))?, address);
        let listening = server.await_listening(Duration::from_millis(1), within);
        listening.map_err(|error| format!("{error}{}", last_words(log)))?;
        Ok(server)
    }

    /// A process that was started some other way.
    pub(crate) fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// Looks every so often whether it listens.
    pub(crate) fn await_listening(
        &mut self,
        every: Duration,
        within: Duration,
    ) -> Result<(), String> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at once ({status})"));
            }
            if began.elapsed() > within {
                return Err(format!("it does not listen after {within:?}"));
            }
            std::thread::sleep(every);
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Of the process and all its descendants.
    pub(crate) fn pss_mib(&self) -> Result<f64, String> {
        Ok(tree_pss_kib(self.id(), &children_by_parent())? as f64 / 1024.0)
    }

    /// SIGTERM, and SIGKILL to whatever of it is still there later, which it gives.
    pub(crate) fn stop(&mut self) -> Vec<u32> {
        if !matches!(self.child.try_wait(), Ok(None)) {
            // Its descendants have got another parent, and its number may have become another's.
            return Vec::new();
        }
        let family = Family::of(self.id());
        signal(self.id(), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < STOP_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let left = family.alive().filter(is_running).collect();
        family.kill();
        self.child.wait().ok();
        left
    }
}

/// A process and its descendants at one moment, each with the time it was made: a number may be another's later.
struct Family(Vec<(u32, String)>);

impl Family {
    fn of(pid: u32) -> Self {
        let members = tree(pid, &children_by_parent()).into_iter();
        Self(members.filter_map(|pid| Some((pid, born(pid)?))).collect())
    }

    fn alive(&self) -> impl Iterator<Item = u32> {
        let same = |(pid, birth): &&(u32, String)| born(*pid).as_ref() == Some(birth);
        self.0.iter().filter(same).map(|(pid, _)| *pid)
    }

    fn kill(&self) {
        self.alive().for_each(|pid| signal(pid, Signal::KILL));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends everything this process started, then the process, when it is told to end: what is dropped at a good end is
/// not dropped then.
pub(crate) fn end_all_on_signal(scratch: PathBuf) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal as listen};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let inside = runtime.enter();
    let mut interrupt = listen(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut terminate = listen(SignalKind::terminate()).map_err(|e| e.to_string())?;
    drop(inside);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        });
        end_all(&scratch);
    });
    Ok(())
}

#[expect(clippy::exit, reason = "the threads that measure know no way to end early")]
fn end_all(scratch: &Path) {
    let me = std::process::id();
    let family = Family::of(me);
    let own = children_by_parent().remove(&me).unwrap_or_default();
    own.iter().for_each(|child| signal(*child, Signal::TERM));
    let began = Instant::now();
    while own.iter().any(is_running) && began.elapsed() < STOP_MAX {
        std::thread::sleep(Duration::from_millis(20));
    }
    // What left its parent, and what a thread started meanwhile.
    for family in [family, Family::of(me)] {
        family.alive().filter(|pid| *pid != me).for_each(|pid| signal(pid, Signal::KILL));
    }
    fs::remove_dir_all(scratch).ok();
    std::process::exit(1);
}

/// Runs a program to its end, which must be a good one, within the time given.
pub(crate) fn run(command: &mut Command, within: Duration, log: &Path) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
    let err = out.try_clone().map_err(|e| e.to_string())?;
    let spawned = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let child = spawned.map_err(|e| format!("{program}: {e}"))?;
    let mut server = Server { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
    let began = Instant::now();
    loop {
        match server.child.try_wait().map_err(|e| format!("{program}: {e}"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(format!("{program} ended with {status}{}", last_words(Some(log))));
            }
            None if began.elapsed() > within => {
                return Err(format!("{program} took longer than {within:?}"));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub(crate) fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    listener.local_addr().map_err(|e| e.to_string())
}

/// Processes by the process that made them, as `/proc` tells it now.
pub(crate) fn children_by_parent() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = stat_field(pid, 2).and_then(|parent| parent.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// A process and its descendants, ancestors first.
pub(crate) fn tree(pid: u32, children: &HashMap<u32, Vec<u32>>) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.get(pid).into_iter().flatten());
        next += 1;
    }
    found
}

/// Proportional set size: what is shared with others is divided among them.
pub(crate) fn pss_kib(pid: u32) -> Result<u64, String> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .map_err(|e| format!("smaps of {pid}: {e}"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("smaps of {pid}: {line}"))
}

/// Of a process and its descendants.
pub(crate) fn tree_pss_kib(pid: u32, children: &HashMap<u32, Vec<u32>>) -> Result<u64, String> {
    tree(pid, children).into_iter().map(pss_kib).sum()
}

/// Resident set size.
pub(crate) fn rss_mib(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| line.to_owned())?;
    Ok(kib / 1024.0)
}

/// Memory of the host that can be had without swapping.
pub(crate) fn host_available_mib() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// Sends SIGKILL to a process if it descends from `ancestor` now, and to no other, even if the number changes hands
/// meanwhile: the signal goes to the process that the descriptor was opened of, or to none.
pub(crate) fn kill_descendant(pid: u32, ancestor: u32) -> bool {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(Ok(process)) = number.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return false;
    };
    let lineage = lineage(pid);
    // The same twice: no number in it became another's between two looks.
    let descends = lineage.iter().skip(1).any(|(pid, _)| *pid == ancestor);
    descends && lineage == self::lineage(pid) && pidfd_send_signal(process, Signal::KILL).is_ok()
}

/// A process and its ancestors, each with the time it was made.
fn lineage(pid: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut next = Some(pid);
    while let Some((pid, birth)) = next.and_then(|pid| Some((pid, born(pid)?))) {
        found.push((pid, birth));
        next = stat_field(pid, 2).and_then(|parent| parent.parse().ok());
    }
    found
}

/// How many pid namespaces a process is in, from that of its `/proc`, of which this is a directory, down to its own.
pub(crate) fn pid_namespaces(process: &Path) -> usize {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.map_or(0, |numbers| numbers.split_whitespace().count())
}

/// Whether it is there and not just waited for.
fn is_running(pid: &u32) -> bool {
    stat_field(*pid, 1).is_some_and(|state| state != "Z")
}

/// When it was made, in the kernel's ticks.
fn born(pid: u32) -> Option<String> {
    stat_field(pid, 20)
}

/// The field of `/proc/PID/stat` so many places after the name, which may itself hold spaces and parentheses; 1 is the
/// state, 2 the parent, 20 the time it was made.
fn stat_field(pid: u32, place: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split(' ').nth(place).map(str::to_owned)
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended in this moment.
        kill_process(pid, signal).ok();
    }
}

/// The first line that tells an error, else the last that says something.
fn last_words(log: Option<&Path>) -> String {
    let text = log.and_then(|path| fs::read(path).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let error = lines.clone().find(|line| line.to_lowercase().contains("error"));
    error.or_else(|| lines.next_back()).map_or_else(String::new, |line| {
        format!(": {}", line.trim().chars().take(200).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn kills_descendants_and_nobody_else() {
        let spawn = |script: &str| {
            let mut command = Command::new("sh");
            let mut child =
                command.args(["-c", script]).stdout(Stdio::piped()).spawn().expect("sh is there");
            let mut line = String::new();
            let out = child.stdout.take().expect("it is piped");
            BufReader::new(out).read_line(&mut line).expect("it says something");
            (child, line.trim().parse::<u32>().expect("a pid"))
        };
        let script = "sleep 60 >/dev/null & echo $!; wait";
        let ((mut ours, below), (mut other, others)) = (spawn(script), spawn(script));
        let family = ours.id();
        let kill = |pid| kill_descendant(pid, family);
        assert!(!kill(others) && !kill(other.id()), "not of this family");
        assert!(!kill(ours.id()), "no descendant of itself");
        assert!(!kill(std::process::id()), "an ancestor");
        assert!([others, other.id(), ours.id(), below].iter().all(is_running));
        assert!(kill(below));
        ours.wait().expect("ends with what it waits for");
        assert!(!kill(below), "it is gone");
        assert!(kill_descendant(others, std::process::id()), "however far below");
        other.wait().expect("ends with what it waits for");
    }
}
