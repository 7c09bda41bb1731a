//! Machines as containers of a real Podman on this host: that they live, keep, fork and end as those
//! of `native` do, and what they leave with the engine. Where the host has no Podman it is said and
//! skipped.

#![expect(clippy::unwrap_used, reason = "tests: a panic is the answer")]

mod away;
mod hits;
mod images;
mod lab;
mod life;
mod podman;
mod refused;
mod steps;
