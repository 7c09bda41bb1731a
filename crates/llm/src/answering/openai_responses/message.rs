//! Writes a whole message in OpenAI's Responses format.

use super::{Item, ended};
use crate::answering::{Label, Shape};
use serde_json::Value;
use toft_model::message::AssistantMessage;

/// See [`crate::answering::whole`].
pub(crate) fn write(label: &Label, shape: &Shape, message: &AssistantMessage) -> Value {
    let items = message.content.iter().filter_map(|block| Item::of(label, shape, block));
    let output: Vec<Value> =
        items.enumerate().map(|(index, item)| item.json(label, index, false)).collect();
    ended(label, &output, message.stop_reason, &message.usage)
}
