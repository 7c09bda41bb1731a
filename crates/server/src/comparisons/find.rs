//! One comparison of a project's, by the id that was asked for.

use crate::api_error::{ApiError, Code};
use toft_model::{id::ProjectId, run::ComparisonId};
use toft_store::{Comparison, Store};

/// One of a project's, or 404.
pub(crate) async fn find(
    store: &dyn Store,
    project: &ProjectId,
    id: &str,
) -> Result<Comparison, ApiError> {
    let known = match id.parse::<ComparisonId>() {
        Ok(id) => store.comparison(&id).await?,
        Err(_) => None,
    };
    known.filter(|found| found.project == *project).ok_or_else(none)
}

fn none() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "comparison not found: GET /v1/projects/{id}/comparisons lists them",
    )
}
