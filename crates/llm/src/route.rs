//! Asks any model: each in the wire format that it is reached in. The one thing that callers hold.

use crate::{
    anthropic::Anthropic,
    ask::{Model, ModelEvent, ModelRequest, Transport},
    bedrock::Bedrock,
    call::IDLE_TIMEOUT,
    gemini::Gemini,
    openai_chat::OpenaiChat,
    openai_responses::OpenaiResponses,
    scripted::{Pace, Scripted},
    wire,
};
use futures_util::stream::BoxStream;
use std::{sync::Arc, time::Duration};
use toft_model::provider::Api;
use tokio_util::sync::CancellationToken;

/// All models: those of providers through one transport, and the scripted one.
#[derive(Clone)]
pub struct Models {
    transport: Arc<dyn Transport>,
    idle_timeout: Duration,
    pace: Pace,
}

impl Models {
    /// Calls go through `transport`; the scripted model speaks at a natural pace.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, idle_timeout: IDLE_TIMEOUT, pace: Pace::NATURAL }
    }

    /// Gives a silent provider up after this time instead of [`IDLE_TIMEOUT`].
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// How fast the scripted model speaks.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

impl Model for Models {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let ask = match request.model.api {
            Api::AnthropicMessages => wire::ask::<Anthropic>,
            Api::OpenaiCompletions => wire::ask::<OpenaiChat>,
            Api::OpenaiResponses => wire::ask::<OpenaiResponses>,
            Api::GoogleGenerativeAi => wire::ask::<Gemini>,
            Api::BedrockConverseStream => wire::ask::<Bedrock>,
            Api::Scripted => return Scripted::new(self.pace).ask(request, cancel),
        };
        ask(Arc::clone(&self.transport), self.idle_timeout, request, cancel)
    }
}
