//! Trying a key: one small real request, answered in the provider's own words.

use crate::{
    api_error::ApiError,
    control::protocol::ProviderTest,
    provider::Provider,
    upstream::{Upstream, failure},
};
use http::HeaderMap;
use serde_json::Value;
use std::time::Duration;
use toft_model::provider::Api;
use tokio::time::{Instant, timeout};

/// A list of models comes in well under a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read: lists of models reach some hundred KiB.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Characters of a provider's words that are passed on.
const WORDS_MAX: usize = 500;

/// Anthropic's format wants its version named.
const ANTHROPIC_VERSION: &str = "2023-06-01";

pub(crate) async fn probe(upstream: &Upstream, provider: &Provider) -> ProviderTest {
    let began = Instant::now();
    let outcome = match timeout(PROBE_TIMEOUT, ask(upstream, provider)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("{} did not answer within 30 s.", provider.info.name)),
    };
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (ok, message) = match outcome {
        Ok(message) => (true, message),
        Err(message) => (false, message),
    };
    ProviderTest { ok, message: without_key(provider, &message), latency_ms }
}

async fn ask(upstream: &Upstream, provider: &Provider) -> Result<String, String> {
    let say = |e: ApiError| e.message;
    let path = provider.probe_path();
    let (name, value) = provider.credential(&path).map_err(say)?;
    let mut headers = HeaderMap::new();
    headers.insert(name, value);
    if provider.info.api == Api::AnthropicMessages {
        let version = http::HeaderValue::from_static(ANTHROPIC_VERSION);
        headers.insert("anthropic-version", version);
    }
    let client = upstream.client().await.map_err(say)?;
    let url = provider.url(&path).map_err(say)?;
    let name = &provider.info.name;
    let sent = client.get(url).headers(headers).send().await;
    let mut response = sent.map_err(|e| failure(name, &e).message)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        let models = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|list| list["data"].as_array().or(list["models"].as_array()).map(Vec::len));
        return Ok(match models {
            Some(n) => format!("{name} took the key and offers {n} models."),
            None => format!("{name} took the key."),
        });
    }
    let words = own_words(&body);
    Err(match status.as_u16() {
        404 | 405 => format!(
            "{name} answered {status} when asked for its models, so the key could not be tried \
             this way. {words}"
        ),
        _ => format!("{name} answered {status}: {words}"),
    })
}

/// The message in an error answer of any of the formats, else the text itself.
pub(super) fn own_words(body: &[u8]) -> String {
    let parsed = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let first = parsed.get(0).unwrap_or(&parsed);
    let message =
        [&first["error"]["message"], &first["message"], &first["error"], &first["detail"]]
            .into_iter()
            .find_map(Value::as_str)
            .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let printable = message.chars().filter(|c| !c.is_control() || *c == '\n');
    let text: String = printable.take(WORDS_MAX).collect();
    text.trim().to_owned()
}

/// Some providers repeat the key that they refuse.
fn without_key(provider: &Provider, message: &str) -> String {
    if provider.has_key() {
        message.replace(provider.key.expose(), "[the key]")
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_own_words_are_found_in_every_shape() {
        for (body, expected) in [
            (r#"{"error":{"message":"Incorrect key"}}"#, "Incorrect key"),
            (
                r#"{"type":"error","error":{"type":"x","message":"invalid x-api-key"}}"#,
                "invalid x-api-key",
            ),
            (r#"[{"error":{"code":400,"message":"API key not valid"}}]"#, "API key not valid"),
            (r#"{"error":"nope"}"#, "nope"),
            (r#"{"detail":"who are you"}"#, "who are you"),
            ("<h1>Bad\0 Gateway</h1>\n", "<h1>Bad Gateway</h1>"),
            ("", ""),
        ] {
            assert_eq!(own_words(body.as_bytes()), expected);
        }
        assert_eq!(own_words("x".repeat(9_000).as_bytes()).len(), WORDS_MAX);
    }
}
