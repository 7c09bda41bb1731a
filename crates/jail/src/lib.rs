//! Confine this process, then exec: namespaces, id maps, mounts, capabilities, seccomp. Also the
//! few kernel calls that have no safe wrapper elsewhere (loop devices, btrfs subvolumes).
//! Synchronous and small; the only crate with `unsafe`. Knows nothing of projects, of what runs
//! inside, or of where disks come from.
//!
//! The launcher is a process of its own: `machine` starts the binary as `toft __launch 0` with one
//! end of a socket as standard input, sends a [`spec::Spec`], and reads [`spec::Report`]s.

pub mod btrfs;
mod caps;
pub mod child;
pub mod contained;
pub mod copy;
mod failure;
mod handover;
mod ids;
mod inside;
pub mod launch;
pub mod loader;
pub mod loopdev;
mod mounts;
mod net;
pub mod open_files;
pub mod pages;
pub mod quota;
mod seccomp;
pub mod spec;
mod sys;
pub mod tree;
pub mod wire;

pub use caps::hand_on_nothing;
pub use seccomp::no_more_code;
