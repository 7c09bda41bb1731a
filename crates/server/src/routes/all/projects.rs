//! Routes of projects and their machines.

use crate::{
    openapi::{Failure, says},
    routes::{
        checkpoints, disk, egress, exec, idle, limits, machine, mcp, preview, projects, secrets,
        table::{Table, get, passed, post, put},
        toft,
    },
};

pub(super) fn routes(table: Table) -> Table {
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
