//! Runs one model call: sends, reads, decodes, and turns whatever happens into events. The same for
//! every wire format; what the events of a stream mean is in the adapters' `stream.rs`.

use crate::{
    ask::{HttpAnswer, HttpRequest, ModelEvent, ModelFailure, Retry, Transport, TransportError},
    assembly::{Assembly, is_broken},
    catalogue,
    ends::{aborted, empty_message, fail},
    framing::Framing,
    price,
    refusal::{Named, Refusal, Words},
    trouble::Trouble,
};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    stream::{self, BoxStream},
};
use http::HeaderMap;
use std::{sync::Arc, time::Duration};
use toft_model::{
    message::{AssistantMessage, Block, StopReason},
    provider::{ModelInfo, ModelRef},
};
use tokio_util::sync::CancellationToken;

/// A provider that sends nothing for so long is given up (Pi: 300 s; thinking models can be silent
/// for minutes).
pub const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// Header of an answer from the gateway: names, as `PROVIDER/MODEL`, the model that answers. It is the one
/// that was asked, or one that stands in for it.
pub const MODEL_HEADER: &str = "x-toft-model";

/// Bytes of an error's body that are read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How long the rest of an error's body may take: its words are nice to have.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the end of the body after the end of the message, so that the connection can
/// be used again. Spent after the last event was handed out.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// What one wire format makes of its events.
pub(crate) trait Decode: Default + Send + 'static {
    /// How its events stand in the body.
    type Framing: Framing;

    /// Takes one event. True: the format's own mark that the message is whole.
    fn event(&mut self, event: &str, data: &str, into: &mut Assembly) -> Result<bool, Trouble>;

    /// OpenAI's mark [`DONE`] came, which some providers of other formats send too. As
    /// [`Decode::event`].
    fn done(&self) -> Result<bool, Trouble> {
        Ok(false)
    }

    /// The body ended without the mark: whether the message is whole all the same.
    fn whole_without_mark(&self) -> bool {
        false
    }

    /// Why the model stopped; asked when the message is whole.
    fn stop(&self) -> Result<StopReason, Trouble>;
}

/// What OpenAI's chat streams end with.
const DONE: &str = "[DONE]";

/// One call to make.
pub(crate) struct Call<D> {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) request: HttpRequest,
    pub(crate) decode: D,
    pub(crate) assembly: Assembly,
    pub(crate) model: ModelInfo,
    /// Name of the provider, for people.
    pub(crate) provider_name: String,
    /// Error types of the format.
    pub(crate) named: Named,
    pub(crate) idle_timeout: Duration,
    pub(crate) cancel: CancellationToken,
    /// See [`crate::ask::Options::passed_on`].
    pub(crate) passed_on: bool,
}

impl<D> Call<D> {
    fn told(&self, trouble: Trouble) -> ModelFailure {
        trouble.told(self.named, &self.provider_name, &self.model.id)
    }
}

enum Stage {
    Send,
    Read(BoxStream<'static, Result<Bytes, TransportError>>),
    End(Result<(), ModelFailure>),
    Drain,
    Over,
}

struct Running<D: Decode> {
    call: Call<D>,
    splitter: D::Framing,
    stage: Stage,
    rest: Option<BoxStream<'static, Result<Bytes, TransportError>>>,
}

/// Makes the call; nothing happens before the stream is polled.
pub(crate) fn stream<D: Decode>(call: Call<D>) -> BoxStream<'static, ModelEvent> {
    let running = Running { call, splitter: D::Framing::default(), stage: Stage::Send, rest: None };
    stream::unfold(running, |mut running| async move {
        running.next().await.map(|event| (event, running))
    })
    .boxed()
}

/// The answer to a call of a model whose name no path can have.
pub(crate) fn refused(model: &ModelInfo) -> BoxStream<'static, ModelEvent> {
    let message = format!(
        "The model name {:?} cannot stand in a path: it has an empty, `.` or `..` part or a control \
         character in it.",
        model.id
    );
    let failure = fail("invalid_request", message, Retry::Never);
    let message = AssistantMessage {
        stop_reason: StopReason::Error,
        error_message: Some(failure.message.clone()),
        ..empty_message(model)
    };
    stream::iter([ModelEvent::Done { message, failure: Some(failure) }]).boxed()
}

impl<D: Decode> Running<D> {
    async fn next(&mut self) -> Option<ModelEvent> {
        loop {
            if !matches!(self.stage, Stage::End(_) | Stage::Drain | Stage::Over)
                && self.call.cancel.is_cancelled()
            {
                self.stage = Stage::End(Err(aborted()));
                return Some(self.done(Err(aborted())));
            }
            if !matches!(self.stage, Stage::Drain | Stage::Over)
                && let Some(event) = self.call.assembly.next_event()
            {
                return Some(event);
            }
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Send => self.stage = self.send().await,
                Stage::Read(body) => self.stage = self.read(body).await,
                Stage::End(outcome) => return Some(self.done(outcome)),
                Stage::Drain => self.drain().await,
                Stage::Over => return None,
            }
        }
    }

    /// Waits for something with the idle limit, unless cancelled.
    async fn patiently<T>(&mut self, wanted: impl Future<Output = T>) -> Result<T, ModelFailure> {
        tokio::select! {
            biased;
            () = self.call.cancel.cancelled() => Err(aborted()),
            got = tokio::time::timeout(self.call.idle_timeout, wanted) => got.map_err(|_| fail(
                "idle_timeout",
                format!(
                    "{} sent nothing for {} seconds.",
                    self.call.provider_name,
                    self.call.idle_timeout.as_secs()
                ),
                Retry::Backoff,
            )),
        }
    }

    async fn send(&mut self) -> Stage {
        let sent = self.call.transport.send(self.call.request.clone());
        // The body can be megabytes and is not needed again.
        self.call.request.body = Bytes::new();
        let answer = match self.patiently(sent).await {
            Err(failure) => return Stage::End(Err(failure)),
            Ok(Err(error)) => return Stage::End(Err(broken(&error))),
            Ok(Ok(answer)) => answer,
        };
        if answer.status.is_success() && !is_json(&answer.headers) {
            self.answered_by(&answer.headers);
            return Stage::Read(answer.body);
        }
        Stage::End(Err(self.refused(answer).await))
    }

    /// The message is that of the model which answers, at its price. The format stays: what the message
    /// has of it was written in this one.
    fn answered_by(&mut self, headers: &HeaderMap) {
        let model = &mut self.call.model;
        let named = headers.get(MODEL_HEADER).and_then(|name| name.to_str().ok());
        let Some(ModelRef { provider, id }) = named.and_then(ModelRef::named) else { return };
        if provider == model.provider && id == model.id {
            return;
        }
        model.price = catalogue::model(&provider, &id).and_then(|info| info.price);
        if let Some(spec) = catalogue::provider(&provider) {
            spec.name.clone_into(&mut self.call.provider_name);
        }
        (model.provider, model.id) = (provider, id);
    }

    async fn refused(&mut self, mut answer: HttpAnswer) -> ModelFailure {
        let mut body = Vec::new();
        let read = async {
            while let Some(Ok(chunk)) = answer.body.next().await {
                body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BYTES_MAX - body.len())]);
                if body.len() == ERROR_BYTES_MAX {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.call.cancel.cancelled() => return aborted(),
            _ = tokio::time::timeout(ERROR_BODY_TIMEOUT, read) => {}
        }
        Refusal {
            provider: &self.call.provider_name,
            model: &self.call.model.id,
            status: answer.status,
            headers: &answer.headers,
            body: &body,
        }
        .judge(self.call.named)
    }

    async fn read(&mut self, mut body: BoxStream<'static, Result<Bytes, TransportError>>) -> Stage {
        let chunk = match self.patiently(body.next()).await {
            Err(failure) => return Stage::End(Err(failure)),
            Ok(None) if self.call.decode.whole_without_mark() => {
                self.call.assembly.close_all();
                return Stage::End(Ok(()));
            }
            Ok(None) => return Stage::End(Err(self.cut(None))),
            Ok(Some(Err(error))) => return Stage::End(Err(self.cut(Some(&error)))),
            Ok(Some(Ok(chunk))) => chunk,
        };
        self.splitter.push(&chunk);
        loop {
            let event = match self.splitter.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => return Stage::Read(body),
                Err(error) => {
                    return Stage::End(Err(fail("bad_answer", error.to_string(), Retry::Backoff)));
                }
            };
            let told = match event.data.trim() {
                data if event.failed => Err(Trouble::Said(Words::named(&event.name, data))),
                // Sent to keep the connection alive.
                "" => Ok(false),
                DONE => self.call.decode.done(),
                data => self.call.decode.event(&event.name, data, &mut self.call.assembly),
            };
            match told {
                Ok(_) if self.call.assembly.is_too_much() => {
                    let name = &self.call.provider_name;
                    let words =
                        format!("{name} sent more than any answer has, and is not read on.");
                    return Stage::End(Err(fail("bad_answer", words, Retry::Never)));
                }
                Ok(false) => {}
                Ok(true) => {
                    self.call.assembly.close_all();
                    // Most often the body ends here and its connection can be used again.
                    self.rest = match body.next().now_or_never() {
                        Some(None) => None,
                        Some(Some(_)) | None => Some(body),
                    };
                    return Stage::End(Ok(()));
                }
                Err(trouble) => return Stage::End(Err(self.call.told(trouble))),
            }
        }
    }

    fn cut(&self, error: Option<&TransportError>) -> ModelFailure {
        let name = &self.call.provider_name;
        let when = if self.call.assembly.is_empty() { "before" } else { "in the middle of" };
        let why = error.map(|e| format!(": {e}")).unwrap_or_default();
        let message = format!("The stream of {name} ended {when} its answer{why}.");
        fail("cut", message, Retry::Backoff)
    }

    fn done(&mut self, outcome: Result<(), ModelFailure>) -> ModelEvent {
        self.stage = Stage::Drain;
        let mut assembly = std::mem::take(&mut self.call.assembly);
        let mut usage = assembly.usage.usage();
        usage.cost = self.call.model.price.as_ref().map(|p| price::cost(p, &usage));
        let mut message = AssistantMessage { usage, ..empty_message(&self.call.model) };
        let stop = || self.call.decode.stop().map_err(|trouble| self.call.told(trouble));
        let failure = match outcome.and_then(|()| stop()) {
            Ok(stop) => {
                if stop == StopReason::Length {
                    assembly.doubt_the_last_call();
                }
                message.content = assembly.into_blocks();
                let cut = self.call.passed_on && stop == StopReason::Length;
                if cut {
                    leave_cut_out(&mut message.content);
                }
                // Providers say `stop` after calls and the other way round, and a call that ran into
                // the output limit is answered with an error that the model can act on.
                let calls = message.tool_calls().next().is_some();
                message.stop_reason = match (stop, calls) {
                    (_, true) if !cut => StopReason::ToolUse,
                    (StopReason::ToolUse, false) => StopReason::Stop,
                    _ => stop,
                };
                None
            }
            Err(failure) => {
                message.content = assembly.into_partial_blocks();
                message.error_message = Some(failure.message.clone());
                Some(failure)
            }
        };
        if let Some(failure) = &failure {
            message.stop_reason = match failure.code.as_str() {
                "aborted" => StopReason::Aborted,
                _ => StopReason::Error,
            };
        }
        ModelEvent::Done { message, failure }
    }

    async fn drain(&mut self) {
        let Some(mut body) = self.rest.take() else { return };
        let read = async { while let Some(Ok(_)) = body.next().await {} };
        // Either way the stream is over; this only decides whether the connection lives on.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, read).await;
    }
}

/// Leaves out what the output limit cut: calls whose arguments are no JSON, and a last one that may not
/// have been done with them.
fn leave_cut_out(content: &mut Vec<Block>) {
    content.retain(|b| !matches!(b, Block::ToolCall(call) if is_broken(&call.arguments)));
    if content
        .last()
        .is_some_and(|b| matches!(b, Block::ToolCall(call) if call.arguments.is_empty()))
    {
        content.pop();
    }
}

/// A connection that failed before the answer began.
pub(crate) fn broken(error: &TransportError) -> ModelFailure {
    match error {
        TransportError::Connect(_) => fail("unreachable", format!("{error}."), Retry::Backoff),
        TransportError::Broken(_) => fail("cut", format!("{error}."), Retry::Backoff),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.trim_start().starts_with("application/json"))
}
