//! One run of a project's, by the id in the path.

use crate::{api_error::ApiError, runs, state::App};
use schemars::JsonSchema;
use serde::Deserialize;
use toft_model::run::JobId;
use toft_store::{Project, Run};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Named {
    run: String,
}

impl Named {
    pub(super) fn id(&self) -> Result<JobId, ApiError> {
        self.run.parse().map_err(|_| runs::missing())
    }
}

pub(super) async fn find(app: &App, project: &Project, named: &Named) -> Result<Run, ApiError> {
    app.store.run(&project.id, &named.id()?).await?.ok_or_else(runs::missing)
}
