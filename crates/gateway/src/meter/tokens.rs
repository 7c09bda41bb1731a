//! Token counts as the providers report them, made comparable. Formats: Anthropic messages
//! (`input_tokens` without the cached ones), OpenAI chat (`prompt_tokens` with them), OpenAI
//! responses (`input_tokens` with them, told by `input_tokens_details`), Gemini (`usageMetadata`).

use serde_json::Value;

/// What was reported last of each kind; `None` is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cache_read: Option<u64>,
    pub(crate) cache_write: Option<u64>,
}

/// Longest model name that is kept.
const MODEL_BYTES_MAX: usize = 200;

impl Tokens {
    /// Takes what one answer (or one event of a stream) says of usage. Counts in streams are
    /// running totals in every format, so later ones replace earlier ones.
    pub(crate) fn take(&mut self, answer: &Value) {
        // Anthropic's `message_start` and OpenAI's `response.completed` hold them one level down.
        for place in [answer, &answer["message"], &answer["response"]] {
            self.take_usage(&place["usage"]);
            self.take_gemini(&place["usageMetadata"]);
        }
    }

    fn take_usage(&mut self, usage: &Value) {
        let n = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
        let cached = n("/prompt_tokens_details/cached_tokens")
            .or_else(|| n("/input_tokens_details/cached_tokens"))
            .or_else(|| n("/prompt_cache_hit_tokens"));
        if let Some(prompt) = n("/prompt_tokens") {
            self.with_cached(prompt, cached);
            self.output = n("/completion_tokens").or(self.output);
        } else if usage.get("input_tokens_details").is_some() {
            self.with_cached(n("/input_tokens").unwrap_or(0), cached);
            self.output = n("/output_tokens").or(self.output);
        } else {
            self.input = n("/input_tokens").or(self.input);
            self.output = n("/output_tokens").or(self.output);
            self.cache_read = n("/cache_read_input_tokens").or(self.cache_read);
            self.cache_write = n("/cache_creation_input_tokens").or(self.cache_write);
        }
    }

    fn take_gemini(&mut self, usage: &Value) {
        let n = |key: &str| usage[key].as_u64();
        if let Some(prompt) = n("promptTokenCount") {
            self.with_cached(prompt, n("cachedContentTokenCount"));
        }
        // A model may think and then write nothing.
        let written = [n("candidatesTokenCount"), n("thoughtsTokenCount")].into_iter().flatten();
        self.output = written.reduce(u64::saturating_add).or(self.output);
    }

    fn with_cached(&mut self, prompt: u64, cached: Option<u64>) {
        self.input = Some(prompt.saturating_sub(cached.unwrap_or(0)));
        self.cache_read = cached.or(self.cache_read);
    }
}

/// The model that an answer names.
pub(super) fn model(answer: &Value) -> Option<String> {
    [&answer["model"], &answer["message"]["model"], &answer["response"]["model"]]
        .into_iter()
        .chain([&answer["modelVersion"]])
        .find_map(Value::as_str)
        .and_then(bounded)
}

/// A model name that fits into a record.
pub(super) fn bounded(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= MODEL_BYTES_MAX;
    fits.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answers: &[&str], expected: [Option<u64>; 4]) {
        let mut tokens = Tokens::default();
        for answer in answers {
            tokens.take(&serde_json::from_str(answer).unwrap());
        }
        let got = [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write];
        assert_eq!(got, expected, "{answers:?}");
    }

    #[test]
    fn each_format_comes_out_the_same() {
        check(
            &[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":10,
                    "cache_read_input_tokens":5,"cache_creation_input_tokens":3,"output_tokens":1}}}"#,
                r#"{"type":"message_delta","usage":{"output_tokens":42}}"#,
            ],
            [Some(10), Some(42), Some(5), Some(3)],
        );
        check(
            &[r#"{"usage":{"prompt_tokens":15,"completion_tokens":42,
                "prompt_tokens_details":{"cached_tokens":5}}}"#],
            [Some(10), Some(42), Some(5), None],
        );
        check(
            &[
                r#"{"usage":{"prompt_tokens":15,"completion_tokens":2,"prompt_cache_hit_tokens":15}}"#,
            ],
            [Some(0), Some(2), Some(15), None],
        );
        check(
            &[r#"{"type":"response.completed","response":{"usage":{"input_tokens":15,
                "input_tokens_details":{"cached_tokens":5},"output_tokens":42}}}"#],
            [Some(10), Some(42), Some(5), None],
        );
        check(
            &[r#"{"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,
                "thoughtsTokenCount":2}}"#],
            [Some(9), Some(6), None, None],
        );
        check(
            &[r#"{"usageMetadata":{"promptTokenCount":9,"thoughtsTokenCount":2}}"#],
            [Some(9), Some(2), None, None],
        );
        check(
            &[r#"{"usageMetadata":{"candidatesTokenCount":18446744073709551615,
                "thoughtsTokenCount":2}}"#],
            [None, Some(u64::MAX), None, None],
        );
    }

    #[test]
    fn nothing_reported_stays_unknown_and_nonsense_is_ignored() {
        for odd in [
            "{}",
            "[]",
            "3",
            "null",
            r#"{"usage":null}"#,
            r#"{"usage":[]}"#,
            r#"{"usage":"many"}"#,
            r#"{"usage":{"input_tokens":-4,"output_tokens":"7"}}"#,
            r#"{"usage":{"prompt_tokens":1.5}}"#,
        ] {
            check(&[odd], [None; 4]);
        }
        check(
            &[r#"{"usage":{"prompt_tokens":1,"prompt_cache_hit_tokens":9}}"#],
            [Some(0), None, Some(9), None],
        );
    }
}
