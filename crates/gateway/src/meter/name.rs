//! The names of models, as answers have them.

use serde_json::Value;

/// Longest model name that is kept.
const MODEL_BYTES_MAX: usize = 200;

/// The model that an answer names.
pub(super) fn model(answer: &Value) -> Option<String> {
    [&answer["model"], &answer["message"]["model"], &answer["response"]["model"]]
        .into_iter()
        .chain([&answer["modelVersion"]])
        .find_map(Value::as_str)
        .and_then(bounded)
}

/// A model name that fits into a record.
pub(super) fn bounded(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= MODEL_BYTES_MAX;
    fits.then(|| name.to_owned())
}
