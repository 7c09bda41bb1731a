//! Text that must not be printed. Not encrypted in memory: it is wiped when dropped.

use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret text: a provider's key, a token. `Debug` shows only that there is one; it has no
/// `Display` and no `Serialize`.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for the one place that needs it. Every use is one to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that tells nothing but the length. An empty secret equals nothing.
    pub fn matches(&self, given: &[u8]) -> bool {
        !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(given))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn only_the_same_bytes_match_and_nothing_matches_an_empty_secret() {
        let secret = Secret::new("token");
        assert!(secret.matches(b"token"));
        for other in [&b""[..], b"toke", b"tokens", b"Token", b"token\0"] {
            assert!(!secret.matches(other), "{other:?}");
        }
        assert!(!Secret::default().matches(b"") && Secret::default().is_empty());
    }
}
