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
    fn chance_stays_below_one() {
        for _ in 0..100 {
            assert!((0.0..1.0).contains(&chance()));
        }
    }
}
