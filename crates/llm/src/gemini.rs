//! Google's Gemini format (`POST /v1beta/models/{model}:streamGenerateContent?alt=sse`).
//!
//! A signature belongs to the part that it stands in, which may be a call or a text. It is kept as the
//! signature of a thinking block right before that part, and goes back on the part after it.

pub(crate) mod errors;
mod request;
mod stream;

#[cfg(test)]
mod tests;

use crate::{ask::ModelRequest, catalogue::Dialect, refusal::Named, wire::Format};
use bytes::Bytes;
use http::HeaderMap;
use std::fmt::Write as _;
use toft_model::provider::Api;

/// See the module.
pub(crate) struct Gemini;

impl Format for Gemini {
    const API: Api = Api::GoogleGenerativeAi;
    const PATH: &'static str = "/v1beta/models";
    const NAMED: Named = errors::named;
    type Decoder = stream::Decoder;

    fn write(request: &ModelRequest, _dialect: &Dialect) -> (HeaderMap, Bytes) {
        (HeaderMap::new(), request::write(request))
    }

    fn path(base: &str, model: &str) -> Option<String> {
        Some(format!("{base}/{}:streamGenerateContent?alt=sse", in_path(model)?))
    }
}

/// A model's name as a part of a path: nothing in it ends the part, but for slashes, which some have.
/// `None` for a name that no path can have: with an empty, `.` or `..` part, or a control character.
pub fn in_path(model: &str) -> Option<String> {
    let leads_away = |part: &str| matches!(part, "" | "." | "..");
    if model.contains(char::is_control) || model.split('/').any(leads_away) {
        return None;
    }
    let mut out = String::with_capacity(model.len());
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Some(out)
}
