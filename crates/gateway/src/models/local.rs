//! Servers of models of one's own machine (Ollama, LM Studio, vLLM, llama.cpp) that are configured: asked
//! for their models again and again. Until one has told them, and when it is gone, it is no provider.

use crate::{
    provider::Provider,
    state::State,
    upstream::{Upstream, failure},
};
use futures_util::{StreamExt as _, future::join_all, stream};
use http::{HeaderValue, Method, header};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use toft_llm::catalogue::local::{self, LocalServer};
use toft_model::provider::ModelInfo;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Between two looks: whoever has started one and turns to the browser finds it there.
const EVERY: Duration = Duration::from_secs(10);

/// Looks after which each model is asked after again, and not only those that are new.
const ANEW_AFTER: u32 = 30;

/// They answer such questions in milliseconds; one that loads a model may take its time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// For all that is asked in one look: what was not told until then is told in a later one.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Questions after single models at once.
const AT_ONCE: usize = 4;

/// Bytes of an answer: a thousand models.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Looks until the gateway ends. Each server by itself: one that does not answer holds up no other one, and
/// no new configuration.
pub(crate) async fn follow(state: Arc<State>) {
    let mut news = state.news();
    loop {
        news.mark_unchanged();
        let config = state.config();
        let local = config.providers().filter(|provider| provider.local().is_some());
        let all = join_all(local.map(|provider| follow_one(&state.upstream, provider)));
        let all = async {
            all.await;
            // There is nobody to look after.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = state.cancel.cancelled() => return,
            changed = news.changed() => if changed.is_err() { return },
            () = all => {}
        }
    }
}

async fn follow_one(upstream: &Upstream, provider: &Provider) {
    // What an earlier configuration has found holds for a while.
    let first = u32::from(provider.found().is_some());
    for round in first.. {
        look(upstream, provider, round.is_multiple_of(ANEW_AFTER)).await;
        sleep(EVERY).await;
    }
}

/// Why there are no models.
enum Absent {
    /// It may be busy: what it told before still holds.
    Slow,
    /// Nobody is there, or somebody else.
    Gone(String),
}

/// Asks one. `anew`: what was told of single models before is asked again.
pub(crate) async fn look(upstream: &Upstream, provider: &Provider, anew: bool) {
    let Some(server) = provider.local() else { return };
    let before = provider.found();
    let known: BTreeMap<&str, &ModelInfo> = match &before {
        Some(models) if !anew => models.iter().map(|info| (&*info.id, info)).collect(),
        Some(_) | None => BTreeMap::new(),
    };
    let now = match models(upstream, provider, server, &known).await {
        Ok(models) => Some(Arc::from(models)),
        Err(Absent::Slow) => return,
        Err(Absent::Gone(why)) => {
            if before.is_some() {
                tracing::info!(provider = provider.info.id, why, "a server of models is gone");
            }
            None
        }
    };
    if let (None, Some(models)) = (&before, &now) {
        let models = Arc::<[ModelInfo]>::as_ref(models).len();
        tracing::info!(provider = provider.info.id, models, "a server of models was found");
    }
    provider.set_found(now);
}

async fn models(
    upstream: &Upstream,
    provider: &Provider,
    server: &LocalServer,
    known: &BTreeMap<&str, &ModelInfo>,
) -> Result<Vec<ModelInfo>, Absent> {
    let until = Instant::now() + LOOK_TIMEOUT;
    let answer = ask(upstream, provider, server.list_path, None).await?;
    let listed = server.models(&answer).map_err(|e| Absent::Gone(e.to_string()))?;
    let Some(path) = server.model_path else { return Ok(listed) };
    let one = |mut info: ModelInfo| async move {
        if let Some(known) = known.get(&*info.id) {
            return Some((*known).clone());
        }
        let question = serde_json::json!({"model": info.id}).to_string();
        let told = timeout_at(until, ask(upstream, provider, path, Some(question))).await;
        // What is not told is as of any of its models.
        let told = told.ok().and_then(Result::ok);
        let speaks = told.and_then(|answer| server.tell_more(&mut info, &answer).ok());
        speaks.unwrap_or(true).then_some(info)
    };
    let told = stream::iter(listed).map(one).buffered(AT_ONCE);
    let mut models: Vec<ModelInfo> = told.filter_map(std::future::ready).collect().await;
    let Some(path) = server.running_path else { return Ok(models) };
    let answer = timeout_at(until, ask(upstream, provider, path, None)).await;
    let loaded = answer.ok().and_then(Result::ok).and_then(|answer| local::running(&answer).ok());
    for info in &mut models {
        if let Some(tokens) = loaded.as_ref().and_then(|loaded| loaded.get(&info.id)) {
            local::runs_with(info, *tokens);
        }
    }
    Ok(models)
}

/// Asks by `POST` if there is a body.
async fn ask(
    upstream: &Upstream,
    provider: &Provider,
    path: &str,
    body: Option<String>,
) -> Result<Vec<u8>, Absent> {
    timeout(TIMEOUT, exchange(upstream, provider, path, body)).await.unwrap_or(Err(Absent::Slow))
}

async fn exchange(
    upstream: &Upstream,
    provider: &Provider,
    path: &str,
    body: Option<String>,
) -> Result<Vec<u8>, Absent> {
    let gone = |e: crate::api_error::ApiError| Absent::Gone(e.message);
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = reqwest::Request::new(method, provider.address(path).map_err(gone)?);
    if let Some(body) = body {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        *request.body_mut() = Some(body.into());
    }
    provider.complete(path, &mut request, b"").map_err(gone)?;
    let client = upstream.client().await.map_err(gone)?;
    let failed = |e: reqwest::Error| Absent::Gone(failure(&provider.info.name, &e).message);
    let mut response = client.execute(request).await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Absent::Gone(format!("it answered {}", response.status())));
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Absent::Gone("its list is too long".to_owned()));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}
