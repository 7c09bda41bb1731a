//! What a program is told of a call that may not go out: the budget is spent, or held, or cannot be
//! written down.

use crate::{
    api_error::{ApiError, Code},
    records::ledger::Refused,
};
use std::time::Duration;

/// How long to wait for calls that have reserved what is left.
const RESERVED_WAIT: Duration = Duration::from_secs(2);

pub(super) fn refusal(refused: &Refused) -> ApiError {
    match refused {
        Refused::Disk => ApiError::new(
            Code::DiskFull,
            "This call was not made, because what it will cost could not be written down. Make \
             room on the disk of the server's data folder, then try again.",
        ),
        Refused::Spent { scope, spent, bound } => {
            let (which, raise) = scope.words();
            let message = format!(
                "{} is spent: {} of {}. To go on, raise it ({raise}).",
                capital(which),
                dollars(*spent),
                dollars(*bound)
            );
            ApiError::new(Code::BudgetSpent, message)
        }
        Refused::Reserved { scope } => {
            let (which, _) = scope.words();
            let message = format!(
                "What is left of {which} is reserved for calls under way: ask again when they have ended."
            );
            ApiError::new(Code::BudgetReserved, message).retry_after(RESERVED_WAIT)
        }
    }
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `US$ 12.50`; small sums keep their digits: `US$ 0.0023`.
fn dollars(nanos: u64) -> String {
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if whole > 0 {
        format!("US$ {whole}.{:02}", part / 10_000_000)
    } else {
        format!("US$ 0.{:04}", part / 100_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_told_in_dollars() {
        for (nanos, want) in [
            (0, "US$ 0.0000"),
            (2_310_000, "US$ 0.0023"),
            (999_999_999, "US$ 0.9999"),
            (12_509_999_999, "US$ 12.50"),
        ] {
            assert_eq!(dollars(nanos), want);
        }
        assert_eq!(capital("the budget"), "The budget");
    }
}
