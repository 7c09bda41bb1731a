//! The project token in a request: where providers' own programs put their keys.

use http::{HeaderMap, HeaderName, header};

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
