//! The way of connections that go through no proxy: TCP to any address outside of 127/8 comes to one
//! listener of the gateway, whatever its port, and keeps the address that it was made for. Nothing
//! else has a route: other protocols fail at once.
//!
//! A rule of the routing table gives TCP, and TCP alone, a route by the loopback; a rule of nf_tables
//! hands what comes that way to the listener (`tproxy`). No connection is tracked and no address is
//! rewritten, so nothing of it counts in tables that the host shares, and the accepted socket's own
//! address is the one that was asked for.
//!
//! The gateway's other listeners get their connections in the same way: none of them holds its own port,
//! and a program may listen on it at all addresses (`0.0.0.0:80`).

use super::netlink::{APPEND, Batch, Body, CREATE};
use crate::{
    failure::{Failure, step},
    spec::{DNS_PORT, EGRESS_PORT, GATEWAY_ADDRESS, MODEL_PORT},
    sys,
};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, netlink, socket_with,
    sockopt::set_socket_reuseaddr,
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
};

/// Sockets of this way.
pub(crate) struct Sockets {
    /// Listens for all that goes to addresses outside of 127/8, and for DNS.
    pub(crate) connections: OwnedFd,
    /// Datagrams of DNS.
    pub(crate) dns: OwnedFd,
}

/// Ports of the gateway's listeners as programs know them, and where they really listen: ports of no
/// protocol (IANA), that no program wants.
const ASIDE: [(u16, u16); 3] = [(MODEL_PORT, 4), (EGRESS_PORT, 6), (DNS_PORT, DIRECT_PORT)];
const DIRECT_PORT: u16 = 8;
/// The interface `lo` of a new network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;
/// Number of our routing table, and the priority of the rule that leads there. Free ones in a
/// namespace that is just made.
const TABLE: u8 = 100;
const INET: u8 = 2;
const TCP: u8 = 6;
/// Registers, headers and comparisons of nf_tables.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// Where programs' own connections come from, on whichever way.
const SOURCE: [u8; 4] = [127, 0, 0, 1];

/// Makes the way. The loopback must be up.
pub(super) fn open() -> Result<Sockets, Failure> {
    let connections = listen(DNS_PORT)?;
    let dns = datagrams().map_err(step("open a socket for DNS"))?;
    route().map_err(step("make a route for connections without a proxy"))?;
    redirect().map_err(step("hand connections without a proxy to the gateway (nf_tables)"))?;
    Ok(Sockets { connections, dns })
}

/// A listener for one of the gateway's ports; what is made for the port comes to it.
pub(super) fn listen(port: u16) -> Result<OwnedFd, Failure> {
    let aside = ASIDE.iter().find(|(known, _)| *known == port).map_or(port, |(_, aside)| *aside);
    let listener = TcpListener::bind((Ipv4Addr::from(GATEWAY_ADDRESS), aside))
        .map_err(step("open a listening socket inside"))?;
    sys::accept_for_any_address(listener.as_fd())
        .map_err(step("take connections for other addresses"))?;
    Ok(listener.into())
}

/// A program may have the port at all addresses if it, too, shares it.
fn datagrams() -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::from((GATEWAY_ADDRESS, DNS_PORT)))?;
    Ok(socket)
}

/// Constants of `linux/rtnetlink.h`, `linux/if_addr.h` and `linux/fib_rules.h`.
fn route() -> io::Result<()> {
    const NEW_ADDRESS: u16 = 20;
    const NEW_ROUTE: u16 = 24;
    const NEW_RULE: u16 = 32;
    const SCOPE_HOST: u8 = 254;
    const PROTOCOL_STATIC: u8 = 4;
    const TYPE_LOCAL: u8 = 2;
    const TO_TABLE: u8 = 1;
    let mut batch = Batch::default();
    // C libraries do not ask for IPv4 addresses where the only one is 127.0.0.1.
    batch.ask(NEW_ADDRESS, CREATE, |body| {
        body.plain(&[INET, 32, 0, SCOPE_HOST]);
        body.plain(&LOOPBACK.to_ne_bytes());
        body.attribute(2, &GATEWAY_ADDRESS);
    });
    batch.ask(NEW_RULE, CREATE, |body| {
        body.plain(&[INET, 0, 0, 0, TABLE, 0, 0, TO_TABLE]);
        body.plain(&[0; 4]);
        body.attribute(6, &u32::from(TABLE).to_ne_bytes());
        body.attribute(22, &[TCP]);
    });
    batch.ask(NEW_ROUTE, CREATE, |body| {
        body.plain(&[INET, 0, 0, 0, TABLE, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL]);
        body.plain(&[0; 4]);
        body.attribute(4, &LOOPBACK.to_ne_bytes());
        body.attribute(7, &SOURCE);
    });
    batch.done(None)
}

/// Constants of `linux/netfilter/nfnetlink.h` and `linux/netfilter/nf_tables.h`.
fn redirect() -> io::Result<()> {
    const BATCH_BEGIN: u16 = 16;
    const BATCH_END: u16 = 17;
    const SUBSYSTEM: u16 = 10;
    const NEW_TABLE: u16 = SUBSYSTEM << 8;
    const NEW_CHAIN: u16 = NEW_TABLE | 3;
    const NEW_RULE: u16 = NEW_TABLE | 6;
    const PREROUTING: u32 = 0;
    /// `NF_IP_PRI_MANGLE`, where `tproxy` belongs.
    const PRIORITY: i32 = -150;
    const NAME: &str = "toft";
    let begin = |body: &mut Body<'_>| {
        body.plain(&[0, 0]);
        body.plain(&SUBSYSTEM.to_be_bytes());
    };
    let of_inet = |body: &mut Body<'_>| {
        body.plain(&[INET, 0, 0, 0]);
        body.text(1, NAME);
    };
    let mut batch = Batch::default();
    batch.say(BATCH_BEGIN, begin);
    batch.ask(NEW_TABLE, CREATE, of_inet);
    batch.ask(NEW_CHAIN, CREATE, |body| {
        of_inet(body);
        body.text(3, NAME);
        body.nested(4, |hook| {
            hook.attribute(1, &PREROUTING.to_be_bytes());
            hook.attribute(2, &PRIORITY.to_be_bytes());
        });
        body.text(7, "filter");
    });
    let mut rule = |what: &dyn Fn(&mut Body<'_>)| {
        batch.ask(NEW_RULE, APPEND, |body| {
            of_inet(body);
            body.text(2, NAME);
            body.nested(4, what);
        });
    };
    rule(&hand_over_others);
    for (port, aside) in ASIDE {
        rule(&move |rule| hand_over_own(rule, port, aside));
    }
    batch.say(BATCH_END, begin);
    batch.done(Some(netlink::NETFILTER))
}

/// TCP, and not to 127/8.
fn hand_over_others(rule: &mut Body<'_>) {
    tcp(rule);
    compare(rule, NETWORK_HEADER, 16, NOT_EQUAL, &[127]);
    hand_over(rule, DIRECT_PORT);
}

/// TCP to one of the gateway's own ports.
fn hand_over_own(rule: &mut Body<'_>, port: u16, aside: u16) {
    tcp(rule);
    compare(rule, NETWORK_HEADER, 16, EQUAL, &GATEWAY_ADDRESS);
    compare(rule, TRANSPORT_HEADER, 2, EQUAL, &port.to_be_bytes());
    hand_over(rule, aside);
}

fn tcp(rule: &mut Body<'_>) {
    const LAYER_4_PROTOCOL: u32 = 16;
    expression(rule, "meta", |e| numbers(e, [(1, FIRST), (2, LAYER_4_PROTOCOL)]));
    expression(rule, "cmp", |e| {
        numbers(e, [(1, FIRST), (2, EQUAL)]);
        value(e, 3, &[TCP]);
    });
}

/// Goes on if these bytes of a header are so.
fn compare(rule: &mut Body<'_>, header: u32, offset: u32, how: u32, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("fields of headers are short");
    expression(rule, "payload", |e| {
        numbers(e, [(1, FIRST), (2, header), (3, offset), (4, length)]);
    });
    expression(rule, "cmp", |e| {
        numbers(e, [(1, FIRST), (2, how)]);
        value(e, 3, bytes);
    });
}

/// To the listener at this port.
fn hand_over(rule: &mut Body<'_>, port: u16) {
    expression(rule, "immediate", |e| {
        numbers(e, [(1, FIRST)]);
        value(e, 2, &GATEWAY_ADDRESS);
    });
    expression(rule, "immediate", |e| {
        numbers(e, [(1, SECOND)]);
        value(e, 2, &port.to_be_bytes());
    });
    let family = u32::from(INET);
    expression(rule, "tproxy", |e| numbers(e, [(1, family), (2, FIRST), (3, SECOND)]));
}

fn expression(rule: &mut Body<'_>, name: &str, content: impl FnOnce(&mut Body<'_>)) {
    rule.nested(1, |element| {
        element.text(1, name);
        element.nested(2, content);
    });
}

fn numbers<const N: usize>(content: &mut Body<'_>, all: [(u16, u32); N]) {
    for (kind, number) in all {
        content.attribute(kind, &number.to_be_bytes());
    }
}

fn value(content: &mut Body<'_>, kind: u16, bytes: &[u8]) {
    content.nested(kind, |data| data.attribute(1, bytes));
}
