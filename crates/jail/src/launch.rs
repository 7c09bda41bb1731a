//! The launcher: reads a [`Spec`], makes a child in new namespaces, gives it ids and mounts, and
//! ends. The child goes on in [`crate::inside`].

use crate::{
    child,
    failure::{Failure, step},
    handover::{Go, HIGH, Seat, report},
    ids, inside, mounts,
    spec::{Ids, Report, Spec},
    sys::{self, Side},
    wire,
};
use rustix::io::fcntl_dupfd_cloexec;
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// The whole of `toft __launch <fd>`: `number` is the descriptor of the launcher's socket. Must be
/// called before any thread or runtime exists. Never returns.
pub fn main(number: i32) -> ! {
    let code = match child::inherited(number).map_err(step("open the launcher's socket")) {
        Err(failure) => {
            let _ = writeln!(io::stderr(), "launcher: {failure}");
            2
        }
        Ok(socket) => match run(&socket) {
            Ok(()) => 0,
            Err(failure) => {
                report(&socket, &failure);
                1
            }
        },
    };
    std::process::exit(code)
}

fn run(socket: &OwnedFd) -> Result<(), Failure> {
    let socket = fcntl_dupfd_cloexec(socket, HIGH).map_err(step("keep the launcher's socket"))?;
    let (spec, descriptors) = wire::recv::<Spec>(&socket)
        .map_err(step("read what to start"))?
        .ok_or(io::ErrorKind::UnexpectedEof)
        .map_err(step("read what to start"))?;
    let descriptors = descriptors
        .into_iter()
        .map(|fd| fcntl_dupfd_cloexec(fd, HIGH))
        .collect::<Result<Vec<_>, _>>()
        .map_err(step("keep the descriptors to pass on"))?;
    for tasks in &spec.cgroups.tasks {
        std::fs::write(tasks, "0").map_err(step("join a control group"))?;
    }
    let (ours, theirs) = wire::pair().map_err(step("make a socket pair"))?;
    match clone(&spec)? {
        Side::Child => {
            drop(ours);
            inside::main(Seat { spec, socket, descriptors, launcher: theirs })
        }
        Side::Parent { child } => {
            drop(theirs);
            wire::send(&socket, &Report::Cloned { pid: child }, &[])
                .map_err(step("report the new process"))?;
            attend(&spec, child, &ours)
        }
    }
}

fn clone(spec: &Spec) -> Result<Side, Failure> {
    let namespaces = if spec.jail.is_some() {
        sys::CLONE_NEWUSER
            | sys::CLONE_NEWNS
            | sys::CLONE_NEWPID
            | sys::CLONE_NEWNET
            | sys::CLONE_NEWUTS
            | sys::CLONE_NEWIPC
    } else {
        0
    };
    let group = spec
        .cgroups
        .unified
        .as_ref()
        .map(|path| File::open(path).map_err(step("open the control group")))
        .transpose()?;
    match sys::fork_into(namespaces, group.as_ref().map(File::as_fd)) {
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
            if let Some(path) = &spec.cgroups.unified {
                std::fs::write(path.join("cgroup.procs"), "0")
                    .map_err(step("join a control group"))?;
            }
            sys::fork_plain(namespaces).map_err(step("make the namespaces"))
        }
        other => other.map_err(step("make the namespaces")),
    }
}

/// What a process outside must do for the child: ids, and the mounts that need real root.
fn attend(spec: &Spec, child: i32, to_child: &OwnedFd) -> Result<(), Failure> {
    let Some(jail) = &spec.jail else { return Ok(()) };
    ids::map(child, &jail.ids)?;
    let (go, fds) = match jail.ids {
        Ids::Range { .. } => {
            let userns = File::open(Path::new("/proc").join(child.to_string()).join("ns/user"))
                .map_err(step("open the user namespace"))?;
            let mounts = mounts::open_sources(jail, Some(userns.as_fd()))?;
            let mapped = mounts.iter().map(|s| s.as_ref().map(|s| s.mapped)).collect();
            let fds: Vec<OwnedFd> = mounts.into_iter().flatten().map(|s| s.mount).collect();
            (Go { mapped }, fds)
        }
        Ids::Single { .. } | Ids::Delegated { .. } => (Go { mapped: Vec::new() }, Vec::new()),
    };
    let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    wire::send(to_child, &go, &borrowed).map_err(step("hand the mounts to the new process"))
}
