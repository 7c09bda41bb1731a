//! One model call on its way: the request to the provider with the key added, the answer
//! back byte for byte. Reads a body only up to the model in it. What is written down of it is in `call`.

use super::{
    Asker, Body,
    call::{Call, CallTap, Size, asks},
    headers,
    reading::Reading,
    target::Target,
};
use crate::{
    api_error::{ApiError, Code},
    meter::{Answer, Mask, holds},
    provider::Provider,
    state::{Config, State},
    tap::{BoxError, Tap as _, Tapped},
    upstream::failure,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::Limited;
use hyper::body::Incoming;
use std::{sync::Arc, time::Duration};
use toft_model::provider::DEMO_PROVIDER;
use tokio::sync::OwnedSemaphorePermit;

/// Largest request: the providers' own limit (Anthropic: 32 MB) with images in it.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 << 20;

/// A provider that says nothing for so long is gone; 170 s of silence were seen on large tool calls.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// Passes one call on.
pub(super) async fn forward(
    state: &Arc<State>,
    asker: Asker<'_>,
    request: Request<Incoming>,
    target: Target,
) -> Result<Response<Body>, ApiError> {
    let provider = callable(&state.config(), &target.provider)?;
    let permit = asker.model_call(state)?;
    if request.body().size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let (parts, body) = request.into_parts();
    let path = target.path;
    let mut body = Reading::new(body, &state.held_bodies);
    let model = match model_in_path(&path) {
        Some(model) => Some(model.to_owned()),
        // What it may cost depends on it.
        None if asks(&parts.method, &path) && is_json(&parts.headers) => body.model().await?,
        None => None,
    };
    let aim = Aim { provider, path: &path, model: model.as_deref() };
    let way = Way::open(state, asker, permit, &parts.headers, &parts.method, aim)?;
    way.send(parts.method, &path, parts.headers, body).await
}

/// Whom a call goes to.
pub(super) struct Aim<'a> {
    pub(super) provider: Arc<Provider>,
    /// What comes after `/llm/{provider}`.
    pub(super) path: &'a str,
    /// Which model is asked, where that is known before the body has passed.
    pub(super) model: Option<&'a str>,
}

/// A granted call of one provider.
pub(super) struct Way {
    state: Arc<State>,
    provider: Arc<Provider>,
    call: Call,
}

impl Way {
    /// Grants a call, after a look at whether it can be made. `headers`: those that say what it is
    /// booked on.
    pub(super) fn open(
        state: &Arc<State>,
        asker: Asker<'_>,
        permit: OwnedSemaphorePermit,
        headers: &HeaderMap,
        method: &Method,
        aim: Aim<'_>,
    ) -> Result<Self, ApiError> {
        let Aim { provider, path, model } = aim;
        provider.url(path)?;
        provider.credential(path)?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let bytes = length.and_then(|length| length.parse().ok());
        let size = Size { asks: asks(method, path), model, bytes };
        let booked = asker.booked(headers);
        let call = Call::begin(state, asker, booked, &provider.info.id, size, permit)?;
        Ok(Self { state: Arc::clone(state), provider, call })
    }

    /// Makes it; `path` is what comes after `/llm/{provider}`.
    pub(super) async fn send<B>(
        self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: B,
    ) -> Result<Response<Body>, ApiError>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Sync + Unpin + 'static,
    {
        let Self { state, provider, mut call } = self;
        let url = provider.url(path).map_err(|e| call.failed(e))?;
        let (key_name, key_value) = provider.credential(path).map_err(|e| call.failed(e))?;
        if let Some(model) = model_in_path(path).filter(|_| method == Method::POST) {
            let named = serde_json::json!({ "model": model }).to_string();
            call.request_tap().data(named.into());
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            call.is_encoded();
        }
        let mut headers = headers::for_provider(headers);
        headers.insert(key_name, key_value);
        let is_head = method == Method::HEAD;
        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = headers;
        if !body.is_end_stream() {
            let length = body.size_hint().exact();
            let tapped = Tapped::new(body, call.request_tap(), length, IDLE_TIMEOUT);
            let body = reqwest::Body::wrap(Limited::new(tapped, REQUEST_BYTES_MAX));
            *outgoing.body_mut() = Some(body);
        }
        let client = match state.upstream.client().await {
            Ok(client) => client,
            Err(error) => return Err(call.failed(error)),
        };
        call.goes_out();
        let response = match tokio::time::timeout(IDLE_TIMEOUT, client.execute(outgoing)).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) if is_too_large(&e) => {
                call.came_back();
                return Err(call.failed(too_large()));
            }
            Ok(Err(e)) if e.is_connect() => {
                call.came_back();
                return Err(call.failed(failure(&provider.info.name, &e)));
            }
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
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let encoded = parts.headers.contains_key(header::CONTENT_ENCODING);
        call.answered(parts.status, Answer::new(content_type, encoded));
        mask_headers(&mut parts.headers, &provider);
        let tap = CallTap::new(call, Mask::new(provider.key.clone()));
        let tapped = Tapped::new(body, tap, length, IDLE_TIMEOUT);
        Ok(Response::from_parts(parts, Body::Passed(Box::new(tapped))))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json") && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The model that a path of Google's format names; in all others the body does.
fn model_in_path(path: &str) -> Option<&str> {
    let (_, model) = path.split('?').next()?.rsplit_once("/models/")?;
    Some(model.rsplit_once(':')?.0)
}

pub(super) fn callable(config: &Config, id: &str) -> Result<Arc<Provider>, ApiError> {
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

pub(super) fn too_large() -> ApiError {
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
    let leaks = |value: &http::HeaderValue| holds(value.as_bytes(), &provider.key);
    let named: Vec<_> =
        headers.iter().filter(|(_, value)| leaks(value)).map(|(name, _)| name.clone()).collect();
    for name in named {
        headers.remove(name);
    }
}
