//! What a call cost.

use toft_model::{
    message::{Cost, Usage},
    provider::Price,
};

/// Prices are for this many tokens.
const PRICED_TOKENS: f64 = 1_000_000.0;

/// Money for `usage`, in US dollars.
pub fn cost(price: &Price, usage: &Usage) -> Cost {
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    let of = |tokens: u64, dollars: f64| tokens as f64 * dollars / PRICED_TOKENS;
    let input = of(usage.input, price.input);
    let output = of(usage.output, price.output);
    let cache_read = of(usage.cache_read, price.cache_read);
    let cache_write = of(usage.cache_write, price.cache_write);
    Cost {
        input,
        output,
        cache_read,
        cache_write,
        total: input + output + cache_read + cache_write,
    }
}

/// Picodollars in a nanodollar.
const PICOS: u128 = 1_000;

/// Money for a call in billionths of a US dollar, to be added up without losses. Prices are taken to
/// the millionth of a dollar per million tokens, and the sum is rounded once.
pub fn cost_nanos(price: &Price, tokens: &Usage) -> u64 {
    // A dollar per million tokens is a million picodollars per token.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "prices are small; what is below zero, or no number, becomes 0"
    )]
    let picos = |dollars: f64| (dollars * PRICED_TOKENS).round() as u64;
    let of = |tokens: u64, dollars: f64| u128::from(tokens) * u128::from(picos(dollars));
    let sum = of(tokens.input, price.input)
        + of(tokens.output, price.output)
        + of(tokens.cache_read, price.cache_read)
        + of(tokens.cache_write, price.cache_write);
    u64::try_from((sum + PICOS / 2) / PICOS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_tokens_cost_the_price() {
        let price = Price { input: 3.0, output: 15.0, cache_read: 0.3, cache_write: 3.75 };
        let usage =
            Usage { input: 1_000_000, output: 500_000, cache_read: 1_000_000, ..Usage::default() };
        let cost = cost(&price, &usage);
        assert!((cost.total - 10.8).abs() < 1e-9, "{cost:?}");
        assert_eq!(cost_nanos(&price, &usage), 10_800_000_000);
    }

    #[test]
    fn small_change_adds_up_exactly() {
        let price = Price { input: 0.075, output: 0.3, cache_read: 0.01875, cache_write: 0.0 };
        let usage = Usage { input: 1, cache_read: 2, ..Usage::default() };
        // 75 and 37.5 billionths: rounded once.
        assert_eq!(cost_nanos(&price, &usage), 113);
        let calls = Usage { input: 1_000, cache_read: 2_000, ..Usage::default() };
        assert_eq!(cost_nanos(&price, &calls), 112_500);
        let many = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        let dear = Price { input: 1e6, output: 1e6, cache_read: 0.0, cache_write: 0.0 };
        assert_eq!(cost_nanos(&dear, &many), u64::MAX);
        let odd = Price { input: -1.0, output: f64::NAN, cache_read: 0.0, cache_write: 0.0 };
        assert_eq!(cost_nanos(&odd, &many), 0);
    }
}
