//! Ports of loopback for programs of stories that listen where they are told to, also after they were started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use toft_model::id::random_hex;

/// Below those that the kernel gives to whoever connects: another story's connection would take the port of a program
/// that is just being started, or started again.
const FIRST: u16 = 12_000;
const COUNT: u16 = 16_000;

/// A port at which nobody listens.
pub fn free() -> u16 {
    free_address().port()
}

/// The same, as an address.
pub fn free_address() -> SocketAddr {
    loop {
        let chance = u16::from_str_radix(&random_hex(2), 16).expect("two bytes are four digits");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + chance % COUNT));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
