//! A call at a format's own endpoint: who answers it is chosen, then it is passed on as it is, where
//! that one speaks the same format, or translated.

use super::{
    Asker, Body,
    bounds::{REQUEST_BYTES_MAX, too_large},
    call::Left,
    choose::{Chosen, callable, choose, stand_ins},
    endpoint::Ask,
    fallback::{self, Question},
    reading::Reading,
    road::Road,
    target::Target,
    translate::{Asks, translated},
    way::{Aim, Way},
};
use crate::{api_error::ApiError, limits::pace::Leave, state::State};
use http::{Request, Response, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use std::sync::Arc;

/// Answers it.
pub(super) async fn ask(
    state: &Arc<State>,
    asker: Asker,
    request: Request<Incoming>,
    target: Target,
    ask: Ask,
) -> Result<Response<Body>, ApiError> {
    if request.body().size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let leave = asker.model_call(state)?;
    let (mut parts, body) = request.into_parts();
    let mut body = Reading::new(body, &state.room, asker.project());
    let named = match &ask.in_path {
        Some(in_path) => Some(in_path.model.clone()),
        // What is compressed is the path's own provider's to read.
        None if parts.headers.contains_key(header::CONTENT_ENCODING) => None,
        None => body.model().await?,
    };
    let config = state.config();
    let Target { provider: of_path, path } = target;
    let Some(named) = named else {
        let provider = callable(&config, &of_path)?;
        let aim = Aim { provider, path: &path, model: None, left: Left::default() };
        return pass(state, asker, leave, parts, body, aim).await;
    };
    let choice = choose(&config, &of_path, &named)?;
    let others =
        if ask.counts { Vec::new() } else { stand_ins(&config, asker.project().as_ref(), &choice) };
    if !others.is_empty()
        && !parts.headers.contains_key(header::CONTENT_ENCODING)
        && let Some((whole, held)) = body.small().await?
    {
        let state = Arc::clone(state);
        let question = Question { state, asker, leave, parts, ask, of_path, path, named };
        return fallback::ask(question, choice, others, whole, held).await;
    }
    let road = Road::of(&config, &choice, &ask, &of_path, &path, &named)?;
    if let (Road::Pass(path), Chosen::Provider(provider)) = (&road, &choice.chosen) {
        if choice.model != named && ask.in_path.is_none() {
            body.rename(&choice.model);
            // It is another one now, and known where the body's is.
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let (provider, model) = (Arc::clone(provider), Some(&*choice.model));
        let aim = Aim { provider, path, model, left: Left::default() };
        return pass(state, asker, leave, parts, body, aim).await;
    }
    let (body, held) = body.whole().await?;
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let asks = Asks { state, asker: &asker, leave, headers: &parts.headers, left: Left::default() };
    translated(asks, &choice, ask, &named, query, body, held.map(Arc::new)).await
}

/// Bytes as they are.
async fn pass(
    state: &Arc<State>,
    asker: Asker,
    leave: Arc<Leave>,
    parts: Parts,
    body: Reading,
    aim: Aim<'_>,
) -> Result<Response<Body>, ApiError> {
    let path = aim.path;
    let way = Way::open(state, &asker, leave, &parts.headers, &parts.method, aim)?;
    way.send(parts.method, path, parts.headers, body).await
}
