//! The model API on real sockets, with a provider played byte by byte.

mod bedrock;
mod control;
mod costs;
mod fallback;
mod keys;
mod kinds;
mod late;
mod left;
mod limits;
mod local;
mod metering;
mod outside;
mod passing;
mod refusing;
mod translating;

use crate::testing::{header, status};
use serde_json::Value;

const CHAT: &str = "/llm/openai/v1/chat/completions";

fn code(head: &str, body: &[u8]) -> (u16, String) {
    let json: Value = serde_json::from_slice(body).unwrap();
    let code = json["error"]["code"].as_str().unwrap().to_owned();
    assert_eq!(header(head, "x-toft-error"), Some(&*code));
    assert!(json["error"]["type"].is_string() && json["error"]["message"].is_string());
    (status(head), code)
}
