//! What is said of a JSON body or a query whose fields do not fit: which one, and what it must be, in the words
//! of the API. Never with the value that was sent: it may be a secret.

use crate::text::plain;
use serde::de::{DeserializeOwned, value};
use std::{error::Error, fmt::Write as _};

/// Longest name of a field that is repeated.
const PATH_CHARS_MAX: usize = 120;

/// Reads what a JSON text says, which is known to be JSON; else what does not fit.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let mut from = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut from)
        .map_err(|e| told(&e.path().to_string(), &e.inner().to_string()))
}

/// What does not fit in a query, from the error of whoever read it.
pub fn of_query(error: &(dyn Error + 'static)) -> String {
    let mut at = Some(error);
    while let Some(e) = at {
        if let Some(misfit) = e.downcast_ref::<serde_path_to_error::Error<value::Error>>() {
            return told(&misfit.path().to_string(), &misfit.inner().to_string())
                .replace("the body", "the query");
        }
        at = e.source();
    }
    "it is no list of NAME=VALUE with `&` between them".to_owned()
}

/// `path` is where in the body, `.` for the whole.
fn told(path: &str, text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    // Of the text, and not of what it should say.
    if text == "recursion limit exceeded" {
        return "its values lie in one another too deep: at most 127 levels are read".to_owned();
    }
    if text.contains("surrogate") || text == "unexpected end of hex escape" {
        return format!("{} has half a character in it (`\\u` with one of a pair)", quoted(path));
    }
    // Texts of a query that are to be something else.
    let wanted = match text {
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type" => Some("a whole number, and not too large"),
        "invalid float literal" | "cannot parse float from empty string" => Some("a number"),
        "provided string was not `true` or `false`" => Some("true or false"),
        _ => None,
    };
    if let Some(wanted) = wanted {
        return format!("{} must be {wanted}", quoted(path));
    }
    // What was expected is ours; what is before it may be anything.
    let (found, expected) = text.rsplit_once(", expected ").unwrap_or((text, ""));
    if found.starts_with("missing field ") {
        return format!("{} is missing", quoted(&inside(path, found)));
    }
    if found.starts_with("duplicate field ") {
        return format!("{} is there twice", quoted(&inside(path, found)));
    }
    if found.starts_with("unknown field ") {
        let known = expected.strip_prefix("one of ").unwrap_or(expected);
        let known = if known.is_empty() { String::new() } else { format!("; known are {known}") };
        return format!("there is no field {}{known}", quoted(path));
    }
    if found.starts_with("unknown variant ") {
        return format!("{} must be {expected}", quoted(path));
    }
    let is_ours = ["invalid type", "invalid value", "invalid length"];
    if expected.is_empty() || !is_ours.iter().any(|how| found.starts_with(how)) {
        // In words of our own.
        return format!("{}: {text}", quoted(path));
    }
    let wanted = words(expected);
    // A value of the right kind that is out of range says enough by what it must be.
    let sent = found.strip_prefix("invalid type: ").and_then(kind);
    let mut out = format!("{} must be {wanted}", quoted(path));
    if let Some(sent) = sent {
        let _ = write!(out, ", not {sent}");
    }
    out
}

/// The path of a field that the text names.
fn inside(path: &str, text: &str) -> String {
    let field = text.split('`').nth(1).unwrap_or_default();
    if path == "." { field.to_owned() } else { format!("{path}.{field}") }
}

fn quoted(path: &str) -> String {
    if path == "." {
        return "the body".to_owned();
    }
    let cut: String = path.chars().take(PATH_CHARS_MAX).collect();
    format!("`{}`", plain(&cut))
}

/// What a type is called by those who send JSON.
fn words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number from 0 up",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i8" | "i16" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "path string" | "string or map"
        | "variant identifier" => "a text",
        "unit" => "null",
        "a map" => "an object",
        "a sequence" => "a list",
        of if of.starts_with("a nonzero ") => "a whole number from 1 up",
        of if of.starts_with("struct ") || of.contains("tagged enum") => "an object",
        of if of.starts_with("enum ") => "a text",
        of if of.starts_with("a tuple ") || of.starts_with("an array ") => "a list",
        // A visitor's own words.
        own => own,
    }
}

/// Whether a number that was read as one with a point is only too large for another.
fn is_whole(sent: &str) -> bool {
    let value = sent.split('`').nth(1).and_then(|value| value.parse::<f64>().ok());
    value.is_some_and(|value| value.fract() == 0.0 && value.abs() > f64::from(u32::MAX))
}

/// What was sent, without its value.
fn kind(sent: &str) -> Option<&'static str> {
    Some(match sent.split([' ', ',']).next()? {
        "string" => "a text",
        "integer" => "a number",
        "floating" if is_whole(sent) => "so large a number",
        "floating" => "a number with a point",
        "boolean" => "true or false",
        "null" => "null",
        "sequence" => "a list",
        "map" => "an object",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only read in")]
    struct Wish {
        name: String,
        count: Option<usize>,
        port: Option<u16>,
        force: Option<bool>,
        list: Option<Vec<String>>,
        kind: Option<Kind>,
        place: Option<Place>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "only read in")]
    struct Place {
        session_id: String,
    }

    fn told(body: &str) -> String {
        super::read::<Wish>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_query_that_does_not_fit_is_told_like_a_body() {
        let of = |text: &str, want: &str| assert_eq!(super::told("from", text), want);
        of("invalid digit found in string", "`from` must be a whole number, and not too large");
        of("provided string was not `true` or `false`", "`from` must be true or false");
        assert_eq!(super::told(".", "missing field `path`"), "`path` is missing");
    }

    #[test]
    fn what_cannot_be_read_at_all_is_told_in_our_words() {
        let deep = format!("{{\"any\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let said = super::read::<serde_json::Value>(deep.as_bytes()).unwrap_err();
        assert_eq!(said, "its values lie in one another too deep: at most 127 levels are read");
        for half in [r#"{"name":"\ud800"}"#, r#"{"name":"\ud800\u0061"}"#, r#"{"name":"\udc00"}"#] {
            assert_eq!(
                told(half),
                "`name` has half a character in it (`\\u` with one of a pair)",
                "{half}"
            );
        }
    }

    #[test]
    fn a_field_that_does_not_fit_is_named_with_what_it_must_be() {
        for (body, want) in [
            (r#"{"name":"a","count":"x"}"#, "`count` must be a whole number from 0 up, not a text"),
            (r#"{"name":"a","count":-1}"#, "`count` must be a whole number from 0 up"),
            (
                r#"{"name":"a","count":1.5}"#,
                "`count` must be a whole number from 0 up, not a number with a point",
            ),
            (
                r#"{"name":"a","count":99999999999999999999}"#,
                "`count` must be a whole number from 0 up, not so large a number",
            ),
            (r#"{"name":"a","port":70000}"#, "`port` must be a whole number from 0 to 65535"),
            (
                r#"{"name":"a","force":"s3cret, expected"}"#,
                "`force` must be true or false, not a text",
            ),
            (r#"{"name":null}"#, "`name` must be a text, not null"),
            (r#"{"name":"a","list":{}}"#, "`list` must be a list, not an object"),
            (r#"{"name":"a","list":["a",7]}"#, "`list[1]` must be a text, not a number"),
            (r#"{"name":"a","kind":"s3cret"}"#, "`kind` must be `one` or `two`"),
            (r#"{"name":"a","place":[]}"#, "`place` must be an object"),
            (r#"{"name":"a","place":{}}"#, "`place.sessionId` is missing"),
            (r#"{"name":"a","place":7}"#, "`place` must be an object, not a number"),
            ("{}", "`name` is missing"),
            (r#"{"name":"a","name":"b"}"#, "`name` is there twice"),
        ] {
            assert_eq!(told(body), want, "{body}");
        }
        let odd = told(r#"{"name":"a","na\u202eme":1}"#);
        assert!(
            odd.starts_with("there is no field `na\\u{202e}me`; known are `name`, `count`"),
            "{odd}"
        );
    }
}
