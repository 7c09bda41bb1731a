//! A request becomes a comparison: written down whole before anything is made of it.

use super::{options::Options, settle::settle};
use crate::{
    api_error::{ApiError, Code},
    secrets::hand_down::Grant,
    state::App,
};
use toft_model::{
    id::ProjectId,
    provider::ModelRef,
    run::{ComparisonId, JobId},
};
use toft_store::{Compared, NewCandidate, NewComparison};

/// Candidates of one comparison: more than anybody reads side by side, and each has a machine.
pub(crate) const CANDIDATES_MAX: usize = 8;
/// And at least: one would be a run.
pub(crate) const CANDIDATES_MIN: usize = 2;
/// Comparisons of a project that hold forks at once.
const OPEN_MAX: u32 = 4;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) project: ProjectId,
    pub(crate) key: String,
    pub(crate) digest: String,
    pub(crate) prompt: String,
    /// Who is to answer in each; none: the project's choice.
    pub(crate) models: Vec<Option<ModelRef>>,
    pub(crate) input: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) approval: bool,
    pub(crate) priority: i64,
    pub(crate) secrets: Grant,
    pub(crate) by: String,
}

/// Writes it down and has its candidates made, or finds the one that it was before; whether it is new.
pub(crate) async fn begin(app: &App, asked: Asked) -> Result<(ComparisonId, bool), ApiError> {
    if !(CANDIDATES_MIN..=CANDIDATES_MAX).contains(&asked.models.len()) {
        return Err(ApiError::invalid(format!(
            "a comparison has {CANDIDATES_MIN} to {CANDIDATES_MAX} candidates: say so with n, or with a list of models"
        )));
    }
    if !app.backend.of(&asked.project).can().checkpoint {
        return Err(ApiError::new(
            Code::Unavailable,
            "the project's machine cannot be copied, so there is nothing to compare in: ask for one run",
        ));
    }
    let candidate = |model: Option<ModelRef>| {
        let (provider, model) = model.map(|model| (model.provider, model.id)).unzip();
        NewCandidate { run: JobId::random(), provider, model }
    };
    let options = Options {
        input: asked.input,
        backend: asked.backend,
        approval: asked.approval,
        priority: asked.priority,
        secrets: asked.secrets,
        by: asked.by,
    };
    let options = serde_json::to_string(&options)
        .map_err(|error| ApiError::internal("writing down a comparison failed", &error))?;
    let new = NewComparison {
        id: ComparisonId::random(),
        project: asked.project,
        key: asked.key,
        digest: asked.digest,
        owner: app.runs.owner().to_owned(),
        prompt: asked.prompt,
        options,
        candidates: asked.models.into_iter().map(candidate).collect(),
    };
    match app.store.begin_comparison(&new, OPEN_MAX, app.clock.now_ms()).await? {
        Compared::New(id) => {
            toft_machine::steps::reached("compare.begun");
            let (app2, made) = (app.clone(), id.clone());
            // What it comes to is in the store.
            app.tasks.spawn(async move { drop(settle(&app2, &made).await) });
            Ok((id, true))
        }
        Compared::Known(id) => Ok((id, false)),
        Compared::Other => Err(ApiError::new(
            Code::Conflict,
            "another request came under this Idempotency-Key before: use a new key for each new request",
        )),
        Compared::TooMany => Err(ApiError::new(
            Code::Conflict,
            format!(
                "the project has {OPEN_MAX} comparisons that nobody has decided on: keep a candidate of one, or drop one"
            ),
        )),
        Compared::NoProject => Err(ApiError::no_project()),
    }
}
