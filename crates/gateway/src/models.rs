//! The model API that a machine reaches at `http://gateway.internal/llm/…`: who asks, what for, and
//! the answers that the gateway gives by itself. The way to a provider is in `forward`.

mod catalogue;
mod credential;
mod errors;
mod forward;
mod headers;
mod probe;
mod provider;
mod target;
mod upstream;

#[cfg(test)]
mod tests;

pub(crate) use catalogue::model_list;
pub(crate) use errors::{ApiError, Code};
pub(crate) use headers::strip_hop_by_hop;
pub(crate) use probe::probe;
pub(crate) use provider::Provider;
pub(crate) use upstream::Upstream;

use crate::{
    machine::Machine,
    state::State,
    tap::{BoxError, Tapped},
};
use bytes::Bytes;
use forward::CallTap;
use http::{Method, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Body of an answer: made here, or passed through.
pub(crate) enum Body {
    Own(Full<Bytes>),
    Passed(Box<Tapped<reqwest::Body, CallTap>>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Passed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Passed(body) => body.size_hint(),
        }
    }
}

/// Answers one request of a machine.
pub(crate) async fn answer(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    request: Request<Incoming>,
) -> Response<Body> {
    match route(state, machine, request).await {
        Ok(response) => response,
        Err(error) => error.response().map(Body::Own),
    }
}

async fn route(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    if !credential::is_valid(request.headers(), |token| machine.token.matches(token)) {
        return Err(ApiError::new(
            Code::Unauthenticated,
            "The project token is missing or wrong. Send $TOFT_TOKEN of this machine as \
             `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`.",
        ));
    }
    let Some(rest) = request.uri().path().strip_prefix("/llm/") else {
        return Err(ApiError::new(
            Code::NotFound,
            "Only /llm/models and /llm/{provider}/… are served here.",
        ));
    };
    if rest == "models" {
        return list(state, request.method());
    }
    let target = target::Target::parse(request.uri(), rest)?;
    forward::forward(state, machine, request, target).await
}

fn list(state: &State, method: &Method) -> Result<Response<Body>, ApiError> {
    if method != Method::GET {
        return Err(ApiError::new(Code::NotFound, "/llm/models is read with GET."));
    }
    let json = serde_json::to_vec(&model_list(&state.config())).expect("a list of models is JSON");
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .body(Body::Own(Full::new(json.into())));
    Ok(response.expect("fixed headers are valid"))
}
