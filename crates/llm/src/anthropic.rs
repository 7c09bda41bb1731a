//! Anthropic's Messages format (`POST /v1/messages`, version 2023-06-01).

pub(crate) mod errors;
mod request;
mod stream;
pub(crate) mod thinking;

#[cfg(test)]
mod tests;

use crate::{ask::ModelRequest, catalogue::Dialect, refusal::Named, wire::Format};
use bytes::Bytes;
use http::HeaderMap;
use toft_model::provider::Api;

/// See the module.
pub(crate) struct Anthropic;

impl Format for Anthropic {
    const API: Api = Api::AnthropicMessages;
    const PATH: &'static str = "/v1/messages";
    const NAMED: Named = errors::named;
    type Decoder = stream::Decoder;

    fn write(request: &ModelRequest, _dialect: &Dialect) -> (HeaderMap, Bytes) {
        request::write(request)
    }
}
