//! All routes, area by area, in the order of the documentation.

use super::{
    auth, backup, budget, checkpoints, comparisons, disk, docs, doctor, egress, exec, fallbacks,
    given::Done,
    home, idle, images, keys, limits, llm, machine, mcp, me, metrics, model_limits, models,
    preview, pricing, projects, providers, runs, schedules, secrets, settings, shutdown,
    table::{Table, delete, get, passed, post, put},
    toft, usage, webhooks,
};
use crate::{
    auth::guard::Needs,
    openapi::{Answer, Failure, Says, says},
};
use serde_json::{Map, Value};
use toft_model::provider::ModelList;

/// All routes. Who adds one says what a key needs for it: `route`, if looking is for everybody who may look; and of each
/// of its methods what it does, in a few words. What it takes and gives is read off its handler's types.
pub(super) fn table() -> Table {
    let table = Table::default();
    let table = of_the_server(table);
    let table = of_projects(table);
    let table = of_work(table);
    of_models(table)
}

/// The server itself, and who may use it.
fn of_the_server(table: Table) -> Table {
    table
        .area("Server")
        .open(
            "/",
            get(
                home::root,
                says("What this server is")
                    .bare::<home::Root>()
                    .bytes("text/html")
                    .note("For browsers: the dashboard."),
            ),
        )
        .open("/health", get(home::health_bare, "Whether it answers"))
        .open("/capabilities", get(home::capabilities_bare, "What it can do"))
        .open("/openapi.json", get(docs::json, says("This document").bare::<Map<String, Value>>()))
        .open("/docs", get(docs::page, says("This document, as a page").bytes("text/html")))
        .open("/v1", get(home::v1, "What there is below /v1"))
        .open("/v1/health", get(home::health, "Whether it answers"))
        .open("/v1/capabilities", get(home::capabilities, "What it can do"))
        .route("/metrics", get(metrics::text, says("Metrics for Prometheus").bytes("text/plain")))
        .route("/v1/metrics", get(metrics::get, "How many runs and machines there are"))
        .route("/v1/doctor", get(doctor::get, "What this host can enforce"))
        .admin(
            "/v1/backup",
            post(
                backup::post,
                says("Make a backup").bytes("application/age-encryption").note(
                    "All that the server holds, encrypted with the passphrase. For the command line on the same \
                    computer only.",
                ),
            ),
        )
        .admin(
            "/v1/shutdown",
            post(
                shutdown::post,
                says("End the server").note("For the command line on the same computer only."),
            ),
        )
        .area("Sign-in and keys")
        .open("/sign-in", get(auth::sign_in, says("Sign in by a link").gives(Answer::Elsewhere)))
        .open(
            "/v1/auth/password",
            post(
                auth::password,
                says("Sign in by a password")
                    .data::<me::OneUser>()
                    .note("From the dashboard's own pages only. The answer sets the cookie."),
            ),
        )
        .route("/v1/auth/sign-out", post(auth::sign_out, says("Sign out").data::<Done>()))
        .admin("/v1/sign-in-links", post(auth::new_link, "Make one more sign-in link"))
        .route(
            "/v1/me",
            get(me::get, "Who asks, and what server this is").patch(
                me::patch,
                says("Change your profile")
                    .note("A new password needs the old one, and ends every other sign-in."),
            ),
        )
        .admin(
            "/v1/keys",
            get(keys::list, "List API keys")
                .post(keys::create, says("Make an API key").note("The answer alone has the key.")),
        )
        .admin("/v1/keys/{id}", delete(keys::revoke, "Revoke an API key"))
        .area("Settings")
        .route(
            "/v1/settings",
            get(settings::get, "Settings").put(
                settings::put,
                says("Change settings").note("What is left out stays; null takes a setting off."),
            ),
        )
        .route(
            "/v1/vault/rotate",
            post(secrets::rotate_master, "Put everything under a new master key"),
        )
        .area("Images")
        .route(
            "/v1/images",
            get(images::list, "List images").post(
                images::create,
                says("Add an image").note(
                    "Exactly one of `source`, `folders`, `fromCheckpoint` and \
                    `fromImage`. It is made in the background.",
                ),
            ),
        )
        .route(
            "/v1/images/{key}",
            get(images::get, "An image")
                .patch(images::patch, "Rename an image, or make it the default")
                .delete(images::delete, "Delete an image"),
        )
}

/// Projects and their machines.
fn of_projects(table: Table) -> Table {
    table
        .area("Projects")
        .route(
            "/v1/projects",
            get(projects::list, "List projects").post(
                projects::create,
                says("Make a project").note(
                    "An id or alias that is known is found, not made: `created` \
                    says which.",
                ),
            ),
        )
        .route(
            "/v1/projects/{id}",
            get(projects::get, "A project")
                .patch(projects::patch, "Rename a project")
                .delete(projects::delete, "Delete a project"),
        )
        .route("/v1/projects/{id}/preview", post(preview::create, "Open a preview"))
        .route(
            "/v1/projects/{id}/fork",
            post(
                checkpoints::fork,
                says("Fork a project")
                    .note("From now, from a checkpoint, or from before a user message."),
            ),
        )
        .area("Machines")
        .route("/v1/projects/{id}/machine", get(machine::get, "The machine of a project"))
        .route("/v1/projects/{id}/start", post(machine::start, "Start it"))
        .route(
            "/v1/projects/{id}/stop",
            post(machine::stop, "Stop it: only a person starts it again"),
        )
        .route("/v1/projects/{id}/wake", post(machine::wake, "Wake it"))
        .route(
            "/v1/projects/{id}/sleep",
            post(machine::sleep, "End its processes until it is used"),
        )
        .route("/v1/projects/{id}/freeze", post(machine::freeze, "Pause its processes in memory"))
        .route("/v1/projects/{id}/thaw", post(machine::thaw, "Let a paused one go on"))
        .route(
            "/v1/projects/{id}/limits",
            get(limits::get, "What it may use").put(
                limits::put,
                says("Change what it may use")
                    .note("In force at once. What is left out stays; null takes a limit off."),
            ),
        )
        .route(
            "/v1/projects/{id}/idle",
            get(idle::get, "When it is put away").put(
                idle::put,
                says("Change when it is put away").note("What is left out stays; null is never."),
            ),
        )
        .route("/v1/projects/{id}/disk", get(disk::get, "What it takes on disk"))
        .area("Programs")
        .route(
            "/v1/projects/{id}/exec",
            post(
                exec::exec,
                says("Run a program")
                    .data::<exec::Exit>()
                    .events("start, stdout, stderr, gap, exit, error")
                    .note("Either `command`, a line for the shell, or `argv`. With `Accept: text/event-stream` \
                         the output comes as it is written."),
            ),
        )
        .route(
            "/v1/projects/{id}/exec/{exec}/stdin",
            post(exec::feed::stdin, says("Write to its standard input").takes_bytes()),
        )
        .route("/v1/projects/{id}/exec/{exec}/signal", post(exec::feed::signal, "Send it a signal"))
        .area("Checkpoints")
        .route(
            "/v1/projects/{id}/checkpoints",
            get(checkpoints::list, "List checkpoints")
                .post(checkpoints::create, "Take a checkpoint"),
        )
        .route(
            "/v1/projects/{id}/checkpoints/{checkpoint}",
            get(checkpoints::get, "A checkpoint")
                .patch(checkpoints::patch, "Label a checkpoint")
                .delete(checkpoints::delete, "Delete a checkpoint"),
        )
        .route(
            "/v1/projects/{id}/checkpoints/{checkpoint}/diff",
            get(
                checkpoints::compare,
                says("What differs since then")
                    .data::<checkpoints::Compared>()
                    .note("With `path`: of one text file, how."),
            ),
        )
        .route(
            "/v1/projects/{id}/checkpoints/{checkpoint}/restore",
            post(checkpoints::restore, "Go back to a checkpoint"),
        )
        .route(
            "/v1/projects/{id}/checkpoint-rule",
            put(checkpoints::put_rule, "Change which checkpoints are kept"),
        )
        .route(
            "/v1/projects/{id}/restore-message",
            post(checkpoints::restore_message, "Go back to before a message"),
        )
        .area("Egress")
        .route(
            "/v1/projects/{id}/egress",
            get(egress::get, "What a machine may reach").put(
                egress::put,
                says("Change what it may reach").note("In force at once. What is left out stays."),
            ),
        )
        .route("/v1/projects/{id}/egress/rules", post(egress::add_rule, "Add a rule"))
        .route(
            "/v1/projects/{id}/egress/log",
            get(
                egress::log,
                says("What went out, and what was refused")
                    .note("Newest first; or, with `after`, what came since, waited for."),
            ),
        )
        .area("Secrets")
        .route(
            "/v1/projects/{id}/secrets",
            get(secrets::list, "List secrets").post(
                secrets::set_many,
                says("Set secrets").takes::<secrets::ManyBody>().note("All of them or none."),
            ),
        )
        .route(
            "/v1/projects/{id}/secrets/{name}",
            put(secrets::set, says("Set a secret").takes::<secrets::OneBody>())
                .delete(secrets::delete, "Delete a secret"),
        )
        .route(
            "/v1/projects/{id}/rotate-secrets",
            post(secrets::rotate, "Seal the secrets with a new key"),
        )
        .route("/v1/projects/{id}/mcp", get(mcp::list, "List sign-ins at MCP servers"))
        .route(
            "/v1/projects/{id}/mcp/{server}/connect",
            post(mcp::connect, says("Sign in at an MCP server").takes::<mcp::ConnectBody>()),
        )
        .route(
            "/v1/projects/{id}/mcp/{server}/disconnect",
            post(mcp::disconnect, "Give a sign-in up"),
        )
        .open(
            "/v1/mcp/callback",
            get(mcp::back, says("Come back from a sign-in").bytes("text/html").fails(Failure::Page))
                .post(mcp::agree, says("Go on with a sign-in").bytes("text/html").fails(Failure::Page)),
        )
        .area("Agent")
        .route("/v1/projects/{id}/toft/{*rest}", passed(toft::route))
        .of_bridges()
}

/// What is done in projects unattended.
fn of_work(table: Table) -> Table {
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

/// Models and what they cost.
fn of_models(table: Table) -> Table {
    table
        .area("Models")
        .route("/v1/models", get(models::get, "What can be asked"))
        .route("/v1/providers", get(providers::list, "List providers"))
        .route("/v1/keys-file", get(providers::file, "The file that keys were found in"))
        .route(
            "/v1/models-file",
            get(providers::models_file, "The file of models and providers of one's own"),
        )
        .route(
            "/v1/providers/{id}/key",
            put(providers::put_key, "Set a provider's key")
                .delete(providers::delete_key, "Delete a provider's key"),
        )
        .route("/v1/providers/{id}/test", post(providers::test, "Try a provider's key"))
        .route(
            "/v1/fallbacks",
            get(fallbacks::get, "Models that stand in for others")
                .put(fallbacks::put, "Change them"),
        )
        .route(
            "/v1/projects/{id}/fallbacks",
            get(fallbacks::get_project, "Models that stand in for others in a project")
                .put(fallbacks::put_project, "Change them in a project"),
        )
        .route(
            "/v1/projects/{id}/model-limits",
            get(model_limits::get, "What a project may ask of models")
                .put(model_limits::put, "Change what it may ask"),
        )
        .area("Money")
        .route("/v1/usage", get(usage::all, "What model calls have used"))
        .route(
            "/v1/projects/{id}/usage",
            get(usage::of_project, "What a project's model calls have used"),
        )
        .route(
            "/v1/budget",
            get(budget::get_team, "What may be spent")
                .put(budget::put_team, "Change what may be spent"),
        )
        .route(
            "/v1/projects/{id}/budget",
            get(budget::get_project, "What may be spent in a project")
                .put(budget::put_project, "Change what may be spent in a project"),
        )
        .route("/v1/model-pricing", get(pricing::list, "List prices of models"))
        .route(
            "/v1/model-pricing/{provider}/{*model}",
            put(pricing::put, "Set a model's price")
                .delete(pricing::delete, "Delete a model's price"),
        )
        .area("Model gateway")
        .open("/llm/{*rest}", passed(llm::route))
        .passes(
            "GET",
            "/llm/models",
            Needs::Nothing,
            says("What can be asked").bare::<ModelList>().fails(Failure::Provider),
        )
        .passes("GET", "/llm/{provider}/{path}", Needs::Nothing, llm_passes("Ask a provider's API"))
        .passes(
            "POST",
            "/llm/{provider}/{path}",
            Needs::Nothing,
            llm_passes("Ask a model").takes::<Map<String, Value>>(),
        )
}

fn llm_passes(summary: &'static str) -> Says {
    says(summary)
        .note(
            "In the provider's own format, for its own programs: see \
            docs/http-api.md, \"Any model in any wire format\".",
        )
        .bytes("*/*")
        .fails(Failure::Provider)
}
