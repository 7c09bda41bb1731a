//! `/v1/usage` and `/v1/projects/{id}/usage`: model calls and their cost, added up. How they came
//! here is in `crate::usage`.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, Query},
    project::{OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use toft_model::id::ProjectId;
use toft_store::{SnapshotKind, UsageAsk, UsageBy, UsageSum};

/// Days when nothing is said, today included.
const DAYS_DEFAULT: u64 = 30;
/// Rows by default and at most.
const ROWS_DEFAULT: u32 = 100;
const ROWS_MAX: u32 = 1_000;
/// Characters of a prompt that name its run.
const NAME_CHARS_MAX: usize = 120;
const DAY_MS: u64 = 86_400_000;
const NANOS: f64 = 1e9;

/// What is asked for. Days are those of UTC.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asked {
    from: Option<String>,
    to: Option<String>,
    by: Option<By>,
    project: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "UsageBy")]
enum By {
    Day,
    Project,
    Session,
    Run,
    Model,
    Provider,
}

impl By {
    fn sums(self) -> UsageBy {
        match self {
            Self::Day => UsageBy::Day,
            Self::Project => UsageBy::Project,
            Self::Session => UsageBy::Session,
            Self::Run => UsageBy::Run,
            Self::Model => UsageBy::Model,
            Self::Provider => UsageBy::Provider,
        }
    }
}

/// `GET /v1/usage`.
pub(crate) async fn all(
    State(app): State<App>,
    _caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Data<Shown>, ApiError> {
    let project = match &asked.project {
        None => None,
        // A deleted one has its id still.
        Some(id) => match app.store.project(id).await? {
            Some(project) => Some(project.id),
            None => Some(id.parse::<ProjectId>().map_err(|_| ApiError::no_project())?),
        },
    };
    let by = asked.by.unwrap_or(By::Project);
    answer(&app, &asked, by, project).await
}

/// `GET /v1/projects/{id}/usage`.
pub(crate) async fn of_project(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
    Query(asked): Query<Asked>,
) -> Result<Data<Shown>, ApiError> {
    if asked.project.is_some() {
        return Err(ApiError::invalid("the path says which project: leave project out"));
    }
    let by = asked.by.unwrap_or(By::Day);
    answer(&app, &asked, by, Some(project.id.clone())).await
}

async fn answer(
    app: &App,
    asked: &Asked,
    by: By,
    project: Option<ProjectId>,
) -> Result<Data<Shown>, ApiError> {
    let limit = asked.limit.unwrap_or(ROWS_DEFAULT);
    if !(1..=ROWS_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be 1 to {ROWS_MAX}")));
    }
    let (from_day, to_day) = days(asked, app.clock.now_ms())?;
    app.usage.catch_up(&app.data_dir, &*app.store).await?;
    let project = project.as_ref().map(ProjectId::as_str);
    // One more than is shown tells whether there are more.
    let mut ask = UsageAsk { from_day, to_day, project, by: by.sums(), limit: limit + 1 };
    let mut rows = app.store.usage(&ask).await?;
    let truncated = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    ask.by = UsageBy::All;
    let total = app.store.usage(&ask).await?.pop().unwrap_or_default();
    let names = names(app, by, &rows).await?;
    let rows = rows.iter().map(|sum| row(by, sum, &names)).collect();
    Ok(Data(Shown {
        from: day(from_day),
        to: day(to_day),
        by,
        rows,
        truncated,
        total: figures(&total),
    }))
}

/// First and last day, as numbers since 1970.
fn days(asked: &Asked, now_ms: u64) -> Result<(u64, u64), ApiError> {
    let number = |name: &str, text: &str| {
        let date: Date = text
            .parse()
            .map_err(|_| ApiError::invalid(format!("{name} must be a day: 2026-11-21")))?;
        let at = date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond());
        at.ok()
            .and_then(|ms| u64::try_from(ms).ok())
            .map(|ms| ms / DAY_MS)
            .ok_or_else(|| ApiError::invalid(format!("{name} must be a day since 1970")))
    };
    let to = match &asked.to {
        Some(text) => number("to", text)?,
        None => now_ms / DAY_MS,
    };
    let from = match &asked.from {
        Some(text) => number("from", text)?,
        None => to.saturating_sub(DAYS_DEFAULT - 1),
    };
    if from > to {
        return Err(ApiError::invalid("from must not be after to"));
    }
    Ok((from, to))
}

fn day(number: u64) -> String {
    let ms = i64::try_from(number * DAY_MS).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    at.to_zoned(TimeZone::UTC).date().to_string()
}

/// Names of conversations and runs, by project, conversation and run.
type Names = BTreeMap<(String, String, Option<String>), String>;

/// As far as the copy of each project knows them. A project that is gone has none.
async fn names(app: &App, by: By, rows: &[UsageSum]) -> Result<Names, ApiError> {
    let mut names = Names::new();
    if !matches!(by, By::Session | By::Run) {
        return Ok(names);
    }
    let mut lists: BTreeMap<&str, Value> = BTreeMap::new();
    for sum in rows.iter().filter(|sum| !sum.project_deleted) {
        let (Some(project), Some(session)) = (sum.project.as_deref(), sum.session.as_deref())
        else {
            continue;
        };
        let Ok(id) = project.parse::<ProjectId>() else { continue };
        if let Some(run) = sum.run.as_deref() {
            let prompt = app.store.message(&id, session, run).await?;
            if let Some(text) = prompt.and_then(|event| first_line(&event.data)) {
                names.insert((project.to_owned(), session.to_owned(), Some(run.to_owned())), text);
            }
            continue;
        }
        if !lists.contains_key(project) {
            let json = app.store.snapshot(&id, SnapshotKind::Sessions).await?;
            let list = json.and_then(|json| serde_json::from_str(&json).ok());
            lists.insert(project, list.unwrap_or(Value::Null));
        }
        let sessions = lists[project]["sessions"].as_array();
        let listed = sessions.and_then(|all| all.iter().find(|one| one["id"] == session));
        if let Some(name) = listed.and_then(|one| one["name"].as_str()) {
            names.insert((project.to_owned(), session.to_owned(), None), name.to_owned());
        }
    }
    Ok(names)
}

/// How a message begins.
pub(super) fn first_line(event: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    let content = &event["message"]["content"];
    let blocks = content.as_array().into_iter().flatten();
    let texts = blocks.filter_map(|block| block["text"].as_str());
    let line = content.as_str().into_iter().chain(texts).flat_map(str::lines);
    let line = line.map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(NAME_CHARS_MAX).collect())
}

fn row(by: By, sum: &UsageSum, names: &Names) -> Row {
    let named = || {
        let key = (sum.project.clone()?, sum.session.clone()?, sum.run.clone());
        names.get(&key).cloned()
    };
    let of = match by {
        By::Day => Of { key: sum.day.map(day), ..Of::default() },
        By::Project => Of {
            key: sum.project.clone(),
            name: Some(sum.project_name.clone()),
            deleted: Some(sum.project_deleted),
            ..Of::default()
        },
        By::Session | By::Run => Of {
            key: if by == By::Run { sum.run.clone() } else { sum.session.clone() },
            name: Some(named()),
            project: Some(sum.project.clone()),
            project_name: Some(sum.project_name.clone()),
            session: (by == By::Run).then(|| sum.session.clone()),
            ..Of::default()
        },
        By::Model => {
            Of { key: sum.model.clone(), provider: Some(sum.provider.clone()), ..Of::default() }
        }
        By::Provider => Of { key: sum.provider.clone(), ..Of::default() },
    };
    Row { of, figures: figures(sum) }
}

/// Model calls of some days, added up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(crate) struct Shown {
    /// The first day (UTC).
    from: String,
    /// The last day (UTC).
    to: String,
    by: By,
    rows: Vec<Row>,
    /// Whether there are more rows.
    truncated: bool,
    total: Figures,
}

/// Of one day, project, conversation, run, model or provider.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UsageRow")]
struct Row {
    #[serde(flatten)]
    of: Of,
    #[serde(flatten)]
    figures: Figures,
}

/// Of what. Which fields there are is said by `by`.
#[expect(
    clippy::option_option,
    reason = "a field that is not there and one that is null are two answers"
)]
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UsageOf")]
struct Of {
    /// The day, or the id; null where none is known.
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Option<String>>,
}

/// Calls, tokens and cost.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UsageFigures")]
struct Figures {
    calls: u64,
    failed: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    /// Null when there are calls and the cost of none is known; else of those whose cost is known.
    cost_usd: Option<f64>,
    /// Calls whose cost is not known.
    unpriced: u64,
}

/// `costUsd` is null when there are calls and the cost of none is known; else it is that of those
/// whose cost is known, and `unpriced` says how many are not in it.
fn figures(sum: &UsageSum) -> Figures {
    let known = sum.calls == 0 || sum.unpriced < sum.calls;
    #[expect(clippy::cast_precision_loss, reason = "exact up to nine million dollars")]
    let dollars = known.then(|| sum.cost as f64 / NANOS);
    Figures {
        calls: sum.calls,
        failed: sum.failed,
        input: sum.input,
        output: sum.output,
        cache_read: sum.cache_read,
        cache_write: sum.cache_write,
        cost_usd: dollars,
        unpriced: sum.unpriced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(from: Option<&str>, to: Option<&str>, want: Option<(&str, &str)>) {
        let asked = Asked {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            by: None,
            project: None,
            limit: None,
        };
        // 2026-11-21T14:00:00Z
        let got = days(&asked, 1_795_269_600_000).ok().map(|(a, b)| (day(a), day(b)));
        assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())), "{from:?} {to:?}");
    }

    #[test]
    fn days_are_those_of_utc_and_thirty_when_nothing_is_said() {
        check(None, None, Some(("2026-10-23", "2026-11-21")));
        check(Some("2026-11-01"), None, Some(("2026-11-01", "2026-11-21")));
        check(None, Some("1970-01-02"), Some(("1970-01-01", "1970-01-02")));
        check(Some("2026-11-21"), Some("2026-11-21"), Some(("2026-11-21", "2026-11-21")));
        check(Some("2026-11-22"), Some("2026-11-21"), None);
        check(Some("yesterday"), None, None);
        check(Some("1969-12-31"), None, None);
    }

    #[test]
    fn a_run_is_named_by_the_first_words_of_its_prompt() {
        let of = |content: Value| first_line(&json!({"message": {"content": content}}).to_string());
        assert_eq!(of(json!("\n  Build it\nnow")), Some("Build it".into()));
        assert_eq!(
            of(json!([{"type": "image"}, {"text": ""}, {"text": "See"}])),
            Some("See".into())
        );
        for odd in [json!(null), json!(""), json!(["x"]), json!(7)] {
            assert_eq!(of(odd), None);
        }
        assert_eq!(first_line("{"), None);
    }

    #[test]
    fn unknown_is_not_zero() {
        let of = |calls, unpriced, cost| {
            figures(&UsageSum { calls, unpriced, cost, ..UsageSum::default() }).cost_usd
        };
        assert_eq!(of(0, 0, 0), Some(0.0));
        assert_eq!(of(2, 0, 0), Some(0.0));
        assert_eq!(of(2, 2, 0), None);
        assert_eq!(of(2, 1, 123_000), Some(0.000_123));
    }
}
