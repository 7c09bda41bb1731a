//! Init as the first process of a container that an engine has made (backend `oci`): nobody has
//! given it descriptors, so it takes them from the host first, by a socket that is shown inside.

use super::InitFailed;
use std::path::Path;
use toft_jail::{contained, spec::FD_BOOT};

/// Takes its seat at `socket`, then is init. Must be called on the main thread before any other
/// thread is started.
pub fn main(socket: &Path) -> Result<(), InitFailed> {
    contained::take(socket)
        .map_err(|source| InitFailed::Step { what: "its place in the container", source })?;
    super::main(FD_BOOT)
}
