//! One model call as it is written down: granted before anything goes out, ended once, whatever
//! becomes of it. Not its way to the provider: that is `way`.

use super::{
    Asker,
    asker::Booked,
    cost::{cost, estimate, likeliest},
    unpaid::refusal,
};
use crate::{
    api_error::ApiError,
    limits::pace::Leave,
    meter::{Answer, Mask, ModelFinder, Tokens},
    records::journal::now_ms,
    records::usage::UsageRecord,
    state::State,
    tap::{Ending, Tap},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use toft_model::id::{ProjectId, uuid_v7};
use tokio::time::Instant;

/// Status in the record of a call that the machine gave up before there was an answer (nginx's).
const CLIENT_CLOSED: u16 = 499;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nothing that could cost anything has left: it costs nothing.
    Kept,
    /// It is on its way. What it costs is not known until there is an answer.
    Out,
    /// The provider answered, with the record's status.
    Answered,
}

/// Why a call was left by the gateway itself, which gives it up by dropping it.
#[derive(Debug, Clone, Default)]
pub(super) struct Left(Arc<OnceLock<&'static str>>);

impl Left {
    /// It said nothing in time, and another model is asked.
    pub(super) fn silent(&self) {
        let _ = self.0.set("no_first_byte");
    }

    /// It began with a failure.
    pub(super) fn failed(&self) {
        let _ = self.0.set("failed");
    }

    /// What the record of a call says that was given up.
    fn word(&self) -> &'static str {
        self.0.get().copied().unwrap_or("client_closed")
    }
}

/// What was seen of a request's body.
#[derive(Debug, Default)]
struct Requested {
    finder: ModelFinder,
    bytes: u64,
    /// It is compressed: what looks like a model in it is none.
    encoded: bool,
}

/// A call that was granted. Writes its record once, when it ends or is given up.
pub(super) struct Call {
    state: Arc<State>,
    began: Instant,
    pub(super) record: UsageRecord,
    requested: Arc<Mutex<Requested>>,
    answer: Answer,
    reach: Reach,
    /// Whether a model is asked at all: lists and token counts cost nothing anywhere.
    asks: bool,
    written: bool,
    leave: Arc<Leave>,
    left: Left,
}

impl Call {
    /// Grants a call: from here on it has a record, also when the gateway is killed (but for one that costs
    /// nothing).
    pub(super) fn begin(
        state: &Arc<State>,
        asker: Asker<'_>,
        booked: Booked,
        provider: &str,
        size: Size<'_>,
        leave: Arc<Leave>,
        left: Left,
    ) -> Result<Self, ApiError> {
        let ts = now_ms();
        let mut record = UsageRecord {
            id: uuid_v7(ts),
            ts,
            project: asker.project(),
            session: booked.session,
            run: booked.run,
            provider: provider.to_owned(),
            status: CLIENT_CLOSED,
            ..UsageRecord::default()
        };
        let granted = if size.asks {
            let estimate = || estimate(provider, size.model, size.bytes);
            state.ledger.grant(&state.usage, &mut record, estimate)
        } else {
            state.ledger.free(&state.usage)
        };
        granted.map_err(|refused| refusal(&refused))?;
        Ok(Self {
            state: Arc::clone(state),
            began: Instant::now(),
            record,
            requested: Arc::default(),
            answer: Answer::new(None, false),
            reach: Reach::Kept,
            asks: size.asks,
            written: false,
            leave,
            left,
        })
    }

    /// Looks on at the request's body.
    pub(super) fn request_tap(&self) -> RequestTap {
        RequestTap(Arc::clone(&self.requested))
    }

    /// The request's body is compressed.
    pub(super) fn is_encoded(&self) {
        self.requested().encoded = true;
    }

    /// From here on it may cost something.
    pub(super) fn goes_out(&mut self) {
        self.leave.goes_out();
        self.reach = Reach::Out;
    }

    /// It went out, but no provider has it.
    pub(super) fn came_back(&mut self) {
        self.reach = Reach::Kept;
    }

    /// What the provider answers follows.
    pub(super) fn answered(&mut self, status: StatusCode, answer: Answer) {
        self.reach = Reach::Answered;
        self.record.status = status.as_u16();
        self.answer = answer;
    }

    fn requested(&self) -> MutexGuard<'_, Requested> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes a failure that the gateway answers, and gives it back.
    pub(super) fn failed(&mut self, error: ApiError) -> ApiError {
        self.record.status = error.code.status().as_u16();
        self.write(Some(error.code.as_str()), false);
        tracing::warn!(
            project.id = self.record.project.as_ref().map(ProjectId::as_str),
            provider = %self.record.provider,
            code = error.code.as_str(),
            reason = %error.message,
            "a model call failed"
        );
        error
    }

    /// `complete`: the answer's body came to its end.
    fn write(&mut self, error: Option<&str>, complete: bool) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        self.answer.finish();
        // Whoever reads what an earlier call answered reads its counts again.
        let tokens = if self.asks { self.answer.tokens } else { Tokens::default() };
        let refused = self.reach == Reach::Answered && self.record.status >= 400;
        let free =
            !self.asks || self.reach == Reach::Kept || (refused && tokens == Tokens::default());
        let requested = self.requested();
        let asked = requested.finder.model().map(str::to_owned);
        let only = asked.as_deref().filter(|_| requested.finder.only_model().is_some());
        let only = only.filter(|_| !requested.encoded);
        let bytes = requested.bytes;
        drop(requested);
        let answered = self.answer.model.take();
        let provider = &*self.record.provider;
        let models = [answered.as_deref(), only];
        if free {
            self.record.cost = Some(0);
        } else if self.answer.is_counted(complete) && tokens.input.is_some() {
            self.record.cost = cost(provider, models, tokens);
            self.record.counted = match self.record.cost {
                Some(_) => None,
                None => likeliest(provider, models, tokens),
            };
        } else {
            // More may have been used than was told.
            let told = likeliest(provider, models, tokens).unwrap_or(0);
            let may_be = estimate(provider, models.into_iter().flatten().next(), Some(bytes));
            let reserved = self.record.reserved.unwrap_or(0);
            self.record.counted = Some(told.max(may_be).max(reserved)).filter(|sum| *sum > 0);
        }
        self.record.model = answered.or(asked);
        self.record.input = tokens.input;
        self.record.output = tokens.output;
        self.record.cache_read = tokens.cache_read;
        self.record.cache_write = tokens.cache_write;
        self.record.duration_ms = self.elapsed_ms();
        self.record.error = error.map(str::to_owned);
        self.state.ledger.settle(&self.state.usage, &self.record);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.write(Some(self.left.word()), false);
    }
}

/// Whether a request asks a model, and so costs money.
pub(super) fn asks(method: &Method, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let others = ["/count_tokens", ":countTokens", "/input_tokens", "/cancel"];
    *method == Method::POST && !others.iter().any(|end| path.ends_with(end))
}

/// What is known of a call before it goes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size<'a> {
    /// Whether it asks a model at all.
    pub(super) asks: bool,
    /// Which one, as it is asked for.
    pub(super) model: Option<&'a str>,
    /// Bytes of its body.
    pub(super) bytes: Option<u64>,
}

/// Looks on at the answer.
pub(crate) struct CallTap {
    call: Call,
    mask: Mask,
}

impl CallTap {
    pub(super) fn new(call: Call, mask: Mask) -> Self {
        Self { call, mask }
    }
}

impl Tap for CallTap {
    fn data(&mut self, data: Bytes) -> Bytes {
        if self.call.record.first_byte_ms.is_none() {
            self.call.record.first_byte_ms = Some(self.call.elapsed_ms());
        }
        self.call.answer.feed(&data);
        let (data, masked) = self.mask.pass(data);
        if masked {
            tracing::warn!(
                project.id = self.call.record.project.as_ref().map(ProjectId::as_str),
                provider = %self.call.record.provider,
                "a provider repeated its key in an answer; it was masked"
            );
        }
        data
    }

    fn held(&self) -> usize {
        self.mask.held()
    }

    fn rest(&mut self) -> Bytes {
        self.mask.rest()
    }

    fn end(&mut self, ending: Ending) {
        let error = match ending {
            Ending::Complete => None,
            Ending::Cut => Some("cut"),
            Ending::Idle => Some("idle_timeout"),
            Ending::Abandoned if self.call.answer.whole => None,
            Ending::Abandoned => Some(self.call.left.word()),
        };
        self.call.write(error, ending == Ending::Complete);
    }
}

/// Looks on at the request.
pub(super) struct RequestTap(Arc<Mutex<Requested>>);

impl Tap for RequestTap {
    fn data(&mut self, data: Bytes) -> Bytes {
        let mut requested = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requested.bytes = requested.bytes.saturating_add(data.len() as u64);
        if !requested.encoded {
            requested.finder.feed(&data);
        }
        drop(requested);
        data
    }

    fn end(&mut self, _ending: Ending) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_counts_ask_no_model() {
        for (method, path, want) in [
            (Method::POST, "/v1/messages", true),
            (Method::POST, "/v1/messages?beta=true", true),
            (Method::POST, "/v1/messages/count_tokens?beta=true", false),
            (Method::POST, "/v1beta/models/g:countTokens", false),
            (Method::POST, "/v1beta/models/g:generateContent", true),
            (Method::POST, "/v1/responses/r1/cancel", false),
            (Method::GET, "/v1/responses/r1", false),
            (Method::GET, "/v1/models", false),
        ] {
            assert_eq!(asks(&method, path), want, "{method} {path}");
        }
    }
}
