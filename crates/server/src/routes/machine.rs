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
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use toft_model::{
    machine::{Ability, Can, EgressName, IdleRule, Limits, MachineState},
    time::rfc3339,
};
use toft_store::SnapshotKind;

/// Wakes that are shown.
const WAKES_MAX: u32 = 20;

/// A machine.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Machine")]
pub(crate) struct Shown {
    state: MachineState,
    /// Why it is so, where something is wrong.
    state_reason: Option<String>,
    /// What makes it: `native`, `host`, `oci` or `e2b`.
    backend: String,
    /// Name of what it is made of.
    image: String,
    /// What its disk lies in.
    storage: String,
    can: Can,
    limits: Limits,
    /// What this host enforces, and how.
    enforced: Vec<Ability>,
    idle: IdleRule,
    /// RFC 3339; null while it does not run.
    started_at: Option<String>,
    /// RFC 3339; null while it is not paused.
    frozen_at: Option<String>,
    #[serde(rename = "use")]
    used: Used,
    /// As in `use`.
    memory_bytes: Option<u64>,
    /// As in `use`.
    pids: Option<u64>,
    egress: Egress,
    /// The port that its app listens at.
    app_port: Option<u64>,
    /// Its newest wakes.
    wakes: Vec<Wake>,
}

/// What it uses now; null where nothing counts it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MachineUse")]
struct Used {
    memory_bytes: Option<u64>,
    pids: Option<u64>,
}

/// What it may reach.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MachineEgress")]
struct Egress {
    level: EgressName,
    rules: Vec<String>,
    /// The level below the project's ceiling.
    in_force: EgressName,
}

/// Why it was woken.
#[derive(Serialize, JsonSchema)]
struct Wake {
    /// RFC 3339.
    at: String,
    cause: String,
    /// In which state it was.
    was: Option<MachineState>,
}

pub(crate) async fn shown(app: &App, machine: &Machine) -> Result<Data<Shown>, ApiError> {
    let stats = if machine.runs() {
        // A machine that ends just now has none.
        app.backend.stats(&machine.id).await.unwrap_or_default()
    } else {
        toft_machine::backend::Stats::default()
    };
    let state = app.store.snapshot(&machine.id, SnapshotKind::State).await?;
    let state: Value = state.and_then(|s| serde_json::from_str(&s).ok()).unwrap_or_default();
    let wakes = app
        .store
        .wakes(&machine.id, WAKES_MAX)
        .await?
        .into_iter()
        .map(|wake| Wake { at: rfc3339(wake.at), cause: wake.cause, was: wake.was })
        .collect();
    let enforced = egress::abilities_of(machine, settings::abilities(app, &machine.id).await);
    let image = app.store.project_image(&machine.id).await?.map_or(HOST.to_owned(), |i| i.name);
    let limits = settings::limits(app, &machine.id).await?;
    let tampered = copy::tamper_reason(machine);
    let idle = idle::rule(app, machine);
    let permitted = egress::permitted(app, &machine.id).await?;
    let backend = app.backend.of(&machine.id);
    let view = machine.view();
    Ok(Data(Shown {
        state: view.state,
        state_reason: view.reason.clone().or(tampered),
        backend: backend.name().to_owned(),
        image,
        storage: backend.storage(),
        can: settings::can(app, &machine.id),
        limits,
        enforced,
        idle,
        started_at: view.started_at.map(rfc3339),
        frozen_at: view.frozen_at.map(rfc3339),
        used: Used { memory_bytes: stats.memory_bytes, pids: stats.pids },
        memory_bytes: stats.memory_bytes,
        pids: stats.pids,
        egress: Egress {
            in_force: permitted.setting.level.min(permitted.ceiling),
            level: permitted.setting.level,
            rules: permitted.setting.rules,
        },
        app_port: state.get("appPort").and_then(Value::as_u64),
        wakes,
    }))
}

/// `GET …/machine`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
) -> Result<Data<Shown>, ApiError> {
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

async fn act(app: App, of: OfProject<Member>, ask: Ask) -> Result<Data<Shown>, ApiError> {
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
) -> Result<Data<Shown>, ApiError> {
    act(app, of, Ask::Start).await
}

/// `POST …/stop`: only a person starts it again.
pub(crate) async fn stop(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Shown>, ApiError> {
    act(app, of, Ask::Stop).await
}

/// `POST …/wake`: refuses a stopped one.
pub(crate) async fn wake(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Shown>, ApiError> {
    act(app, of, Ask::Wake).await
}

/// `POST …/sleep`: ends the processes of one that runs and leaves it cold.
pub(crate) async fn sleep(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Shown>, ApiError> {
    act(app, of, Ask::Sleep).await
}

/// `POST …/freeze`: pauses the processes of one that runs, in memory.
pub(crate) async fn freeze(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Shown>, ApiError> {
    act(app, of, Ask::Freeze).await
}

/// `POST …/thaw`: lets a paused one go on; wakes no other.
pub(crate) async fn thaw(
    State(app): State<App>,
    of: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Shown>, ApiError> {
    act(app, of, Ask::Thaw).await
}
