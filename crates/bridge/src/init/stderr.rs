//! Standard error of init's own children.

use std::{fs::File, io, os::fd::OwnedFd};

/// Where init's own log goes; that of its own children goes there too.
pub(super) fn own() -> io::Result<OwnedFd> {
    match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3) {
        Ok(fd) => Ok(fd),
        Err(_) => Ok(File::options().write(true).open("/dev/null")?.into()),
    }
}
