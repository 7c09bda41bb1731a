//! Keeps sign-ins good: a token is renewed before it ends, and when a server no longer takes it. Only of
//! machines that run: what sleeps needs none, and is looked at when it wakes.

use super::{ask::Ask, machine as inside, tokens};
use crate::{
    api_error::ApiError,
    machines::{Machine, observed},
    secrets::{
        change,
        connection::Connection,
        connections::{self, Kept},
    },
    state::App,
};
use futures_util::{StreamExt as _, stream};
use std::{sync::Arc, time::Duration};
use toft_model::event::Observed;
use tokio::time::sleep;

/// Between two looks at what is due: in memory.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The least time between them.
const PAUSE: Duration = Duration::from_secs(1);

/// Projects whose sign-ins are renewed at once.
const AT_ONCE: usize = 8;

/// So long before its end a token is renewed, or a fifth of its life if that is less.
const AHEAD_MS: u64 = 5 * 60 * 1000;

/// A server that takes no token has a new one asked for at most this often: what says so is inside.
const AGAIN_MS: u64 = 15 * 1000;

/// After a failure that may pass.
const AFTER_FAILURE_MS: u64 = 60 * 1000;

/// Looks until the server ends.
pub(crate) async fn run(app: App) {
    let ends = app.stop.token().clone();
    let looking = async {
        loop {
            let now = app.clock.now_ms();
            let is_due =
                |machine: &Arc<Machine>| machine.answers() && app.mcp.due.is_now(&machine.id, now);
            let machines = app.machines.list();
            app.mcp.due.keep(&machines.iter().map(|machine| machine.id.clone()).collect());
            let due = machines.into_iter().filter(is_due);
            stream::iter(due).for_each_concurrent(AT_ONCE, |machine| of(&app, machine)).await;
            // However often a machine tells of its servers.
            sleep(PAUSE).await;
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                () = app.mcp.due.news() => {}
            }
        }
    };
    ends.run_until_cancelled(looking).await;
}

/// Renews what is due of one project.
async fn of(app: &App, machine: Arc<Machine>) {
    let _turn = app.mcp.turn(&machine.id).await;
    app.mcp.due.begin(&machine.id);
    let mut next = u64::MAX;
    match connections::all(app, &machine.id).await {
        Ok(all) => {
            let live = all.iter().filter_map(|kept| kept.connection.as_ref());
            let live = live.filter(|connection| connection.ended.is_none());
            app.mcp.due.only(&machine.id, &live.map(|one| &*one.server).collect());
            for kept in all {
                next = next.min(one(app, &machine, kept).await);
            }
        }
        Err(error) => {
            tracing::warn!(project.id = %machine.id, error = error.message, "sign-ins were not looked at");
            next = app.clock.now_ms() + AFTER_FAILURE_MS;
        }
    }
    app.mcp.due.next(&machine.id, next);
}

/// When a token is to be renewed.
fn due_at(connection: &Connection) -> u64 {
    match connection.expires_at {
        Some(ends) if !connection.refresh.is_empty() && connection.ended.is_none() => {
            let life = ends.saturating_sub(connection.received_at);
            ends - AHEAD_MS.min(life / 5).min(ends)
        }
        Some(_) | None => u64::MAX,
    }
}

/// Renews one if it is due; when it is to be looked at again.
async fn one(app: &App, machine: &Arc<Machine>, kept: Kept) -> u64 {
    let Some(mut connection) = kept.connection else { return u64::MAX };
    let now = app.clock.now_ms();
    let server = connection.server.clone();
    let is_refused = connection.ended.is_none() && app.mcp.due.is_refused(&machine.id, &server);
    // One that has just come may not have reached the server yet: whether it is refused still is seen then.
    let again = if is_refused { connection.received_at + AGAIN_MS } else { u64::MAX };
    let at = due_at(&connection).min(again);
    if at > now {
        return at;
    }
    if is_refused {
        app.mcp.due.serves(&machine.id, &server);
    }
    let renewed = match renewed(app, machine, &mut connection).await {
        Ok(()) => Ok(()),
        Err(tokens::NoToken::Failed(error)) => Err(error),
        Err(tokens::NoToken::Refused(why)) => {
            tell(app, machine, &server, &why).await;
            connection.ended = Some(why);
            Ok(())
        }
    };
    let kept = match renewed {
        Ok(()) => keep(app, machine, &kept.name, kept.revision, &connection).await,
        Err(error) => Err(error),
    };
    match kept {
        Ok(()) if connection.ended.is_some() => u64::MAX,
        Ok(()) => {
            if is_refused {
                inside::restart(app, machine, &server).await;
            }
            due_at(&connection)
        }
        Err(error) => {
            tracing::warn!(project.id = %machine.id, mcp.server = server, error = error.message,
                "a sign-in at an MCP server was not renewed");
            now + AFTER_FAILURE_MS
        }
    }
}

async fn renewed(
    app: &App,
    machine: &Machine,
    connection: &mut Connection,
) -> Result<(), tokens::NoToken> {
    if connection.refresh.is_empty() {
        return Err(tokens::NoToken::Refused("it can only be begun anew".to_owned()));
    }
    let ask = Ask { app, project: &machine.id };
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", connection.refresh.expose()),
        ("resource", &*connection.resource),
    ];
    let given =
        tokens::ask_for(&ask, &connection.token_endpoint, &connection.client, &fields).await?;
    let now = app.clock.now_ms();
    connection.access = given.access;
    // One that is not named anew stays.
    if !given.refresh.is_empty() {
        connection.refresh = given.refresh;
    }
    connection.received_at = now;
    connection.expires_at = given.lifetime_ms.map(|life| now.saturating_add(life));
    if let Some(scopes) = given.scopes {
        connection.scopes = scopes;
    }
    Ok(())
}

/// Unless somebody has changed it meanwhile.
async fn keep(
    app: &App,
    machine: &Arc<Machine>,
    name: &str,
    revision: u64,
    connection: &Connection,
) -> Result<(), ApiError> {
    let value = connection.sealed_text()?;
    change::renew(app, machine, name.to_owned(), revision, value).await
}

async fn tell(app: &App, machine: &Arc<Machine>, server: &str, why: &str) {
    let message = format!(
        "The sign-in at the MCP server `{server}` has ended: {why}. Connect it again to go on with it."
    );
    let what = Observed::Error { code: "mcp_sign_in_ended".into(), message };
    observed::tell(app, machine, what).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::connection::{Client, Method};
    use toft_vault::Secret;

    #[test]
    fn a_token_is_renewed_before_its_end_and_one_without_an_end_is_not() {
        let check = |refresh: &str, life: Option<u64>, expected: u64| {
            let text = String::new;
            let connection = Connection {
                server: text(),
                url: text(),
                resource: text(),
                issuer: text(),
                token_endpoint: text(),
                revocation_endpoint: None,
                client: Client { id: text(), secret: Secret::default(), method: Method::None },
                scopes: Vec::new(),
                access: Secret::new("access"),
                refresh: Secret::new(refresh),
                connected_at: 0,
                received_at: 1_000,
                expires_at: life.map(|life| 1_000 + life),
                by: text(),
                ended: None,
            };
            assert_eq!(due_at(&connection), expected, "{refresh} {life:?}");
            let text = connection.sealed_text().unwrap();
            assert!(!format!("{connection:?}").contains("access\""), "no Debug shows a token");
            assert!(text.expose().contains("\"access\":\"access\""));
        };
        check("r", Some(3_600_000), 1_000 + 3_300_000);
        check("r", Some(10_000), 1_000 + 8_000);
        check("r", Some(0), 1_000);
        check("r", None, u64::MAX);
        check("", Some(10_000), u64::MAX);
    }
}
