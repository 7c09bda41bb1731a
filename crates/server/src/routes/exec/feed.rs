//! What a running program is told from outside: standard input and signals, each on a connection of
//! its own to init. The program is named by the `id` of its stream's `start` event.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path, Query},
    machines::{life, machine::Hold},
    project::find,
    routes::given::Done,
    state::App,
};
use axum::{body::Body, extract::State};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_machine::init_client::{self, ExecHandle, InitError};
use toft_store::Role;

/// Follow nothing of the output: it has its own stream.
const NO_OUTPUT: u64 = u64::MAX;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct End {
    /// Whether this is the last of it.
    #[serde(default)]
    end: bool,
}

/// What was passed on.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Fed {
    bytes: usize,
}

/// `POST /v1/projects/{id}/exec/{exec}/stdin?end=`: the body goes to the program as it comes, no
/// faster than it reads.
pub(crate) async fn stdin(
    State(app): State<App>,
    caller: Caller,
    Path((id, exec)): Path<(String, String)>,
    Query(query): Query<End>,
    mut body: Body,
) -> Result<Data<Fed>, ApiError> {
    caller.require(Role::Member)?;
    let (handle, _hold) = attach(&app, &id, &exec).await?;
    let input = handle.input();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::invalid(format!("the input broke off: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        if input.stdin(data).await.is_err() {
            return Err(gone());
        }
        bytes += data.len();
    }
    if query.end {
        // A program that has ended needs no end of its input.
        let _ = input.close_stdin().await;
    }
    Ok(Data(Fed { bytes }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Signal {
    signal: Name,
}

/// Signals that people and shells send.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Name {
    Hup,
    Int,
    Quit,
    Kill,
    Usr1,
    Usr2,
    Term,
    Cont,
    Stop,
}

impl Name {
    /// As Linux numbers them.
    fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Usr1 => 10,
            Self::Usr2 => 12,
            Self::Term => 15,
            Self::Cont => 18,
            Self::Stop => 19,
        }
    }
}

/// `POST /v1/projects/{id}/exec/{exec}/signal`: to the program and its group.
pub(crate) async fn signal(
    State(app): State<App>,
    caller: Caller,
    Path((id, exec)): Path<(String, String)>,
    JsonBody(body): JsonBody<Signal>,
) -> Result<Data<Done>, ApiError> {
    caller.require(Role::Member)?;
    let (handle, _hold) = attach(&app, &id, &exec).await?;
    let input = handle.input();
    input.signal(body.signal.number()).await.map_err(|_| gone())?;
    Ok(Data(Done {}))
}

async fn attach(app: &App, id: &str, exec: &str) -> Result<(ExecHandle, Hold), ApiError> {
    let (_, machine) = find(app, id).await?;
    let hold = machine.in_use(&app.clock);
    // A machine that is gone took the program with it: it is not woken for this. A paused one has it.
    if !machine.runs() {
        return Err(gone());
    }
    life::ensure_running(app, &machine, "a running command was told something").await?;
    let stream = app.backend.connect_init(&machine.id).await.map_err(|_| gone())?;
    let handle = init_client::attach(stream, exec, NO_OUTPUT).await;
    let handle = handle.map_err(|error| match error {
        InitError::Refused { .. } => gone(),
        other => ApiError::new(Code::MachineError, other.to_string()),
    })?;
    Ok((handle, hold))
}

fn gone() -> ApiError {
    ApiError::new(Code::NotFound, "no such program runs: it may have ended")
}
