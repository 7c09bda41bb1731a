//! A request that the gateway makes for the server on a project's way out, and its answer. Bodies and headers
//! may hold tokens.

use crate::secret_text;
use serde::{Deserialize, Serialize};
use toft_vault::Secret;

/// What to ask.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fetch {
    /// `GET` or `POST`.
    pub method: String,
    /// `https://…`.
    pub url: String,
    /// Beside `Host` and `User-Agent`.
    #[serde(with = "pairs")]
    pub headers: Vec<(String, Secret)>,
    /// Text.
    #[serde(default, with = "secret_text::optional")]
    pub body: Option<Secret>,
    /// The answer's body is of no interest, and may never end.
    #[serde(default)]
    pub head_only: bool,
}

/// What was answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// Those that are text, names in lower case.
    #[serde(with = "pairs")]
    pub headers: Vec<(String, Secret)>,
    /// Text; empty if it was not asked for.
    #[serde(with = "secret_text")]
    pub body: Secret,
}

impl Fetched {
    /// Values of a header.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.expose())
    }
}

/// Headers.
mod pairs {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use toft_vault::Secret;

    pub(super) fn serialize<S: Serializer>(
        pairs: &[(String, Secret)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(pairs.iter().map(|(name, value)| (name, value.expose())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Secret)>, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }
}
