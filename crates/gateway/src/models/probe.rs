//! Trying a key: one small real request, answered in the provider's own words.

use crate::{
    api_error::ApiError,
    control::protocol::ProviderTest,
    needles::Look,
    provider::Provider,
    upstream::{Upstream, failure},
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use toft_model::provider::Api;
use tokio::time::{Instant, timeout};

/// A list of models comes in well under a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read: lists of models reach some hundred KiB.
const ANSWER_BYTES_MAX: usize = 8 << 20;

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
    ProviderTest { ok, message, latency_ms }
}

async fn ask(upstream: &Upstream, provider: &Provider) -> Result<String, String> {
    let say = |e: ApiError| e.message;
    let path = provider.probe_path();
    // Amazon lists no models where it answers: there a question without a word is put, which is refused for
    // its shape, and costs nothing, once the key is known to be good.
    let empty = (provider.info.api == Api::BedrockConverseStream).then_some(r#"{"messages":[]}"#);
    let method = if empty.is_some() { Method::POST } else { Method::GET };
    let mut request = reqwest::Request::new(method, provider.address(&path).map_err(say)?);
    let headers = request.headers_mut();
    if provider.info.api == Api::AnthropicMessages {
        let version = HeaderValue::from_static(ANTHROPIC_VERSION);
        headers.insert("anthropic-version", version);
    }
    if let Some(body) = empty {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(reqwest::Body::from(body));
    }
    provider.complete(&path, &mut request, empty.unwrap_or_default().as_bytes()).map_err(say)?;
    let client = upstream.client().await.map_err(say)?;
    let name = &provider.info.name;
    let mut response = client.execute(request).await.map_err(|e| failure(name, &e).message)?;
    let status = response.status();
    let kind = response.headers().get("x-amzn-errortype").and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
    let to: Option<String> = to.map(|to| to.chars().take(WORDS_MAX).collect());
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    if empty.is_some() && refuses_the_shape(status, &kind, &body) && is_of_the_model(&body) {
        let words = own_words(&body);
        return Ok(format!(
            "{name} took the key, but not the model that it was tried with: {words}"
        ));
    }
    if empty.is_some() && (status.is_success() || refuses_the_shape(status, &kind, &body)) {
        return Ok(format!(
            "{name} took the key: it answered a question without a word as one that is not complete. Which models \
             the account may ask is not known before they are asked."
        ));
    }
    if status.is_success() {
        let did = if provider.is_keyless() { "answers" } else { "took the key" };
        return match took(&body) {
            Some(Took::Key) => Ok(format!("{name} {did}.")),
            Some(Took::Models(0)) => Ok(format!("{name} {did} and offers no models.")),
            Some(Took::Models(1)) => Ok(format!("{name} {did} and offers 1 model.")),
            Some(Took::Models(n)) => Ok(format!("{name} {did} and offers {n} models.")),
            None => Err(format!(
                "{name} answered {status} when asked for its models, but with something else than a \
                 list of models: see whether the base URL is that of its API."
            )),
        };
    }
    // Some providers repeat the key that they refuse.
    let look = Look::new(Arc::clone(&provider.needles), Arc::new(|_| {}));
    let words = own_words(&look.replaced(&body, false).unwrap_or(body));
    Err(match status.as_u16() {
        300..=399 => format!(
            "{name} answered {status} and sends on{}, which is not followed with a key: set the base URL \
             to the address that answers itself.",
            to.map_or_else(String::new, |to| format!(" to {to}"))
        ),
        404 | 405 => {
            let asked =
                if empty.is_some() { "asked without a word" } else { "asked for its models" };
            format!(
                "{name} answered {status} when {asked}, so the key could not be tried this way. {words}"
            )
        }
        _ => format!("{name} answered {status}: {words}"),
    })
}

/// Whether Amazon says that the request is not of the shape that it should be, and not that the key is
/// none.
fn refuses_the_shape(status: StatusCode, kind: &str, body: &[u8]) -> bool {
    let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let kind = if kind.is_empty() { answer["__type"].as_str().unwrap_or_default() } else { kind };
    // `ValidationException:http://…`, `com.amazon.coral.service#ValidationException`.
    let name = kind.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    status == StatusCode::BAD_REQUEST && name == "ValidationException"
}

/// Whether Amazon's words are about the model, as which it is refused before the shape is looked at.
fn is_of_the_model(body: &[u8]) -> bool {
    let words = own_words(body).to_lowercase();
    ["model identifier", "model id", "on-demand throughput"].iter().any(|part| words.contains(part))
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Took {
    /// So many models are in it.
    Models(usize),
    /// It is about the key itself.
    Key,
}

/// `None`: it is no such answer, so whoever gave it may be no provider.
fn took(body: &[u8]) -> Option<Took> {
    let answer = serde_json::from_slice::<Value>(body).ok()?;
    if answer["data"]["label"].is_string() {
        return Some(Took::Key);
    }
    let lists = [&answer["data"], &answer["models"], &answer];
    let models = lists.into_iter().find_map(Value::as_array)?;
    let is_named = |model: &Value| model["id"].is_string() || model["name"].is_string();
    models.iter().all(is_named).then_some(Took::Models(models.len()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_models_shows_that_a_key_was_taken() {
        for (body, expected) in [
            (r#"{"object":"list","data":[{"id":"gpt-5"}]}"#, Some(Took::Models(1))),
            (r#"{"models":[{"name":"models/g"},{"name":"models/h"}]}"#, Some(Took::Models(2))),
            (r#"[{"id":"a"}]"#, Some(Took::Models(1))),
            (r#"{"data":[]}"#, Some(Took::Models(0))),
            (r#"{"data":{"label":"sk-or-…","usage":0}}"#, Some(Took::Key)),
            ("<html>Welcome</html>", None),
            ("", None),
            ("{}", None),
            ("null", None),
            (r#"{"status":"ok"}"#, None),
            (r#"{"data":"gpt-5"}"#, None),
            (r#"{"data":[1,2]}"#, None),
        ] {
            assert_eq!(took(body.as_bytes()), expected, "{body}");
        }
    }

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
