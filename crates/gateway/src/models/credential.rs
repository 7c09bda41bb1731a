//! The project token in a request: where providers' own programs put their keys.

use super::endpoint::unescaped;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header};
use memchr::memmem;
use std::borrow::Cow;
use toft_vault::Secret;

/// Headers that may hold the token; none of them ever reaches a provider.
pub(super) const CREDENTIAL_HEADERS: [HeaderName; 3] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Whether one of the credentials is the right one. Programs that know two places may fill both,
/// one of them with something else.
pub(super) fn is_valid(headers: &HeaderMap, is_token: impl Fn(&[u8]) -> bool) -> bool {
    CREDENTIAL_HEADERS.iter().any(|name| {
        headers.get_all(name).iter().any(|value| {
            let value = value.as_bytes();
            let token = if *name == header::AUTHORIZATION { bearer(value) } else { Some(value) };
            token.is_some_and(&is_token)
        })
    })
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

/// Whether a text has the token in it, as it is or as the name and password of `Basic`.
pub(super) fn holds_token(text: &[u8], token: &Secret) -> bool {
    let finds = |text: &[u8]| memmem::find(text, token.expose().as_bytes()).is_some();
    let basic = || {
        let (scheme, rest) = text.split_at_checked(6)?;
        let rest = scheme.eq_ignore_ascii_case(b"Basic ").then(|| rest.trim_ascii())?;
        STANDARD.decode(rest).ok()
    };
    finds(text) || basic().is_some_and(|text| finds(&text))
}

/// A path with its query, without the parameters that have the token in them.
pub(super) fn without_token<'a>(path: &'a str, token: Option<&Secret>) -> Cow<'a, str> {
    let (Some(token), Some((path_only, query))) = (token, path.split_once('?')) else {
        return Cow::Borrowed(path);
    };
    let holds = |pair: &&str| {
        let plain = unescaped(pair).unwrap_or_default();
        holds_token(pair.as_bytes(), token) || holds_token(plain.as_bytes(), token)
    };
    if !query.split('&').any(|pair| holds(&pair)) {
        return Cow::Borrowed(path);
    }
    let left: Vec<&str> = query.split('&').filter(|pair| !holds(pair)).collect();
    let mark = if left.is_empty() { "" } else { "?" };
    Cow::Owned(format!("{path_only}{mark}{}", left.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], expected: bool) {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        assert_eq!(is_valid(&map, |t| t == b"tok"), expected, "{headers:?}");
    }

    #[test]
    fn no_query_carries_the_token() {
        let token = Secret::new("tok-1");
        for (path, want) in [
            ("/v1/x", "/v1/x"),
            ("/v1/x?alt=sse&key=a%zz", "/v1/x?alt=sse&key=a%zz"),
            ("/v1/x?key=tok-1", "/v1/x"),
            ("/v1/x?alt=sse&key=t%6Fk-1&b", "/v1/x?alt=sse&b"),
            ("/v1/x?tok-1&b=Bearer+tok-1", "/v1/x"),
        ] {
            assert_eq!(without_token(path, Some(&token)), want);
            assert_eq!(without_token(path, None), path);
        }
    }

    #[test]
    fn the_token_counts_in_each_of_its_places_and_nowhere_else() {
        check(&[("authorization", "Bearer tok")], true);
        check(&[("authorization", "bearer  tok ")], true);
        check(&[("x-api-key", "tok")], true);
        check(&[("x-goog-api-key", "tok")], true);
        check(&[("authorization", "Bearer other"), ("x-api-key", "tok")], true);
        check(&[], false);
        check(&[("authorization", "tok")], false);
        check(&[("authorization", "Basic tok")], false);
        check(&[("authorization", "Bearer tok2")], false);
        check(&[("authorization", "Bearer")], false);
        check(&[("x-api-key", "Bearer tok")], false);
        check(&[("cookie", "tok"), ("proxy-authorization", "Bearer tok")], false);
    }
}
