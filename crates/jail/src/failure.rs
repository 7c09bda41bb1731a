//! A step of a launch that failed, and how the caller hears of it.

use crate::spec::Report;
use std::io;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {step}: {why}")]
pub(crate) struct Failure {
    step: &'static str,
    why: io::Error,
}

impl Failure {
    pub(crate) fn report(&self) -> Report {
        Report::Failed {
            step: self.step.to_owned(),
            why: self.why.to_string(),
            errno: self.why.raw_os_error(),
        }
    }
}

/// For `map_err`: names the step, which reads after "could not".
pub(crate) fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Failure {
    move |why| Failure { step, why: why.into() }
}
