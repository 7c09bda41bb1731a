//! What a model call costs, and what it may well cost before it has gone out. By the catalogue of
//! today; who holds budgets to it is the ledger.

use crate::{meter::Tokens, provider::Provider};
use toft_llm::price;
use toft_model::message::Usage;

/// Bytes of a body of which nothing was said: a conversation of some length.
const BYTES_UNSAID: u64 = 64 << 10;

/// Bytes that make a token, on the dear side.
const BYTES_PER_TOKEN: u64 = 3;

/// Tokens that most answers stay below. With what a model may write at most, a budget would be reserved
/// by a few calls that cost a hundredth of it.
const OUTPUT_RESERVED: u64 = 4_096;

/// What such a call may well cost; 0 where no price of the provider is known.
pub(super) fn estimate(provider: &Provider, model: Option<&str>, bytes: Option<u64>) -> u64 {
    // A model that is not known has no name that is listed.
    let info = provider.model(model.unwrap_or_default());
    let Some(price) = &provider.cautious_price(model) else { return 0 };
    let input = bytes.unwrap_or(BYTES_UNSAID) / BYTES_PER_TOKEN;
    let usage = Usage {
        input: input.min(info.context_window),
        output: OUTPUT_RESERVED.min(info.max_tokens),
        ..Usage::default()
    };
    price::cost_nanos(price, &usage)
}

/// Billionths of a dollar, by today's catalogue. `models`: as the provider named it, then as it was
/// asked for; providers answer with dated names that no list has, and charge what was asked for.
pub(super) fn cost(provider: &Provider, models: [Option<&str>; 2], tokens: Tokens) -> Option<u64> {
    let price = models.into_iter().flatten().find_map(|model| provider.model(model).price)?;
    Some(price::cost_nanos(&price, &usage(tokens)?))
}

/// The same at the price to reckon with where none is known: never too little.
pub(super) fn likeliest(
    provider: &Provider,
    models: [Option<&str>; 2],
    tokens: Tokens,
) -> Option<u64> {
    cost(provider, models, tokens).or_else(|| {
        let model = models.into_iter().flatten().next();
        let price = provider.cautious_price(model)?;
        Some(price::cost_nanos(&price, &usage(tokens)?))
    })
}

/// `None` when nothing was reported.
fn usage(tokens: Tokens) -> Option<Usage> {
    Some(Usage {
        input: tokens.input?,
        // Embeddings write none, and say nothing of it.
        output: tokens.output.unwrap_or(0),
        cache_read: tokens.cache_read.unwrap_or(0),
        cache_write: tokens.cache_write.unwrap_or(0),
        reasoning: tokens.reasoning,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderConfig;
    use toft_llm::catalogue;
    use toft_model::provider::{Api, ModelInfo, Price};

    fn provider(id: &str) -> Provider {
        let api = Some(Api::OpenaiCompletions);
        Provider::new(&ProviderConfig { id: id.into(), api, ..Default::default() }).unwrap()
    }

    #[test]
    fn what_a_person_tells_of_a_price_counts() {
        let model = |id: &str, price: Option<f64>| ModelInfo {
            price: price.map(|input| Price { input, output: input, ..Price::default() }),
            ..catalogue::unlisted_model("mine", Api::OpenaiCompletions, id)
        };
        let with = |id: &str, models| {
            let api = Some(Api::OpenaiCompletions);
            let config = ProviderConfig { id: id.into(), api, models, ..Default::default() };
            Provider::new(&config).unwrap()
        };
        let tokens = Tokens { input: Some(10), output: Some(20), ..Tokens::default() };
        let of = |provider: &Provider, model| cost(provider, [Some(model), None], tokens);
        let mine = with("mine", vec![model("a", Some(2.0)), model("b", None)]);
        assert_eq!(of(&mine, "a"), Some(60_000));
        assert_eq!(of(&mine, "b"), None, "never a guess");
        assert_eq!(likeliest(&mine, [Some("b"), None], tokens), Some(60_000), "but held to");
        let known = "claude-haiku-4-5";
        assert!(of(&provider("anthropic"), known).unwrap() > 60_000);
        assert_eq!(of(&with("anthropic", vec![model(known, Some(2.0))]), known), Some(60_000));
        assert_eq!(of(&with("anthropic", vec![model(known, None)]), known), None);
        assert!(of(&with("anthropic", vec![model("new", Some(2.0))]), known).unwrap() > 60_000);
    }

    fn check(
        provider: &str,
        models: [Option<&str>; 2],
        tokens: [Option<u64>; 4],
        want: Option<u64>,
    ) {
        let [input, output, cache_read, cache_write] = tokens;
        let tokens = Tokens { input, output, cache_read, cache_write, reasoning: None };
        let got = cost(&self::provider(provider), models, tokens);
        assert_eq!(got, want, "{provider} {models:?} {tokens:?}");
    }

    #[test]
    fn what_is_reserved_is_what_such_a_call_may_well_cost() {
        let of = |model, bytes| estimate(&provider("anthropic"), model, bytes);
        let small = of(Some("claude-haiku-4-5"), Some(300));
        assert!(small > 0 && of(Some("claude-haiku-4-5"), Some(300_000)) > 2 * small);
        let most = of(Some("claude-haiku-4-5"), Some(u64::MAX));
        assert_eq!(of(Some("claude-haiku-4-5"), Some(32 << 20)), most, "no more than fits");
        assert_eq!(of(Some("claude-haiku-4-5-20990101"), Some(300)), small, "its kin");
        for unknown in [Some("claude-unheard-of"), None] {
            assert!(of(unknown, Some(300)) > small, "the dearest");
        }
        assert_eq!(estimate(&provider("nobody"), None, None), 0);
    }

    #[test]
    fn a_price_is_known_or_it_is_not() {
        let known = Some("claude-haiku-4-5");
        let price = catalogue::model("anthropic", "claude-haiku-4-5").unwrap().price.unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a price")]
        let per_token = |dollars: f64| (dollars * 1_000.0) as u64;
        let want = 10 * per_token(price.input) + 20 * per_token(price.output);
        let both = [Some(10), Some(20), None, None];
        check("anthropic", [known, None], both, Some(want));
        check("anthropic", [Some("claude-haiku-4-5-20990101"), known], both, Some(want));
        check("anthropic", [Some("claude-unheard-of"), None], both, None);
        check("anthropic", [None, None], both, None);
        check("nobody", [known, known], both, None);
        // Nothing was reported: nothing is known, not zero.
        check("anthropic", [known, None], [None; 4], None);
        check("anthropic", [known, None], [None, Some(20), None, None], None);
        check(
            "anthropic",
            [known, None],
            [Some(10), None, None, None],
            Some(10 * per_token(price.input)),
        );
    }
}
