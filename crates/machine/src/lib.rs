//! Machines: one trait, and a backend per way of making them. `native` is made of namespaces and
//! needs nothing installed; `host` is a plain folder without a sandbox. Knows nothing of HTTP
//! routes, sessions or models.

pub mod backend;
mod begin;
mod boot;
mod cgroup;
mod diff;
mod folders;
pub mod host;
mod image;
pub mod init_client;
mod inside;
mod launcher;
pub mod native;
mod procs;
mod running;
mod slots;
mod state;
mod storage;
mod turns;
