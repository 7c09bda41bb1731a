//! `workspaceBackend`: what a client expects a project's machine to be made with.

use crate::api_error::{ApiError, Code};

/// Backends of other servers.
const BACKENDS: [&str; 3] = ["native", "oci", "host"];
/// The source's, which no server has.
const E2B: &str = "e2b";

/// Whether a project's machine is what the request asks for. It is that of its server, and stays so.
pub(super) fn is_there(own: &str, asked: &str) -> Result<(), ApiError> {
    if asked == own {
        return Ok(());
    }
    if asked == E2B {
        return Err(ApiError::new(
            Code::Unavailable,
            format!(
                "workspaceBackend: this server makes no machines at E2B; leave it out, or say {own}, and the run works in \
                 the project's own machine"
            ),
        ));
    }
    if BACKENDS.contains(&asked) {
        return Err(ApiError::new(
            Code::Unavailable,
            format!(
                "workspaceBackend: the project's machine is made with {own}, as all of this server; leave it out, or use \
                 a server that was started with --backend {asked}"
            ),
        ));
    }
    Err(ApiError::invalid(format!(
        "workspaceBackend is native, oci, host or e2b; this server has {own}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_the_project_has_not_is_told_from_one_that_there_is_not() {
        let code = |own: &str, asked: &str| is_there(own, asked).err().map(|error| error.code);
        for own in BACKENDS {
            for asked in BACKENDS {
                assert_eq!(
                    code(own, asked),
                    (own != asked).then_some(Code::Unavailable),
                    "{own} {asked}"
                );
            }
            assert_eq!(code(own, E2B), Some(Code::Unavailable));
            for odd in ["moon", "", "Native", "kubernetes"] {
                assert_eq!(code(own, odd), Some(Code::InvalidArgument), "{odd}");
            }
        }
    }
}
