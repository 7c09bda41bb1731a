//! Fields of a change: left out, taken off with `null`, or set. Not what they mean.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

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

/// As the value, or null.
impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

/// Of what has nothing to tell: an empty object.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Done {}

/// Of what was deleted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deleted{T}")]
pub(crate) struct Deleted<T> {
    pub(crate) id: T,
    pub(crate) deleted: bool,
}

impl<T> Deleted<T> {
    pub(crate) fn of(id: T) -> Self {
        Self { id, deleted: true }
    }
}
