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
    }
}
