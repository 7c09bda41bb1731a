//! A secret in memory: wiped when dropped, never shown. Not encryption: that is `vault`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A provider key or project token. `Debug` never shows it, and it has no `Display`. It serialises
/// as its text, for the control socket only.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Every use is a place to look at in a review.
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
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_holds_the_secret() {
        assert_eq!(format!("{:?}", Secret::new("sk-canary")), "[secret]");
        assert_eq!(format!("{:?}", vec![Some(Secret::new("sk-canary"))]), "[Some([secret])]");
    }

    #[test]
    fn only_the_same_bytes_match_and_nothing_matches_an_empty_secret() {
        let secret = Secret::new("token");
        assert!(secret.matches(b"token"));
        for other in [&b""[..], b"toke", b"tokens", b"Token", b"token\0"] {
            assert!(!secret.matches(other), "{other:?}");
        }
        assert!(!Secret::default().matches(b""));
    }
}
