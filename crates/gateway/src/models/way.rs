//! One model call on its way: the request to the provider with the key added, the answer
//! back byte for byte. What is written down of it is in `call`.

use super::{
    Asker, Body,
    bounds::{IDLE_TIMEOUT, REQUEST_BYTES_MAX, too_large},
    call::{Call, CallTap, Left, Size},
    credential::without_token,
    delayed::{Delayed, Guarded},
    endpoint::unescaped,
    headers, kind,
};
use crate::{
    api_error::{ApiError, Code},
    brokered::{Unpacked, has_body, packed},
    limits::pace::Leave,
    meter::Answer,
    provider::Provider,
    state::State,
    tap::{BoxError, Tap as _, Tapped},
    upstream::failure,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::{borrow::Cow, sync::Arc};
use toft_model::provider::Api;
use toft_vault::Secret;

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
    /// The project token, which no provider gets.
    token: Option<Secret>,
}

impl Way {
    /// Grants a call, after a look at whether it can be made. `headers`: those that say what it is
    /// booked on.
    pub(super) fn open(
        state: &Arc<State>,
        asker: &Asker,
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
        let asks = kind::asks(method, path);
        // What nobody can read of a compressed body is taken to be in it.
        let unseen = headers.contains_key(header::CONTENT_ENCODING);
        let delayed = kind::is_delayed(path) || (unseen && kind::may_be_delayed(path));
        let size = Size { asks, delayed, model, bytes };
        let booked = asker.booked(headers);
        let call = Call::begin(state, asker, booked, &provider, size, leave, left)?;
        let model = model.map(str::to_owned);
        Ok(Self { state: Arc::clone(state), provider, model, call, token: asker.token() })
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
        let Self { state, provider, model, mut call, token } = self;
        let asked_path = without_token(path, token.as_ref());
        let url = provider.url(&asked_path).map_err(|e| call.failed(e))?;
        if let Some(model) =
            model_in_path(provider.info.api, path).filter(|_| method == Method::POST)
        {
            let named = serde_json::json!({ "model": model }).to_string();
            call.request_tap().data(named.into());
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            call.is_encoded();
        }
        let mut headers = headers::for_provider(headers, token.as_ref());
        let has_body = kind::has_body(&method);
        if !has_body {
            headers::without_body(&mut headers);
        }
        let mut outgoing = reqwest::Request::new(method.clone(), url);
        *outgoing.headers_mut() = headers;
        let mut signed = Bytes::new();
        if has_body && !body.is_end_stream() {
            let length = body.size_hint().exact();
            let tapped = Tapped::new(body, call.request_tap(), length, IDLE_TIMEOUT);
            let guarded = Guarded::new(tapped, call.asked(), call.is_bounded());
            let limited = Limited::new(guarded, REQUEST_BYTES_MAX);
            let body = if provider.signs() {
                let whole = limited.collect().await.map_err(|e| call.failed(unread(&*e)))?;
                signed = whole.to_bytes();
                reqwest::Body::from(signed.clone())
            } else {
                reqwest::Body::wrap(limited)
            };
            *outgoing.body_mut() = Some(body);
        }
        provider.complete(path, &mut outgoing, &signed).map_err(|e| call.failed(e))?;
        let client = match state.upstream.client().await {
            Ok(client) => client,
            Err(error) => return Err(call.failed(error)),
        };
        call.goes_out();
        let response = match tokio::time::timeout(IDLE_TIMEOUT, client.execute(outgoing)).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) if is_of::<Delayed>(&e) => {
                call.came_back();
                return Err(call.failed(kind::delayed_refused()));
            }
            Ok(Err(e)) if is_of::<LengthLimitError>(&e) => {
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
        // The words after the status code among them, which are the provider's.
        parts.extensions = http::Extensions::default();
        let body = match packed(&method, parts.status, &parts.headers) {
            Ok(None) => body,
            Ok(Some(packed)) => {
                let headers = &mut parts.headers;
                reqwest::Body::wrap(Unpacked::new(packed, headers, body, Arc::default()))
            }
            Err(_) => return Err(call.failed(encoded(&provider))),
        };
        headers::for_machine(&mut parts.headers);
        if let Some(model) = model {
            headers::say_model(&mut parts.headers, &format!("{}/{model}", provider.info.id));
        }
        let length = body_length(&method, parts.status, &parts.headers);
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        call.answered(parts.status, Answer::new(content_type));
        let look = call.look();
        look.clear_headers(&mut parts.headers);
        let tap = CallTap::new(call, look);
        let tapped = Tapped::new(body, tap, length, IDLE_TIMEOUT);
        Ok(Response::from_parts(parts, Body::Passed(Box::new(tapped))))
    }
}

/// The model that a path of Google's or Amazon's format names; in all others the body does.
pub(super) fn model_in_path(api: Api, path: &str) -> Option<Cow<'_, str>> {
    let path = path.split('?').next()?;
    if api == Api::BedrockConverseStream {
        // What is done with it comes after it. Only its own `/` are escaped for certain.
        let (named, _) = path.strip_prefix("/model/")?.rsplit_once('/')?;
        return unescaped(named).map(Cow::Owned);
    }
    let (_, model) = path.rsplit_once("/models/")?;
    Some(Cow::Borrowed(model.rsplit_once(':')?.0))
}

/// Whether this is the reason of a failure.
fn is_of<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut reason = Some(error);
    while let Some(e) = reason {
        if e.is::<E>() {
            return true;
        }
        reason = e.source();
    }
    false
}

/// A body that could not be read to its end.
fn unread(error: &(dyn std::error::Error + 'static)) -> ApiError {
    if is_of::<Delayed>(error) {
        kind::delayed_refused()
    } else if is_of::<LengthLimitError>(error) {
        too_large()
    } else {
        ApiError::new(Code::InvalidRequest, "The body broke off.")
    }
}

/// Bytes of the body that will come, when that is known.
fn body_length(method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    if !has_body(method, status) {
        return Some(0);
    }
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn encoded(provider: &Provider) -> ApiError {
    let message = format!(
        "{} answers in an encoding that was not asked for, and that cannot be looked through for its \
         key. What stands between here and it must leave answers as they are.",
        provider.info.name
    );
    ApiError::new(Code::AnswerEncoded, message)
}
