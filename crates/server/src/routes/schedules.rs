//! `/v1/projects/{id}/schedules`: what people ask of schedules. What becomes of their slots is in
//! `crate::schedules`.

use crate::{
    api_error::{ApiError, Code},
    envelope::{Data, JsonBody, NoBody, Path, Query},
    line,
    machines::{
        Machine,
        read::{self, Reading},
    },
    project::{Member, OfProject, Viewer},
    routes::given::Deleted,
    schedules::{
        slots::{self, NoPlan, Plan},
        worker,
    },
    servers,
    state::App,
};
use axum::{body::to_bytes, extract::State};
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use toft_model::{
    event::Outcome,
    id::SessionId,
    schedule::{CatchUp, Overlap, ScheduleId, When, Work},
};
use toft_store::{Firing, Project, Schedule, Step};
use tokio::time::timeout;

/// Bytes of a command or a prompt.
const WORK_BYTES_MAX: usize = 64 << 10;
/// Schedules of one project: far more than people make, few enough to decide on at once.
const SCHEDULES_MAX: usize = 100;
/// How long a command may take when nothing is said: a nightly build.
const COMMAND_TIMEOUT_MS: u64 = 3_600_000;
/// How long anything may take; a prompt, when nothing is said.
const TIMEOUT_MAX_MS: u64 = 24 * 3_600_000;
const TIMEOUT_MIN_MS: u64 = 1_000;
/// Slots that are made up for with `all`, when nothing is said and at most.
const CATCH_UP_DEFAULT: u32 = 10;
const CATCH_UP_MAX: u32 = 100;
/// Coming slots that are shown of one schedule.
const UPCOMING: usize = 10;
/// Firings per page, by default and at most.
const FIRINGS_DEFAULT: u32 = 50;
const FIRINGS_MAX: u32 = 200;
/// Why one that is due does not run yet.
const WAITS: &str = "it waits for the end of the one before";
/// What a machine may send of a conversation's state, a few KiB, and how long.
const STATE_BYTES_MAX: usize = 1 << 20;
const STATE_TIMEOUT: Duration = Duration::from_secs(30);
/// Times a change is tried again when a slot was decided in the same moment.
const CHANGE_TRIES: usize = 10;

impl From<NoPlan> for ApiError {
    fn from(error: NoPlan) -> Self {
        Self::invalid(error.to_string())
    }
}

/// What a schedule is made of, or changed to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    name: Option<String>,
    #[schemars(with = "Option<When>")]
    when: Option<Value>,
    #[serde(rename = "do")]
    #[schemars(with = "Option<Work>")]
    work: Option<Value>,
    catch_up: Option<CatchUp>,
    catch_up_max: Option<u32>,
    overlap: Option<Overlap>,
    enabled: Option<bool>,
    timeout_ms: Option<u64>,
}

fn when(value: Value) -> Result<When, ApiError> {
    serde_json::from_value(value).map_err(|_| {
        ApiError::invalid(
            "when is one of {\"cron\": \"0 9 * * 1-5\", \"timezone\": \"Europe/Berlin\"}, \
             {\"everyS\": 900} and {\"at\": Unix milliseconds}",
        )
    })
}

fn work(value: Value) -> Result<Work, ApiError> {
    let work: Work = serde_json::from_value(value).map_err(|_| {
        ApiError::invalid(
            "do is one of {\"command\": \"…\"} and {\"prompt\": \"…\", \"sessionId\": \"…\"} (a new \
             conversation each time without sessionId)",
        )
    })?;
    let (name, text) = match &work {
        Work::Command { command } => ("command", command),
        Work::Prompt { prompt, .. } => ("prompt", prompt),
    };
    if text.trim().is_empty() || text.len() > WORK_BYTES_MAX || text.contains('\0') {
        return Err(ApiError::invalid(format!(
            "{name} must have 1 to {} KiB of text without NUL",
            WORK_BYTES_MAX >> 10
        )));
    }
    Ok(work)
}

fn limit(timeout_ms: Option<u64>, work: &Work) -> Result<u64, ApiError> {
    match (timeout_ms, work) {
        (Some(ms), _) if (TIMEOUT_MIN_MS..=TIMEOUT_MAX_MS).contains(&ms) => Ok(ms),
        (Some(_), _) => Err(ApiError::invalid(format!(
            "timeoutMs must be {TIMEOUT_MIN_MS} to {TIMEOUT_MAX_MS}"
        ))),
        (None, Work::Command { .. }) => Ok(COMMAND_TIMEOUT_MS),
        (None, Work::Prompt { .. }) => Ok(TIMEOUT_MAX_MS),
    }
}

fn catch_up_max(wanted: Option<u32>) -> Result<Option<u32>, ApiError> {
    if wanted.is_some_and(|n| !(1..=CATCH_UP_MAX).contains(&n)) {
        return Err(ApiError::invalid(format!("catchUpMax must be 1 to {CATCH_UP_MAX}")));
    }
    Ok(wanted)
}

fn missing(field: &str) -> ApiError {
    ApiError::invalid(format!("{field} is missing: send {{\"name\", \"when\", \"do\"}}"))
}

fn no_schedule() -> ApiError {
    ApiError::new(Code::NotFound, "no such schedule: GET …/schedules lists them")
}

/// A moment that has passed is no mistake to keep quiet about.
fn check_ahead(schedule: &Schedule, now: u64) -> Result<(), ApiError> {
    match schedule.when {
        When::Once { at } if at <= now => {
            Err(ApiError::invalid("at has passed: choose a moment to come, or run it now"))
        }
        When::Once { .. } | When::Cron { .. } | When::Every { .. } => Ok(()),
    }
}

/// Refuses a conversation that is not there: every slot would fail. Asked of the machine if it runs, of
/// the copy otherwise; it is not woken for that.
async fn check_session(app: &App, machine: &Arc<Machine>, work: &Work) -> Result<(), ApiError> {
    let Work::Prompt { session_id: Some(session), .. } = work else { return Ok(()) };
    let asked = Uri::try_from(format!("/toft/state?sessionId={session}"))
        .map_err(|e| ApiError::internal("a conversation could not be asked about", &e))?;
    let answer = read::read(app, machine, Reading::State, &asked).await?;
    let is_missing = answer.status() == StatusCode::NOT_FOUND;
    // One that the copy has and the machine has not can be read, and nothing can be said in it.
    let whole = timeout(STATE_TIMEOUT, to_bytes(answer.into_body(), STATE_BYTES_MAX)).await;
    let state: Option<Value> =
        whole.ok().and_then(Result::ok).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if is_missing || state.is_some_and(|state| state["data"]["lost"] == true) {
        return Err(ApiError::new(
            Code::NotFound,
            format!(
                "do.sessionId: there is no conversation \"{session}\" in this project: GET \
                 …/toft/sessions lists them; without sessionId each slot begins a new one"
            ),
        ));
    }
    Ok(())
}

/// `POST …/schedules`.
pub(crate) async fn create(
    State(app): State<App>,
    OfProject { project, machine, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    let now = app.clock.now_ms();
    let when = when(wish.when.ok_or_else(|| missing("when"))?)?;
    let work = work(wish.work.ok_or_else(|| missing("do"))?)?;
    let plan = Plan::new(&when, now)?;
    slots::check_ever_due(&when, &plan, now)?;
    let enabled = wish.enabled.unwrap_or(true);
    let schedule = Schedule {
        id: ScheduleId::random(),
        project: project.id.clone(),
        name: line::name("name", &wish.name.ok_or_else(|| missing("name"))?)?,
        timeout_ms: limit(wish.timeout_ms, &work)?,
        next_at: plan.next(now).filter(|_| enabled),
        when,
        work,
        catch_up: wish.catch_up.unwrap_or_default(),
        catch_up_max: catch_up_max(wish.catch_up_max)?.unwrap_or(CATCH_UP_DEFAULT),
        overlap: wish.overlap.unwrap_or_default(),
        enabled,
        anchor_at: now,
        decided_at: now,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    check_ahead(&schedule, now)?;
    check_session(&app, &machine, &schedule.work).await?;
    // From here on one server decides on its slots.
    servers::bind(&app, &machine).await?;
    if app.store.schedules(&project.id).await?.len() >= SCHEDULES_MAX {
        return Err(ApiError::new(
            Code::Conflict,
            format!("a project has {SCHEDULES_MAX} schedules at most: delete one first"),
        ));
    }
    app.store.add_schedule(&schedule).await?;
    app.schedules.changed();
    Ok(Data(shown(&app, &schedule).await?))
}

async fn one(app: &App, project: &Project, schedule: &str) -> Result<Schedule, ApiError> {
    let schedule: ScheduleId = schedule.parse().map_err(|_| no_schedule())?;
    app.store.schedule(&project.id, &schedule).await?.ok_or_else(no_schedule)
}

/// `GET …/schedules`.
pub(crate) async fn list(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<All>, ApiError> {
    let mut all = Vec::new();
    for schedule in app.store.schedules(&project.id).await? {
        all.push(shown(&app, &schedule).await?);
    }
    Ok(Data(All { schedules: all }))
}

/// `GET …/schedules/{sid}`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
    Path((_, sid)): Path<(String, String)>,
) -> Result<Data<WithUpcoming>, ApiError> {
    let schedule = one(&app, &project, &sid).await?;
    let shown = shown(&app, &schedule).await?;
    let upcoming = match Plan::new(&schedule.when, schedule.anchor_at) {
        Ok(plan) if schedule.enabled => plan.upcoming(schedule.decided_at, UPCOMING),
        Ok(_) | Err(_) => Vec::new(),
    };
    Ok(Data(WithUpcoming { schedule: shown, upcoming }))
}

/// `PATCH …/schedules/{sid}`: what is not sent stays.
pub(crate) async fn patch(
    State(app): State<App>,
    OfProject { project, machine, .. }: OfProject<Member>,
    Path((_, sid)): Path<(String, String)>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    let new_name = wish.name.as_deref().map(|text| line::name("name", text)).transpose()?;
    let new_when = wish.when.map(when).transpose()?;
    let new_work = wish.work.map(work).transpose()?;
    let new_max = catch_up_max(wish.catch_up_max)?;
    // What stays as it was is not looked at again: its conversation may have gone since.
    if let Some(work) = &new_work
        && *work != one(&app, &project, &sid).await?.work
    {
        check_session(&app, &machine, work).await?;
    }
    for _ in 0..CHANGE_TRIES {
        let mut schedule = one(&app, &project, &sid).await?;
        let now = app.clock.now_ms();
        let was_enabled = schedule.enabled;
        schedule.updated_at = now;
        schedule.enabled = wish.enabled.unwrap_or(was_enabled);
        schedule.catch_up = wish.catch_up.unwrap_or(schedule.catch_up);
        schedule.catch_up_max = new_max.unwrap_or(schedule.catch_up_max);
        schedule.overlap = wish.overlap.unwrap_or(schedule.overlap);
        if let Some(name) = &new_name {
            schedule.name.clone_from(name);
        }
        if let Some(work) = &new_work {
            schedule.work = work.clone();
        }
        if wish.timeout_ms.is_some() {
            schedule.timeout_ms = limit(wish.timeout_ms, &schedule.work)?;
        }
        let is_new = new_when.as_ref().is_some_and(|when| *when != schedule.when);
        if let Some(when) = new_when.clone().filter(|_| is_new) {
            schedule.when = when;
            schedule.anchor_at = now;
            check_ahead(&schedule, now)?;
        }
        if schedule.enabled && !was_enabled {
            worker::after_back(&mut schedule, now, None);
        }
        let plan = Plan::new(&schedule.when, schedule.anchor_at)?;
        slots::check_ever_due(&schedule.when, &plan, now)?;
        // Slots of the past belong to what it was; a disabled one has none. A clock that was set
        // back does not bring back what was decided.
        if is_new || (schedule.enabled && !was_enabled) {
            schedule.decided_at = if is_new { now } else { now.max(schedule.decided_at) };
        }
        schedule.next_at = plan.next(schedule.decided_at).filter(|_| schedule.enabled);
        if app.store.update_schedule(&schedule).await? {
            app.schedules.changed();
            let schedule = one(&app, &project, &sid).await?;
            return Ok(Data(shown(&app, &schedule).await?));
        }
    }
    Err(ApiError::new(Code::Conflict, "the schedule is just at work: try again"))
}

/// `DELETE …/schedules/{sid}`: with what became of its slots; a command of it that runs ends.
pub(crate) async fn delete(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Member>,
    Path((_, sid)): Path<(String, String)>,
    _: NoBody,
) -> Result<Data<Deleted<ScheduleId>>, ApiError> {
    let schedule = one(&app, &project, &sid).await?;
    if !app.store.delete_schedule(&schedule.project, &schedule.id).await? {
        return Err(no_schedule());
    }
    app.schedules.deleted(&schedule.id);
    Ok(Data(Deleted::of(schedule.id)))
}

/// `POST …/schedules/{sid}/run`: once now, also when it is disabled.
pub(crate) async fn run(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Member>,
    Path((_, sid)): Path<(String, String)>,
    _: NoBody,
) -> Result<Data<ShownFiring>, ApiError> {
    let schedule = one(&app, &project, &sid).await?;
    let app2 = app.clone();
    // To its end, even if the client leaves: what is recorded must be started.
    let asked = app.tasks.spawn(async move { worker::by_hand(&app2, &schedule).await }).await;
    let firing = asked.map_err(|e| ApiError::internal("the schedule could not be run", &e))??;
    firing.map(|firing| Data(told(&firing))).ok_or_else(no_schedule)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    limit: Option<u32>,
    /// Only slots before this one, Unix milliseconds.
    before: Option<u64>,
}

/// `GET …/schedules/{sid}/firings`: newest first.
pub(crate) async fn firings(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
    Path((_, sid)): Path<(String, String)>,
    Query(page): Query<Page>,
) -> Result<Data<Firings>, ApiError> {
    let schedule = one(&app, &project, &sid).await?;
    let limit = page.limit.unwrap_or(FIRINGS_DEFAULT);
    if !(1..=FIRINGS_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be 1 to {FIRINGS_MAX}")));
    }
    let firings = app.store.firings(&schedule.id, page.before, limit).await?;
    Ok(Data(Firings { firings: firings.iter().map(told).collect() }))
}

/// A schedule. Times are Unix milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Schedule")]
pub(crate) struct Shown {
    id: ScheduleId,
    name: String,
    when: When,
    #[serde(rename = "do")]
    work: Work,
    catch_up: CatchUp,
    catch_up_max: u32,
    overlap: Overlap,
    enabled: bool,
    timeout_ms: u64,
    /// Null when there is no slot to come.
    next_at: Option<u64>,
    created_at: u64,
    updated_at: u64,
    last_firing: Option<ShownFiring>,
}

/// A schedule, with its next slots.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ScheduleAhead")]
pub(crate) struct WithUpcoming {
    #[serde(flatten)]
    schedule: Shown,
    upcoming: Vec<u64>,
}

/// Schedules of a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Schedules")]
pub(crate) struct All {
    schedules: Vec<Shown>,
}

/// What became of slots.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Firings {
    /// Newest slot first.
    firings: Vec<ShownFiring>,
}

/// What became of a slot, or of several. Times are Unix milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Firing")]
pub(crate) struct ShownFiring {
    id: String,
    slot: u64,
    last_slot: u64,
    /// How many slots it stands for.
    slots: u64,
    by_hand: bool,
    #[schemars(with = "String", extend("enum" = ["running", "fired", "late", "skipped", "suppressed", "failed"]))]
    outcome: Outcome,
    /// Why it came to that.
    reason: Option<String>,
    /// Whether it waits for the end of the one before.
    waiting: bool,
    started_at: Option<u64>,
    ended_at: Option<u64>,
    exit_code: Option<i32>,
    output: Option<String>,
    session_id: Option<SessionId>,
}

async fn shown(app: &App, schedule: &Schedule) -> Result<Shown, ApiError> {
    let last = app.store.firings(&schedule.id, None, 1).await?;
    Ok(Shown {
        id: schedule.id.clone(),
        name: schedule.name.clone(),
        when: schedule.when.clone(),
        work: schedule.work.clone(),
        catch_up: schedule.catch_up,
        catch_up_max: schedule.catch_up_max,
        overlap: schedule.overlap,
        enabled: schedule.enabled,
        timeout_ms: schedule.timeout_ms,
        next_at: schedule.next_at,
        created_at: schedule.created_at,
        updated_at: schedule.updated_at,
        last_firing: last.first().map(told),
    })
}

fn told(firing: &Firing) -> ShownFiring {
    let waits = firing.step == Step::Waiting;
    let reason = if waits { Some(WAITS) } else { firing.reason.as_deref() };
    ShownFiring {
        id: firing.id.clone(),
        slot: firing.slot,
        last_slot: firing.last_slot,
        slots: firing.slots,
        by_hand: firing.by_hand,
        outcome: firing.outcome,
        reason: reason.map(str::to_owned),
        waiting: waits,
        started_at: firing.started_at,
        ended_at: firing.ended_at,
        exit_code: firing.exit_code,
        output: firing.output.clone(),
        session_id: firing.session.clone(),
    }
}
