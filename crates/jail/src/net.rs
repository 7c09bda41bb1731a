//! The network of a machine: its own loopback and listening sockets on it, no other interface, and no
//! route but that to the gateway ([`direct`]).

pub(crate) mod direct;
mod netlink;

use crate::{
    failure::{Failure, step},
    spec::{APP_PORT, Direct, EGRESS_PORT, Facts, GATEWAY_ADDRESS, MODEL_PORT},
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
    /// When there is a way without the proxy.
    pub(crate) direct: Option<direct::Sockets>,
}

/// Opens the listeners in a network namespace that somebody else has made, and most likely finished.
pub(crate) fn set_up_within_walls() -> Result<Listeners, Failure> {
    let up = loopback_up();
    open(None).map_err(|failure| match up {
        Ok(()) => failure,
        // Without a loopback nothing can listen: that is what is wrong, then.
        Err(cause) => cause,
    })
}

/// Brings the loopback up and opens the listeners.
pub(crate) fn set_up(wanted: Direct, facts: &mut Facts) -> Result<Listeners, Failure> {
    loopback_up()?;
    let direct = match wanted {
        Direct::Left => None,
        Direct::Needed => Some(direct::open()?),
        Direct::Tried => match direct::open() {
            Ok(direct) => Some(direct),
            Err(failure) => {
                facts.no_direct = Some(failure.to_string());
                None
            }
        },
    };
    facts.direct = direct.is_some();
    open(direct)
}

fn loopback_up() -> Result<(), Failure> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(step("open a socket in the new network namespace"))?;
    sys::loopback_up(socket.as_fd()).map_err(step("bring up the loopback interface"))
}

/// The backlog is that of the standard library
/// (128): connections wait there while no gateway lives.
fn open(direct: Option<direct::Sockets>) -> Result<Listeners, Failure> {
    let listen = |address: Ipv4Addr, port: u16| {
        TcpListener::bind((address, port))
            .map(OwnedFd::from)
            .map_err(step("open a listening socket inside"))
    };
    let gateways = |port| match direct {
        Some(_) => direct::listen(port),
        None => listen(GATEWAY_ADDRESS.into(), port),
    };
    Ok(Listeners {
        model: gateways(MODEL_PORT)?,
        egress: gateways(EGRESS_PORT)?,
        app: listen(Ipv4Addr::UNSPECIFIED, APP_PORT)?,
        direct,
    })
}
