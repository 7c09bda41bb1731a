//! Where a brokered secret may go, as people write it, and what stands for its value in a machine. What
//! a binding means is judged by `policy`; the value is put in and taken out by `gateway`.

use crate::id::random_hex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every placeholder begins with: it is told from any key by its looks.
pub const PLACEHOLDER_BEGINS: &str = "toft-placeholder-";
/// Random bytes of one: nobody guesses another project's.
const PLACEHOLDER_BYTES: usize = 16;
/// Brokered secrets of one project: each costs the gateway a search through every answer.
pub const BROKERED_MAX: usize = 20;
/// A value that is shorter stands in ordinary answers by chance, and would be taken out of them.
pub const BROKERED_VALUE_BYTES_MIN: usize = 8;
/// A value that is longer does not fit into a header of most servers (8 KiB together with the others).
pub const BROKERED_VALUE_BYTES_MAX: usize = 4 << 10;
/// Hosts, methods, paths or headers of one binding.
pub const BINDING_ENTRIES_MAX: usize = 16;

/// The requests that a value is put into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    /// `api.example.com`, or `*.example.com` for all names below it; `:port` where it is not 443.
    pub hosts: Vec<String>,
    /// Methods. None: every one.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Paths, exactly or with `*` at their end for all that begin so. None: every one.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Headers that the placeholder may stand in. None: `authorization`.
    #[serde(default)]
    pub headers: Vec<String>,
}

/// A new placeholder.
pub fn placeholder() -> String {
    format!("{PLACEHOLDER_BEGINS}{}", random_hex(PLACEHOLDER_BYTES))
}

/// Why a value cannot be brokered. Never holds what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokeredValueError {
    /// Too short or too long.
    #[error("a brokered secret has {BROKERED_VALUE_BYTES_MIN} to {BROKERED_VALUE_BYTES_MAX} bytes")]
    Length,
    /// What no header can hold.
    #[error(
        "a brokered secret is one line of visible ASCII characters, without spaces at its ends: it is \
         sent in a header"
    )]
    Characters,
}

/// Whether a brokered secret may have this value.
pub fn check_brokered_value(value: &str) -> Result<(), BrokeredValueError> {
    if !(BROKERED_VALUE_BYTES_MIN..=BROKERED_VALUE_BYTES_MAX).contains(&value.len()) {
        return Err(BrokeredValueError::Length);
    }
    let visible = |b: u8| (0x20..=0x7e).contains(&b);
    if !value.bytes().all(visible) || value.trim() != value || value.contains(PLACEHOLDER_BEGINS) {
        return Err(BrokeredValueError::Characters);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_needs_no_escaping_anywhere() {
        let one = placeholder();
        assert!(one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        assert_ne!(one, placeholder());
    }

    #[test]
    fn a_value_fits_into_a_header() {
        assert_eq!(check_brokered_value("sk live_+/=\"x"), Ok(()));
        for (wrong, why) in [
            ("short", BrokeredValueError::Length),
            ("two\nlines of it", BrokeredValueError::Characters),
            (" begins with one", BrokeredValueError::Characters),
            ("nötscii-value", BrokeredValueError::Characters),
            ("toft-placeholder-12345678", BrokeredValueError::Characters),
        ] {
            assert_eq!(check_brokered_value(wrong), Err(why), "{wrong:?}");
        }
        let long = "x".repeat(BROKERED_VALUE_BYTES_MAX + 1);
        assert_eq!(check_brokered_value(&long), Err(BrokeredValueError::Length));
    }

    #[test]
    fn a_binding_that_says_something_else_is_refused() {
        let binding: Binding = serde_json::from_str(r#"{"hosts":["a.test"]}"#).unwrap();
        assert_eq!(binding.hosts, ["a.test"]);
        assert!(serde_json::from_str::<Binding>(r#"{"hosts":["a.test"],"path":["/"]}"#).is_err());
        assert!(serde_json::from_str::<Binding>("{}").is_err());
    }
}
