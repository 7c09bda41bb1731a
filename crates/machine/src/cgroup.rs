//! Control groups of machines: which controllers this host lets us use and how, one group per
//! machine, limits on its `work` part only. v2 where controllers are delegated, else v1 per
//! controller; a v2 group without controllers still keeps a machine's processes together. Below
//! `work` each program has a group of its own, so that ending it ends all that it started.

mod clear;
mod contained;
mod detect;
mod enforced;
mod freeze;
mod group;
mod groups;
mod hold;
#[cfg(test)]
mod layouts;
mod limits;
mod programs;

pub(crate) use contained::ContainedGroup;
pub(crate) use detect::{CgroupHost, Way};
pub(crate) use enforced::limits;
pub(crate) use freeze::Paused;
pub(crate) use group::MachineGroup;
pub(crate) use groups::{Groups, procs_below};
pub(crate) use programs::Programs;
