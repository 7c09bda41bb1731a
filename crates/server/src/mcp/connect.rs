//! A sign-in from its beginning to its end: a person is led to whom the server trusts, comes back with a code
//! (RFC 6749 §4.1 with PKCE), and that becomes a token that is sealed among the project's secrets.

use super::{
    address::{Address, with},
    ask::Ask,
    discover, failed, machine as inside,
    pending::{Asked, Begun, LIFE_MS},
    register, tokens, words,
};
use crate::{
    api_error::{ApiError, Code},
    auth::{caller::Caller, token},
    machines::{Machine, life},
    secrets::{
        change::{self, Given, Kind},
        connection::{Connection, MCP},
        connections::{self, Kept},
    },
    state::App,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::sync::Arc;
use toft_model::{binding::Binding, mcp::token_variable};
use toft_store::{ProjectSecrets, Role, User};
use toft_vault::Secret;

/// Where people come back to.
pub(crate) const CALLBACK: &str = "/v1/mcp/callback";

/// What a person may say of the client that is to ask.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Secret,
    pub(crate) scopes: Option<Vec<String>>,
}

/// A sign-in that a person is to go on with.
pub(crate) struct Started {
    pub(crate) authorization_url: String,
    /// Whom it leads to.
    pub(crate) host: String,
    /// Who will get the token.
    pub(crate) server_host: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) ends_at: u64,
}

/// Begins one. `origin`: where this person has the control plane.
pub(crate) async fn begin(
    app: &App,
    caller: &Caller,
    machine: &Arc<Machine>,
    server: &str,
    wish: Wish,
    origin: &str,
) -> Result<Started, ApiError> {
    let url = inside::url_of(app, machine, server).await?;
    let address = Address::parse(&url).filter(|_| !url.contains('$')).ok_or_else(|| {
        ApiError::invalid(
            "a sign-in needs the server's plain https:// URL in its declaration, without variables: over \
             anything else a token could be read on its way",
        )
    })?;
    is_free(app, machine, server).await?;
    let _hold = machine.in_use(&app.clock);
    let ask = Ask { app, project: &machine.id };
    let discover::Offer { resource, scopes, issuer } =
        discover::offer(&ask, &url, &address).await?;
    let scopes = wish.scopes.unwrap_or(scopes);
    let redirect_uri = format!("{origin}{CALLBACK}");
    let client = match wish.client_id {
        Some(id) => register::named(&issuer, id, wish.client_secret),
        None => register::registered(&ask, &issuer, &redirect_uri, &scopes).await?,
    };
    let (state, verifier) = (token::random(), Secret::new(token::random()));
    let challenge = URL_SAFE_NO_PAD.encode(token::digest(verifier.expose()));
    let scope = scopes.join(" ");
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", &redirect_uri),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
    ];
    if !scope.is_empty() {
        fields.push(("scope", &scope));
    }
    let authorization_url = with(&issuer.authorization_endpoint, &fields);
    let host = Address::parse(&issuer.authorization_endpoint).map(|a| a.host());
    let now = app.clock.now_ms();
    let ends_at = now + LIFE_MS;
    let begun = Begun {
        project: machine.id.clone(),
        server: server.to_owned(),
        url,
        server_host: address.host(),
        resource,
        issuer: issuer.issuer,
        says_issuer: issuer.authorization_response_iss_parameter_supported,
        token_endpoint: issuer.token_endpoint,
        revocation_endpoint: issuer.revocation_endpoint,
        client,
        scopes: scopes.clone(),
        redirect_uri,
        verifier,
        user: matches!(caller, Caller::Person { .. }).then(|| caller.user_id().to_owned()),
        session: caller.session().map(str::to_owned),
        ends_at,
    };
    app.mcp.pending.put(token::digest(&state), begun, now);
    tracing::info!(project.id = %machine.id, mcp.server = server, "a sign-in at an MCP server began");
    let host = host.unwrap_or_default();
    Ok(Started { authorization_url, host, server_host: address.host(), scopes, ends_at })
}

/// Two servers whose names make one variable cannot both be connected, and nothing that a person has set is
/// replaced.
async fn is_free(app: &App, machine: &Machine, server: &str) -> Result<(), ApiError> {
    let name = token_variable(server);
    if has_own(&app.store.secrets(&machine.id).await?, &name) {
        return Err(ApiError::new(
            Code::Conflict,
            format!(
                "the project has a secret {name} that is no sign-in: delete it first, or give the MCP server \
                 another name"
            ),
        ));
    }
    let all = connections::all(app, &machine.id).await?;
    let other = all.into_iter().find(|kept| kept.name == name).and_then(|kept| kept.connection);
    match other.filter(|other| other.server != server) {
        None => Ok(()),
        Some(other) => Err(ApiError::new(
            Code::Conflict,
            format!(
                "the MCP server {} is connected under the same variable {name}: give one of the two \
                 another name",
                words(&other.server)
            ),
        )),
    }
}

/// Whether a person has set something under this name.
fn has_own(secrets: &ProjectSecrets, name: &str) -> bool {
    secrets.rows.iter().any(|row| row.name == name && row.kind != MCP)
}

/// What a person came back with.
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) code: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) error: Option<String>,
}

/// Whether whoever comes back with this is asked first: they may have been led there by whoever holds a key.
pub(crate) async fn asks(app: &App, state: &str) -> Result<Option<Asked>, ApiError> {
    let state = token::digest(state);
    let Some((project, mut asked)) = app.mcp.pending.asks(&state, app.clock.now_ms()) else {
        return Ok(None);
    };
    let found = app.store.project(project.as_str()).await?.ok_or_else(ApiError::no_project)?;
    asked.project = found.name;
    Ok(Some(asked))
}

/// Ends one, for the person whose browser came back with this sign-in at Toft; the server's name.
pub(crate) async fn end(
    app: &App,
    user: &User,
    session: &str,
    answer: Answer,
) -> Result<String, ApiError> {
    let unknown = || {
        ApiError::new(
            Code::Conflict,
            "this sign-in is not known, was used already, took longer than ten minutes, or was begun by \
             somebody else: begin it again in the project, in the browser in which you are signed in",
        )
    };
    let now = app.clock.now_ms();
    let state = token::digest(&answer.state);
    let begun = app.mcp.pending.take(&state, &user.id, session, now);
    let begun = begun.ok_or_else(unknown)?;
    if user.role < Role::Member {
        return Err(ApiError::new(
            Code::Forbidden,
            "this needs the role member: ask an admin of the team",
        ));
    }
    let fits = match &answer.issuer {
        Some(issuer) => *issuer == begun.issuer,
        None => !begun.says_issuer,
    };
    if !fits {
        return Err(failed(
            "the answer is another one's than whom you were led to: nothing was connected",
        ));
    }
    if let Some(error) = answer.error {
        return Err(failed(format!("{} says: {}", begun.issuer, words(&error))));
    }
    let code = Secret::new(answer.code.ok_or_else(|| failed("the answer has no code in it"))?);
    let machine = app.machines.get(&begun.project).ok_or_else(ApiError::no_project)?;
    let _hold = machine.in_use(&app.clock);
    life::ensure_running(app, &machine, "an MCP server is connected").await?;
    let server = begun.server.clone();
    exchange(app, &machine, begun, code, &user.id).await?;
    inside::restart(app, &machine, &server).await;
    Ok(server)
}

async fn exchange(
    app: &App,
    machine: &Arc<Machine>,
    begun: Begun,
    code: Secret,
    by: &str,
) -> Result<(), ApiError> {
    let ask = Ask { app, project: &machine.id };
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", &*begun.redirect_uri),
        ("code_verifier", begun.verifier.expose()),
        ("resource", &*begun.resource),
    ];
    let given = tokens::ask_for(&ask, &begun.token_endpoint, &begun.client, &fields).await;
    let given = given.map_err(tokens::NoToken::told)?;
    let now = app.clock.now_ms();
    let connection = Connection {
        server: begun.server,
        url: begun.url,
        resource: begun.resource,
        issuer: begun.issuer,
        token_endpoint: begun.token_endpoint,
        revocation_endpoint: begun.revocation_endpoint,
        client: begun.client,
        scopes: given.scopes.unwrap_or(begun.scopes),
        access: given.access,
        refresh: given.refresh,
        connected_at: now,
        received_at: now,
        expires_at: given.lifetime_ms.map(|life| now.saturating_add(life)),
        by: by.to_owned(),
        ended: None,
    };
    let binding = Binding { hosts: vec![begun.server_host], ..Binding::default() };
    let _turn = app.mcp.turn(&machine.id).await;
    is_free(app, machine, &connection.server).await?;
    let value = connection.sealed_text()?;
    let name = token_variable(&connection.server);
    let given = Given { name, value, kind: Some(Kind::Mcp(binding)) };
    change::set(app, machine, vec![given], by, false).await?;
    app.mcp.due.serves(&machine.id, &connection.server);
    app.mcp.due.look(&machine.id);
    tracing::info!(project.id = %machine.id, mcp.server = connection.server, "an MCP server was connected");
    Ok(())
}

async fn kept_as(app: &App, machine: &Machine, name: &str) -> Result<Kept, ApiError> {
    let all = connections::all(app, &machine.id).await?;
    all.into_iter().find(|kept| kept.name == name).ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "this MCP server is not connected: GET …/mcp lists those that are",
        )
    })
}

/// Gives a sign-in up; whether who gave it was told.
pub(crate) async fn give_up(
    app: &App,
    machine: &Arc<Machine>,
    server: &str,
) -> Result<bool, ApiError> {
    let name = token_variable(server);
    let kept = kept_as(app, machine, &name).await?;
    let _hold = machine.in_use(&app.clock);
    // Who gave it is told on the project's way out, and one that sleeps has none.
    let tells = kept.connection.is_some_and(|one| one.revocation_endpoint.is_some());
    if tells
        && let Err(error) = life::ensure_running(app, machine, "an MCP server is given up").await
    {
        tracing::info!(project.id = %machine.id, error = error.message,
            "a sign-in is given up, and the machine rests");
    }
    let turn = app.mcp.turn(&machine.id).await;
    // Renewed meanwhile, it is another token.
    let kept = kept_as(app, machine, &name).await?;
    // From here on nobody uses it, whatever becomes of the rest.
    change::delete(app, machine, name).await?;
    drop(turn);
    let ask = Ask { app, project: &machine.id };
    let revoked = match &kept.connection {
        Some(connection) if machine.answers() => tokens::revoke(&ask, connection).await,
        Some(_) | None => false,
    };
    inside::restart(app, machine, server).await;
    Ok(revoked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_store::SecretRow;

    #[test]
    fn only_a_sign_in_gives_way_to_a_sign_in() {
        let check = |kind: &str, expected: bool| {
            let row = SecretRow {
                name: token_variable("tracker"),
                kind: kind.into(),
                sealed: None,
                revision: 1,
                set_at: 1,
                set_by: "ada".into(),
                brokered: None,
            };
            let secrets = ProjectSecrets { rows: vec![row], ..ProjectSecrets::default() };
            assert_eq!(has_own(&secrets, &token_variable("tracker")), expected, "{kind}");
            assert!(!has_own(&secrets, &token_variable("mail")));
        };
        check("environment", true);
        check("brokered", true);
        check(MCP, false);
    }
}
