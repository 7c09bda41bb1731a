//! Routes of what is done in projects unattended.

use crate::{
    openapi::{Says, says},
    routes::{
        comparisons, runs, schedules,
        table::{Table, get, post},
        webhooks,
    },
};

pub(super) fn routes(table: Table) -> Table {
    table
        .area("Schedules")
        .route(
            "/v1/projects/{id}/schedules",
            get(schedules::list, "List schedules").post(schedules::create, "Make a schedule"),
        )
        .route(
            "/v1/projects/{id}/schedules/{sid}",
            get(schedules::get, "A schedule")
                .patch(schedules::patch, "Change a schedule")
                .delete(schedules::delete, "Delete a schedule"),
        )
        .route(
            "/v1/projects/{id}/schedules/{sid}/firings",
            get(schedules::firings, "What became of its slots"),
        )
        .route("/v1/projects/{id}/schedules/{sid}/run", post(schedules::run, "Run it once now"))
        .area("Runs")
        .route(
            "/v1/projects/{id}/runs",
            get(runs::list, "List runs").post(
                runs::create,
                asks_for_work("Have work done").data::<runs::Begun>().events(runs::EVENTS).note(
                    "With `stream` the answer is the run's events. With `n` or `models` it is a comparison: several \
                    runs, each in a fork of its own.",
                ),
            ),
        )
        .route(
            "/v1/projects/{id}/messages",
            post(
                runs::message,
                asks_for_work("Go on in the conversation of the latest run")
                    .data::<runs::AcceptedMessage>()
                    .events(runs::EVENTS),
            ),
        )
        .route("/v1/projects/{id}/runs/{run}", get(runs::get, "A run"))
        .route(
            "/v1/projects/{id}/runs/{run}/messages",
            get(runs::messages, "The messages of a run"),
        )
        .route(
            "/v1/projects/{id}/runs/{run}/stream",
            get(
                runs::stream,
                says("Follow a run")
                    .query::<runs::Follow>()
                    .header(
                        "Last-Event-ID",
                        false,
                        "The number of the last event that is known; it wins over `after`.",
                    )
                    .events(runs::EVENTS),
            ),
        )
        .route(
            "/v1/projects/{id}/runs/{run}/download.zip",
            get(runs::download, says("The workspace at a run's end").bytes("application/zip")),
        )
        .route("/v1/projects/{id}/runs/{run}/cancel", post(runs::cancel, "Cancel a run"))
        .route(
            "/v1/projects/{id}/runs/{run}/restore",
            post(
                runs::restore,
                says("Go back to before a run").note("To the checkpoint that was taken then."),
            ),
        )
        .area("Comparisons")
        .route(
            "/v1/projects/{id}/comparisons",
            get(
                comparisons::list,
                says("List comparisons of runs").note("Latest first, without what was checked."),
            ),
        )
        .route(
            "/v1/projects/{id}/comparisons/{comparison}",
            get(comparisons::get, "A comparison, and how its candidates are"),
        )
        .route(
            "/v1/projects/{id}/comparisons/{comparison}/candidates/{run}/diff",
            get(
                comparisons::diff,
                says("What a candidate has changed").note("With `path`: of one text file, how."),
            ),
        )
        .route(
            "/v1/projects/{id}/comparisons/{comparison}/keep",
            post(
                comparisons::keep,
                says("Keep a candidate")
                    .note("The project takes over its state, and all forks are deleted."),
            ),
        )
        .route(
            "/v1/projects/{id}/comparisons/{comparison}/drop",
            post(
                comparisons::drop_all,
                says("Drop all candidates")
                    .note("All forks are deleted, and the project stays as it is."),
            ),
        )
        .area("Webhooks")
        .admin(
            "/v1/webhooks",
            get(webhooks::list_all, "List webhooks of all projects")
                .post(webhooks::create_for_all, "Make a webhook for all projects"),
        )
        .admin(
            "/v1/webhooks/{webhook}",
            get(webhooks::get_of_all, "A webhook, and what was sent")
                .delete(webhooks::delete_of_all, "Delete a webhook"),
        )
        .admin(
            "/v1/projects/{id}/webhooks",
            get(webhooks::list, "List webhooks of a project")
                .post(webhooks::create, "Make a webhook for a project"),
        )
        .admin(
            "/v1/projects/{id}/webhooks/{webhook}",
            get(webhooks::get, "A webhook, and what was sent")
                .delete(webhooks::delete, "Delete a webhook"),
        )
}

/// What both ways of having work done read.
fn asks_for_work(summary: &'static str) -> Says {
    says(summary)
        .header(
            "Idempotency-Key",
            true,
            "1 to 200 visible characters: the same request under the same \
            key is the same run.",
        )
        .note("With `stream` the answer is the run's events.")
}
