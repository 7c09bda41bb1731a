//! One model call as it is written down: granted before anything goes out, ended once, whatever
//! becomes of it. Not its way to the provider: that is `way`.

use super::{
    Asker,
    asker::Booked,
    cost::{cost, estimate, likeliest},
    kind,
    unpaid::refusal,
};
use crate::{
    api_error::ApiError,
    limits::pace::Leave,
    meter::{Answer, ModelFinder, Tokens},
    needles::{Look, Stream},
    provider::Provider,
    records::journal::now_ms,
    records::usage::UsageRecord,
    state::State,
    tap::{Ending, Tap},
};
use bytes::Bytes;
use http::StatusCode;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
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
    provider: Arc<Provider>,
    began: Instant,
    pub(super) record: UsageRecord,
    requested: Arc<Mutex<Requested>>,
    answer: Answer,
    reach: Reach,
    /// Whether a model is asked at all: lists and token counts cost nothing anywhere.
    asks: bool,
    /// Whether a budget applies to it.
    is_bounded: bool,
    /// Whether its work is done later: what its answer counts is not what it costs.
    is_delayed: bool,
    /// The model that is asked, where that is known before its name passes in the body: which never does when the
    /// provider is not there.
    named: Option<String>,
    written: bool,
    leave: Arc<Leave>,
    left: Left,
}

impl Call {
    /// Grants a call: from here on it has a record, also when the gateway is killed (but for one that costs
    /// nothing).
    pub(super) fn begin(
        state: &Arc<State>,
        asker: &Asker,
        booked: Booked,
        provider: &Arc<Provider>,
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
            provider: provider.info.id.clone(),
            status: CLIENT_CLOSED,
            ..UsageRecord::default()
        };
        let is_bounded = size.asks && state.ledger.bounds(&record);
        if is_bounded && size.delayed {
            return Err(kind::delayed_refused());
        }
        let granted = if size.asks {
            let estimate = || estimate(provider, size.model, size.bytes);
            state.ledger.grant(&state.usage, &mut record, estimate)
        } else {
            state.ledger.free(&state.usage)
        };
        granted.map_err(|refused| refusal(&refused))?;
        Ok(Self {
            state: Arc::clone(state),
            provider: Arc::clone(provider),
            began: Instant::now(),
            record,
            requested: Arc::default(),
            answer: Answer::new(None),
            reach: Reach::Kept,
            asks: size.asks,
            is_bounded,
            is_delayed: size.delayed,
            named: size.model.map(str::to_owned),
            written: false,
            leave,
            left,
        })
    }

    /// Whether a budget applies to it.
    pub(super) fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    /// What was seen of the request's body.
    pub(super) fn asked(&self) -> Asked {
        Asked(Arc::clone(&self.requested))
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

    /// How its answer is looked through for the provider's key.
    pub(super) fn look(&self) -> Look {
        let (project, provider) = (self.record.project.clone(), self.record.provider.clone());
        let once = Once::new();
        let told = move |_| {
            once.call_once(|| {
                tracing::warn!(
                    project.id = project.as_ref().map(ProjectId::as_str),
                    provider,
                    "a provider repeated its key in an answer; it was taken out"
                );
            });
        };
        Look::new(Arc::clone(&self.provider.needles), Arc::new(told))
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
        // A stream of such work has the counts at its end.
        let is_counted = tokens.output.is_some_and(|output| output > 0)
            || !(self.is_delayed || requested.finder.is_delayed());
        drop(requested);
        let answered = self.answer.model.take();
        let provider = &*self.provider;
        let models = [answered.as_deref(), only];
        if free {
            self.record.cost = Some(0);
        } else if is_counted && self.answer.is_counted(complete) && tokens.input.is_some() {
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
        self.record.model = answered.or(asked).or_else(|| self.named.take());
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

/// What is known of a call before it goes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size<'a> {
    /// Whether it asks a model at all.
    pub(super) asks: bool,
    /// Whether its work is done later.
    pub(super) delayed: bool,
    /// Which one, as it is asked for.
    pub(super) model: Option<&'a str>,
    /// Bytes of its body.
    pub(super) bytes: Option<u64>,
}

/// Looks on at the answer.
pub(crate) struct CallTap {
    call: Call,
    stream: Stream,
    /// What came last. It is read when the next comes, or nothing does: the program has it by then, and
    /// does not wait for that.
    unread: Bytes,
}

impl CallTap {
    pub(super) fn new(call: Call, look: Look) -> Self {
        Self { call, stream: Stream::new(look, true), unread: Bytes::new() }
    }
}

impl Tap for CallTap {
    fn data(&mut self, data: Bytes) -> Bytes {
        if self.call.record.first_byte_ms.is_none() {
            self.call.record.first_byte_ms = Some(self.call.elapsed_ms());
        }
        let before = std::mem::replace(&mut self.unread, data.clone());
        self.call.answer.feed(&before);
        self.stream.pass(data)
    }

    fn held(&self) -> usize {
        self.stream.held()
    }

    fn rest(&mut self) -> Bytes {
        self.stream.rest()
    }

    fn end(&mut self, ending: Ending) {
        self.call.answer.feed(&std::mem::take(&mut self.unread));
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

/// What was seen of a request's body until now.
pub(super) struct Asked(Arc<Mutex<Requested>>);

impl Asked {
    /// Whether it asks for work that is done later.
    pub(super) fn is_delayed(&self) -> bool {
        let requested = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !requested.encoded && requested.finder.is_delayed()
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
