//! Google's Gemini format (`POST /v1beta/models/{model}:streamGenerateContent?alt=sse`).
//!
//! A signature belongs to the part that it stands in, which may be a call or a text. It is kept as the
//! signature of a thinking block right before that part, and goes back on the part after it.

pub(crate) mod errors;
pub(crate) mod request;
pub(crate) mod stream;

#[cfg(test)]
mod tests;

use crate::{
    ask::{HttpRequest, Model, ModelEvent, ModelRequest, Transport},
    assembly::Assembly,
    call::{self, Call, IDLE_TIMEOUT},
    catalogue,
};
use futures_util::stream::BoxStream;
use http::HeaderMap;
use std::{fmt::Write as _, sync::Arc, time::Duration};
use toft_model::provider::Api;
use tokio_util::sync::CancellationToken;

/// Models behind this format.
#[derive(Clone)]
pub struct Gemini {
    transport: Arc<dyn Transport>,
    idle_timeout: Duration,
}

impl Gemini {
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

impl Model for Gemini {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let (provider, id) = (&request.model.provider, &request.model.id);
        let spec = catalogue::provider(provider);
        let models = spec.and_then(|s| s.path_in(Api::GoogleGenerativeAi));
        let models = models.unwrap_or("/v1beta/models");
        let provider_name = spec.map_or(provider.as_str(), |s| s.name).to_owned();
        let Some(id) = in_path(id) else {
            return call::refused(&request.model);
        };
        let path = format!("/llm/{provider}{models}/{id}:streamGenerateContent?alt=sse");
        let body = request::write(&request);
        call::stream(Call {
            transport: Arc::clone(&self.transport),
            request: HttpRequest {
                method: http::Method::POST,
                path,
                headers: HeaderMap::new(),
                body,
            },
            decode: stream::Decoder::new(&provider_name, &request.model.id),
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
