//! What a person or a program is told when something was not done.

/// Code of a server that is not there.
pub(crate) const UNREACHABLE: &str = "unreachable";

/// Code of a change that may have been made all the same.
pub(crate) const OUTCOME_UNKNOWN: &str = "outcome_unknown";

/// The server said no, or is not there.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Stable code.
    pub(crate) code: String,
    /// What happened and what to do.
    pub(crate) message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Refused {}
