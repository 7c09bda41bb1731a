//! One model call on its way: the request to the provider with the key added, the answer
//! back byte for byte, a record at the end. Never reads a body as a whole.

use super::{Asker, Body, headers, target::Target};
use crate::{
    api_error::{ApiError, Code},
    journal::now_ms,
    meter::{Answer, Mask, ModelFinder},
    provider::Provider,
    state::{Config, State},
    tap::{Ending, Tap, Tapped},
    upstream::failure,
    usage::UsageRecord,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::Limited;
use hyper::body::Incoming;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_model::{
    id::{ProjectId, uuid_v7},
    provider::DEMO_PROVIDER,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// Largest request: the providers' own limit (Anthropic: 32 MB) with images in it.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 << 20;

/// A provider that says nothing for so long is gone; 170 s of silence were seen on large tool calls.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// Status in the record of a call that the machine gave up before there was an answer (nginx's).
const CLIENT_CLOSED: u16 = 499;

/// Passes one call on.
pub(super) async fn forward(
    state: &Arc<State>,
    asker: Asker<'_>,
    request: Request<Incoming>,
    target: Target,
) -> Result<Response<Body>, ApiError> {
    let config = state.config();
    let provider = callable(&config, &target.provider)?;
    let url = provider.url(&target.path)?;
    let (key_name, key_value) = provider.credential(&target.path)?;
    let permit = asker.model_call()?;
    if request.body().size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let (parts, body) = request.into_parts();
    let model = Arc::new(Mutex::new(ModelFinder::default()));
    let mut call = Call::begin(state, asker, &provider.info.id, Arc::clone(&model), permit);

    let mut headers = headers::for_provider(parts.headers);
    headers.insert(key_name, key_value);
    let is_head = parts.method == Method::HEAD;
    let mut outgoing = reqwest::Request::new(parts.method, url);
    *outgoing.headers_mut() = headers;
    if !body.is_end_stream() {
        let length = body.size_hint().exact();
        let tapped = Tapped::new(body, RequestTap(model), length, IDLE_TIMEOUT);
        *outgoing.body_mut() = Some(reqwest::Body::wrap(Limited::new(tapped, REQUEST_BYTES_MAX)));
    }
    let client = match state.upstream.client().await {
        Ok(client) => client,
        Err(error) => return Err(call.failed(error)),
    };
    let response = match tokio::time::timeout(IDLE_TIMEOUT, client.execute(outgoing)).await {
        Ok(Ok(response)) => response,
        Ok(Err(e)) if is_too_large(&e) => return Err(call.failed(too_large())),
        Ok(Err(e)) => return Err(call.failed(failure(&provider.info.name, &e))),
        Err(_) => {
            let name = &provider.info.name;
            let message = format!("{name} did not begin to answer within 300 s. Try again.");
            return Err(call.failed(ApiError::new(Code::UpstreamTimeout, message)));
        }
    };
    let (mut parts, body) = http::Response::from(response).into_parts();
    headers::for_machine(&mut parts.headers);
    let length = body_length(is_head, parts.status, &parts.headers);
    call.record.status = parts.status.as_u16();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let encoded = parts.headers.contains_key(header::CONTENT_ENCODING);
    call.answer = Answer::new(content_type, encoded);
    mask_headers(&mut parts.headers, &provider);
    let tap = CallTap { call, mask: Mask::new(provider.key.clone()) };
    let tapped = Tapped::new(body, tap, length, IDLE_TIMEOUT);
    Ok(Response::from_parts(parts, Body::Passed(Box::new(tapped))))
}

fn callable(config: &Config, id: &str) -> Result<Arc<Provider>, ApiError> {
    if id == DEMO_PROVIDER {
        return Err(ApiError::new(
            Code::UnknownProvider,
            "The demo is a script inside Toft, not a provider: it has no API to call.",
        ));
    }
    let known = config.provider_arc(id);
    if known.is_none() && toft_llm::catalogue::provider(id).is_none() {
        let ids: Vec<&str> = toft_llm::catalogue::providers().iter().map(|p| p.id).collect();
        let message = format!("There is no provider {id}. Known ones: {}.", ids.join(", "));
        return Err(ApiError::new(Code::UnknownProvider, message));
    }
    known.filter(|p| p.has_key() && !config.demo_only).ok_or_else(|| {
        let message = if config.demo_only {
            "This server offers the demo only.".to_owned()
        } else {
            format!("No key is set for {id}: add one in Settings, Providers.")
        };
        ApiError::new(Code::NoKey, message)
    })
}

fn too_large() -> ApiError {
    ApiError::new(Code::PayloadTooLarge, "The request is larger than 32 MiB: send less context.")
}

fn is_too_large(error: &reqwest::Error) -> bool {
    let mut reason: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = reason {
        if e.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        reason = e.source();
    }
    false
}

/// Bytes of the body that will come, when that is known.
fn body_length(is_head: bool, status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    if is_head || matches!(status.as_u16(), 204 | 304) {
        return Some(0);
    }
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// No provider needs to repeat the key in a header.
fn mask_headers(headers: &mut HeaderMap, provider: &Provider) {
    let key = provider.key.expose().as_bytes();
    let leaks = |value: &http::HeaderValue| memchr::memmem::find(value.as_bytes(), key).is_some();
    let named: Vec<_> =
        headers.iter().filter(|(_, value)| leaks(value)).map(|(name, _)| name.clone()).collect();
    for name in named {
        headers.remove(name);
    }
}

/// A call that has begun. Writes its record once, when it ends or is given up.
pub(super) struct Call {
    state: Arc<State>,
    began: Instant,
    record: UsageRecord,
    requested: Arc<Mutex<ModelFinder>>,
    answer: Answer,
    written: bool,
    _permit: OwnedSemaphorePermit,
}

impl Call {
    fn begin(
        state: &Arc<State>,
        asker: Asker<'_>,
        provider: &str,
        requested: Arc<Mutex<ModelFinder>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let ts = now_ms();
        let record = UsageRecord {
            id: uuid_v7(ts),
            ts,
            project: asker.project(),
            provider: provider.to_owned(),
            model: None,
            status: CLIENT_CLOSED,
            input: None,
            output: None,
            cache_read: None,
            cache_write: None,
            duration_ms: 0,
            first_byte_ms: None,
            error: None,
        };
        Self {
            state: Arc::clone(state),
            began: Instant::now(),
            record,
            requested,
            answer: Answer::new(None, false),
            written: false,
            _permit: permit,
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes a failure that the gateway answers, and gives it back.
    fn failed(&mut self, error: ApiError) -> ApiError {
        self.record.status = error.code.status().as_u16();
        self.write(Some(error.code.as_str()));
        tracing::warn!(
            project.id = self.record.project.as_ref().map(ProjectId::as_str),
            provider = %self.record.provider,
            code = error.code.as_str(),
            reason = %error.message,
            "a model call failed"
        );
        error
    }

    fn write(&mut self, error: Option<&str>) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        self.answer.finish();
        let asked = self.requested.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = asked.model().map(str::to_owned);
        let tokens = self.answer.tokens;
        self.record.model = self.answer.model.take().or(asked);
        self.record.input = tokens.input;
        self.record.output = tokens.output;
        self.record.cache_read = tokens.cache_read;
        self.record.cache_write = tokens.cache_write;
        self.record.duration_ms = self.elapsed_ms();
        self.record.error = error.map(str::to_owned);
        self.state.usage.append(&self.record);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.write(Some("client_closed"));
    }
}

/// Looks on at the answer.
pub(crate) struct CallTap {
    call: Call,
    mask: Mask,
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
        self.call.write(match ending {
            Ending::Complete => None,
            Ending::Cut => Some("cut"),
            Ending::Idle => Some("idle_timeout"),
            Ending::Abandoned => Some("client_closed"),
        });
    }
}

/// Looks on at the request.
struct RequestTap(Arc<Mutex<ModelFinder>>);

impl Tap for RequestTap {
    fn data(&mut self, data: Bytes) -> Bytes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).feed(&data);
        data
    }

    fn end(&mut self, _ending: Ending) {}
}
