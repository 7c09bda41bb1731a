//! One run of a project's, by the id in the path.

use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use schemars::JsonSchema;
use serde::Deserialize;
use toft_model::run::JobId;
use toft_store::{Project, Run};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Named {
    run: String,
}

pub(super) async fn find(app: &App, project: &Project, named: &Named) -> Result<Run, ApiError> {
    let missing = || ApiError::new(Code::NotFound, "run not found");
    let id: JobId = named.run.parse().map_err(|_| missing())?;
    app.store.run(&project.id, &id).await?.ok_or_else(missing)
}
