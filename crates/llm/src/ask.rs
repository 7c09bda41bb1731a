//! What is asked of a model and what comes back, the same for every wire format.

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use serde_json::Value;
use std::time::Duration;
use toft_model::{
    event::Delta,
    id::{RunId, SessionId},
    message::{AssistantMessage, Message},
    provider::ModelInfo,
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

/// How hard the model should think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum ThinkingLevel {
    #[default]
    Off,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

impl ThinkingLevel {
    /// The level as OpenAI's formats write it, which others took over.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
        }
    }

    /// Of such a word, in any letters; `None` for another one.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "none" => Self::Off,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" | "max" => Self::Xhigh,
            _ => return None,
        })
    }

    /// Tokens for formats that count them: Pi's budgets.
    pub(crate) fn budget_tokens(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Minimal => 1_024,
            Self::Low => 2_048,
            Self::Medium => 8_192,
            Self::High => 16_384,
            Self::Xhigh => 24_576,
        }
    }

    /// The highest level whose budget it is; the least for less than any.
    pub(crate) fn of_budget(tokens: u64) -> Self {
        let levels = [Self::Xhigh, Self::High, Self::Medium, Self::Low];
        match levels.into_iter().find(|level| tokens >= level.budget_tokens()) {
            Some(level) => level,
            None if tokens == 0 => Self::Off,
            None => Self::Minimal,
        }
    }
}

/// One call of a model.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// Which model.
    pub model: ModelInfo,
    /// System prompt; stable over a session so that provider caches hit.
    pub system: String,
    /// The conversation, oldest first; ends with a user message or a tool result.
    pub messages: Vec<Message>,
    /// Tools offered.
    pub tools: Vec<ToolSpec>,
    /// Thinking.
    pub thinking: ThinkingLevel,
    /// Output tokens at most; the model's own limit when absent.
    pub max_tokens: Option<u64>,
    /// Groups the calls of one conversation for provider caches.
    pub session: String,
    /// Whose work it is.
    pub booking: Booking,
    /// What a program asked for beside the conversation; the agent leaves all of it to the model.
    pub options: Options,
}

/// See [`ModelRequest::options`]. What a wire format has no word for is left out of its request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// As the program gave it: what is allowed differs between providers, who say so.
    pub temperature: Option<f64>,
    /// See [`Options::temperature`].
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Which tools the model may or must call.
    pub tool_choice: ToolChoice,
    /// At most one call in a message.
    pub one_call: bool,
    /// What the text of the answer must be.
    pub output: Output,
    /// The answer goes on to a program in another wire format: its stop is the provider's own, and a
    /// call that the output limit cut is left out. Otherwise such a call is kept with a mark, so that
    /// the model is told of it.
    pub passed_on: bool,
    /// Nothing goes on from it: no provider is asked, and paid, to keep its beginning for the next question.
    pub one_off: bool,
}

/// See [`Options::tool_choice`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// None.
    Never,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
}

/// See [`Options::output`].
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Output {
    /// Anything.
    #[default]
    Text,
    /// A JSON object.
    Json,
    /// JSON of a schema.
    Schema {
        /// Its name, for formats that want one.
        name: String,
        /// JSON Schema.
        schema: Value,
    },
}

/// What a call is booked on, beside the project that the gateway knows by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booking {
    /// The conversation.
    pub session: Option<SessionId>,
    /// The run in it; `None` for work that no prompt began.
    pub run: Option<RunId>,
}

/// What a model says, in order. The last item is always `Done`: a stream never fails in another
/// way, and never ends without it.
#[derive(Debug, Clone)]
pub enum ModelEvent {
    /// A piece arrived.
    Delta(Delta),
    /// Comes right before the end of a thinking block that its provider sealed: what that provider
    /// wants to see again. Only for those who pass a message on before it is whole.
    Sealed {
        /// Which block.
        content_index: usize,
        /// As in [`toft_model::message::Block::Thinking`].
        signature: String,
        /// Whether the thinking itself is hidden.
        redacted: bool,
    },
    /// The whole message. Failure and abortion are `stop_reason` `error` and `aborted` with
    /// `error_message`; such a message holds what had arrived, and no tool call that was not
    /// finished by the provider's own end mark.
    Done {
        /// The message; its `timestamp` is set by the caller.
        message: AssistantMessage,
        /// Set when the call failed.
        failure: Option<ModelFailure>,
    },
}

/// Why a call failed and whether to try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelFailure {
    /// Stable: `provider_refused_key`, `unknown_model`, `no_key`, `rate_limited`, `overloaded`,
    /// `provider_error`, `invalid_request`, `context_overflow`, `cut`, `idle_timeout`,
    /// `unreachable`, `held_back` (the project's own limits; it may simply wait), `budget_spent` (it
    /// may wait for a person who raises it), `bad_answer`, `aborted`.
    pub code: String,
    /// The provider's own words where there are any, for people.
    pub message: String,
    /// Whether and when to ask again.
    pub retry: Retry,
}

/// See [`ModelFailure::retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    Never,
    /// With the caller's own backoff.
    Backoff,
    /// Not before this time, as the provider said.
    After(Duration),
}

/// Something that answers [`ModelRequest`]s.
pub trait Model: Send + Sync {
    /// Asks. Dropping the stream or cancelling ends the call at once. Who polls it once more after
    /// `Done`, until it ends, lets the connection be used again.
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent>;
}

/// One HTTP request of an adapter; the path begins with `/llm/{provider}/`.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: http::Method,
    /// Path on the gateway.
    pub path: String,
    /// Headers beyond content type and credential.
    pub headers: http::HeaderMap,
    /// JSON body.
    pub body: Bytes,
}

/// Its answer: the body as it arrives.
pub struct HttpAnswer {
    /// Status code.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body chunks.
    pub body: BoxStream<'static, Result<Bytes, TransportError>>,
}

/// The connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing answers at the gateway's address.
    #[error("the model gateway cannot be reached: {0}")]
    Connect(String),
    /// The connection broke.
    #[error("the connection to the model gateway broke: {0}")]
    Broken(String),
}

/// How adapters reach the gateway; real HTTP in the bridge, a script in tests.
pub trait Transport: Send + Sync {
    /// Sends one request and resolves when the answer's headers are there.
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, TransportError>>;
}
