//! Headers on their way between clients and bridges: what goes no further, and what only the server says.

use crate::auth::{Auth, KEY_HEADER, cookie};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use toft_model::http::hop_by_hop;

/// Names of our own that only the server may send inwards.
const INTERNAL: &str = "x-toft-";
/// Marks the page that stands where an app will be, and what that page asks by itself.
pub(crate) const PLACEHOLDER: HeaderName = HeaderName::from_static("x-toft-placeholder");
/// Headers that a bridge's own routes need. On the control plane's origin a machine may say no more:
/// it could set cookies there, send the browser elsewhere or clear what it keeps.
const FROM_BRIDGE: [HeaderName; 15] = [
    header::ACCEPT_RANGES,
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::UPGRADE,
];

/// Takes off a request what belongs to this connection, what is ours, and what only the server may say.
pub(crate) fn clean_request(auth: &Auth, headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    drop_hop_by_hop(headers);
    headers.remove(KEY_HEADER);
    drop_our_bearers(auth, headers);
    cookie::strip(headers);
    let internal: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

/// Takes our keys out of `Authorization`, however many of it there are; what is the app's stays.
fn drop_our_bearers(auth: &Auth, headers: &mut HeaderMap) {
    let is_ours = |value: &HeaderValue| {
        value.to_str().ok().and_then(|text| text.trim().split_once(' ')).is_some_and(
            |(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && auth.is_ours(key.trim()),
        )
    };
    if !headers.get_all(header::AUTHORIZATION).iter().any(is_ours) {
        return;
    }
    let all: Vec<HeaderValue> =
        headers.get_all(header::AUTHORIZATION).iter().filter(|v| !is_ours(v)).cloned().collect();
    headers.remove(header::AUTHORIZATION);
    for value in all {
        headers.append(header::AUTHORIZATION, value);
    }
}

/// Takes off a bridge's answer all that its routes do not need.
pub(crate) fn keep_known(headers: &mut HeaderMap) {
    let others: Vec<HeaderName> =
        headers.keys().filter(|name| !FROM_BRIDGE.contains(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

/// Takes off an answer what belongs to the bridge's connection, and what is ours.
pub(crate) fn clean_answer(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    // An app that says it is that page fools its own page.
    let is_internal =
        |name: &&HeaderName| name.as_str().starts_with(INTERNAL) && **name != PLACEHOLDER;
    let internal: Vec<HeaderName> = headers.keys().filter(is_internal).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

/// Takes off what belongs to one connection.
pub(crate) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    for name in hop_by_hop(connection, headers.contains_key(header::TRANSFER_ENCODING)) {
        headers.remove(name);
    }
}
