//! When something that goes on happening is said again.

use std::time::{Duration, Instant};

/// Quiet for so long, the next time is a new one: a build that is tried again counts, a program
/// that a loop starts again does not.
const QUIET: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Episode {
    last: Option<Instant>,
}

impl Episode {
    /// It happened; whether it is to be said.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let is_on = self.is_on(now);
        self.last = Some(now);
        !is_on
    }

    /// Whether it happened just now.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once_and_again_after_a_while() {
        let (mut episode, start) = (Episode::default(), Instant::now());
        let said: Vec<bool> =
            [0, 1, 9, 18, 29].map(|s| episode.begins(start + Duration::from_secs(s))).into();
        assert_eq!(said, [true, false, false, false, true]);
    }
}
