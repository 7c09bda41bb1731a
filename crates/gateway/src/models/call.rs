//! One model call as it is written down: granted before anything goes out, ended once, whatever
//! becomes of it. Not its way to the provider: that is `forward`.

use super::{Asker, asker::Booked};
use crate::{
    api_error::{ApiError, Code},
    journal::now_ms,
    ledger::Refused,
    meter::{Answer, Mask, ModelFinder, Tokens},
    state::State,
    tap::{Ending, Tap},
    usage::UsageRecord,
};
use bytes::Bytes;
use http::{Method, StatusCode};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use toft_llm::{catalogue, price};
use toft_model::{
    id::{ProjectId, uuid_v7},
    message::Usage,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

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
    _permit: OwnedSemaphorePermit,
}

impl Call {
    /// Grants a call: from here on it has a record, also when the gateway is killed.
    pub(super) fn begin(
        state: &Arc<State>,
        asker: Asker<'_>,
        booked: Booked,
        provider: &str,
        size: Size<'_>,
        permit: OwnedSemaphorePermit,
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
        let granted = state.ledger.grant(&state.usage, &mut record, || {
            if size.asks { estimate(provider, size.model, size.bytes) } else { 0 }
        });
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
            _permit: permit,
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
        self.write(Some("client_closed"), false);
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

/// Bytes of a body of which nothing was said: a conversation of some length.
const BYTES_UNSAID: u64 = 64 << 10;

/// Bytes that make a token, on the dear side.
const BYTES_PER_TOKEN: u64 = 3;

/// Tokens that most answers stay below. With what a model may write at most, a budget would be reserved
/// by a few calls that cost a hundredth of it.
const OUTPUT_RESERVED: u64 = 4_096;

/// What such a call may well cost; 0 where no price of the provider is known.
fn estimate(provider: &str, model: Option<&str>, bytes: Option<u64>) -> u64 {
    // A model that is not known has no name that is listed.
    let Some(info) = catalogue::model(provider, model.unwrap_or_default()) else { return 0 };
    let Some(price) = &catalogue::cautious_price(provider, model) else { return 0 };
    let input = bytes.unwrap_or(BYTES_UNSAID) / BYTES_PER_TOKEN;
    let usage = Usage {
        input: input.min(info.context_window),
        output: OUTPUT_RESERVED.min(info.max_tokens),
        ..Usage::default()
    };
    price::cost_nanos(price, &usage)
}

/// How long to wait for calls that have reserved what is left.
const RESERVED_WAIT: Duration = Duration::from_secs(2);

fn refusal(refused: &Refused) -> ApiError {
    match refused {
        Refused::Disk => ApiError::new(
            Code::DiskFull,
            "This call was not made, because what it will cost could not be written down. Make \
             room on the disk of the server's data folder, then try again.",
        ),
        Refused::Spent { scope, spent, bound } => {
            let (which, raise) = scope.words();
            let message = format!(
                "{} is spent: {} of {}. To go on, raise it ({raise}).",
                capital(which),
                dollars(*spent),
                dollars(*bound)
            );
            ApiError::new(Code::BudgetSpent, message)
        }
        Refused::Reserved { scope } => {
            let (which, _) = scope.words();
            let message = format!(
                "What is left of {which} is reserved for calls under way: ask again when they have ended."
            );
            ApiError::new(Code::BudgetReserved, message).retry_after(RESERVED_WAIT)
        }
    }
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `US$ 12.50`; small sums keep their digits: `US$ 0.0023`.
fn dollars(nanos: u64) -> String {
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if whole > 0 {
        format!("US$ {whole}.{:02}", part / 10_000_000)
    } else {
        format!("US$ 0.{:04}", part / 100_000)
    }
}

/// Billionths of a dollar, by today's catalogue. `models`: as the provider named it, then as it was
/// asked for; providers answer with dated names that no list has, and charge what was asked for.
fn cost(provider: &str, models: [Option<&str>; 2], tokens: Tokens) -> Option<u64> {
    let price = models
        .into_iter()
        .flatten()
        .find_map(|model| catalogue::model(provider, model).and_then(|info| info.price))?;
    Some(price::cost_nanos(&price, &usage(tokens)?))
}

/// The same at the price to reckon with where none is known: never too little.
fn likeliest(provider: &str, models: [Option<&str>; 2], tokens: Tokens) -> Option<u64> {
    cost(provider, models, tokens).or_else(|| {
        let model = models.into_iter().flatten().next();
        let price = catalogue::cautious_price(provider, model)?;
        Some(price::cost_nanos(&price, &usage(tokens)?))
    })
}

/// `None` when nothing was reported.
fn usage(tokens: Tokens) -> Option<Usage> {
    Some(Usage {
        input: tokens.input?,
        // Embeddings write none, and say nothing of it.
        output: tokens.output.unwrap_or(0),
        cache_read: tokens.cache_read.unwrap_or(0),
        cache_write: tokens.cache_write.unwrap_or(0),
        ..Usage::default()
    })
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

    fn end(&mut self, ending: Ending) {
        let error = match ending {
            Ending::Complete => None,
            Ending::Cut => Some("cut"),
            Ending::Idle => Some("idle_timeout"),
            Ending::Abandoned if self.call.answer.whole => None,
            Ending::Abandoned => Some("client_closed"),
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

    fn check(
        provider: &str,
        models: [Option<&str>; 2],
        tokens: [Option<u64>; 4],
        want: Option<u64>,
    ) {
        let [input, output, cache_read, cache_write] = tokens;
        let tokens = Tokens { input, output, cache_read, cache_write };
        assert_eq!(cost(provider, models, tokens), want, "{provider} {models:?} {tokens:?}");
    }

    #[test]
    fn sums_are_told_in_dollars() {
        for (nanos, want) in [
            (0, "US$ 0.0000"),
            (2_310_000, "US$ 0.0023"),
            (999_999_999, "US$ 0.9999"),
            (12_509_999_999, "US$ 12.50"),
        ] {
            assert_eq!(dollars(nanos), want);
        }
        assert_eq!(capital("the budget"), "The budget");
    }

    #[test]
    fn what_is_reserved_is_what_such_a_call_may_well_cost() {
        let of = |model, bytes| estimate("anthropic", model, bytes);
        let small = of(Some("claude-haiku-4-5"), Some(300));
        assert!(small > 0 && of(Some("claude-haiku-4-5"), Some(300_000)) > 2 * small);
        let most = of(Some("claude-haiku-4-5"), Some(u64::MAX));
        assert_eq!(of(Some("claude-haiku-4-5"), Some(32 << 20)), most, "no more than fits");
        assert_eq!(of(Some("claude-haiku-4-5-20990101"), Some(300)), small, "its kin");
        for unknown in [Some("claude-unheard-of"), None] {
            assert!(of(unknown, Some(300)) > small, "the dearest");
        }
        assert_eq!(estimate("nobody", None, None), 0);
    }

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

    #[test]
    fn a_price_is_known_or_it_is_not() {
        let known = Some("claude-haiku-4-5");
        let price = catalogue::model("anthropic", "claude-haiku-4-5").unwrap().price.unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a price")]
        let per_token = |dollars: f64| (dollars * 1_000.0) as u64;
        let want = 10 * per_token(price.input) + 20 * per_token(price.output);
        let both = [Some(10), Some(20), None, None];
        check("anthropic", [known, None], both, Some(want));
        check("anthropic", [Some("claude-haiku-4-5-20990101"), known], both, Some(want));
        check("anthropic", [Some("claude-unheard-of"), None], both, None);
        check("anthropic", [None, None], both, None);
        check("nobody", [known, known], both, None);
        // Nothing was reported: nothing is known, not zero.
        check("anthropic", [known, None], [None; 4], None);
        check("anthropic", [known, None], [None, Some(20), None, None], None);
        check(
            "anthropic",
            [known, None],
            [Some(10), None, None, None],
            Some(10 * per_token(price.input)),
        );
    }
}
