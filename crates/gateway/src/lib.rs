//! The way out of a machine, as a process of its own: model calls with keys added outside, the
//! egress proxy, metering. Holds every provider key, in memory only. One per data folder; outlives
//! the server and is adopted by the next one.
//!
//! The server uses [`control`] and [`usage`]; the binary calls [`main`].

pub mod config;
pub mod control;
mod egress;
pub mod folder;
mod journal;
mod listen;
mod machine;
mod meter;
mod models;
mod process;
pub mod protocol;
pub mod secret;
mod spawn;
mod state;
mod tap;
#[cfg(test)]
mod testing;
pub mod usage;
mod wire;

pub use config::{GatewayConfig, ProviderConfig};
pub use control::{ControlError, Gateway, SpawnConfig};
pub use process::{RunError, main, run};
pub use protocol::{CONTROL_PROTOCOL, Hello, MachineEntry, ProviderTest};
pub use secret::Secret;
