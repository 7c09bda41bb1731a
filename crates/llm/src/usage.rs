//! Token counts as providers report them, made comparable. One reader for all formats, for the adapters
//! and for those who watch an answer pass by; each tells itself by its own words:
//!
//! - Anthropic: `input_tokens` without the cached ones; in parts, later ones replace earlier ones.
//! - OpenAI chat: `prompt_tokens` with the cached ones. Groq, Moonshot and DeepSeek have places of
//!   their own for it.
//! - OpenAI responses: `input_tokens` with the cached ones, told by `input_tokens_details`.
//! - Bedrock: `inputTokens` without the cached ones.
//! - Gemini: `usageMetadata`, with the cached ones, thinking apart.

use serde_json::Value;
use toft_model::message::Usage;

/// What was reported last of each kind; `None` is not zero. Counts that are no whole numbers are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read, and not in the provider's cache.
    pub input: Option<u64>,
    /// Written, thinking included.
    pub output: Option<u64>,
    /// Read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Of those written, the ones that only thought.
    pub reasoning: Option<u64>,
}

impl Tokens {
    /// Takes what an answer, or one event of a stream, says of usage, wherever it stands in it. Counts
    /// in streams are running totals in every format.
    pub fn take(&mut self, answer: &Value) {
        // Anthropic's `message_start` and OpenAI's `response.completed` hold them one level down.
        let places = [&answer["message"], &answer["response"], &answer["x_groq"]];
        for place in places.into_iter().chain([&answer["choices"][0], answer]) {
            self.take_usage(&place["usage"]);
            self.take_usage(&place["usageMetadata"]);
        }
    }

    /// Takes an object of counts.
    pub(crate) fn take_usage(&mut self, usage: &Value) {
        let n = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
        if let Some(prompt) = n("/prompt_tokens") {
            let cached = n("/prompt_tokens_details/cached_tokens");
            let cached = cached.or_else(|| n("/prompt_cache_hit_tokens"));
            self.prompt(prompt, cached, n("/prompt_tokens_details/cache_write_tokens"));
            self.output = completion(usage, prompt).or(self.output);
            self.reasoning = n("/completion_tokens_details/reasoning_tokens").or(self.reasoning);
        } else if let Some(prompt) = n("/promptTokenCount") {
            let tools = n("/toolUsePromptTokenCount").unwrap_or_default();
            self.prompt(prompt.saturating_add(tools), n("/cachedContentTokenCount"), None);
        } else if usage.get("input_tokens_details").is_some() {
            let cached = n("/input_tokens_details/cached_tokens");
            let written = n("/input_tokens_details/cache_write_tokens");
            self.prompt(n("/input_tokens").unwrap_or_default(), cached, written);
            self.output = n("/output_tokens").or(self.output);
            self.reasoning = n("/output_tokens_details/reasoning_tokens").or(self.reasoning);
        } else if n("/inputTokens").is_some() {
            self.input = n("/inputTokens");
            self.output = n("/outputTokens").or(self.output);
            self.cache_read = n("/cacheReadInputTokens");
            self.cache_write = n("/cacheWriteInputTokens");
        } else {
            self.input = n("/input_tokens").or(self.input);
            self.output = n("/output_tokens").or(self.output);
            self.cache_read = n("/cache_read_input_tokens").or(self.cache_read);
            self.cache_write = n("/cache_creation_input_tokens").or(self.cache_write);
        }
        // A model may think and then write nothing.
        let written = [n("/candidatesTokenCount"), n("/thoughtsTokenCount")].into_iter().flatten();
        self.output = written.reduce(u64::saturating_add).or(self.output);
        self.reasoning = n("/thoughtsTokenCount").or(self.reasoning);
    }

    /// A prompt's count that holds those of the cache.
    fn prompt(&mut self, prompt: u64, read: Option<u64>, write: Option<u64>) {
        let cached = read.unwrap_or_default().saturating_add(write.unwrap_or_default());
        self.input = Some(prompt.saturating_sub(cached));
        (self.cache_read, self.cache_write) = (read, write);
    }

    /// As messages hold them, without a price.
    pub(crate) fn usage(self) -> Usage {
        let [input, output, cache_read, cache_write] =
            [self.input, self.output, self.cache_read, self.cache_write]
                .map(Option::unwrap_or_default);
        let reasoning = self.reasoning;
        let usage = Usage { input, output, cache_read, cache_write, reasoning, ..Usage::default() };
        Usage { total_tokens: total(&usage), ..usage }
    }
}

/// xAI leaves thinking out of the completion's count; the total tells.
fn completion(usage: &Value, prompt: u64) -> Option<u64> {
    let n = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let completion = n("/completion_tokens")?;
    let thought = n("/completion_tokens_details/reasoning_tokens").unwrap_or_default();
    let both = completion.saturating_add(thought);
    let apart = n("/total_tokens") == Some(prompt.saturating_add(both));
    Some(if apart { both } else { completion })
}

/// Tokens of a prompt, those of the cache included.
pub(crate) fn prompt(usage: &Usage) -> u64 {
    usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write)
}

/// Tokens of all kinds; 0 when none was reported.
pub(crate) fn total(usage: &Usage) -> u64 {
    prompt(usage).saturating_add(usage.output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Input, output, cache read and written, thinking.
    fn check<const N: usize>(answers: &[Value], expected: [Option<u64>; N]) {
        let mut tokens = Tokens::default();
        for answer in answers {
            tokens.take(answer);
        }
        let Tokens { input, output, cache_read, cache_write, reasoning } = tokens;
        let got = [input, output, cache_read, cache_write, reasoning];
        assert_eq!(got[..N], expected, "{answers:?}");
    }

    #[test]
    fn each_format_comes_out_the_same() {
        check(
            &[
                json!({"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1,
                    "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}}}),
                json!({"type": "message_delta", "usage": {"output_tokens": 42}}),
            ],
            [Some(10), Some(42), Some(5), Some(3)],
        );
        check(
            &[json!({"usage": {"prompt_tokens": 18, "completion_tokens": 42,
                "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3}}})],
            [Some(10), Some(42), Some(5), Some(3)],
        );
        check(
            &[json!({"type": "response.completed", "response": {"usage": {"input_tokens": 18,
                "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3}, "output_tokens": 42}}})],
            [Some(10), Some(42), Some(5), Some(3)],
        );
        check(
            &[json!({"usageMetadata": {"promptTokenCount": 9, "toolUsePromptTokenCount": 6,
                "cachedContentTokenCount": 5, "candidatesTokenCount": 40, "thoughtsTokenCount": 2}})],
            [Some(10), Some(42), Some(5), None],
        );
    }

    #[test]
    fn bedrock_counts_without_the_cached_ones() {
        check(
            &[
                json!({"metrics": {}, "usage": {"inputTokens": 10, "outputTokens": 42, "totalTokens": 60,
                "cacheReadInputTokens": 5, "cacheWriteInputTokens": 3}}),
            ],
            [Some(10), Some(42), Some(5), Some(3)],
        );
    }

    #[test]
    fn thinking_is_counted_where_it_is_told() {
        for usage in [
            json!({"usage": {"prompt_tokens": 1, "completion_tokens": 9,
                "completion_tokens_details": {"reasoning_tokens": 4}}}),
            json!({"response": {"usage": {"input_tokens": 1, "input_tokens_details": {}, "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 4}}}}),
            json!({"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 5,
                "thoughtsTokenCount": 4}}),
        ] {
            check(&[usage], [Some(1), Some(9), None, None, Some(4)]);
        }
        check(
            &[json!({"usage": {"input_tokens": 1, "output_tokens": 9}})],
            [Some(1), Some(9), None, None, None],
        );
    }

    #[test]
    fn what_providers_do_differently_comes_out_the_same_too() {
        let plain = json!({"prompt_tokens": 15, "completion_tokens": 2});
        for answer in [json!({"x_groq": {"usage": plain}}), json!({"choices": [{"usage": plain}]})]
        {
            check(&[answer], [Some(15), Some(2), None, None]);
        }
        check(
            &[
                json!({"usage": {"prompt_tokens": 15, "completion_tokens": 2, "prompt_cache_hit_tokens": 15}}),
            ],
            [Some(0), Some(2), Some(15), None],
        );
        let thought = |total: u64| {
            json!({"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": total,
                "completion_tokens_details": {"reasoning_tokens": 3}}})
        };
        check(&[thought(15)], [Some(10), Some(5), None, None]);
        check(&[thought(18)], [Some(10), Some(8), None, None]);
        check(
            &[json!({"usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 2}})],
            [Some(9), Some(2), None, None],
        );
    }

    #[test]
    fn a_later_report_stands_in_place_of_an_earlier_one() {
        // With the cached ones of the first report they would be counted twice.
        check(
            &[
                json!({"usageMetadata": {"promptTokenCount": 9, "cachedContentTokenCount": 5}}),
                json!({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1}}),
            ],
            [Some(9), Some(1), None, None],
        );
    }

    #[test]
    fn nothing_reported_stays_unknown_and_nonsense_is_ignored() {
        for odd in [
            json!({}),
            json!([]),
            json!(3),
            json!(null),
            json!({"usage": null}),
            json!({"usage": []}),
            json!({"usage": "many"}),
            json!({"usage": {"input_tokens": -4, "output_tokens": "7"}}),
            json!({"usage": {"prompt_tokens": 1.5}}),
        ] {
            check(&[odd], [None; 4]);
        }
        check(
            &[json!({"usage": {"prompt_tokens": 1, "prompt_cache_hit_tokens": 9}})],
            [Some(0), None, Some(9), None],
        );
    }

    #[test]
    fn counts_that_cannot_be_are_no_panic() {
        let most = Tokens {
            input: Some(u64::MAX),
            output: Some(9),
            cache_read: Some(9),
            ..Tokens::default()
        };
        assert_eq!(most.usage().total_tokens, u64::MAX);
        check(
            &[
                json!({"usageMetadata": {"candidatesTokenCount": u64::MAX, "thoughtsTokenCount": 2}}),
            ],
            [None, Some(u64::MAX), None, None],
        );
    }
}
