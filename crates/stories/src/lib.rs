//! The system told as user stories: a server started as a person would start it, a fake model
//! provider that judges every request, and eyes on the processes. Nothing depends on it; the
//! stories themselves are in `tests/`.

pub mod abilities;
pub mod browser;
pub mod collector;
pub mod e2b;
pub mod https;
pub mod internet;
mod made;
pub mod mounts;
pub mod peers;
pub mod podman;
pub mod ports;
pub mod processes;
pub mod provider;
pub mod runs;
pub mod scan;
pub mod servers;
pub mod session;
pub mod toft;
pub mod user;

pub use toft_lane as lane;
