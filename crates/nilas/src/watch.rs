//! Tells when files below a directory change.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::sync::mpsc;

/// Directories that are watched at most; beyond it changes are missed, and that is said.
const DIRECTORIES_MAX: usize = 8_192;
/// Silence after a change before it counts: editors write a file in several steps.
const SETTLED_NS: i64 = 25_000_000;
/// Never the source of a deployment, and written by deployments and editors all the time.
const IGNORED: [&str; 6] = [".git", ".nilas", ".serverless", ".aws-sam", "__pycache__", "target"];

/// Changes are told by a thread that waits for the kernel's events; it ends with the process.
#[derive(Debug)]
pub(crate) struct Watcher {
    changes: mpsc::Receiver<io::Result<()>>,
    /// Whether there are more directories than are watched.
    pub(crate) is_partial: bool,
}

impl Watcher {
    /// Watches `root` and all directories below it.
    pub(crate) fn of(root: &Path) -> io::Result<Self> {
        let mut tree = Tree {
            queue: inotify::init(CreateFlags::CLOEXEC)?,
            dirs: HashMap::new(),
            is_partial: false,
        };
        tree.add(root)?;
        let is_partial = tree.is_partial;
        // One is enough to say that something changed.
        let (tell, changes) = mpsc::channel(1);
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || tree.tell(&tell))?;
        Ok(Self { changes, is_partial })
    }

    /// Waits for a change that has settled. May be dropped and called again: no change is lost.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        let ended = || Err(io::ErrorKind::BrokenPipe.into());
        self.changes.recv().await.unwrap_or_else(ended)
    }
}

/// The directories that are watched.
#[derive(Debug)]
struct Tree {
    queue: OwnedFd,
    dirs: HashMap<i32, PathBuf>,
    is_partial: bool,
}

impl Tree {
    fn tell(&mut self, tell: &mpsc::Sender<io::Result<()>>) {
        loop {
            match self.read_until_settled() {
                // A change that is still to be taken stands for this one as well.
                Ok(true) => match tell.try_send(Ok(())) {
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                    Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
                },
                Ok(false) => {}
                Err(error) => {
                    // Nobody listens any more if this fails.
                    drop(tell.blocking_send(Err(error)));
                    return;
                }
            }
        }
    }

    /// Waits for events, and then until there have been none for a moment; answers whether any of them counts.
    fn read_until_settled(&mut self) -> io::Result<bool> {
        let mut counts = self.read()?;
        let silence = Timespec { tv_sec: 0, tv_nsec: SETTLED_NS };
        while poll(&mut [PollFd::new(&self.queue, PollFlags::IN)], Some(&silence))? > 0 {
            counts |= self.read()?;
        }
        Ok(counts)
    }

    fn add(&mut self, dir: &Path) -> io::Result<()> {
        if self.dirs.len() >= DIRECTORIES_MAX {
            self.is_partial = true;
            return Ok(());
        }
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let id = inotify::add_watch(&self.queue, dir, events)?;
        self.dirs.insert(id, dir.to_owned());
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && !is_ignored(&entry.file_name().to_string_lossy()) {
                self.add(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Reads what is there, waiting for the first event; answers whether any of it counts.
    fn read(&mut self) -> io::Result<bool> {
        let mut counts = false;
        let mut made = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut reader = inotify::Reader::new(&self.queue, &mut buffer);
        loop {
            let event = reader.next()?;
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
            if !name.as_deref().is_some_and(is_ignored) {
                counts = true;
                let is_new_dir = event.events().contains(ReadFlags::ISDIR)
                    && event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
                if let (true, Some(name), Some(dir)) =
                    (is_new_dir, name, self.dirs.get(&event.wd()))
                {
                    made.push(dir.join(name));
                }
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        for dir in made {
            // It may be gone again.
            match self.add(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(counts)
    }
}

/// Directories that are no source, and the files editors put beside the one they write.
fn is_ignored(name: &str) -> bool {
    IGNORED.contains(&name)
        || name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".swx")
        || name == "4913"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_in_old_and_new_directories_are_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut watcher = Watcher::of(dir.path()).unwrap();
            let short = std::time::Duration::from_millis(100);
            std::fs::write(dir.path().join("a.js"), "1").unwrap();
            watcher.changed().await.unwrap();
            std::fs::create_dir(dir.path().join("new")).unwrap();
            watcher.changed().await.unwrap();
            std::fs::write(dir.path().join("new/b.js"), "1").unwrap();
            watcher.changed().await.unwrap();
            std::fs::write(dir.path().join("new/.b.js.swp"), "1").unwrap();
            assert!(tokio::time::timeout(short, watcher.changed()).await.is_err());
        });
    }
}
