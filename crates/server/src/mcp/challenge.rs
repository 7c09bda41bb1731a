//! What a server says in its refusal: the header `WWW-Authenticate`. Uses nothing of this crate, so that the fuzzer reads the
//! same text.

/// A parameter of a challenge (RFC 9110 §11.2).
pub(crate) fn parameter(challenge: &str, wanted: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
        let end = rest.find(|c| !token(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() {
            return None;
        }
        rest = rest[end..].trim_start();
        // A scheme's name has no value.
        let Some(after) = rest.strip_prefix('=') else { continue };
        let after = after.trim_start();
        let mut value = String::new();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            loop {
                match chars.next()? {
                    (at, '"') => {
                        rest = &quoted[at + 1..];
                        break;
                    }
                    (_, '\\') => value.push(chars.next()?.1),
                    (_, c) => value.push(c),
                }
            }
        } else {
            let end = after.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(after.len());
            value.push_str(&after[..end]);
            rest = &after[end..];
        }
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_by_its_parameters_and_not_by_what_stands_in_them() {
        let check = |text: &str, wanted: Option<&str>| {
            assert_eq!(parameter(text, "resource_metadata").as_deref(), wanted, "{text}");
        };
        check(r#"Bearer resource_metadata="https://a.test/x""#, Some("https://a.test/x"));
        check(
            r#"Bearer realm="a, b", error="invalid_token", Resource_Metadata=https://a.test/x, scope="r w""#,
            Some("https://a.test/x"),
        );
        check(
            r#"Bearer realm="resource_metadata=\"https://evil.test\"", resource_metadata="https://a.test""#,
            Some("https://a.test"),
        );
        check(r#"Basic realm="x""#, None);
        check("Bearer", None);
        check(r#"Bearer resource_metadata="https://a.test"#, None);
        check("=,\"=\u{e9}", None);
    }

    proptest::proptest! {
        #[test]
        fn any_challenge_is_read_without_a_panic(text in ".{0,80}") {
            parameter(&text, "scope");
        }
    }
}
