//! What a container is made of, whoever is to start in it.

use crate::binary::Seen;
use std::{collections::HashMap, path::Path};
use toft_model::machine::Limits;

/// See the module.
pub(super) struct Plan<'a> {
    pub(super) hostname: String,
    /// Folder `rootfs` of a disk.
    pub(super) root: &'a Path,
    /// What init and bridge are run with.
    pub(super) binary: &'a Seen,
    /// Where sockets, seat and files for `/etc` lie.
    pub(super) run: &'a Path,
    /// Shown at `/var/lib/toft`.
    pub(super) log: Option<&'a Path>,
    /// Whether init and bridge write there by a descriptor, and nobody by the path.
    pub(super) log_is_handed: bool,
    pub(super) limits: &'a Limits,
    pub(super) labels: HashMap<String, String>,
}
