//! Names and labels that people give: one line that shows what is in it.

use crate::api_error::ApiError;
use toft_model::text::is_plain;

/// Longest of each kind, in characters.
const CHARS_MAX: usize = 100;

/// A name. `field` is what the API calls it.
pub(crate) fn name(field: &str, text: &str) -> Result<String, ApiError> {
    label(field, text)?
        .ok_or_else(|| ApiError::invalid(format!("{field} must have 1 to {CHARS_MAX} characters")))
}

/// A name that may be empty, which is none.
pub(crate) fn label(field: &str, text: &str) -> Result<Option<String>, ApiError> {
    let text = text.trim();
    if text.chars().count() > CHARS_MAX || !text.chars().all(is_plain) {
        return Err(ApiError::invalid(format!(
            "{field} must have at most {CHARS_MAX} characters on one line, without control \
             characters and marks that turn the direction of writing"
        )));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_shows_what_is_in_it() {
        assert_eq!(name("name", " Läden 店 👩‍💻 ").unwrap(), "Läden 店 👩‍💻");
        assert_eq!(name("name", &"ä".repeat(CHARS_MAX)).unwrap().chars().count(), CHARS_MAX);
        for odd in ["a\nb", "a\u{0}", "\u{202e}gnp.exe", "a\u{2066}b", "a\u{2028}b", "a\u{85}b"] {
            assert!(name("name", odd).is_err() && label("label", odd).is_err(), "{odd:?}");
        }
        assert!(name("name", &"x".repeat(CHARS_MAX + 1)).is_err());
        assert!(name("name", "  ").unwrap_err().message.starts_with("name must have 1 to 100"));
        assert_eq!(label("label", "  "), Ok(None));
    }
}
