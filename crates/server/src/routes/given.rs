//! Fields of a change: left out, taken off with `null`, or set. Not what they mean.

use serde::{Deserialize, Deserializer};

/// A field. With `#[serde(default)]` one that is not there is [`Given::Left`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Given<T> {
    /// Left out: it stays as it is.
    #[default]
    Left,
    /// This; `None`: `null`.
    Set(Option<T>),
}

impl<T> Given<T> {
    /// What holds now that was `before`.
    pub(super) fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Left => before,
            Self::Set(value) => value,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Set)
    }
}
