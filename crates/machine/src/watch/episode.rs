//! When something that goes on happening is said again.

use std::time::{Duration, Instant};

/// Quiet for so long, the next time is a new one: a build that is tried again counts, a program
/// that a loop starts again does not.
const QUIET: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Episode {
    /// When it happened last, and at which limit.
    last: Option<(Instant, Option<u64>)>,
}

impl Episode {
    /// It happened at this limit; whether it is to be said. At another limit it is another matter.
    pub(super) fn begins(&mut self, now: Instant, limit: Option<u64>) -> bool {
        let is_same = self.last.is_some_and(|(_, at)| at == limit);
        let goes_on = self.is_on(now) && is_same;
        self.last = Some((now, limit));
        !goes_on
    }

    /// Whether it happened just now.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.last.is_some_and(|(last, _)| now.saturating_duration_since(last) < QUIET)
    }
}

/// The limit that was reached, of the one in force now and the one at the look before: a limit that is
/// above all that was ever in use was not. `slack`: how far below it is as good as reached.
pub(super) fn reached(
    now: Option<u64>,
    before: Option<u64>,
    peak: Option<u64>,
    slack: u64,
) -> Option<u64> {
    let fits = |limit: &u64| peak.is_none_or(|peak| limit.saturating_sub(slack) <= peak);
    now.filter(fits).or(before.filter(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once_and_again_after_a_while_or_at_another_limit() {
        let (mut episode, start) = (Episode::default(), Instant::now());
        let said: Vec<bool> = [(0, 5), (1, 5), (9, 5), (18, 5), (29, 5), (30, 6), (31, 6)]
            .map(|(s, limit)| episode.begins(start + Duration::from_secs(s), Some(limit)))
            .into();
        assert_eq!(said, [true, false, false, false, true, true, false]);
    }

    #[test]
    fn a_limit_that_was_never_in_reach_was_not_reached() {
        for (now, before, peak, expected) in [
            (Some(60), Some(60), Some(60), Some(60)),
            // Raised, or lifted, since.
            (Some(100), Some(60), Some(60), Some(60)),
            (None, Some(60), Some(60), Some(60)),
            // Lowered below what was in use.
            (Some(20), Some(100), Some(80), Some(20)),
            // Lowered and raised again between two looks: nobody knows to what.
            (Some(100), Some(100), Some(30), None),
            (Some(100), Some(60), None, Some(100)),
            (None, None, Some(9), None),
        ] {
            assert_eq!(reached(now, before, peak, 0), expected, "{now:?} {before:?} {peak:?}");
        }
        assert_eq!(reached(Some(64), None, Some(60), 4), Some(64));
    }
}
