//! The way out of a machine, as a process of its own: model calls with keys added outside, the
//! egress proxy, metering. Holds every provider key, in memory only. One per data folder; outlives
//! the server and is adopted by the next one.
//!
//! The server uses [`control`], [`records`]; the binary calls [`main`].

mod accept;
mod api_error;
pub mod brokered;
mod circuit;
pub mod config;
pub mod control;
mod direct;
mod doors;
mod egress;
pub mod folder;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hop_by_hop;
mod judge;
mod limits;
mod lingering;
mod listen;
mod machine;
mod meter;
mod model_thread;
mod models;
mod needles;
mod outside;
mod process;
mod provider;
pub mod records;
mod resolve;
mod secret_text;
mod signature;
mod state;
mod tap;
#[cfg(test)]
mod testing;
mod understood;
mod upstream;

pub use brokered::{Brokered, BrokeredSecret};
pub use config::{GatewayConfig, ProviderConfig};
pub use control::fetch::{Fetch, Fetched};
pub use control::protocol::{CONTROL_PROTOCOL, Hello, MachineEntry, ProviderTest, Reach};
pub use control::spawn::SpawnConfig;
pub use control::{ControlError, Gateway};
pub use lingering::Lingering;
pub use outside::PROJECT_HEADER;
pub use process::{RunError, main, run};
pub use toft_vault::Secret;
