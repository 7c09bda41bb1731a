//! The end of a comparison: every fork that is left goes wholly, and what each run came to stays as a line.

use super::{make, shown};
use crate::{api_error::ApiError, machines::life, routes::projects, state::App};
use futures_util::{StreamExt as _, stream};
use toft_machine::steps;
use toft_model::id::ProjectId;
use toft_store::{Comparison, StoreError};

/// Forks that go at once: each may have to be ended first.
const AT_ONCE: usize = 4;

pub(super) async fn forks(app: &App, now: &Comparison) -> Result<(), ApiError> {
    steps::reached("compare.dropping");
    for one in now.candidates.iter().filter(|one| one.project.is_some()) {
        let run = shown::run_of(app, now, one).await?;
        if let Some(run) = run {
            let outcome = serde_json::to_string(&shown::outcome(&run)).map_err(|error| {
                ApiError::internal("writing down what a run came to failed", &error)
            })?;
            app.store.set_outcome(&now.id, one.number, &outcome).await?;
        }
    }
    let left: Vec<ProjectId> =
        now.candidates.iter().filter_map(|one| one.project.clone()).collect();
    let gone: Vec<Result<(), ApiError>> = stream::iter(left)
        .map(|fork| async move { remove(app, &fork).await })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    gone.into_iter().collect::<Result<(), ApiError>>()?;
    steps::reached("compare.dropped");
    if now.kept_run.is_none() {
        make::forget_base(app, now).await;
    }
    Ok(app.store.finish_drop(&now.id, app.clock.now_ms()).await?)
}

async fn remove(app: &App, fork: &ProjectId) -> Result<(), ApiError> {
    if let Some(machine) = app.machines.get(fork) {
        machine.settled().await;
        return projects::remove(app, &machine).await;
    }
    // Its machine is not known here, and goes as one that an earlier server had deleted.
    match app.store.delete_project(fork, app.clock.now_ms()).await {
        Ok(()) => life::destroy(app, fork).await,
        Err(StoreError::Missing { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
