//! Lists of models in each format's own shape.

use super::WireFormat;
use serde_json::{Value, json};
use toft_model::provider::ModelInfo;

/// When a model came out is not known: the formats want a time.
const LONG_AGO: &str = "1970-01-01T00:00:00Z";

/// One model, by the name that programs ask for it with.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// What is known of it.
    pub info: ModelInfo,
}

/// All of them.
pub fn list(format: WireFormat, models: &[Listed]) -> Value {
    let all: Vec<Value> = models.iter().map(|model| one(format, model)).collect();
    match format {
        WireFormat::OpenaiChat | WireFormat::OpenaiResponses => {
            json!({"object": "list", "data": all})
        }
        WireFormat::Anthropic => json!({
            "data": all,
            "has_more": false,
            "first_id": models.first().map(|m| &m.name),
            "last_id": models.last().map(|m| &m.name),
        }),
        WireFormat::Gemini => json!({"models": all}),
    }
}

/// One of them.
pub fn one(format: WireFormat, model: &Listed) -> Value {
    let Listed { name, info } = model;
    match format {
        WireFormat::OpenaiChat | WireFormat::OpenaiResponses => {
            json!({"id": name, "object": "model", "created": 0, "owned_by": info.provider})
        }
        WireFormat::Anthropic => {
            json!({"type": "model", "id": name, "display_name": info.name, "created_at": LONG_AGO})
        }
        WireFormat::Gemini => json!({
            "name": format!("models/{name}"),
            "version": "",
            "displayName": info.name,
            "inputTokenLimit": info.context_window,
            "outputTokenLimit": info.max_tokens,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
            "thinking": info.reasoning,
        }),
    }
}
