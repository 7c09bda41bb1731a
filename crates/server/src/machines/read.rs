//! Reading what the copy knows too: asked of the bridge while it runs, of the copy when the machine
//! does not run or is just going away. Never wakes a machine.

use super::{
    Machine, at_rest, bridge_watch,
    copy::{
        answers, lost,
        with_lost::{self, Part},
    },
    gone,
    held::until_through,
    machine::Hold,
};
use crate::{
    api_error::{ApiError, Code},
    bridge_client::BridgeError,
    headers::{clean_answer, keep_known},
    state::App,
};
use axum::{
    body::Body,
    extract::Query,
    http::{Request, StatusCode, Uri, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a bridge may take: right after a start it is still loading its sessions.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Answers up to this size are taken in before they are passed on: one that breaks off in the middle
/// can then still be given from the copy. Longer ones (conversations with images) are streamed.
const WHOLE_BYTES_MAX: u64 = 4 << 20;

/// What can be read of a machine that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// `GET messages`.
    Messages,
    /// `GET inspect`.
    Inspect,
    /// `GET state`.
    State,
    /// `GET sessions`.
    Sessions,
    /// `GET processes`.
    Processes,
    /// `GET terminals`.
    Terminals,
    /// `GET services`.
    Services,
    /// `GET activity`.
    Activity,
}

impl Reading {
    /// By the route's name below `/toft/`.
    pub(crate) fn named(route: &str) -> Option<Self> {
        Some(match route {
            "messages" => Self::Messages,
            "inspect" => Self::Inspect,
            "state" => Self::State,
            "sessions" => Self::Sessions,
            "processes" => Self::Processes,
            "terminals" => Self::Terminals,
            "services" => Self::Services,
            "activity" => Self::Activity,
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    session_id: Option<String>,
}

/// Reads. `path` is path and query for the bridge.
pub(crate) async fn read(
    app: &App,
    machine: &Arc<Machine>,
    what: Reading,
    path: &Uri,
) -> Result<Response, ApiError> {
    let wanted = Query::<Wanted>::try_from_uri(path);
    let Query(Wanted { session_id }) = wanted.map_err(|e| ApiError::invalid(e.body_text()))?;
    let session = session_id.as_deref();
    let store = &*app.store;
    // Reading is no use, but nobody pauses it in the middle of an answer.
    let hold = machine.being_read();
    if machine.answers() {
        // Before the bridge is asked.
        let held = match what {
            Reading::Sessions => lost::kept(store, machine).await,
            Reading::Messages
            | Reading::Inspect
            | Reading::State
            | Reading::Processes
            | Reading::Terminals
            | Reading::Services
            | Reading::Activity => Vec::new(),
        };
        if let Some(answer) = of_bridge(app, machine, &get(path), hold).await? {
            return match (what, session) {
                (Reading::Sessions, _) => with_lost::listed(store, machine, answer, held).await,
                (Reading::Messages, Some(id)) => {
                    with_lost::found(store, machine, answer, Part::Messages, id).await
                }
                (Reading::State, Some(id)) => {
                    with_lost::found(store, machine, answer, Part::State, id).await
                }
                (Reading::Messages | Reading::State, None)
                | (
                    Reading::Inspect
                    | Reading::Processes
                    | Reading::Terminals
                    | Reading::Services
                    | Reading::Activity,
                    _,
                ) => Ok(answer),
            };
        }
    }
    match what {
        Reading::Messages => answers::messages(store, machine, session).await,
        Reading::Inspect => answers::inspect(store, machine).await,
        Reading::State => answers::state(store, machine, session).await,
        Reading::Sessions => answers::sessions(store, machine).await,
        Reading::Processes => Ok(at_rest::processes(machine)),
        Reading::Terminals => Ok(at_rest::terminals(machine)),
        Reading::Services => at_rest::services(store, machine).await,
        Reading::Activity => Ok(at_rest::activity()),
    }
}

/// What the bridge says while it runs; nothing when it does not.
pub(super) async fn of_running(
    app: &App,
    machine: &Arc<Machine>,
    path: &Uri,
) -> Result<Option<Response>, ApiError> {
    let hold = machine.being_read();
    if machine.answers() { of_bridge(app, machine, &get(path), hold).await } else { Ok(None) }
}

fn get(path: &Uri) -> Request<()> {
    let mut asked = Request::new(());
    *asked.uri_mut() = path.clone();
    asked
}

/// What the bridge says; nothing when the machine turns out to be gone, or going away.
pub(super) async fn of_bridge(
    app: &App,
    machine: &Arc<Machine>,
    asked: &Request<()>,
    hold: Hold,
) -> Result<Option<Response>, ApiError> {
    let first = match live(app, machine, asked).await {
        Ok(answer) => return Ok(Some(held(answer, hold))),
        Err(error) => error,
    };
    tracing::debug!(project.id = %machine.id, error = %first, "a reading is tried again");
    if !machine.answers() || gone::check(app, machine).await {
        return Ok(None);
    }
    if matches!(first, BridgeError::NeverUp { .. }) {
        return Err(failed(&first));
    }
    // The bridge was restarted: init holds its socket, so the next one answers this.
    match live(app, machine, asked).await {
        Ok(answer) => Ok(Some(held(answer, hold))),
        Err(error) if machine.answers() => Err(failed(&error)),
        Err(_) => Ok(None),
    }
}

/// One that is still coming holds the machine until it is through.
fn held(answer: Response, hold: Hold) -> Response {
    if http_body::Body::size_hint(answer.body())
        .exact()
        .is_some_and(|bytes| bytes <= WHOLE_BYTES_MAX)
    {
        return answer;
    }
    answer.map(|body| until_through(body, hold))
}

fn failed(error: &BridgeError) -> ApiError {
    ApiError::new(Code::MachineError, error.told())
}

/// Asks the bridge.
async fn live(app: &App, machine: &Machine, asked: &Request<()>) -> Result<Response, BridgeError> {
    let asked = async {
        let request = asked.clone().map(|()| Body::empty());
        let answer = app.bridge.send(&machine.id, request).await?;
        let (mut parts, body) = answer.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(BridgeError::Status(parts.status.as_u16()));
        }
        clean_answer(&mut parts.headers);
        keep_known(&mut parts.headers);
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let length = length.and_then(|text| text.parse::<u64>().ok());
        let body = if length.is_some_and(|length| length <= WHOLE_BYTES_MAX) {
            let whole = body.collect().await.map_err(|e| BridgeError::Broken(e.to_string()))?;
            Body::from(whole.to_bytes())
        } else {
            Body::new(body)
        };
        Ok(Response::from_parts(parts, body))
    };
    let following = machine.view().following.clone().unwrap_or_default();
    tokio::select! {
        // Paused, or ended: the copy has it.
        () = following.cancelled() => Err(BridgeError::Broken("the machine went away".into())),
        answer = timeout(ANSWER_TIMEOUT, asked) => answer.map_err(|_| BridgeError::Timeout)?,
        starts = bridge_watch::never_up(app, machine) => Err(BridgeError::NeverUp { starts }),
    }
}
