//! What changes in headers on the way to a provider and back.

use super::credential::{CREDENTIAL_HEADERS, holds_token};
use crate::hop_by_hop::strip_hop_by_hop;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use toft_llm::call::MODEL_HEADER;
use toft_vault::Secret;

/// With them a request is another one for some providers than it was here.
const METHOD_HEADERS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// A machine's headers as a provider gets them, without the machine's credentials. `expect` was
/// answered here; `accept-encoding` is narrowed, so that usage can be read as it passes. `token`: goes in no
/// header, whatever its name.
pub(super) fn for_provider(mut headers: HeaderMap, token: Option<&Secret>) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    for name in &CREDENTIAL_HEADERS {
        headers.remove(name);
    }
    for name in [header::HOST, header::EXPECT, header::COOKIE, header::FORWARDED] {
        headers.remove(name);
    }
    for name in METHOD_HEADERS {
        headers.remove(name);
    }
    remove_all(&mut headers, &["x-toft-", "x-forwarded-"]);
    if let Some(token) = token {
        let holds = |text: &[u8]| holds_token(text, token);
        let is_one = |(name, value): &(&HeaderName, &HeaderValue)| {
            holds(name.as_str().as_bytes()) || holds(value.as_bytes())
        };
        let names: Vec<_> = headers.iter().filter(is_one).map(|(name, _)| name.clone()).collect();
        for name in names {
            headers.remove(name);
        }
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Those of a request whose body does not go on.
pub(super) fn without_body(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING] {
        headers.remove(name);
    }
}

/// A provider's headers as a machine gets them.
pub(super) fn for_machine(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(header::SET_COOKIE);
    // What they say is the gateway's word.
    remove_all(headers, &["x-toft-"]);
}

fn remove_all(headers: &mut HeaderMap, prefixes: &[&str]) {
    let is_one = |name: &&HeaderName| prefixes.iter().any(|p| name.as_str().starts_with(p));
    let names: Vec<HeaderName> = headers.keys().filter(is_one).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Characters of a text that a header holds.
const TEXT_CHARS_MAX: usize = 400;

/// Says which model answers.
pub(super) fn say_model(headers: &mut HeaderMap, name: &str) {
    say(headers, MODEL_HEADER, name);
}

/// A header with a text for people, of which what no header can hold is a question mark.
pub(super) fn say(headers: &mut HeaderMap, name: &'static str, text: &str) {
    let visible = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let plain: String = text.chars().take(TEXT_CHARS_MAX).map(visible).collect();
    if let Ok(value) = HeaderValue::from_str(&plain) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_provider_gets_neither_token_nor_our_own_headers() {
        let token = Secret::new("tok-1");
        let sent = map(&[
            ("authorization", "Bearer t"),
            ("x-api-key", "t"),
            ("x-goog-api-key", "t"),
            ("host", "gateway.internal"),
            ("cookie", "a"),
            ("x-toft-session", "s"),
            ("x-forwarded-for", "1"),
            ("accept-encoding", "gzip, br"),
            ("anthropic-version", "2023-06-01"),
            ("api-key", "tok-1"),
            ("x-agent-api-key", "tok-1"),
            ("x-auth", "Token tok-1"),
            ("x-basic", "Basic eDp0b2stMQ=="),
            ("x-http-method-override", "POST"),
        ]);
        let headers = for_provider(sent, Some(&token));
        let expected = map(&[("anthropic-version", "2023-06-01"), ("accept-encoding", "identity")]);
        assert_eq!(headers, expected);
    }
}
