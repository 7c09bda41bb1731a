//! `/llm/*`: the model gateway for programs outside. Who may ask is judged here, by a key in a
//! header and by nothing else; what is asked is the gateway's, as are its answers. No provider key
//! comes by here.

mod line;
mod refusal;

use crate::{
    auth::{KEY_HEADER, Key, caller, pass::Pass},
    headers::drop_hop_by_hop,
    routes::llm::refusal::{Refusal, Why},
    state::App,
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use http_body_util::Limited;
use toft_gateway::PROJECT_HEADER;
use toft_store::Scope;

/// As the gateway's own: the providers' limit (Anthropic: 32 MB) with images in it.
pub(super) const BODY_BYTES_MAX: usize = 32 << 20;
/// Where a program may put its key: ours, and where the providers' own programs put theirs.
const KEY_HEADERS: [&str; 4] = [KEY_HEADER, "authorization", "x-api-key", "x-goog-api-key"];
/// Names that keys have in URLs. Google's programs use the first one.
const KEY_PARAMETERS: [&str; 5] = ["key", "api_key", "api-key", "apikey", "access_token"];
/// What a provider must not tell a browser about this origin. Its cookies stay in the gateway.
const NOT_FROM_PROVIDERS: [&str; 5] = [
    "alt-svc",
    "clear-site-data",
    "location",
    "service-worker-allowed",
    "strict-transport-security",
];

/// `/llm/models` and `/llm/{provider}/…`.
pub(crate) async fn route(State(app): State<App>, req: Request) -> Response {
    match answer(&app, req).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(app: &App, mut req: Request) -> Result<Response, Refusal> {
    if req.uri().query().is_some_and(names_a_key) {
        return Err(Refusal::new(
            Why::InvalidRequest,
            "A key does not belong in a URL, where logs and histories keep it: send it as \
             `x-goog-api-key`, `Authorization: Bearer` or `X-Agent-Api-Key`. If that key is real, \
             make a new one.",
        ));
    }
    let Some(key) = key_of(app, req.headers()) else {
        return Err(Refusal::new(
            Why::Unauthenticated,
            "An API key of this server is missing or wrong. Send it as `X-Agent-Api-Key`, \
             `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`; a browser's cookie opens \
             nothing here.",
        ));
    };
    caller::used(app, &key);
    if !key.has(Scope::Models) {
        return Err(Refusal::new(
            Why::ScopeMissing,
            "This key lacks the scope `models`: an admin makes one that has it (`toft key new`).",
        ));
    }
    let declared = req.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if declared.and_then(|v| v.parse::<usize>().ok()).is_some_and(|n| n > BODY_BYTES_MAX) {
        return Err(Refusal::too_large());
    }
    clean_request(req.headers_mut());
    book(req.headers_mut(), &key);
    let req = req.map(|body| Body::new(Limited::new(body, BODY_BYTES_MAX)));
    let mut answer = line::send(app, Pass::of_key(&key), req).await?;
    clean_answer(answer.headers_mut());
    Ok(answer)
}

/// Names may be escaped, and no key must get past by that.
fn names_a_key(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = unescaped(pair.split_once('=').map_or(pair, |(name, _)| name));
        KEY_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex =
            after.get(..2).filter(|_| first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        if let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            out.push(byte);
            rest = &after[2..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Programs that know two places may fill both, one of them with something else: one that opens this goes
/// before one that does not.
fn key_of(app: &App, headers: &HeaderMap) -> Option<Key> {
    let mut found = None;
    for name in KEY_HEADERS {
        for value in headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
            let text = match name {
                "authorization" => value
                    .split_once(' ')
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .map(|(_, key)| key),
                _ => Some(value),
            };
            let key = text.and_then(|text| app.auth.key(text.trim()));
            if key.as_ref().is_some_and(|key| key.has(Scope::Models)) {
                return key;
            }
            found = found.or(key);
        }
    }
    found
}

/// Tells the gateway the project that the key is bound to, and nothing that the program says of one.
fn book(headers: &mut HeaderMap, key: &Key) {
    headers.remove(PROJECT_HEADER);
    if let Some(project) = key.project() {
        let value = HeaderValue::from_str(project.as_str()).expect("ids are letters and digits");
        headers.insert(PROJECT_HEADER, value);
    }
}

/// No credential goes further: the gateway adds the provider's.
fn clean_request(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // A length beside it is a trick (RFC 9112, 6.3), and would be believed once it is alone.
        headers.remove(header::CONTENT_LENGTH);
    }
    drop_hop_by_hop(headers);
    for name in KEY_HEADERS {
        headers.remove(name);
    }
    headers.remove(header::COOKIE);
}

fn clean_answer(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    for name in NOT_FROM_PROVIDERS {
        headers.remove(name);
    }
    // A provider may open its answers to every page; ours are open to none.
    let shared: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in shared {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_url_is_seen_however_it_is_written() {
        for (query, want) in [
            ("key=x", true),
            ("alt=sse&key=x", true),
            ("alt=sse&%6Bey=x", true),
            ("KEY", true),
            ("api_key=x", true),
            ("access%5Ftoken=x", true),
            ("alt=sse", false),
            ("keys=x&monkey=y&a=key", false),
            ("%", false),
            ("", false),
        ] {
            assert_eq!(names_a_key(query), want, "{query}");
        }
    }

    #[test]
    fn no_credential_travels_on() {
        let mut headers = HeaderMap::new();
        for name in KEY_HEADERS.into_iter().chain(["cookie", "connection", "te"]) {
            headers.append(HeaderName::from_static(name), "secret".parse().unwrap());
        }
        headers.insert("anthropic-version", "1".parse().unwrap());
        clean_request(&mut headers);
        assert_eq!(
            headers.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(),
            ["anthropic-version"]
        );
    }
}
