//! Amazon Bedrock's Converse format (`POST /model/{model}/converse-stream`), one for the models of
//! many makers.

mod errors;
mod request;
mod stream;

#[cfg(test)]
mod tests;

use crate::{ask::ModelRequest, catalogue::Dialect, gemini::in_path, refusal::Named, wire::Format};
use bytes::Bytes;
use http::HeaderMap;
use toft_model::provider::Api;

/// See the module.
pub(crate) struct Bedrock;

impl Format for Bedrock {
    const API: Api = Api::BedrockConverseStream;
    const PATH: &'static str = "/model";
    const NAMED: Named = errors::named;
    type Decoder = stream::Decoder;

    fn write(request: &ModelRequest, _dialect: &Dialect) -> (HeaderMap, Bytes) {
        (HeaderMap::new(), request::write(request))
    }

    fn path(base: &str, model: &str) -> Option<String> {
        // The name of an inference profile has a slash in it, and is one part of the path all the same.
        let model = in_path(model)?.replace('/', "%2F");
        Some(format!("{base}/{model}/converse-stream"))
    }
}
