//! When to ask again after a failure: a pure policy. Waiting and asking is the agent's.

use crate::ask::{ModelFailure, Retry};
use std::time::Duration;

/// Retries after the first try (Pi: 3).
pub const RETRIES_MAX: u32 = 3;

/// First wait; doubles with each retry (Pi: 2 s).
pub const BASE_DELAY: Duration = Duration::from_secs(2);

/// Longest wait, also when the provider names one: who must wait longer should be told instead
/// (Pi: 60 s).
pub const DELAY_MAX: Duration = Duration::from_mins(1);

/// Share of a wait that chance may add, so that many sessions do not ask in the same moment.
const JITTER_SHARE: f64 = 0.25;

/// How long to wait before retry number `attempt` (1 is the first); `None`: give up. `chance` is in
/// `0.0..1.0`, see [`chance`].
pub fn delay(failure: &ModelFailure, attempt: u32, chance: f64) -> Option<Duration> {
    if attempt == 0 || attempt > RETRIES_MAX {
        return None;
    }
    let backoff = (BASE_DELAY * 2u32.pow(attempt - 1))
        .mul_f64(1.0 + JITTER_SHARE * chance.clamp(0.0, 1.0))
        .min(DELAY_MAX);
    match failure.retry {
        Retry::Never => None,
        Retry::Backoff => Some(backoff),
        Retry::After(asked) if asked > DELAY_MAX => None,
        Retry::After(asked) => Some(asked.max(BASE_DELAY.min(backoff)).min(DELAY_MAX)),
    }
}

/// Longest wait of work that nobody watches, while a provider is down: it goes on this long after that is back, at most.
pub const PATIENCE_MAX: Duration = Duration::from_mins(5);

/// How long work that nobody watches waits once [`delay`] has given up, for the `waited`th time (1 is the first); `None`:
/// waiting is of no use.
pub fn patience(failure: &ModelFailure, waited: u32, chance: f64) -> Option<Duration> {
    let next = BASE_DELAY * 2u32.pow(RETRIES_MAX.saturating_add(waited.saturating_sub(1)).min(16));
    let wait = match failure.retry {
        Retry::Never => return None,
        Retry::Backoff => next,
        Retry::After(asked) => asked.max(BASE_DELAY),
    };
    Some(wait.min(PATIENCE_MAX).mul_f64(1.0 + JITTER_SHARE * chance.clamp(0.0, 1.0)))
}

/// A random number in `0.0..1.0` for [`delay`].
pub fn chance() -> f64 {
    let hex = toft_model::id::random_hex(2);
    f64::from(u16::from_str_radix(&hex, 16).unwrap_or_default()) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(retry: Retry, attempt: u32, chance: f64, expected_ms: Option<u64>) {
        let failure = ModelFailure { code: "x".into(), message: "x".into(), retry };
        assert_eq!(
            delay(&failure, attempt, chance),
            expected_ms.map(Duration::from_millis),
            "{retry:?} {attempt} {chance}"
        );
    }

    #[test]
    fn waits_double_and_end_after_three() {
        check(Retry::Backoff, 1, 0.0, Some(2_000));
        check(Retry::Backoff, 2, 0.0, Some(4_000));
        check(Retry::Backoff, 3, 0.0, Some(8_000));
        check(Retry::Backoff, 3, 1.0, Some(10_000));
        check(Retry::Backoff, 4, 0.0, None);
        check(Retry::Backoff, 0, 0.0, None);
    }

    #[test]
    fn the_providers_wish_is_honoured_up_to_a_minute() {
        check(Retry::After(Duration::from_secs(7)), 1, 0.5, Some(7_000));
        check(Retry::After(Duration::ZERO), 1, 0.0, Some(2_000));
        check(Retry::After(Duration::from_mins(1)), 3, 0.0, Some(60_000));
        check(Retry::After(Duration::from_secs(61)), 1, 0.0, None);
        check(Retry::Never, 1, 0.0, None);
    }

    #[test]
    fn work_that_nobody_watches_waits_on_but_not_for_what_stays_refused() {
        let check = |retry: Retry, waited: u32, expected_s: Option<u64>| {
            let failure = ModelFailure { code: "x".into(), message: "x".into(), retry };
            let expected = expected_s.map(Duration::from_secs);
            assert_eq!(patience(&failure, waited, 0.0), expected, "{retry:?} {waited}");
        };
        check(Retry::Backoff, 1, Some(16));
        check(Retry::Backoff, 2, Some(32));
        check(Retry::Backoff, 9, Some(300));
        check(Retry::Backoff, u32::MAX, Some(300));
        check(Retry::After(Duration::from_secs(7)), 5, Some(7));
        check(Retry::After(Duration::from_hours(2)), 1, Some(300));
        check(Retry::Never, 1, None);
    }

    #[test]
    fn chance_stays_below_one() {
        for _ in 0..100 {
            assert!((0.0..1.0).contains(&chance()));
        }
    }
}
