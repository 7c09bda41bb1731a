//! The file tree of a machine. The disk and the host's folders become detached mounts first (by
//! the launcher as root, which can map their owners, else by the child itself); then the root is
//! changed, and everything else is mounted below the new root. After the change of root no path
//! that the machine controls can lead outside.

use crate::{
    inside::{Failure, step},
    launch::Go,
    spec::{Facts, Jail, Layer, Overlay},
    sys,
};
use rustix::{
    fs::{CWD, StatVfsMountFlags},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_bind, mount_change, mount_remount, move_mount, open_tree, unmount,
    },
    process::{chdir, pivot_root},
};
use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::Path,
};

/// Where the new root is put together: any folder that every host has. Only this mount namespace
/// sees it, and only until the root is changed.
const STAGES: &[&str] = &["/tmp", "/run", "/mnt", "/var"];
/// Device nodes of the host that are harmless for everybody.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Files of /proc that tell about or act on the whole host.
const PROC_MASKED: &[&str] =
    &["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/sched_debug"];
/// What programs read of /sys: how many processors there are, and where.
const SYS_SHOWN: &[&str] = &["devices/system/cpu", "devices/system/node"];

/// A mount that is not yet anywhere.
pub(crate) struct Source {
    pub(crate) mount: OwnedFd,
    pub(crate) mapped: bool,
}

/// Opens the disk, the lower folders and the binds, in this order. `None`: optional and not there.
pub(crate) fn open_sources(
    jail: &Jail,
    userns: Option<BorrowedFd<'_>>,
) -> Result<Vec<Option<Source>>, Failure> {
    let disk = detached(&jail.disk, true, userns).map_err(step("open the machine's disk"))?;
    let mut sources = vec![Some(disk)];
    for overlay in &jail.overlays {
        let lower = detached(&overlay.lower, false, userns);
        sources.push(Some(lower.map_err(step("open a folder of the host"))?));
    }
    for bind in &jail.binds {
        match detached(&bind.source, bind.writable, userns.filter(|_| bind.mapped)) {
            Ok(source) => sources.push(Some(source)),
            Err(e) if bind.optional && e.kind() == io::ErrorKind::NotFound => sources.push(None),
            Err(e) => return Err(step("open a file or folder of the host")(e)),
        }
    }
    Ok(sources)
}

/// A private, detached copy of the mount at a path.
fn detached(path: &Path, writable: bool, map: Option<BorrowedFd<'_>>) -> io::Result<Source> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let fd = match open_tree(CWD, path, clone) {
        // In a user namespace the mounts below are locked: all or nothing.
        Err(Errno::INVAL) => open_tree(CWD, path, clone | OpenTreeFlags::AT_RECURSIVE)?,
        other => other?,
    };
    let attributes =
        sys::ATTR_NOSUID | sys::ATTR_NODEV | if writable { 0 } else { sys::ATTR_RDONLY };
    if map.is_some() && sys::set_mount_attributes(&fd, attributes, map).is_ok() {
        return Ok(Source { mount: fd, mapped: true });
    }
    // The file system cannot map owners, or need not.
    sys::set_mount_attributes(&fd, attributes, None)?;
    Ok(Source { mount: fd, mapped: false })
}

/// Puts the tree together and makes it the root.
pub(crate) fn build(
    jail: &Jail,
    go: &Go,
    fds: Vec<OwnedFd>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let mut fds = fds.into_iter();
    let sources = if go.mapped.is_empty() {
        open_sources(jail, None)?
    } else {
        go.mapped
            .iter()
            .map(|known| known.and_then(|mapped| fds.next().map(|mount| Source { mount, mapped })))
            .collect()
    };
    let mut sources = sources.into_iter();
    let mut next = || sources.next().flatten();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(step("separate the mounts"))?;
    // Seen from the host's root, and needed below the new one.
    let devices = DEVICES
        .iter()
        .map(|name| device(name).map(|fd| (*name, fd)))
        .collect::<io::Result<Vec<_>>>()
        .map_err(step("open the device nodes of the host"))?;
    let processors: Vec<(&str, OwnedFd)> = SYS_SHOWN
        .iter()
        .filter_map(|path| {
            let shown = detached(&Path::new("/sys").join(path), false, None).ok()?;
            Some((*path, shown.mount))
        })
        .collect();

    let stage = stage()?;
    let disk = next().ok_or_else(|| missing("open the machine's disk"))?;
    facts.disk_mapped = disk.mapped;
    place(&disk.mount, &format!("{stage}/disk"))?;
    let root = open_tree(
        CWD,
        format!("{stage}/disk/rootfs"),
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .map_err(step("open the machine's root folder"))?;
    place(&root, &format!("{stage}/root"))?;
    let mut layers = Vec::with_capacity(jail.overlays.len());
    for (index, overlay) in jail.overlays.iter().enumerate() {
        let lower = next().ok_or_else(|| missing("open a folder of the host"))?;
        layers.push((overlay, stack(stage, index, overlay, &lower, facts)?));
    }
    let binds: Vec<_> = jail.binds.iter().map(|bind| (bind, next())).collect();

    change_root(&format!("{stage}/root"))?;
    for (overlay, layer) in layers {
        make_folder(&overlay.target)?;
        attach(&layer, &overlay.target)?;
    }
    system_folders(&devices, &processors)?;
    for (bind, source) in binds {
        let Some(source) = source else { continue };
        make_place(&source.mount, &bind.target)?;
        attach(&source.mount, &bind.target)?;
    }
    mask_proc(facts);
    leave()
}

fn missing(what: &'static str) -> Failure {
    step(what)(io::Error::other("the launcher sent too few mounts"))
}

fn device(name: &str) -> io::Result<OwnedFd> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, Path::new("/dev").join(name), clone)?)
}

/// A small private file system to put things together in.
fn stage() -> Result<&'static str, Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mut last = Errno::NOENT;
    for path in STAGES {
        match mount("toft", *path, "tmpfs", flags, c"mode=0700,size=64k") {
            Ok(()) => return Ok(path),
            Err(e) => last = e,
        }
    }
    Err(step("mount a private file system")(last))
}

/// Attaches a mount at a new folder of the stage.
fn place(source: &OwnedFd, path: &str) -> Result<(), Failure> {
    fs::create_dir(path).map_err(step("make a folder to mount on"))?;
    attach(source, path)
}

fn attach(source: &OwnedFd, path: &str) -> Result<(), Failure> {
    move_mount(source, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(step("attach a mount"))
}

/// Makes one overlay and returns it, detached. Must happen in the machine's user namespace: an
/// overlay that real root mounts over mapped layers comes up read-only.
fn stack(
    stage: &str,
    index: usize,
    overlay: &Overlay,
    lower: &Source,
    facts: &mut Facts,
) -> Result<OwnedFd, Failure> {
    let (below, over) = (format!("{stage}/lower{index}"), format!("{stage}/over{index}"));
    place(&lower.mount, &below)?;
    fs::create_dir(&over).map_err(step("make a folder to mount on"))?;
    let options = format!(
        "lowerdir={below},upperdir={stage}/disk/{},workdir={stage}/disk/{},userxattr",
        overlay.upper, overlay.work
    );
    let options = std::ffi::CString::new(options)
        .map_err(|e| step("name the layers of an overlay")(io::Error::other(e)))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let refused = match mount("toft", over.as_str(), "overlay", flags, options.as_c_str()) {
        Err(e) => Some(e.to_string()),
        Ok(()) => rustix::fs::statvfs(over.as_str())
            .is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::RDONLY))
            .then(|| "it came up read-only".to_owned()),
    };
    let (from, layer) = match (&refused, lower.mapped) {
        (None, true) => (&over, Layer::Mapped),
        (None, false) => (&over, Layer::Unmapped),
        (Some(_), _) => (&below, Layer::ReadOnly),
    };
    if let Some(why) = refused {
        facts.notes.push(format!("{} cannot be changed inside: {why}", overlay.target));
    }
    facts.overlays.push((overlay.target.clone(), layer));
    open_tree(CWD, from.as_str(), OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .map_err(step("take an overlay off the stage"))
}

/// Makes `path` the root; the old one stays, mounted over it, until [`leave`]. No descriptor leads
/// back to it: once `/proc` is there, a link that the machine planted could follow one.
fn change_root(path: &str) -> Result<(), Failure> {
    chdir(path).map_err(step("enter the new root"))?;
    pivot_root(".", ".").map_err(step("change the root"))
}

/// Lets go of the old root and of everything of the host with it.
fn leave() -> Result<(), Failure> {
    // `.` is where both roots are, and the old one is the upper (pivot_root(2), notes).
    unmount(".", UnmountFlags::DETACH).map_err(step("leave the old root"))?;
    chdir("/").map_err(step("enter the new root"))
}

/// /proc, /dev, /run and /sys. /proc must come while the old root's is still there: later the
/// kernel refuses ("mount too revealing").
fn system_folders(
    devices: &[(&str, OwnedFd)],
    processors: &[(&str, OwnedFd)],
) -> Result<(), Failure> {
    let hard = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let soft = MountFlags::NOSUID | MountFlags::NODEV;
    let new = |kind: &str, path: &str, flags: MountFlags, data: &CStr| -> Result<(), Failure> {
        make_folder(path)?;
        mount(kind, path, kind, flags, data).map_err(step("mount a system folder"))
    };
    new("proc", "/proc", hard, c"")?;
    new("tmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=0755,size=64k")?;
    for (name, node) in devices {
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
    for path in ["/run/lock", "/run/toft"] {
        make_folder(path)?;
    }
    fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))
        .map_err(step("open /run/lock to all"))?;
    new("tmpfs", "/sys", hard, c"mode=0755,size=64k")?;
    for (path, shown) in processors {
        let path = format!("/sys/{path}");
        make_folder(&path)?;
        attach(shown, &path)?;
    }
    mount_remount("/sys", MountFlags::BIND | MountFlags::RDONLY | hard, c"")
        .map_err(step("make /sys read-only"))
}

fn make_folder(path: &str) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(step("make a folder to mount on"))
}

/// Makes a folder or an empty file to attach `source` to.
fn make_place(source: &OwnedFd, path: &str) -> Result<(), Failure> {
    let kind = rustix::fs::fstat(source).map_err(step("look at a mount"))?;
    if rustix::fs::FileType::from_raw_mode(kind.st_mode) == rustix::fs::FileType::Directory {
        return make_folder(path);
    }
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).map_err(step("make a folder to mount on"))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(step("make a file to mount on")(e))
        }
        _ => Ok(()),
    }
}

/// Most of these are out of reach of a machine's root anyway; the mask makes sure.
fn mask_proc(facts: &mut Facts) {
    for path in PROC_MASKED {
        match mount_bind("/dev/null", *path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => facts.notes.push(format!("{path} is not masked: {e}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_says_so_and_opens_nothing() {
        let error = detached(Path::new("/no/such/folder"), false, None).map(|_| ()).unwrap_err();
        // An ordinary user is refused before the path is looked at.
        let refused =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        assert!(refused, "{error}");
        let failure = step("open a file or folder of the host")(error);
        assert!(failure.to_string().starts_with("could not open a file or folder of the host: "));
    }
}
