//! Mounts of a jail: taken hold of outside, put in place inside.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree, unmount,
};

use super::{StepError, step};
use crate::spec::ReadOnlyMount;
use crate::sys;

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOEXEC: u64 = 8;

#[derive(Debug, Clone)]
pub(crate) struct PlannedMount {
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) target: PathBuf,
    pub(crate) device: bool,
}

/// A planned mount whose sources are held as detached mounts, attributes set.
#[derive(Debug)]
pub(crate) struct OpenedMount {
    trees: Vec<OwnedFd>,
    target: PathBuf,
    is_dir: bool,
}

// === impl PlannedMount ===

impl From<ReadOnlyMount> for PlannedMount {
    fn from(mount: ReadOnlyMount) -> Self {
        Self { sources: mount.sources, target: mount.target, device: false }
    }
}

// === impl OpenedMount ===

impl OpenedMount {
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.trees.iter().map(AsRawFd::as_raw_fd)
    }

    /// Gives the trees away, for `received` to put together again in another process.
    pub(crate) fn into_trees(self) -> Vec<OwnedFd> {
        self.trees
    }

    /// What `into_trees` took apart: the trees of all `mounts`, one after the other.
    pub(crate) fn received(
        mounts: &[ReadOnlyMount],
        trees: Vec<OwnedFd>,
    ) -> Result<Vec<Self>, StepError> {
        let mut trees = trees.into_iter();
        let mut opened = Vec::new();
        for mount in mounts {
            let own: Vec<OwnedFd> = trees.by_ref().take(mount.sources.len()).collect();
            let name = format!("mount {}", mount.target.display());
            let Some(last) = own.last() else {
                return Err(StepError { step: name, reason: "no source".to_owned() });
            };
            let kind = rustix::fs::FileType::from_raw_mode(
                step(&format!("{name}: look"), rustix::fs::fstat(last))?.st_mode,
            );
            opened.push(Self { trees: own, target: mount.target.clone(), is_dir: kind.is_dir() });
        }
        Ok(opened)
    }
}

/// Takes hold of the sources of `planned` as seen by the caller.
///
/// The spawner does this: the sandbox's ids may not walk the way to the sources, and no longer see the host's root.
pub(crate) fn open_mounts(planned: &[PlannedMount]) -> Result<Vec<OpenedMount>, StepError> {
    planned.iter().map(open_mount).collect()
}

fn open_mount(planned: &PlannedMount) -> Result<OpenedMount, StepError> {
    let name = format!("mount {}", planned.target.display());
    let Some(last) = planned.sources.last() else {
        return Err(StepError { step: name, reason: "no source".to_owned() });
    };
    let is_dir = step(&format!("{name}: look at {}", last.display()), fs::metadata(last))?.is_dir();
    let attributes = match planned.device {
        true => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        false => MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mut trees = Vec::new();
    for source in &planned.sources {
        let tree =
            step(&format!("{name}: open {}", source.display()), open_tree(CWD, source, flags))?;
        step(
            &format!("{name}: set attributes"),
            sys::mount_setattr(tree.as_fd(), attributes, true),
        )?;
        trees.push(tree);
    }
    Ok(OpenedMount { trees, target: planned.target.clone(), is_dir })
}

pub(super) fn attach(root: &Path, opened: OpenedMount, number: usize) -> Result<(), StepError> {
    let name = format!("mount {}", opened.target.display());
    let target = inside(root, &opened.target);
    if !opened.is_dir {
        write_file(&target, "")?;
    } else {
        step(&name, fs::create_dir_all(&target))?;
    }
    // Files cannot be merged; the last one is the top.
    let trees =
        if opened.is_dir { &opened.trees[..] } else { &opened.trees[opened.trees.len() - 1..] };
    if let [tree] = trees {
        return step(&name, move_tree(tree, &target));
    }
    // Several sources: an overlay of them. It takes lower layers by path only, so each gets one for a moment.
    let mut layers = Vec::new();
    for (layer, tree) in trees.iter().enumerate() {
        let path = root.join(format!(".layer-{number}-{layer}"));
        step(&name, fs::create_dir(&path))?;
        step(&name, move_tree(tree, &path))?;
        layers.push(path);
    }
    // The overlay lists its layers top first.
    let lower: Vec<String> = layers.iter().rev().map(|path| path.display().to_string()).collect();
    let options = format!("lowerdir={}", lower.join(":"));
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    let options = step(&name, std::ffi::CString::new(options))?;
    step(
        &format!("{name}: merge"),
        mount("overlay", &target, "overlay", flags, options.as_c_str()),
    )?;
    for path in layers {
        step(&name, unmount(&path, UnmountFlags::DETACH))?;
        step(&name, fs::remove_dir(&path))?;
    }
    Ok(())
}

fn move_tree(tree: &OwnedFd, target: &Path) -> rustix::io::Result<()> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

pub(super) fn mount_tmpfs(name: &str, target: &Path, options: &str) -> Result<(), StepError> {
    let options = step(name, std::ffi::CString::new(options))?;
    step(
        name,
        mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str()),
    )
}

/// Entries of `/proc` that tell about the machine or steer it. They take root, which nobody here is; hidden all the same.
const PROC_FILES_HIDDEN: [&str; 8] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
];
const PROC_DIRS_HIDDEN: [&str; 6] = ["acpi", "bus", "driver", "fs", "irq", "scsi"];

pub(super) fn mount_proc(root: &Path) -> Result<(), StepError> {
    let proc = root.join("proc");
    step("make /proc", fs::create_dir_all(&proc))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    step("mount /proc", mount("proc", &proc, "proc", flags, None))?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    for name in PROC_FILES_HIDDEN {
        let target = proc.join(name);
        if target.exists() {
            let null = step("hide in /proc", open_tree(CWD, root.join("dev/null"), clone))?;
            step(&format!("hide /proc/{name}"), move_tree(&null, &target))?;
        }
    }
    for name in PROC_DIRS_HIDDEN {
        let target = proc.join(name);
        if target.exists() {
            let flags = flags | MountFlags::RDONLY;
            let options = c"size=4k,nr_inodes=2,mode=555";
            step(&format!("hide /proc/{name}"), mount("tmpfs", &target, "tmpfs", flags, options))?;
        }
    }
    let sys = proc.join("sys");
    let tree = step("make /proc/sys read-only", open_tree(CWD, &sys, clone))?;
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    step("make /proc/sys read-only", sys::mount_setattr(tree.as_fd(), attributes, false))?;
    step("make /proc/sys read-only", move_tree(&tree, &sys))
}

/// Shows the host's own `/proc`: for a zygote, which is in the host's pid namespace.
pub(super) fn bind_proc(root: &Path) -> Result<(), StepError> {
    let name = "bind /proc";
    let proc = root.join("proc");
    step(name, fs::create_dir_all(&proc))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = step(name, open_tree(CWD, "/proc", flags))?;
    step(name, move_tree(&tree, &proc))
}

pub(super) fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

pub(super) fn write_file(path: &Path, contents: &str) -> Result<(), StepError> {
    let name = format!("make {}", path.display());
    if let Some(parent) = path.parent() {
        step(&name, fs::create_dir_all(parent))?;
    }
    step(&name, fs::write(path, contents))?;
    step(&name, fs::set_permissions(path, fs::Permissions::from_mode(0o644)))
}

pub(super) fn make_symlink(path: &Path, target: &Path) -> Result<(), StepError> {
    let name = format!("link {}", path.display());
    if let Some(parent) = path.parent() {
        step(&name, fs::create_dir_all(parent))?;
    }
    step(&name, symlink(target, path))
}
