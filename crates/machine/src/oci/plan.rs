//! What a container is made of, whoever is to start in it.

use std::{collections::HashMap, path::Path};
use toft_model::machine::Limits;

/// See the module.
pub(super) struct Plan<'a> {
    pub(super) hostname: String,
    /// Folder `rootfs` of a disk.
    pub(super) root: &'a Path,
    /// Where sockets, seat and files for `/etc` lie.
    pub(super) run: &'a Path,
    /// Shown at `/var/lib/toft`.
    pub(super) log: Option<&'a Path>,
    pub(super) limits: &'a Limits,
    pub(super) labels: HashMap<String, String>,
}
