//! `/v1/projects/{id}/schedules`: what people ask of schedules (`wish`), and what they are shown (`shown`). What
//! becomes of their slots is in `crate::schedules`.

mod shown;
mod wish;

use crate::{
    api_error::{ApiError, Code},
    envelope::{Data, JsonBody, NoBody, Path, Query},
    line,
    project::{Member, OfProject, Viewer},
    routes::given::Deleted,
    schedules::{
        slots::{self, Plan},
        worker,
    },
    servers,
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use shown::{All, Firings, Shown, ShownFiring, WithUpcoming, shown, told};
use toft_model::schedule::ScheduleId;
use toft_store::{Project, Schedule};
use wish::{
    CATCH_UP_DEFAULT, Wish, catch_up_max, check_ahead, check_session, limit, missing, when, work,
};

/// Schedules of one project: far more than people make, few enough to decide on at once.
const SCHEDULES_MAX: usize = 100;
/// Coming slots that are shown of one schedule.
const UPCOMING: usize = 10;
/// Firings per page, by default and at most.
const FIRINGS_DEFAULT: u32 = 50;
const FIRINGS_MAX: u32 = 200;
/// Times a change is tried again when a slot was decided in the same moment.
const CHANGE_TRIES: usize = 10;

fn no_schedule() -> ApiError {
    ApiError::new(Code::NotFound, "no such schedule: GET …/schedules lists them")
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
