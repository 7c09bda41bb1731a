//! The control plane: sandboxes and snapshots.

use super::{KEY, Shared, TEMPLATE, read, refused, sandbox::Sandbox};
use anyhow::{Context as _, Result};
use axum::{
    Json,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Sandboxes in one answer at the most, so that whoever lists them turns pages.
const PAGE_MAX: usize = 2;
/// When nobody says.
const TIMEOUT_S: u64 = 300;
const TIMEOUT_S_MAX: u64 = 24 * 3600;
const BODY_BYTES_MAX: usize = 1 << 20;
const ENVD: &str = "0.6.7";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct New {
    #[serde(rename = "templateID")]
    template: String,
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default)]
    auto_pause: bool,
    #[serde(default, rename = "autoPauseMemory")]
    _auto_pause_memory: Option<bool>,
    #[serde(default, rename = "autoResume")]
    _auto_resume: Option<Value>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default, rename = "envVars")]
    _envs: BTreeMap<String, String>,
    #[serde(default, rename = "allow_internet_access")]
    _internet: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timed {
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default, rename = "memory")]
    _memory: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pause {
    #[serde(default, rename = "memory")]
    _memory: Option<bool>,
    #[serde(default, rename = "requireHealthyGuest")]
    _healthy: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listing {
    metadata: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    next_token: Option<usize>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `2026-11-22T12:00:00Z`, from Unix seconds.
fn date(seconds: u64) -> String {
    let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let text = made(time);
    text.unwrap_or_default()
}

/// Days to a date, after Howard Hinnant's `civil_from_days`.
fn made(time: SystemTime) -> Option<String> {
    let seconds = i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Makes a sandbox of the template or a snapshot; its id.
pub(super) async fn make(
    shared: &Arc<Shared>,
    template: &str,
    metadata: BTreeMap<String, String>,
    timeout: u64,
    auto_pause: bool,
) -> Result<String> {
    let (id, of) = {
        let mut inner = shared.inner();
        inner.made += 1;
        let of = inner.snapshots.get(template).map(|snapshot| snapshot.path().to_owned());
        (format!("i{:07}fake{}", inner.made, shared.addr.port()), of)
    };
    let (template, times) = (template.to_owned(), (now(), now() + timeout));
    let made = tokio::task::spawn_blocking(move || {
        Sandbox::make(id, template, metadata, of.as_deref(), auto_pause, times)
    });
    let sandbox = Arc::new(made.await.context("making a sandbox")??);
    let id = sandbox.id.clone();
    shared.inner().sandboxes.insert(id.clone(), sandbox);
    Ok(id)
}

/// Pauses or ends those whose time is up.
pub(super) async fn end_times(shared: &Arc<Shared>) {
    let due: Vec<Arc<Sandbox>> = {
        let inner = shared.inner();
        let all = inner.sandboxes.values();
        all.filter(|sandbox| sandbox.runs() && sandbox.ends() <= now()).cloned().collect()
    };
    for sandbox in due {
        if sandbox.auto_pause {
            let pausing = Arc::clone(&sandbox);
            let _ = tokio::task::spawn_blocking(move || pausing.pause()).await;
        } else {
            shared.inner().sandboxes.remove(&sandbox.id);
        }
    }
}

fn shown(sandbox: &Sandbox) -> Value {
    json!({
        "sandboxID": sandbox.id,
        "templateID": sandbox.template,
        "clientID": "fake",
        "startedAt": date(sandbox.started),
        "endAt": date(sandbox.ends()),
        "state": if sandbox.runs() { "running" } else { "paused" },
        "cpuCount": 2,
        "memoryMB": 512,
        "diskSizeMB": 1024,
        "envdVersion": ENVD,
        "metadata": sandbox.metadata,
    })
}

fn usable(sandbox: &Sandbox) -> Value {
    json!({
        "sandboxID": sandbox.id,
        "templateID": sandbox.template,
        "clientID": "fake",
        "envdVersion": ENVD,
        "envdAccessToken": sandbox.token,
        "domain": "sandboxes.invalid",
    })
}

/// Every request that is for no sandbox's daemon.
pub(super) async fn answer(shared: &Arc<Shared>, place: &str, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let key = parts.headers.get("x-api-key").and_then(|key| key.to_str().ok());
    match key {
        Some(KEY) => {}
        Some(_) => return refused(401, "Invalid API key"),
        None => {
            shared.fault(format!("{place}: no X-API-Key"));
            return refused(401, "Missing API key");
        }
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return refused(413, "too long") };
    let has_json = parts
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !body.is_empty() && !has_json {
        shared.fault(format!("{place}: a body that is not said to be JSON"));
    }
    let segments: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
    let done = match (parts.method.as_str(), segments.as_slice()) {
        ("POST", ["v2", "sandboxes"]) => {
            let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
            create(shared, place, &body, key).await
        }
        ("GET", ["v2", "sandboxes"]) => list(shared, place, parts.uri.query().unwrap_or_default()),
        (method, ["v2", "sandboxes", id, what]) => {
            of_one(shared, place, &body, (method, id, &format!("v2/{what}"))).await
        }
        (method, ["sandboxes", id]) => of_one(shared, place, &body, (method, id, "")).await,
        (method, ["sandboxes", id, what]) => of_one(shared, place, &body, (method, id, what)).await,
        _ => Ok(None),
    };
    match done {
        Ok(Some(answer)) | Err(answer) => answer,
        Ok(None) => {
            shared.fault(format!("{place}: there is no such call"));
            refused(404, "no such route")
        }
    }
}

type Answered = Result<Option<Response>, Response>;

async fn create(shared: &Arc<Shared>, place: &str, body: &[u8], key: Option<&str>) -> Answered {
    let new: New = read(shared, place, body)?;
    let timeout = timeout(shared, place, new.timeout)?;
    if new.template != TEMPLATE && !shared.inner().snapshots.contains_key(&new.template) {
        return Err(refused(404, &format!("template '{}' not found", new.template)));
    }
    let before = key.and_then(|key| shared.inner().idempotent.get(key).cloned());
    let id = match before {
        Some(id) => id,
        None => make(shared, &new.template, new.metadata, timeout, new.auto_pause)
            .await
            .map_err(|error| refused(500, &format!("{error:#}")))?,
    };
    if let Some(key) = key {
        shared.inner().idempotent.insert(key.to_owned(), id.clone());
    }
    let sandbox = shared.sandbox(&id).ok_or_else(|| refused(404, "it is gone"))?;
    Ok(Some((StatusCode::CREATED, Json(usable(&sandbox))).into_response()))
}

fn timeout(shared: &Shared, place: &str, given: Option<u64>) -> Result<u64, Response> {
    match given {
        Some(given) if given > TIMEOUT_S_MAX => {
            shared.fault(format!("{place}: a timeout of {given} s"));
            Err(refused(400, "Timeout cannot be greater than 24 hours"))
        }
        given => Ok(given.unwrap_or(TIMEOUT_S)),
    }
}

fn list(shared: &Shared, place: &str, query: &str) -> Answered {
    // Repeated names have one value each here: E2B takes commas.
    let mut pairs = serde_json::Map::new();
    for (name, value) in url_pairs(query) {
        let number = ["limit", "nextToken"].contains(&name.as_str());
        let value = if number { json!(value.parse::<u64>().ok()) } else { json!(value) };
        pairs.insert(name, value);
    }
    let listing: Listing = read(shared, place, Value::from(pairs).to_string().as_bytes())?;
    let wanted: Vec<(String, String)> = url_pairs(listing.metadata.as_deref().unwrap_or_default());
    let states = listing.state.unwrap_or_else(|| "running,paused".to_owned());
    let inner = shared.inner();
    let all: Vec<Value> = inner
        .sandboxes
        .values()
        .filter(|s| wanted.iter().all(|(k, v)| s.metadata.get(k) == Some(v)))
        .filter(|s| states.split(',').any(|state| (state == "running") == s.runs()))
        .map(|sandbox| shown(sandbox))
        .collect();
    let from = listing.next_token.unwrap_or_default();
    let page = listing.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let shown: Vec<Value> = all.iter().skip(from).take(page).cloned().collect();
    let next = (from + page < all.len()).then(|| (from + page).to_string());
    let mut answer = Json(shown).into_response();
    if let Some(next) = next.and_then(|next| next.parse().ok()) {
        answer.headers_mut().insert("x-next-token", next);
    }
    Ok(Some(answer))
}

/// Names and values of a query, decoded.
fn url_pairs(query: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{query}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

async fn of_one(
    shared: &Arc<Shared>,
    place: &str,
    body: &[u8],
    (method, id, what): (&str, &str, &str),
) -> Answered {
    let found = shared.sandbox(id);
    let there = || found.clone().ok_or_else(|| refused(404, &format!("Sandbox {id} not found")));
    let none = || Ok(Some(StatusCode::NO_CONTENT.into_response()));
    match (method, what) {
        ("GET", "") => {
            let sandbox = there()?;
            let mut all = shown(&sandbox);
            all["envdAccessToken"] = json!(sandbox.token);
            Ok(Some(Json(all).into_response()))
        }
        ("DELETE", "") => {
            let gone = shared.inner().sandboxes.remove(id);
            // Its processes are waited for.
            let _ = tokio::task::spawn_blocking(move || drop(gone)).await;
            there()?;
            none()
        }
        ("POST", "v2/connect" | "connect") => {
            let asked: Timed = read(shared, place, body)?;
            let timeout = timeout(shared, place, asked.timeout)?;
            let sandbox = there()?;
            sandbox.ends.store(now() + timeout, Ordering::Relaxed);
            let status = if sandbox.resume() { StatusCode::CREATED } else { StatusCode::OK };
            Ok(Some((status, Json(usable(&sandbox))).into_response()))
        }
        ("POST", "timeout") => {
            let asked: Timed = read(shared, place, body)?;
            let timeout = timeout(shared, place, asked.timeout)?;
            let sandbox = there()?;
            if !sandbox.runs() {
                return Err(refused(404, "Sandbox is not running"));
            }
            sandbox.ends.store(now() + timeout, Ordering::Relaxed);
            none()
        }
        ("POST", "pause") => {
            let _: Pause = read(shared, place, if body.is_empty() { b"{}" } else { body })?;
            let sandbox = there()?;
            let pausing = tokio::task::spawn_blocking(move || sandbox.pause()).await;
            match pausing {
                Ok(Ok(true)) => none(),
                Ok(Ok(false)) => Err(refused(409, "Sandbox is already paused")),
                _ => Err(refused(500, "Sandbox could not be paused")),
            }
        }
        ("POST", "snapshots") => {
            let asked: Snapshot = read(shared, place, if body.is_empty() { b"{}" } else { body })?;
            let sandbox = there()?;
            snapshot(shared, &sandbox, asked.name)
                .map(Some)
                .map_err(|error| refused(500, &format!("{error:#}")))
        }
        _ => Ok(None),
    }
}

fn snapshot(shared: &Shared, sandbox: &Sandbox, name: Option<String>) -> Result<Response> {
    let copy = tempfile::Builder::new().prefix("toft-story-e2b-").tempdir()?;
    for home in ["user", "root"] {
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .args([sandbox.folder().join(home), copy.path().join(home)])
            .status()?;
    }
    let mut inner = shared.inner();
    let id = format!("snapshot-{}", inner.snapshots.len() + 1);
    inner.snapshots.insert(id.clone(), copy);
    let names: Vec<String> = name.into_iter().collect();
    Ok((StatusCode::CREATED, Json(json!({"snapshotID": id, "names": names}))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_348_799, "2026-11-22T11:59:59Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
