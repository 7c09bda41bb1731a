//! Programs that only read: whether there can be any, and what their environment is. The walls are the
//! launcher's and `toft_jail::child`'s.

use super::{Init, Refusal};
use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

/// Where caches go that programs would else keep in a home that they cannot write to.
const CACHE: (&str, &str) = ("XDG_CACHE_HOME", "/tmp/.cache");

/// Folders that are other ones for them.
const OTHER: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// The mounts that such a program is started in.
pub(super) fn mounts(init: &Init) -> Result<BorrowedFd<'_>, Refusal> {
    init.read_only.as_ref().map(|fd| fd.as_fd()).ok_or_else(|| {
        Refusal::new(
            "not_read_only",
            "this machine cannot run programs that only read: its backend or kernel cannot make the \
             read-only mounts for them"
                .to_owned(),
        )
    })
}

/// The environment without what lets a program act through the bridge, which may write: the project
/// token, under whatever name.
pub(super) fn environment(init: &Init, env: Vec<(String, String)>) -> Vec<(String, String)> {
    let token = &init.bridge_boot.token;
    let cache = (CACHE.0.to_owned(), CACHE.1.to_owned());
    // What somebody sets wins.
    std::iter::once(cache)
        .chain(env)
        .filter(|(_, value)| token.is_empty() || !value.contains(token.as_str()))
        .collect()
}

/// Whether this folder is another one for them.
pub(super) fn is_other(folder: &Path) -> bool {
    OTHER.iter().any(|other| folder.starts_with(other))
}
