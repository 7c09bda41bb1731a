//! A machine that is another server's: what is said to who asks for it here.

use crate::api_error::{ApiError, Code};

/// The machine of a project is another server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// That server's address, when it is known.
    pub(super) url: Option<String>,
    pub(crate) is_alive: bool,
}

impl Elsewhere {
    /// What is said to who asks for the machine here.
    pub(crate) fn refusal(&self) -> ApiError {
        let at = self.url.as_deref().unwrap_or("an address that is not known");
        if self.is_alive {
            let message = format!(
                "this project's machine is on another server: ask that one, at {at}. Runs can be asked for and \
                 followed here too"
            );
            return ApiError::new(Code::OtherHost, message);
        }
        ApiError::new(Code::WaitingHost, self.away())
    }

    /// That server's address, when it is known.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Why its machine cannot be had.
    pub(crate) fn away(&self) -> String {
        let at = self.url.as_deref().unwrap_or("an address that is not known");
        format!(
            "this project's machine is on the server at {at}, which does not answer: its work goes on when that \
             server is back"
        )
    }
}
