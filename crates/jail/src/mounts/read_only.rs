//! The machine's file tree once more, for programs that may look and not change: a mount namespace of
//! its own in which every mount is read-only, with empty memory for what is temporary. Made once, by the
//! child that may still mount; who has its descriptor puts single programs into it
//! ([`crate::child::ChildSpec::read_only`]). Not what keeps them there: that is what they are left of
//! capabilities, and the system call filter.

use crate::{
    failure::{Failure, step},
    spec::Facts,
    sys,
};
use rustix::{
    fs::{Mode, OFlags, open},
    mount::{MountFlags, mount, mount_remount},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
};

/// Names this thread's mount namespace.
const OWN: &str = "/proc/thread-self/ns/mnt";

/// What is temporary everywhere, each an empty file system in memory. All of a machine's read-only
/// programs share them, nobody else sees them, and they go with the machine's run.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

/// `size` of each: a build's scratch, and no way around the machine's memory limit, which counts it.
const TEMPORARY_OPTIONS: &std::ffi::CStr = c"mode=1777,size=512m";

/// Where writing changes no file: processes, and terminals.
const LIVE: &[(&str, MountFlags)] = &[
    ("/proc", MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC)),
    ("/dev/pts", MountFlags::NOSUID.union(MountFlags::NOEXEC)),
];

/// Makes the namespace and comes back. `None`, with the reason among the facts, where it cannot be
/// made: then nothing has changed.
pub(super) fn prepare(facts: &mut Facts) -> Result<Option<OwnedFd>, Failure> {
    let back = named().map_err(step("name its own mounts"))?;
    let made = sys::new_mount_namespace().and_then(|()| make());
    // Whatever came of it. Leads to the root of those mounts, where it was.
    move_into_link_name_space(back.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(step("go back to its own mounts"))?;
    match made {
        Ok(namespace) => {
            facts.read_only = true;
            Ok(Some(namespace))
        }
        Err(why) => {
            facts.no_read_only = Some(why.to_string());
            Ok(None)
        }
    }
}

fn make() -> io::Result<OwnedFd> {
    let root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    sys::set_mount_attributes(&root, sys::ATTR_RDONLY, None)?;
    for (path, flags) in LIVE {
        mount_remount(*path, MountFlags::BIND | *flags, c"")?;
    }
    for path in TEMPORARY {
        // Of an image of its own any of them may be missing, or be a link to another one.
        if fs::symlink_metadata(path).is_ok_and(|about| about.is_dir()) {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", *path, "tmpfs", flags, TEMPORARY_OPTIONS)?;
        }
    }
    named()
}

fn named() -> io::Result<OwnedFd> {
    Ok(open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}
