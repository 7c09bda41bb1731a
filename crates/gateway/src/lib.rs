//! The way out of a machine, as a process of its own: model calls with keys added outside, the
//! egress proxy, metering. Holds every provider key, in memory only. One per data folder; outlives
//! the server and is adopted by the next one.
//!
//! The server uses [`control`], [`usage`] and [`egress_log`]; the binary calls [`main`].

mod accept;
mod api_error;
pub mod brokered;
mod bucket;
mod circuit;
pub mod config;
pub mod control;
mod direct;
mod doors;
mod egress;
pub mod egress_log;
pub mod folder;
mod held;
mod hop_by_hop;
mod journal;
mod judge;
mod ledger;
mod listen;
mod machine;
mod meter;
mod models;
mod outside;
mod pace;
mod process;
pub mod protocol;
mod provider;
mod resolve;
mod secret_text;
mod spawn;
mod state;
mod tap;
#[cfg(test)]
mod testing;
mod understood;
mod upstream;
pub mod usage;
mod wire;

pub use brokered::{Brokered, BrokeredSecret};
pub use config::{GatewayConfig, ProviderConfig};
pub use control::{ControlError, Gateway};
pub use process::{RunError, main, run};
pub use protocol::{CONTROL_PROTOCOL, Hello, MachineEntry, ProviderTest, Reach};
pub use spawn::SpawnConfig;
pub use toft_vault::Secret;
