//! Passing requests to bridges: headers cleaned (`headers`), bodies streamed both ways, upgrades carried.
//! Who may ask, and whether the machine runs, is judged before.

mod frames;
mod tunnel;

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    bridge_client::BridgeError,
    clock::monotonic_ms,
    envelope,
    headers::{clean_answer, clean_request},
    machines::{Machine, bridge_watch, gone, held, life},
    state::App,
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use frames::Frames;
use http_body_util::Limited;
use hyper::upgrade::OnUpgrade;
use std::{sync::Arc, time::Duration};
use toft_model::http::{TAKE_BEFORE, connection_tokens};
use tokio::time::timeout;
use tunnel::Ends;

/// Picks another port than the app's.
const PORT_HEADER: &str = "x-toft-port";
/// How long an answer of a bridge that runs may take to begin: a compaction is a model call.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// Until when a bridge may take up what changes something: one that still loads its conversations is there
/// by then, and nobody finds his click done when he has long made another.
const LEASE_MS: u64 = 30_000;

/// How often one that only looks is asked again when its bridge has ended.
const LOOKS_MAX: usize = 8;

/// Where a request goes and how much it may carry.
pub(crate) struct Target<'a> {
    pub(crate) machine: &'a Arc<Machine>,
    /// Path and query for the bridge.
    pub(crate) path: &'a str,
    /// Another port than the app's.
    pub(crate) port: Option<u16>,
    pub(crate) body_bytes_max: usize,
    /// Why the machine is woken, if it must be. `None`: it is not, and this is no use of it.
    pub(crate) cause: Option<&'a str>,
}

impl Target<'_> {
    /// Whether the bridge answers it, not an app: apps get nothing below this path.
    fn is_bridges_own(&self) -> bool {
        self.path.starts_with("/toft/")
    }
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
    clean_request(&app.auth, req.headers_mut(), upgrade.as_ref().map(|(_, protocol)| protocol));
    if let Some(port) = target.port {
        req.headers_mut().insert(PORT_HEADER, HeaderValue::from(port));
    }

    let method = req.method().clone();
    let changes = !method.is_safe();
    let hold = if let Some(cause) = target.cause {
        let hold = target.machine.in_use(&app.clock);
        life::ensure_running(app, target.machine, cause).await?;
        hold
    } else {
        let hold = target.machine.being_read();
        if !target.machine.answers() {
            return Err(ApiError::new(
                Code::Unavailable,
                "the machine sleeps: what is more than a look wakes it",
            ));
        }
        hold
    };
    if changes && target.is_bridges_own() {
        req.headers_mut().insert(TAKE_BEFORE, (monotonic_ms() + LEASE_MS).into());
    }
    let answer = send(app, &target, req).await.map_err(|error| failed(&error, &target, changes))?;
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
        let machine = Arc::clone(target.machine);
        let hold = (!target.is_bridges_own()).then_some(hold);
        let is_websocket = parts
            .headers
            .get(header::UPGRADE)
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let frames = is_websocket.then(|| match hold {
            Some(_) => Frames::of_app(),
            None => Frames::of_terminal(),
        });
        tunnel::tunnel(app, caller, Ends { machine, hold, frames }, client, bridge);
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    clean_answer(&mut parts.headers);
    let body = if held::is_waiting(&method, &parts.headers) {
        Body::new(body)
    } else {
        held::until_through(body, hold)
    };
    Ok(Response::from_parts(parts, body))
}

async fn send(
    app: &App,
    target: &Target<'_>,
    req: Request,
) -> Result<http::Response<hyper::body::Incoming>, Failed> {
    let (parts, body) = req.into_parts();
    // A request without a body can be asked again, should machine or bridge have died unnoticed.
    let again = http_body::Body::is_end_stream(&body).then(|| parts.clone());
    let only_looks = target.is_bridges_own()
        && parts.method.is_safe()
        && !parts.headers.contains_key(header::UPGRADE);
    let limited = Body::new(Limited::new(body, target.body_bytes_max));
    let first = ask(app, target, Request::from_parts(parts, limited)).await;
    match (first, again) {
        (Err(error @ BridgeError::Connect(_)), Some(parts)) => {
            let is_gone = !target.machine.answers() || gone::check(app, target.machine).await;
            let Some(cause) = target.cause.filter(|_| is_gone) else {
                return Err(error.into());
            };
            life::ensure_running(app, target.machine, cause).await?;
            let req = Request::from_parts(parts, Body::empty());
            Ok(ask(app, target, req).await?)
        }
        // The bridge that took it is gone: the next one, which init starts by itself, is asked on the same socket.
        // Kept connections of the one that is gone may come first.
        (Err(mut error @ BridgeError::Broken(_)), Some(parts)) if only_looks => {
            for _ in 0..LOOKS_MAX {
                let req = Request::from_parts(parts.clone(), Body::empty());
                match ask(app, target, req).await {
                    Err(next @ BridgeError::Broken(_)) => error = next,
                    other => return Ok(other?),
                }
            }
            Err(error.into())
        }
        (other, _) => Ok(other?),
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

/// Why there is no answer.
enum Failed {
    Bridge(BridgeError),
    Wake(ApiError),
}

impl From<BridgeError> for Failed {
    fn from(error: BridgeError) -> Self {
        Self::Bridge(error)
    }
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Wake(error)
    }
}

/// `changes`: more than reading was asked for.
fn failed(error: &Failed, target: &Target<'_>, changes: bool) -> ApiError {
    let error = match error {
        Failed::Wake(error) => return error.clone(),
        Failed::Bridge(BridgeError::TooLarge) => {
            return envelope::too_large(target.body_bytes_max);
        }
        Failed::Bridge(error) => error,
    };
    match error {
        // A bridge, or the app, may have had it already.
        BridgeError::Broken(_) | BridgeError::Timeout if changes => ApiError::new(
            Code::OutcomeUnknown,
            format!("{error}. Whether it was done is not known: look before you send it again"),
        ),
        BridgeError::TooLarge
        | BridgeError::Connect(_)
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
