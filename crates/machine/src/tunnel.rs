//! A line between a server and a machine that it reaches only through the standard streams of a program
//! there: many connections on one pair of byte streams. The program is `toft tunnel`, in the machine; the
//! server's end is with the backend. Knows nothing of who carries the bytes, nor of sandboxes.
//!
//! Whoever opens a channel says first, in one frame, what it is ([`wire::Ask`]). Connections to init and
//! bridge are opened by the server, those to the gateway by the machine; so no key and no listener of the
//! server's is ever in the machine.

mod carrying;
mod doors;
mod fence;
mod inside;
pub(crate) mod logs;
pub(crate) mod mux;
pub(crate) mod parcel;
pub(crate) mod wire;

pub use inside::main;

/// What a tunnel's program says when a server with a larger number has the machine.
pub(crate) const SUPERSEDED: &str = "another server goes on with this machine";
