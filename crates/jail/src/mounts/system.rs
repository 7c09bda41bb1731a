//! The folders that every system has: /proc, /dev, /run and /sys.

use super::place::{attach, detached, make_folder, off_stage};
use crate::{
    failure::{Failure, step},
    spec::{Facts, OWN_INSIDE},
};
use rustix::{
    fs::CWD,
    io::Errno,
    mount::{MountFlags, OpenTreeFlags, mount, mount_bind, mount_remount, open_tree},
};
use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::Path,
};

/// Device nodes of the host that are harmless for everybody.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Files of /proc that tell about or act on the whole host: its arguments, which may hold secrets,
/// where its kernel lies in memory, and how often each of its devices calls.
const PROC_MASKED: &[&str] = &[
    "/proc/cmdline",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
];
/// For file systems in which nothing is ever run.
const HARD: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
/// What programs read of /sys: how many processors there are, and where.
const SYS_SHOWN: &[&str] = &["devices/system/cpu", "devices/system/node"];

/// What is shown of the host's own: device nodes, and folders of /sys, by name.
pub(super) struct Shown {
    devices: Vec<(&'static str, OwnedFd)>,
    processors: Vec<(&'static str, OwnedFd)>,
}

impl Shown {
    /// Opens them; the host's root must still be there.
    pub(super) fn open() -> Result<Self, Failure> {
        let devices = DEVICES
            .iter()
            .map(|name| device(name).map(|fd| (*name, fd)))
            .collect::<io::Result<_>>()
            .map_err(step("open the device nodes of the host"))?;
        let processors = SYS_SHOWN
            .iter()
            .filter_map(|path| {
                let shown = detached(&Path::new("/sys").join(path), false, None).ok()?;
                Some((*path, shown.mount))
            })
            .collect();
        Ok(Self { devices, processors })
    }
}

fn device(name: &str) -> io::Result<OwnedFd> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, Path::new("/dev").join(name), clone)?)
}

/// The processes of the new pid namespace as a file system, detached. Made while the old root's is
/// still there: later the kernel refuses ("mount too revealing").
pub(super) fn new_proc(stage: &str) -> Result<OwnedFd, Failure> {
    let path = format!("{stage}/proc");
    fs::create_dir(&path).map_err(step("make a folder to mount on"))?;
    mount("proc", path.as_str(), "proc", HARD, c"").map_err(step("mount a system folder"))?;
    off_stage(&path)
}

/// /proc, /dev, /run and /sys.
pub(super) fn mount_all(proc: &OwnedFd, shown: &Shown) -> Result<(), Failure> {
    let soft = MountFlags::NOSUID | MountFlags::NODEV;
    let new = |kind: &str, path: &str, flags: MountFlags, data: &CStr| -> Result<(), Failure> {
        make_real_folder(path)?;
        mount(kind, path, kind, flags, data).map_err(step("mount a system folder"))
    };
    make_real_folder("/proc")?;
    attach(proc, "/proc")?;
    new("tmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=0755,size=64k")?;
    for (name, node) in &shown.devices {
        let path = format!("/dev/{name}");
        fs::File::create(&path).map_err(step("make a device node"))?;
        attach(node, &path)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, format!("/dev/{name}")).map_err(step("make a link in /dev"))?;
    }
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
    make_folder("/dev/pts")?;
    // Group 5 is `tty`; a machine with one id has no such group.
    mount("devpts", "/dev/pts", "devpts", plain, c"newinstance,ptmxmode=0666,mode=0620,gid=5")
        .or_else(|_| {
            mount("devpts", "/dev/pts", "devpts", plain, c"newinstance,ptmxmode=0666,mode=0620")
        })
        .map_err(step("mount the terminals"))?;
    new("tmpfs", "/dev/shm", soft, c"mode=1777")?;
    new("tmpfs", "/run", soft, c"mode=0755,size=64m")?;
    make_folder("/run/lock")?;
    new("tmpfs", OWN_INSIDE, soft, c"mode=0755,size=64k")?;
    fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))
        .map_err(step("open /run/lock to all"))?;
    new("tmpfs", "/sys", HARD, c"mode=0755,size=64k")?;
    for (path, shown) in &shown.processors {
        let path = format!("/sys/{path}");
        make_folder(&path)?;
        attach(shown, &path)?;
    }
    mount_remount("/sys", MountFlags::BIND | MountFlags::RDONLY | HARD, c"")
        .map_err(step("make /sys read-only"))
}

/// Makes a folder to mount on that is no link: one could be exchanged while the machine runs, and what
/// init starts anew would be looked for elsewhere.
fn make_real_folder(path: &str) -> Result<(), Failure> {
    if fs::symlink_metadata(path).is_ok_and(|about| !about.is_dir()) {
        fs::rename(path, format!("{path}.odd")).map_err(step("put aside what lies in the way"))?;
    }
    make_folder(path)
}

/// Nothing can be put to what is Toft's own any more, or be moved.
pub(super) fn close_own() -> Result<(), Failure> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(OWN_INSIDE, flags, c"").map_err(step("make Toft's own folder read-only"))
}

/// Most of these are out of reach of a machine's root anyway; the mask makes sure.
pub(super) fn mask_proc(facts: &mut Facts) {
    for path in PROC_MASKED {
        match mount_bind("/dev/null", *path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => facts.notes.push(format!("{path} is not masked: {e}")),
        }
    }
}
