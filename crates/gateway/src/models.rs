//! The model API at `/llm/…`, which a machine reaches at `http://gateway.internal` and a program
//! outside through the server: what is asked for, and the answers that the gateway gives by itself.
//! The way to a provider is in `way`.

mod ask;
mod asker;
mod body;
mod bounds;
mod call;
mod catalogue;
mod choose;
mod cost;
mod credential;
mod delayed;
mod endpoint;
mod fallback;
mod first;
mod forward;
mod headers;
mod kind;
mod late;
mod listing;
mod local;
mod probe;
pub(crate) mod reading;
mod refused;
mod road;
pub(crate) mod target;
mod translate;
mod unpaid;
mod way;

#[cfg(test)]
mod tests;

pub(crate) use asker::{Asker, OUTSIDE_CALLS_MAX, Outside};
pub(crate) use body::Body;
pub(crate) use catalogue::model_list;
pub(crate) use local::{follow as follow_local, look as look_local};
pub(crate) use probe::probe;

use crate::{
    api_error::{ApiError, Code},
    state::State,
};
use endpoint::Endpoint;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use std::sync::Arc;
use target::Target;
use toft_llm::gateway::{PATH_PROVIDER, PROVIDER_HEADER};

/// Answers one request.
pub(crate) async fn answer(
    state: &Arc<State>,
    asker: Asker,
    request: Request<Incoming>,
) -> Response<Body> {
    let format = Target::of(request.uri()).and_then(|target| endpoint::format_of(&target));
    let has_body = !request.body().is_end_stream();
    let error = match route(state, asker, request).await {
        Ok(response) => return response,
        Err(error) => error,
    };
    let mut response = match format {
        Some(format) => error.response_in(format),
        None => error.response(),
    };
    if has_body {
        // What was not read of it would be in the way of the next request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(Body::Own)
}

async fn route(
    state: &Arc<State>,
    asker: Asker,
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
    kind::check(request.method())?;
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
                Err(_) if choose::callable(&state.config(), &target.provider).is_ok() => {
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
