//! Routes of the server itself, and of who may use it.

use crate::{
    openapi::{Answer, says},
    routes::{
        auth, backup, docs, doctor,
        given::Done,
        home, images, keys, me, metrics, secrets, settings, shutdown,
        table::{Table, delete, get, post},
    },
};
use serde_json::{Map, Value};

pub(super) fn routes(table: Table) -> Table {
    table
        .area("Server")
        .open(
            "/",
            get(
                home::root,
                says("What this server is, and what there is below /v1")
                    .bare::<home::Contents>()
                    .bytes("text/html")
                    .note("For browsers: the dashboard."),
            ),
        )
        .open("/health", get(home::health_bare, says("Whether it answers").bare::<home::Health>()))
        .open(
            "/capabilities",
            get(home::capabilities_bare, says("What it can do").bare::<home::Capabilities>()),
        )
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
