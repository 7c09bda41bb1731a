//! `/v1/projects/{id}/toft/*`: the bridge's own routes, for whoever may see the project.

use crate::{
    agent_api, api_error::ApiError, auth::caller::Caller, envelope::Path, project::find, state::App,
};
use axum::{
    extract::{Request, State},
    response::Response,
};

pub(crate) async fn route(
    State(app): State<App>,
    caller: Caller,
    Path((id, rest)): Path<(String, String)>,
    req: Request,
) -> Result<Response, ApiError> {
    let (_, machine) = find(&app, &id).await?;
    agent_api::serve(&app, &caller, &machine, &rest, req).await
}
