//! One model call on its way: the request to the provider with the key added, the answer
//! back byte for byte. What is written down of it is in `call`.

use super::{
    Asker, Body,
    bounds::{IDLE_TIMEOUT, REQUEST_BYTES_MAX, too_large},
    call::{Call, CallTap, Left, Size, asks},
    headers,
};
use crate::{
    api_error::{ApiError, Code},
    limits::pace::Leave,
    meter::{Answer, Mask, holds},
    provider::Provider,
    state::State,
    tap::{BoxError, Tap as _, Tapped},
    upstream::failure,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::Limited;
use std::sync::Arc;

/// Whom a call goes to.
pub(super) struct Aim<'a> {
    pub(super) provider: Arc<Provider>,
    /// What comes after `/llm/{provider}`.
    pub(super) path: &'a str,
    /// Which model is asked, where that is known before the body has passed.
    pub(super) model: Option<&'a str>,
    /// Says why when it is given up.
    pub(super) left: Left,
}

/// A granted call of one provider.
pub(super) struct Way {
    state: Arc<State>,
    provider: Arc<Provider>,
    /// Its name, where it is known.
    model: Option<String>,
    call: Call,
}

impl Way {
    /// Grants a call, after a look at whether it can be made. `headers`: those that say what it is
    /// booked on.
    pub(super) fn open(
        state: &Arc<State>,
        asker: Asker<'_>,
        leave: Arc<Leave>,
        headers: &HeaderMap,
        method: &Method,
        aim: Aim<'_>,
    ) -> Result<Self, ApiError> {
        let Aim { provider, path, model, left } = aim;
        provider.url(path)?;
        provider.credential(path)?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let bytes = length.and_then(|length| length.parse().ok());
        let size = Size { asks: asks(method, path), model, bytes };
        let booked = asker.booked(headers);
        let call = Call::begin(state, asker, booked, &provider.info.id, size, leave, left)?;
        let model = model.map(str::to_owned);
        Ok(Self { state: Arc::clone(state), provider, model, call })
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
        let Self { state, provider, model, mut call } = self;
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
        if let Some(model) = model {
            headers::say_model(&mut parts.headers, &format!("{}/{model}", provider.info.id));
        }
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

/// The model that a path of Google's format names; in all others the body does.
pub(super) fn model_in_path(path: &str) -> Option<&str> {
    let (_, model) = path.split('?').next()?.rsplit_once("/models/")?;
    Some(model.rsplit_once(':')?.0)
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
