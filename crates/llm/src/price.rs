//! What a call cost.

use crate::usage;
use toft_model::{
    message::{Cost, Usage},
    provider::Price,
};

/// Prices are for this many tokens.
const PRICED_TOKENS: f64 = 1_000_000.0;

/// Money for `usage`, in US dollars.
pub fn cost(price: &Price, usage: &Usage) -> Cost {
    let price = price.at(usage::prompt(usage));
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    let of = |tokens: u64, dollars: f64| tokens as f64 * dollars / PRICED_TOKENS;
    let [thought, said] = written(usage);
    let input = of(usage.input, price.input);
    let output = of(said, price.output) + of(thought, price.reasoning.unwrap_or(price.output));
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

/// Tokens of thinking, and the rest of the output.
fn written(usage: &Usage) -> [u64; 2] {
    let thought = usage.reasoning.unwrap_or_default().min(usage.output);
    [thought, usage.output - thought]
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
    let price = price.at(usage::prompt(tokens));
    let of = |tokens: u64, dollars: f64| u128::from(tokens) * u128::from(picos(dollars));
    let [thought, said] = written(tokens);
    let sum = of(tokens.input, price.input)
        + of(said, price.output)
        + of(thought, price.reasoning.unwrap_or(price.output))
        + of(tokens.cache_read, price.cache_read)
        + of(tokens.cache_write, price.cache_write);
    u64::try_from((sum + PICOS / 2) / PICOS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_model::provider::PriceAbove;

    fn price(input: f64, output: f64, cache_read: f64, cache_write: f64) -> Price {
        Price { input, output, cache_read, cache_write, ..Price::default() }
    }

    #[test]
    fn long_prompts_and_thinking_have_prices_of_their_own() {
        let above = PriceAbove {
            tokens: 200_000,
            input: 2.0,
            output: 20.0,
            cache_read: 0.2,
            cache_write: 2.0,
        };
        let price =
            Price { reasoning: Some(40.0), above: Some(above), ..price(1.0, 10.0, 0.1, 1.0) };
        let mut usage = Usage { input: 100_000, cache_read: 100_000, ..Usage::default() };
        (usage.output, usage.reasoning) = (1_000, Some(400));
        // 100,000 × 1 + 100,000 × 0.1 + 600 × 10 + 400 × 40.
        assert_eq!(cost_nanos(&price, &usage), 132_000_000);
        assert!((cost(&price, &usage).total - 0.132).abs() < 1e-12);
        usage.input += 1;
        // 100,001 × 2 + 100,000 × 0.2 + 1,000 × 20.
        assert_eq!(cost_nanos(&price, &usage), 240_002_000);
        // No provider thinks more than it writes; one that says so is not believed.
        let odd = Usage { output: 5, reasoning: Some(9), ..Usage::default() };
        assert_eq!(cost_nanos(&price, &odd), 200_000);
    }

    #[test]
    fn a_million_tokens_cost_the_price() {
        let price = price(3.0, 15.0, 0.3, 3.75);
        let usage =
            Usage { input: 1_000_000, output: 500_000, cache_read: 1_000_000, ..Usage::default() };
        let cost = cost(&price, &usage);
        assert!((cost.total - 10.8).abs() < 1e-9, "{cost:?}");
        assert_eq!(cost_nanos(&price, &usage), 10_800_000_000);
    }

    #[test]
    fn small_change_adds_up_exactly() {
        let price = price(0.075, 0.3, 0.01875, 0.0);
        let usage = Usage { input: 1, cache_read: 2, ..Usage::default() };
        // 75 and 37.5 billionths: rounded once.
        assert_eq!(cost_nanos(&price, &usage), 113);
        let calls = Usage { input: 1_000, cache_read: 2_000, ..Usage::default() };
        assert_eq!(cost_nanos(&price, &calls), 112_500);
        let many = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        let dear = self::price(1e6, 1e6, 0.0, 0.0);
        assert_eq!(cost_nanos(&dear, &many), u64::MAX);
        let odd = self::price(-1.0, f64::NAN, 0.0, 0.0);
        assert_eq!(cost_nanos(&odd, &many), 0);
    }
}
