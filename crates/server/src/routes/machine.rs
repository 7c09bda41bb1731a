//! `/v1/projects/{id}/{machine,start,stop,wake,sleep,freeze,thaw}`.

use crate::{
    api_error::ApiError,
    envelope::{Data, NoBody},
    images::HOST,
    machines::{Machine, asked, copy, egress, idle, life, settings},
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use serde_json::{Value, json};
use toft_model::time::rfc3339;
use toft_store::SnapshotKind;

/// Wakes that are shown.
const WAKES_MAX: u32 = 20;

pub(crate) async fn shown(app: &App, machine: &Machine) -> Result<Data<Value>, ApiError> {
    let stats = if machine.runs() {
        // A machine that ends just now has none.
        app.backend.stats(&machine.id).await.unwrap_or_default()
    } else {
        toft_machine::backend::Stats::default()
    };
    let state = app.store.snapshot(&machine.id, SnapshotKind::State).await?;
    let state: Value = state.and_then(|s| serde_json::from_str(&s).ok()).unwrap_or_default();
    let wakes: Vec<Value> = app
        .store
        .wakes(&machine.id, WAKES_MAX)
        .await?
        .into_iter()
        .map(|wake| json!({"at": rfc3339(wake.at), "cause": wake.cause, "was": wake.was}))
        .collect();
    let enforced = egress::abilities_of(machine, settings::abilities(app).await);
    let image = app.store.project_image(&machine.id).await?.map_or(HOST.to_owned(), |i| i.name);
    let limits = settings::limits(app, &machine.id).await?;
    let tampered = copy::tamper_reason(machine);
    let idle = idle::rule(app, machine);
    let permitted = egress::permitted(app, &machine.id).await?;
    let view = machine.view();
    Ok(Data(json!({
        "state": view.state.as_str(),
        "stateReason": view.reason.clone().or(tampered),
        "backend": app.backend.name(),
        "image": image,
        "storage": app.backend.storage(),
        "can": settings::can(app),
        "limits": limits,
        "enforced": enforced,
        "idle": idle,
        "startedAt": view.started_at.map(rfc3339),
        "frozenAt": view.frozen_at.map(rfc3339),
        "use": {"memoryBytes": stats.memory_bytes, "pids": stats.pids},
        "memoryBytes": stats.memory_bytes,
        "pids": stats.pids,
        "egress": {
            "level": permitted.setting.level,
            "rules": permitted.setting.rules,
            "inForce": permitted.setting.level.min(permitted.ceiling),
        },
        "appPort": state.get("appPort"),
        "wakes": wakes,
    })))
}

/// `GET …/machine`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
) -> Result<Data<Value>, ApiError> {
    shown(&app, &machine).await
}

/// What a person may ask of a machine.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Start,
    Stop,
    Wake,
    Sleep,
    Freeze,
    Thaw,
}

async fn act(app: App, of: OfProject<Member>, ask: Ask) -> Result<Data<Value>, ApiError> {
    let machine = of.machine;
    match ask {
        Ask::Start => life::start(&app, &machine, "started by a person").await?,
        Ask::Stop => life::stop(&app, &machine).await?,
        Ask::Wake => life::ensure_running(&app, &machine, "asked to wake").await?,
        Ask::Sleep => life::sleep(&app, &machine).await?,
        Ask::Freeze => asked::freeze(&app, &machine).await?,
        Ask::Thaw => asked::thaw(&app, &machine).await?,
    }
    shown(&app, &machine).await
}

/// `POST …/start`: a person's, also from `stopped`.
pub(crate) async fn start(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    act(app, of, Ask::Start).await
}

/// `POST …/stop`: only a person starts it again.
pub(crate) async fn stop(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    act(app, of, Ask::Stop).await
}

/// `POST …/wake`: refuses a stopped one.
pub(crate) async fn wake(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    act(app, of, Ask::Wake).await
}

/// `POST …/sleep`: ends the processes of one that runs and leaves it cold.
pub(crate) async fn sleep(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    act(app, of, Ask::Sleep).await
}

/// `POST …/freeze`: pauses the processes of one that runs, in memory.
pub(crate) async fn freeze(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    act(app, of, Ask::Freeze).await
}

/// `POST …/thaw`: lets a paused one go on; wakes no other.
pub(crate) async fn thaw(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    act(app, of, Ask::Thaw).await
}
