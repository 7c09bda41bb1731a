//! A call that is for the path's own provider, whatever it asks. Reads a body only up to the model in it.

use super::{
    Asker, Body,
    bounds::{REQUEST_BYTES_MAX, too_large},
    call::Left,
    choose::{Choice, Chosen, callable, stand_ins},
    endpoint::spoken,
    fallback::{self, Question},
    kind::{asks, has_body},
    reading::Reading,
    target::Target,
    way::{Aim, Way, model_in_path},
};
use crate::{api_error::ApiError, state::State};
use http::{HeaderMap, Request, Response, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use std::sync::Arc;

/// Passes one call on.
pub(super) async fn forward(
    state: &Arc<State>,
    asker: Asker,
    request: Request<Incoming>,
    target: Target,
) -> Result<Response<Body>, ApiError> {
    let provider = callable(&state.config(), &target.provider)?;
    let leave = asker.model_call(state)?;
    if request.body().size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let (parts, body) = request.into_parts();
    let path = target.path;
    let mut body = Reading::new(body, &state.room, asker.project());
    let model = match model_in_path(provider.info.api, &path) {
        Some(model) => Some(model.into_owned()),
        // What it may cost depends on it.
        None if asks(&parts.method, &path) && is_json(&parts.headers) => body.model().await?,
        None => None,
    };
    if let Some(model) = &model
        && let Some(ask) = spoken(&provider, &parts.method, &path)
        && is_json(&parts.headers)
    {
        let chosen = Chosen::Provider(Arc::clone(&provider));
        let choice = Choice { chosen, model: model.clone() };
        let others = stand_ins(&state.config(), asker.project().as_ref(), &choice);
        if !others.is_empty()
            && let Some((whole, held)) = body.small().await?
        {
            let (of_path, named) = (target.provider, model.clone());
            let state = Arc::clone(state);
            let question = Question { state, asker, leave, parts, ask, of_path, path, named };
            return fallback::ask(question, choice, others, whole, held).await;
        }
    }
    let signs = provider.signs() && has_body(&parts.method);
    let aim = Aim { provider, path: &path, model: model.as_deref(), left: Left::default() };
    if signs {
        // A signature is of all of it: it takes its place as what is written anew does.
        let (whole, _held) = body.whole().await?;
        let way = Way::open(state, &asker, leave, &parts.headers, &parts.method, aim)?;
        return way.send(parts.method, &path, parts.headers, Full::new(whole)).await;
    }
    let way = Way::open(state, &asker, leave, &parts.headers, &parts.method, aim)?;
    way.send(parts.method, &path, parts.headers, body).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json") && !headers.contains_key(header::CONTENT_ENCODING)
}
