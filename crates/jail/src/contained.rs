//! The first steps of a machine whose walls somebody else has made: a container engine. What the
//! launcher does for its own child is done here by the first process itself: it takes its seat from
//! the one who asked for the container, by a socket that is shown inside, and opens the gateway's
//! listeners in its own network namespace. Makes no namespaces, mounts or ids.

use crate::{
    failure::{Failure, step},
    handover::HIGH,
    inside::{boot_file, keep_cores_inside},
    mounts, net, seccomp,
    spec::{
        Commit, FD_APP, FD_BOOT, FD_BRIDGE, FD_EGRESS, FD_HANDED, FD_INIT, FD_MODEL, Facts, Report,
    },
    sys, wire,
};
use rustix::{
    fs::Mode,
    io::fcntl_dupfd_cloexec,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    },
    process::{setsid, umask},
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// What the host hands to the first process. Comes with the listening sockets of init and bridge,
/// the file that standard output and error go to, the folder that only these write to if there is
/// one, and at most [`DOORS_MAX`] files by which work processes join control groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seat {
    /// Bytes for [`FD_BOOT`].
    pub boot: String,
    /// Whether a folder comes along.
    #[serde(default)]
    pub handed: bool,
}

/// Descriptors that come with a [`Seat`] at least.
const SEAT_DESCRIPTORS: usize = 3;
/// One for each of memory, processes and processors.
pub const DOORS_MAX: usize = 3;
/// Descriptor of the first of these files; the others follow.
const FD_DOORS: i32 = FD_HANDED + 1;

/// Where the file `index` of those that a seat came with is opened, by the first process itself.
/// These are files and no folders: nobody who opens one goes from there to other groups.
pub fn door(index: usize) -> String {
    let number = (FD_DOORS..).nth(index).expect("there are three at most");
    format!("/proc/self/fd/{number}")
}

/// A way to write to a folder that leads nowhere else: for [`Seat`]. Fails without the right to make
/// mounts.
pub fn handed(folder: &Path) -> io::Result<OwnedFd> {
    mounts::alone(folder)
}

/// Listens at `path` for the one process that will take its seat there.
pub fn offer(path: &Path) -> io::Result<OwnedFd> {
    let socket = seat_socket()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, 1)?;
    Ok(socket)
}

/// Takes the seat that is offered at `path`: on return every descriptor stands where
/// [`FD_BOOT`]'s content says, the system call filter is in force, and the host has written down
/// that this process exists. Fails, and nothing may run then, when the host is gone.
///
/// To be called first of all, by the only thread.
pub fn take(path: &Path) -> io::Result<()> {
    let low = seat_socket()?;
    connect(&low, &SocketAddrUnix::new(path)?)?;
    let socket = fcntl_dupfd_cloexec(&low, HIGH)?;
    // Before numbers are given out below: its own is one of them.
    drop(low);
    settle(&socket).map_err(|failure| {
        let said = io::Error::other(failure.to_string());
        let _ = wire::send(&socket, &failure.report(), &[]);
        said
    })
}

fn settle(socket: &OwnedFd) -> Result<(), Failure> {
    let placing = "put the descriptors in their places";
    let hearing = "hear from the host";
    umask(Mode::from_raw_mode(0o022));
    // Most engines have done so.
    let _ = setsid();
    let (seat, mut given) = wire::recv::<Seat>(socket)
        .map_err(step(hearing))?
        .ok_or(io::ErrorKind::BrokenPipe)
        .map_err(step(hearing))?;
    let wrong = || step("find its descriptors")(io::Error::other("their number is wrong"));
    let least = SEAT_DESCRIPTORS + usize::from(seat.handed);
    if !(least..=least + DOORS_MAX).contains(&given.len()) {
        return Err(wrong());
    }
    let doors = given.split_off(least);
    let handed = given.split_off(SEAT_DESCRIPTORS).pop();
    let given: [OwnedFd; SEAT_DESCRIPTORS] = given.try_into().map_err(|_| wrong())?;
    let [init, bridge, said] = given;
    let listeners = net::set_up_within_walls()?;
    let mut places = vec![
        (1, said.try_clone().map_err(step(placing))?),
        (2, said),
        (FD_INIT, init),
        (FD_BRIDGE, bridge),
        (FD_BOOT, boot_file(&seat.boot)?),
        (FD_MODEL, listeners.model),
        (FD_EGRESS, listeners.egress),
        (FD_APP, listeners.app),
    ];
    places.extend(handed.map(|folder| (FD_HANDED, folder)));
    places.extend((FD_DOORS..).zip(doors));
    for (_, fd) in &mut places {
        *fd = fcntl_dupfd_cloexec(&*fd, HIGH).map_err(step(placing))?;
    }
    for (number, fd) in &places {
        let placed = if *number < FD_DOORS {
            sys::place_descriptor(fd.as_fd(), *number)
        } else {
            sys::place_own_descriptor(fd.as_fd(), *number)
        };
        placed.map_err(step(placing))?;
    }
    keep_cores_inside()?;
    seccomp::install()?;
    let facts = Facts { seccomp: true, ..Facts::default() };
    let gateway: Vec<_> = places
        .iter()
        .filter(|(number, _)| matches!(*number, FD_MODEL | FD_EGRESS))
        .map(|(_, fd)| fd.as_fd())
        .collect();
    wire::send(socket, &Report::Ready(facts), &gateway).map_err(step("report"))?;
    let wanted = "hear that the start is wanted";
    wire::recv::<Commit>(socket)
        .map_err(step(wanted))?
        .ok_or(io::ErrorKind::BrokenPipe)
        .map_err(step(wanted))?;
    Ok(())
}

fn seat_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
