//! Work that goes on when whoever asked for it has left.

use crate::api_error::ApiError;
use tokio_util::task::TaskTracker;

/// Runs a change to its end even if nobody waits for it. `what` is said when it breaks.
pub(crate) async fn finish<T: Send + 'static>(
    tasks: &TaskTracker,
    what: &'static str,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    match tasks.spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(ApiError::internal(what, &error)),
    }
}
