//! OpenAI's Chat Completions format (`POST /v1/chat/completions`) and its dialects, which the catalogue
//! knows.

mod details;
pub(crate) mod errors;
pub(crate) mod models;
mod request;
mod stream;

#[cfg(test)]
mod tests;

use crate::{ask::ModelRequest, catalogue::Dialect, refusal::Named, wire::Format};
use bytes::Bytes;
use http::HeaderMap;
use toft_model::provider::Api;

/// See the module.
pub(crate) struct OpenaiChat;

impl Format for OpenaiChat {
    const API: Api = Api::OpenaiCompletions;
    const PATH: &'static str = "/v1/chat/completions";
    const NAMED: Named = errors::named;
    type Decoder = stream::Decoder;

    fn write(request: &ModelRequest, dialect: &Dialect) -> (HeaderMap, Bytes) {
        (HeaderMap::new(), request::write(request, dialect))
    }
}
