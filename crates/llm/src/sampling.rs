//! How an answer is drawn, as Gemini's format and Bedrock's both write it.

use crate::ask::Options;
use serde_json::{Value, json};

/// Adds to a request's settings what it says of that.
pub(crate) fn add_to(config: &mut Value, options: &Options) {
    if let Some(temperature) = options.temperature {
        config["temperature"] = json!(temperature);
    }
    if let Some(top_p) = options.top_p {
        config["topP"] = json!(top_p);
    }
    if !options.stop.is_empty() {
        config["stopSequences"] = json!(options.stop);
    }
}
