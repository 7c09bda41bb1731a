//! Kernel calls without a safe wrapper in the libraries that we use. Each function is the smallest
//! safe shape around one call; nothing here decides anything.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

/// Flags of `clone3` for new namespaces, `linux/sched.h`.
pub(crate) const CLONE_NEWNS: u64 = 0x0002_0000;
pub(crate) const CLONE_NEWUTS: u64 = 0x0400_0000;
pub(crate) const CLONE_NEWIPC: u64 = 0x0800_0000;
pub(crate) const CLONE_NEWUSER: u64 = 0x1000_0000;
pub(crate) const CLONE_NEWPID: u64 = 0x2000_0000;
pub(crate) const CLONE_NEWNET: u64 = 0x4000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a [`fork_into`] this is.
pub(crate) enum Side {
    Parent { child: i32 },
    Child,
}

/// `struct clone_args`, version 2 (kernel 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into new namespaces, and into a v2 control group when one is given.
/// `ENOSYS` where `clone3` is filtered.
///
/// The calling process must have one thread only: the launcher is called before any other exists.
pub(crate) fn fork_into(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let mut args =
        CloneArgs { flags: namespaces, exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(fd.as_raw_fd()).expect("descriptors are not negative");
    }
    // SAFETY: without a stack of its own the child goes on with a copy of this one, as after
    // fork(2). `args` outlives the call and has the size that is passed. With one thread, no lock
    // of another thread is copied in a held state.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    side(pid)
}

/// As [`fork_into`] by the older `clone`, which knows no control groups.
pub(crate) fn fork_plain(namespaces: u64) -> io::Result<Side> {
    let flags = namespaces | libc::SIGCHLD as u64;
    // SAFETY: as in `fork_into`; a null stack means a copy of this one, and the other pointers are
    // not read without their flags.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
    side(pid)
}

fn side(pid: libc::c_long) -> io::Result<Side> {
    match pid {
        0 => Ok(Side::Child),
        1.. => Ok(Side::Parent { child: i32::try_from(pid).expect("pids fit 32 bits") }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes `number` a copy of `fd` that survives an exec.
pub(crate) fn place_descriptor(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: dup2 closes what `number` was; the caller moved every descriptor that is still
    // used above the numbers that are placed.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The same for this process only: closed by an exec.
pub(crate) fn place_own_descriptor(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: as above.
    if unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Attributes of mounts, `linux/mount.h`.
pub(crate) const ATTR_RDONLY: u64 = 0x1;
pub(crate) const ATTR_NOSUID: u64 = 0x2;
pub(crate) const ATTR_NODEV: u64 = 0x4;
const ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` (kernel 5.12).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets attributes of a mount and of those below it. With a user namespace its owners are mapped
/// instead, of the one mount only: those below might not be able to.
pub(crate) fn set_mount_attributes(
    mount: impl AsFd,
    attributes: u64,
    map: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attr = MountAttr {
        set: attributes | if map.is_some() { ATTR_IDMAP } else { 0 },
        clear: 0,
        propagation: 0,
        userns: map
            .map_or(0, |fd| u64::try_from(fd.as_raw_fd()).expect("descriptors are not negative")),
    };
    let flags = libc::AT_EMPTY_PATH | if map.is_some() { 0 } else { libc::AT_RECURSIVE };
    // SAFETY: the path is a C string that is empty, `attr` outlives the call and has the size
    // that is passed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Leaves the control group namespace for a new one, rooted at the present groups.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: CLONE_NEWCGROUP changes what names are seen and shares no memory or descriptors.
    if unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Leaves the mount namespace for a copy of it.
pub(crate) fn new_mount_namespace() -> io::Result<()> {
    // SAFETY: CLONE_NEWNS changes what paths mean for this thread, and shares no memory or descriptors.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the loopback interface of this network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `ifreq` is plain data for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags =
        i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).expect("both flags are below 2^15");
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets a listening socket take connections that were made for other addresses (ip(7),
/// `IP_TRANSPARENT`).
pub(crate) fn accept_for_any_address(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("it is four");
    // SAFETY: the option is an int, which outlives the call and has the length that is passed.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_TRANSPARENT,
            (&raw const on).cast(),
            length,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
