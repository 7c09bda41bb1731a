//! Each status of a comparison that is in the middle of a step brings it to the next one, until it rests. Each step can
//! be done again from its begin.

use super::{drop, keep, make};
use crate::{api_error::ApiError, state::App, tasks::finish};
use futures_util::{StreamExt as _, stream};
use std::time::Duration;
use toft_model::run::ComparisonId;
use toft_store::ComparisonStatus;
use tokio::time::{MissedTickBehavior, interval};

/// How often what is in the middle of a step is looked for, beside the begin: what failed then may be possible now.
const LOOK: Duration = Duration::from_secs(30);
/// Comparisons that are brought to rest at once.
const AT_ONCE: usize = 4;

/// Brings a comparison to rest: candidates are made, the kept one is taken over, forks that are to go are gone. The
/// error is what the last step came to; the store has it, too.
pub(crate) async fn settle(app: &App, id: &ComparisonId) -> Result<(), ApiError> {
    let (app2, id) = (app.clone(), id.clone());
    finish(&app.tasks, "settling the comparison failed", async move {
        let _turn = app2.comparisons.turn(&id).await;
        let mut outcome = Ok(());
        loop {
            let Some(now) = app2.store.comparison(&id).await? else { return outcome };
            let step = match now.status {
                ComparisonStatus::Making => make::make(&app2, &now).await,
                ComparisonStatus::Keeping => keep::keep(&app2, &now).await,
                ComparisonStatus::Dropping => drop::forks(&app2, &now).await,
                ComparisonStatus::Open
                | ComparisonStatus::Kept
                | ComparisonStatus::Dropped
                | ComparisonStatus::Failed => return outcome,
            };
            let Err(error) = step else { continue };
            tracing::warn!(comparison.id = %id, project.id = %now.project, status = now.status.as_str(),
                error = error.message, "a step of a comparison failed");
            if app2.stop.token().is_cancelled() {
                // It may be the end that broke it: the next server goes on.
                return Err(error);
            }
            // It may have come as far as its forks.
            let left = app2.store.comparison(&id).await?;
            let has_forks =
                left.is_some_and(|now| now.candidates.iter().any(|one| one.project.is_some()));
            match after_failure(now.status, has_forks) {
                Some(next) => {
                    let (told, at) = (Some(error.message.as_str()), app2.clock.now_ms());
                    app2.store.move_comparison(&id, now.status, next, told, at).await?;
                    outcome = Err(error);
                }
                // What is to go goes when it is looked for again.
                None => return Err(error),
            }
        }
    })
    .await
}

/// Where a comparison is whose step failed.
fn after_failure(status: ComparisonStatus, has_forks: bool) -> Option<ComparisonStatus> {
    match (status, has_forks) {
        (ComparisonStatus::Making, false) => Some(ComparisonStatus::Failed),
        // Some of its runs may be missing: a comparison of the others is none that anybody asked for.
        (ComparisonStatus::Making, true) => Some(ComparisonStatus::Dropping),
        (ComparisonStatus::Keeping, _) => Some(ComparisonStatus::Open),
        (
            ComparisonStatus::Dropping
            | ComparisonStatus::Open
            | ComparisonStatus::Kept
            | ComparisonStatus::Dropped
            | ComparisonStatus::Failed,
            _,
        ) => None,
    }
}

/// Brings to rest what an earlier server, or a step that failed, has left, until the server ends.
pub(crate) async fn run(app: App) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.comparisons.unsettled() => {}
            _ = tick.tick() => {}
        }
        match app.store.unsettled_comparisons(app.runs.owner()).await {
            Ok(found) => {
                stream::iter(found)
                    .for_each_concurrent(AT_ONCE, |id| {
                        let app = app.clone();
                        // What it came to is logged, and in the store.
                        async move { std::mem::drop(settle(&app, &id).await) }
                    })
                    .await;
            }
            Err(error) => tracing::warn!(%error, "comparisons cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_nothing_that_nobody_decides_on() {
        use ComparisonStatus::{Dropping, Failed, Keeping, Making, Open};
        assert_eq!(after_failure(Making, false), Some(Failed));
        assert_eq!(after_failure(Making, true), Some(Dropping));
        assert_eq!(after_failure(Keeping, true), Some(Open));
        assert_eq!(after_failure(Dropping, true), None);
    }
}
