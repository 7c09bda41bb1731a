//! OpenAI's Responses format (`POST /v1/responses`), stateless: nothing is stored at the provider, and
//! its reasoning comes back encrypted. Names of errors are those of the chat format.

mod free_text;
mod request;
mod stream;

#[cfg(test)]
mod tests;

use crate::{
    ask::ModelRequest, catalogue::Dialect, openai_chat::errors, refusal::Named, wire::Format,
};
use bytes::Bytes;
use http::HeaderMap;
use toft_model::provider::Api;

/// See the module.
pub(crate) struct OpenaiResponses;

impl Format for OpenaiResponses {
    const API: Api = Api::OpenaiResponses;
    const PATH: &'static str = "/v1/responses";
    const NAMED: Named = errors::named;
    type Decoder = stream::Decoder;

    fn write(request: &ModelRequest, _dialect: &Dialect) -> (HeaderMap, Bytes) {
        (HeaderMap::new(), request::write(request))
    }
}
