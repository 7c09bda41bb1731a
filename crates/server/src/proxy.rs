//! Passing requests to bridges: headers cleaned, bodies streamed both ways, upgrades carried. Who
//! may ask, and whether the machine runs, is judged before.

use crate::{
    api_error::{ApiError, Code},
    auth::{
        caller::{Caller, KEY_HEADER},
        cookie, session,
    },
    bridge_client::BridgeError,
    envelope,
    machines::{Machine, bridge_watch, life},
    state::App,
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use http_body_util::Limited;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use toft_model::http::{connection_tokens, hop_by_hop};
use tokio::{io::copy_bidirectional, time::timeout};

/// Names of our own that only the server may send inwards.
const INTERNAL: &str = "x-toft-";
/// Picks another port than the app's.
const PORT_HEADER: &str = "x-toft-port";
/// How long an answer of a bridge that runs may take to begin: a compaction is a model call.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);

/// Where a request goes and how much it may carry.
pub(crate) struct Target<'a> {
    pub(crate) machine: &'a Arc<Machine>,
    /// Path and query for the bridge.
    pub(crate) path: &'a str,
    /// Another port than the app's.
    pub(crate) port: Option<u16>,
    pub(crate) body_bytes_max: usize,
    /// Why the machine is woken, if it must be.
    pub(crate) cause: &'a str,
}

/// Sends a request to a machine's bridge, waking the machine when it is cold.
pub(crate) async fn forward(
    app: &App,
    caller: &Caller,
    target: Target<'_>,
    mut req: Request,
) -> Result<Response, ApiError> {
    let declared = req.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if declared.and_then(|v| v.parse::<usize>().ok()).is_some_and(|n| n > target.body_bytes_max) {
        return Err(envelope::too_large(target.body_bytes_max));
    }
    *req.uri_mut() = target
        .path
        .parse::<Uri>()
        .map_err(|_| ApiError::invalid("the path is not a valid URL path"))?;
    let upgrade = take_upgrade(&mut req);
    clean_request(app, req.headers_mut(), upgrade.as_ref().map(|(_, protocol)| protocol));
    if let Some(port) = target.port {
        req.headers_mut().insert(PORT_HEADER, HeaderValue::from(port));
    }

    life::ensure_running(app, target.machine, target.cause).await?;
    let answer = send(app, &target, req).await?;
    let (mut parts, body) = answer.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some((client, _)) = upgrade else {
            return Err(ApiError::new(
                Code::MachineError,
                "the machine upgraded without being asked",
            ));
        };
        let Some(bridge) = parts.extensions.remove::<OnUpgrade>() else {
            return Err(ApiError::new(Code::MachineError, "the machine's upgrade broke off"));
        };
        let switched = parts.headers.get(header::UPGRADE).cloned();
        clean_answer(&mut parts.headers);
        if let Some(protocol) = switched {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, protocol);
        }
        tunnel(app, caller, client, bridge);
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    clean_answer(&mut parts.headers);
    Ok(Response::from_parts(parts, Body::new(body)))
}

async fn send(
    app: &App,
    target: &Target<'_>,
    req: Request,
) -> Result<http::Response<hyper::body::Incoming>, ApiError> {
    let (parts, body) = req.into_parts();
    // A request without a body can be asked again, should the machine have died unnoticed.
    let again = http_body::Body::is_end_stream(&body).then(|| parts.clone());
    let limited = Body::new(Limited::new(body, target.body_bytes_max));
    let first = ask(app, target, Request::from_parts(parts, limited)).await;
    match (first, again) {
        (Err(BridgeError::Connect(_)), Some(parts))
            if !target.machine.answers() || life::check_gone(app, target.machine).await =>
        {
            life::ensure_running(app, target.machine, target.cause).await?;
            let req = Request::from_parts(parts, Body::empty());
            ask(app, target, req).await.map_err(|e| failed(&e, target))
        }
        (other, _) => other.map_err(|e| failed(&e, target)),
    }
}

async fn ask(
    app: &App,
    target: &Target<'_>,
    req: Request,
) -> Result<http::Response<hyper::body::Incoming>, BridgeError> {
    tokio::select! {
        answer = timeout(ANSWER_TIMEOUT, app.bridge.send(&target.machine.id, req)) => {
            answer.map_err(|_| BridgeError::Timeout)?
        }
        starts = bridge_watch::never_up(app, target.machine) => {
            Err(BridgeError::NeverUp { starts })
        }
    }
}

fn failed(error: &BridgeError, target: &Target<'_>) -> ApiError {
    match error {
        BridgeError::TooLarge => envelope::too_large(target.body_bytes_max),
        BridgeError::Connect(_)
        | BridgeError::Broken(_)
        | BridgeError::Timeout
        | BridgeError::Status(_)
        | BridgeError::NoJson
        | BridgeError::NeverUp { .. } => ApiError::new(Code::MachineError, error.told()),
    }
}

/// What a client wants to switch to, and its side of the switch.
fn take_upgrade(req: &mut Request) -> Option<(OnUpgrade, HeaderValue)> {
    let wants = req
        .headers()
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(connection_tokens)
        .any(|token| token.eq_ignore_ascii_case("upgrade"));
    let protocol = req.headers().get(header::UPGRADE).cloned()?;
    let client = req.extensions_mut().remove::<OnUpgrade>()?;
    wants.then_some((client, protocol))
}

/// Takes off what belongs to this connection, what is ours, and what only the server may say.
fn clean_request(app: &App, headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    drop_hop_by_hop(headers);
    headers.remove(KEY_HEADER);
    drop_our_bearers(app, headers);
    cookie::strip(headers);
    let internal: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

/// Takes our keys out of `Authorization`, however many of it there are; what is the app's stays.
fn drop_our_bearers(app: &App, headers: &mut HeaderMap) {
    let is_ours = |value: &HeaderValue| {
        value.to_str().ok().and_then(|text| text.trim().split_once(' ')).is_some_and(
            |(scheme, key)| {
                scheme.eq_ignore_ascii_case("bearer") && app.auth.key(key.trim()).is_some()
            },
        )
    };
    if !headers.get_all(header::AUTHORIZATION).iter().any(is_ours) {
        return;
    }
    let all: Vec<HeaderValue> =
        headers.get_all(header::AUTHORIZATION).iter().filter(|v| !is_ours(v)).cloned().collect();
    headers.remove(header::AUTHORIZATION);
    for value in all {
        headers.append(header::AUTHORIZATION, value);
    }
}

/// Headers that a bridge's own routes need. On the control plane's origin a machine may say no more:
/// it could set cookies there, send the browser elsewhere or clear what it keeps.
const FROM_BRIDGE: [HeaderName; 15] = [
    header::ACCEPT_RANGES,
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::UPGRADE,
];

/// Takes all other headers off a bridge's answer.
pub(crate) fn keep_known(headers: &mut HeaderMap) {
    let others: Vec<HeaderName> =
        headers.keys().filter(|name| !FROM_BRIDGE.contains(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

/// Takes off what belongs to the bridge's connection, and what is ours.
pub(crate) fn clean_answer(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    let internal: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

/// Takes off what belongs to one connection.
pub(crate) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    for name in hop_by_hop(connection, headers.contains_key(header::TRANSFER_ENCODING)) {
        headers.remove(name);
    }
}

/// Carries bytes both ways until one side ends, the server ends or the sign-in does.
fn tunnel(app: &App, caller: &Caller, client: OnUpgrade, bridge: OnUpgrade) {
    let sign_in = caller.session().map(str::to_owned);
    let app2 = app.clone();
    app.tasks.spawn(async move {
        let (Ok(client), Ok(bridge)) = tokio::join!(client, bridge) else { return };
        let (mut client, mut bridge) = (TokioIo::new(client), TokioIo::new(bridge));
        let over = sign_in_over(&app2, sign_in.as_deref());
        tokio::select! {
            // How it ended is the two ends' business.
            _ = copy_bidirectional(&mut client, &mut bridge) => {}
            () = over => {}
            () = app2.stop.token().cancelled() => {}
        }
    });
}

/// Resolves when a sign-in ends; never for a key.
async fn sign_in_over(app: &App, sign_in: Option<&str>) {
    let Some(id) = sign_in else { return std::future::pending().await };
    let mut ended = app.auth.watch_ended();
    while ended.changed().await.is_ok() {
        if !session::lives(app, id).await.unwrap_or(false) {
            return;
        }
    }
}
