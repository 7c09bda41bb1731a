//! The network of a machine: its own loopback and three listening sockets on it, no route and no
//! other interface.

use crate::{
    failure::{Failure, step},
    spec::{APP_PORT, EGRESS_PORT, GATEWAY_ADDRESS, MODEL_PORT},
    sys,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::{
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
};

/// Listening sockets in this network namespace.
pub(crate) struct Listeners {
    pub(crate) model: OwnedFd,
    pub(crate) egress: OwnedFd,
    pub(crate) app: OwnedFd,
}

/// Opens the listeners in a network namespace that somebody else has made, and most likely finished.
pub(crate) fn set_up_within_walls() -> Result<Listeners, Failure> {
    let up = loopback_up();
    open().map_err(|failure| match up {
        Ok(()) => failure,
        // Without a loopback nothing can listen: that is what is wrong, then.
        Err(cause) => cause,
    })
}

/// Brings the loopback up and opens the listeners.
pub(crate) fn set_up() -> Result<Listeners, Failure> {
    loopback_up()?;
    open()
}

fn loopback_up() -> Result<(), Failure> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(step("open a socket in the new network namespace"))?;
    sys::loopback_up(socket.as_fd()).map_err(step("bring up the loopback interface"))
}

/// The backlog is that of the standard library
/// (128): connections wait there while no gateway lives.
fn open() -> Result<Listeners, Failure> {
    let gateway = Ipv4Addr::from(GATEWAY_ADDRESS);
    let listen = |address: Ipv4Addr, port: u16| {
        TcpListener::bind((address, port))
            .map(OwnedFd::from)
            .map_err(step("open a listening socket inside"))
    };
    Ok(Listeners {
        model: listen(gateway, MODEL_PORT)?,
        egress: listen(gateway, EGRESS_PORT)?,
        app: listen(Ipv4Addr::UNSPECIFIED, APP_PORT)?,
    })
}
