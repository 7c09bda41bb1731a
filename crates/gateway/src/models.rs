//! The model API at `/llm/…`, which a machine reaches at `http://gateway.internal` and a program
//! outside through the server: what is asked for, and the answers that the gateway gives by itself. The way to a provider is in `forward`.

mod ask;
mod asker;
mod call;
mod catalogue;
mod choose;
mod credential;
mod endpoint;
mod forward;
mod headers;
mod listing;
mod probe;
mod reading;
mod target;
mod translate;

#[cfg(test)]
mod tests;

pub(crate) use asker::Asker;
pub(crate) use catalogue::model_list;
pub(crate) use probe::probe;
pub(crate) use reading::HELD_BYTES_MAX;

use crate::{
    api_error::{ApiError, Code},
    state::State,
    tap::{BoxError, Tapped},
};
use bytes::Bytes;
use call::CallTap;
use endpoint::Endpoint;
use futures_util::{StreamExt as _, stream::BoxStream};
use http::{Method, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use target::Target;
use toft_llm::gateway::{PATH_PROVIDER, PROVIDER_HEADER};

/// Body of an answer: made here, passed through, or written anew in another wire format.
pub(crate) enum Body {
    Own(Full<Bytes>),
    Passed(Box<Tapped<reqwest::Body, CallTap>>),
    Told(BoxStream<'static, Bytes>),
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
            Self::Told(pieces) => pieces.poll_next_unpin(cx).map(|p| p.map(|p| Ok(Frame::data(p)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Passed(body) => body.is_end_stream(),
            Self::Told(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Passed(body) => body.size_hint(),
            Self::Told(_) => SizeHint::default(),
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(
    state: &Arc<State>,
    asker: Asker<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    let format = Target::of(request.uri()).and_then(|target| endpoint::format_of(&target));
    match route(state, asker, request).await {
        Ok(response) => response,
        Err(error) => match format {
            Some(format) => error.response_in(format),
            None => error.response(),
        }
        .map(Body::Own),
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
    let target = Target::parse(request.uri(), rest)?;
    let of_path = request.headers().get(PROVIDER_HEADER);
    if of_path.is_some_and(|value| value == PATH_PROVIDER) {
        return forward::forward(state, asker, request, target).await;
    }
    match Endpoint::of(request.method(), &target) {
        Some(Endpoint::Ask(asked)) => ask::ask(state, asker, request, target, asked).await,
        Some(Endpoint::Models(format)) => Ok(json(&listing::all(&state.config(), &target, format))),
        Some(Endpoint::Model(format, name)) => {
            match listing::one(&state.config(), &target, format, &name) {
                Ok(model) => Ok(json(&model)),
                // The provider may know more of its models than the catalogue does.
                Err(_) if forward::callable(&state.config(), &target.provider).is_ok() => {
                    forward::forward(state, asker, request, target).await
                }
                Err(error) => Err(error),
            }
        }
        None => forward::forward(state, asker, request, target).await,
    }
}

fn list(state: &State, method: &Method) -> Result<Response<Body>, ApiError> {
    if method != Method::GET {
        return Err(ApiError::new(Code::NotFound, "/llm/models is read with GET."));
    }
    Ok(json(&model_list(&state.config())))
}

fn json(value: &impl Serialize) -> Response<Body> {
    let json = serde_json::to_vec(value).expect("a list of models is JSON");
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .body(Body::Own(Full::new(json.into())));
    response.expect("fixed headers are valid")
}
