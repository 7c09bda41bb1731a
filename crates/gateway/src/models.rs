//! The model API at `/llm/…`, which a machine reaches at `http://gateway.internal` and a program
//! outside through the server: what is asked for, and the answers that the gateway gives by itself. The way to a provider is in `forward`.

mod asker;
mod catalogue;
mod credential;
mod forward;
mod headers;
mod probe;
mod target;

#[cfg(test)]
mod tests;

pub(crate) use asker::Asker;
pub(crate) use catalogue::model_list;
pub(crate) use probe::probe;

use crate::{
    api_error::{ApiError, Code},
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

/// Answers one request.
pub(crate) async fn answer(
    state: &Arc<State>,
    asker: Asker<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    match route(state, asker, request).await {
        Ok(response) => response,
        Err(error) => error.response().map(Body::Own),
    }
}

async fn route(
    state: &Arc<State>,
    asker: Asker<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    asker.judge(request.headers())?;
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
    forward::forward(state, asker, request, target).await
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
