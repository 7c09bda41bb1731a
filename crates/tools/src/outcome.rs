//! What a call came to, and the ways to say it.

use serde_json::{Value, json};
use std::path::PathBuf;
use toft_model::message::{self, Block};

/// Told to the model when a person stopped a call.
pub const STOPPED: &str = "Stopped by a person before it ended.";

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    /// For the model, bounded.
    pub content: Vec<Block>,
    /// For people and programs; never sent to the model.
    pub details: Option<Value>,
    /// Whether it failed.
    pub is_error: bool,
    /// Absolute paths that it changed.
    pub changed: Vec<PathBuf>,
}

impl ToolOutcome {
    /// It worked; this is for the model.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content: vec![Block::text(text)],
            details: None,
            is_error: false,
            changed: Vec::new(),
        }
    }

    /// It failed; this tells the model why.
    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// A person stopped the call, or the run that it belongs to, before or while it ran. `details`
    /// has `cancelled: true`.
    pub fn cancelled(text: impl Into<String>) -> Self {
        Self { details: Some(json!({ "cancelled": true })), ..Self::error(text) }
    }

    /// The same, with details for people.
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// All text in it.
    pub fn said(&self) -> String {
        message::text_of(&self.content)
    }
}
