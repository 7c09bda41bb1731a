//! What a run costs, by the table of prices. A model that is not there costs nobody knows what.

use toft_store::{ModelPrice, RunCost, RunUsage};

/// The price of tokens.
pub(super) fn cost(usage: RunUsage, price: &ModelPrice) -> RunCost {
    let cached = usage.cached_input.min(usage.input);
    let hidden = usage.reasoning_output.min(usage.output);
    let parts = [
        (usage.input - cached, price.input),
        (cached, price.cached_input.unwrap_or(price.input)),
        (usage.output - hidden, price.output),
        (hidden, price.reasoning_output.unwrap_or(price.output)),
    ];
    let sum: u128 =
        parts.iter().map(|(tokens, per_1k)| u128::from(*tokens) * u128::from(*per_1k)).sum();
    RunCost {
        nanos: u64::try_from(sum / 1_000).unwrap_or(u64::MAX),
        currency: price.currency.clone(),
        version: price.version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_token_has_its_price() {
        let price = ModelPrice {
            provider: "openai".into(),
            model: "gpt-5".into(),
            currency: "USD".into(),
            input: 10_000_000,
            output: 30_000_000,
            cached_input: Some(1_000_000),
            reasoning_output: None,
            version: "seed:v1".into(),
            is_active: true,
            updated_at: 0,
        };
        let usage =
            RunUsage { input: 3_000, output: 1_000, cached_input: 1_000, reasoning_output: 400 };
        // 2 x 0.01 + 1 x 0.001 + 1 x 0.03
        assert_eq!(cost(usage, &price).nanos, 51_000_000);
        let dear = ModelPrice { reasoning_output: Some(50_000_000), cached_input: None, ..price };
        // 3 x 0.01 + 0.6 x 0.03 + 0.4 x 0.05
        assert_eq!(cost(usage, &dear).nanos, 68_000_000);
        let odd = RunUsage { cached_input: 9, reasoning_output: 9, ..RunUsage::default() };
        assert_eq!(cost(odd, &dear).nanos, 0);
        let all = RunUsage { input: u64::MAX, output: u64::MAX, ..RunUsage::default() };
        assert_eq!(cost(all, &dear).nanos, u64::MAX);
    }
}
