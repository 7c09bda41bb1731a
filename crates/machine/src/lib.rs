//! Machines: one trait, and a backend per way of making them. `native` is made of namespaces and
//! needs nothing installed; `host` is a plain folder without a sandbox, `oci` a container of
//! Podman or Docker, `e2b` a sandbox at E2B. Knows nothing of HTTP routes, sessions or models.

pub mod at_rest;
pub mod backend;
mod begin;
mod binary;
mod blocking;
mod boot;
mod carried;
mod cgroup;
mod contract;
mod diff;
mod disks;
pub mod e2b;
mod error;
mod folders;
mod frozen;
mod full;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod halt;
pub mod host;
mod image;
pub mod images;
pub mod init_client;
mod inside;
mod launcher;
mod limited;
mod loader;
mod machines;
pub mod native;
pub mod oci;
pub mod pieces;
mod places;
mod procs;
pub mod receipts;
mod running;
pub mod service_log;
pub mod several;
mod slots;
mod state;
pub mod steps;
mod still;
mod storage;
pub mod taken;
pub mod tunnel;
mod turns;
mod walls;
mod watch;

pub use places::DIRECT;
