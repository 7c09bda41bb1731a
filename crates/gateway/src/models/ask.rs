//! A call at a format's own endpoint: who answers it is chosen, then it is passed on as it is, where
//! that one speaks the same format, or translated.

use super::{
    Asker, Body,
    choose::{Choice, Chosen, choose},
    endpoint::Ask,
    forward::{Aim, REQUEST_BYTES_MAX, Way, callable, too_large},
    reading::Reading,
    target::Target,
    translate::{self, By},
};
use crate::{
    api_error::{ApiError, Code},
    state::State,
};
use http::{HeaderMap, Request, Response, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use std::sync::Arc;
use toft_llm::gemini::in_path;
use toft_model::provider::Api;
use tokio::sync::OwnedSemaphorePermit;

/// Answers it.
pub(super) async fn ask(
    state: &Arc<State>,
    asker: Asker<'_>,
    request: Request<Incoming>,
    target: Target,
    ask: Ask,
) -> Result<Response<Body>, ApiError> {
    if request.body().size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let permit = asker.model_call(state)?;
    let (parts, body) = request.into_parts();
    let mut body = Reading::new(body, &state.held_bodies);
    let named = match &ask.in_path {
        Some(in_path) => Some(in_path.model.clone()),
        // What is compressed is the path's own provider's to read.
        None if parts.headers.contains_key(header::CONTENT_ENCODING) => None,
        None => body.model().await?,
    };
    let config = state.config();
    let Some(named) = named else {
        let provider = callable(&config, &target.provider)?;
        let aim = Aim { provider, path: &target.path, model: None };
        return pass(state, asker, permit, parts, body, aim).await;
    };
    let choice = choose(&config, &target.provider, &named)?;
    let (path, query) = target.path.split_once('?').unwrap_or((&target.path, ""));
    if let Chosen::Provider(provider) = &choice.chosen
        && let Some(base) = provider.path_in(ask.format.api())
    {
        let mut parts = parts;
        let is_own =
            config.provider_arc(&target.provider).is_some_and(|own| Arc::ptr_eq(&own, provider));
        let renamed = choice.model != named;
        let path = match &ask.in_path {
            Some(_) if is_own && !renamed => path.to_owned(),
            Some(at) => {
                let model = in_path(&choice.model).ok_or_else(|| no_name(&choice.model))?;
                format!("{base}/{model}:{}", at.verb)
            }
            None if is_own => path.to_owned(),
            // What stands after the format's own path, such as `/count_tokens`.
            None => format!("{base}{}", below(path)),
        };
        if renamed && ask.in_path.is_none() {
            body.rename(&choice.model);
            // It is another one now, and known where the body's is.
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        let provider = Arc::clone(provider);
        let aim = Aim { provider, path: &path, model: Some(&choice.model) };
        return pass(state, asker, permit, parts, body, aim).await;
    }
    if let Chosen::Provider(provider) = &choice.chosen
        && provider.info.api == Api::GoogleGenerativeAi
        && in_path(&choice.model).is_none()
    {
        return Err(no_name(&choice.model));
    }
    let (body, held) = body.whole().await?;
    let format = ask.format;
    let (read, held) = {
        let (choice, query) = (choice.clone(), query.to_owned());
        // Megabytes of JSON take a while. The place is held also when nobody waits any more.
        let read = move || (translate::read(&choice, &ask, &named, &query, &body), held);
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(ApiError::new(Code::TooManyCalls, "The gateway is ending.")),
            },
        }
    };
    let (asked, label) = read?;
    let by = by(state, asker, permit, &parts.headers, &choice)?;
    translate::answer(by, &choice, format, asked, label, held).await
}

fn no_name(model: &str) -> ApiError {
    let message = format!(
        "The model name {model:?} cannot stand in a path: it has an empty, `.` or `..` part or a \
         control character in it."
    );
    ApiError::new(Code::InvalidRequest, message)
}

/// Bytes as they are.
async fn pass(
    state: &Arc<State>,
    asker: Asker<'_>,
    permit: OwnedSemaphorePermit,
    parts: Parts,
    body: Reading,
    aim: Aim<'_>,
) -> Result<Response<Body>, ApiError> {
    let path = aim.path;
    let way = Way::open(state, asker, permit, &parts.headers, &parts.method, aim)?;
    way.send(parts.method, path, parts.headers, body).await
}

fn below(path: &str) -> &str {
    ["/count_tokens", "/input_tokens"].into_iter().find(|end| path.ends_with(end)).unwrap_or("")
}

fn by(
    state: &Arc<State>,
    asker: Asker<'_>,
    permit: OwnedSemaphorePermit,
    headers: &HeaderMap,
    choice: &Choice,
) -> Result<By, ApiError> {
    let Chosen::Provider(provider) = &choice.chosen else { return Ok(By::Demo(permit)) };
    let provider = Arc::clone(provider);
    // Which path it will be is the adapter's; that it can be reached at all shows at any.
    let aim = Aim { provider, path: "/v1", model: Some(&choice.model) };
    let way = Way::open(state, asker, permit, headers, &http::Method::POST, aim)?;
    Ok(By::Way(Box::new(way)))
}
