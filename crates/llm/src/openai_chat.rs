//! OpenAI's Chat Completions format (`POST /v1/chat/completions`) and its dialects.

pub(crate) mod errors;
pub(crate) mod request;
pub(crate) mod stream;

#[cfg(test)]
mod tests;

use crate::{
    ask::{HttpRequest, Model, ModelEvent, ModelRequest, Transport},
    assembly::Assembly,
    call::{self, Call, IDLE_TIMEOUT},
    catalogue::{self, Dialect},
};
use futures_util::stream::BoxStream;
use http::HeaderMap;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Models behind this format. The dialect comes from the catalogue; a provider that is not listed
/// there is taken for a plain one.
#[derive(Clone)]
pub struct OpenaiChat {
    transport: Arc<dyn Transport>,
    idle_timeout: Duration,
}

impl OpenaiChat {
    /// Calls go through `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, idle_timeout: IDLE_TIMEOUT }
    }

    /// Gives a silent provider up after this time instead of [`IDLE_TIMEOUT`].
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }
}

impl Model for OpenaiChat {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let spec = catalogue::provider(&request.model.provider);
        let path = spec.map_or("/v1/chat/completions", |s| s.chat_path);
        let provider_name = spec.map_or(request.model.provider.as_str(), |s| s.name).to_owned();
        let dialect = spec.map_or(Dialect::PLAIN, |s| s.dialect);
        let body = request::write(&request, &dialect);
        call::stream(Call {
            transport: Arc::clone(&self.transport),
            request: HttpRequest {
                method: http::Method::POST,
                path: format!("/llm/{}{path}", request.model.provider),
                headers: HeaderMap::new(),
                body,
            },
            decode: stream::Decoder::new(&provider_name, &request.model.id, dialect.done_mark),
            assembly: Assembly::after(&request.messages),
            model: request.model,
            provider_name,
            named: errors::named,
            idle_timeout: self.idle_timeout,
            passed_on: request.options.passed_on,
            cancel,
        })
    }
}
