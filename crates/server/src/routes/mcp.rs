//! `/v1/projects/{id}/mcp…`: sign-ins at MCP servers, and where people come back from one.

use crate::{
    api_error::{ApiError, Code},
    auth::{caller::Caller, session},
    envelope::{Data, JsonBody, NoBody, Path, Query},
    mcp::{
        connect::{self, Answer, Wish},
        pending::Asked,
    },
    page,
    project::{Member, OfProject, Viewer},
    secrets::connections,
    state::App,
};
use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use toft_model::time::rfc3339;
use toft_vault::Secret;

/// What is said of a body that does not fit. The usual words quote what was sent.
const BODY: &str = "send {}, or {\"clientId\": \"…\", \"clientSecret\": \"…\"} of a client that was made there, \
                    and \"scopes\": [\"…\"] if others are meant than those that the server asks for";

/// Bytes of a client's id or secret, and of a scope.
const TEXT_BYTES_MAX: usize = 2_048;
/// Scopes that are asked for.
const SCOPES_MAX: usize = 64;

/// Where a sign-in stands.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "McpConnectionState")]
enum Standing {
    Connected,
    Ended,
    /// Its name came along with a fork, and nothing else.
    #[default]
    Missing,
}

/// A sign-in at an MCP server. Of one that is missing only its name and host are known.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "McpConnection")]
struct Connection {
    /// Name of the secret that it lies in.
    secret: String,
    server: Option<String>,
    url: Option<String>,
    host: Option<String>,
    issuer: Option<String>,
    scopes: Option<Vec<String>>,
    /// RFC 3339.
    connected_at: Option<String>,
    connected_by: Option<String>,
    /// RFC 3339.
    expires_at: Option<String>,
    state: Standing,
    /// Why it has ended.
    error: Option<String>,
}

/// Sign-ins of a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "McpConnections")]
pub(crate) struct Connections {
    connections: Vec<Connection>,
}

/// A sign-in that a person is to finish.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "McpSignIn")]
pub(crate) struct Begun {
    /// To be opened in the person's browser.
    authorization_url: String,
    host: String,
    server_host: String,
    scopes: Vec<String>,
    /// RFC 3339.
    expires_at: String,
}

/// A sign-in that was given up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "McpEnded")]
pub(crate) struct Ended {
    /// Whether who gave it was told, and agreed.
    revoked: bool,
}

/// What connecting takes.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used: the words of its refusals quote nothing")]
pub(crate) struct ConnectBody {
    /// Of a client that was made there.
    client_id: Option<String>,
    client_secret: Option<String>,
    /// Others than those that the server asks for.
    scopes: Option<Vec<String>>,
}

/// `GET …/mcp`: wakes nothing.
pub(crate) async fn list(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
) -> Result<Data<Connections>, ApiError> {
    let mut names: HashMap<String, Option<String>> = HashMap::new();
    let mut shown = Vec::new();
    for kept in connections::all(&app, &machine.id).await? {
        let host = kept.binding.and_then(|binding| binding.hosts.into_iter().next());
        let Some(one) = kept.connection else {
            shown.push(Connection { secret: kept.name, host, ..Connection::default() });
            continue;
        };
        if !names.contains_key(&one.by) {
            let user = app.store.user(&one.by).await?;
            names.insert(one.by.clone(), user.map(|user| user.name));
        }
        shown.push(Connection {
            secret: kept.name,
            server: Some(one.server),
            url: Some(one.url),
            host,
            issuer: Some(one.issuer),
            scopes: Some(one.scopes),
            connected_at: Some(rfc3339(one.connected_at)),
            connected_by: names.get(&one.by).cloned().flatten(),
            expires_at: one.expires_at.map(rfc3339),
            state: if one.ended.is_some() { Standing::Ended } else { Standing::Connected },
            error: one.ended,
        });
    }
    Ok(Data(Connections { connections: shown }))
}

/// `POST …/mcp/{server}/connect`.
pub(crate) async fn connect(
    State(app): State<App>,
    OfProject { caller, machine, .. }: OfProject<Member>,
    Path((_, server)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Data<Begun>, ApiError> {
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let origin = match (&caller, host) {
        (Caller::Person { .. }, Some(host)) => app.hosts.control_origin(host),
        (Caller::Person { .. } | Caller::Program(_), _) => app.hosts.control_url(),
    };
    let wish = wish(body)?;
    let started = connect::begin(&app, &caller, &machine, &server, wish, &origin).await?;
    Ok(Data(Begun {
        authorization_url: started.authorization_url.clone(),
        host: started.host,
        server_host: started.server_host,
        scopes: started.scopes,
        expires_at: rfc3339(started.ends_at),
    }))
}

fn wish(body: Map<String, Value>) -> Result<Wish, ApiError> {
    let refused = || ApiError::invalid(BODY);
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() && text.len() <= TEXT_BYTES_MAX => Ok(text),
        _ => Err(refused()),
    };
    let mut wish = Wish::default();
    for (field, value) in body {
        match (field.as_str(), value) {
            ("clientId", value) => wish.client_id = Some(text(value)?),
            ("clientSecret", value) => wish.client_secret = Secret::new(text(value)?),
            ("scopes", Value::Array(all)) if all.len() <= SCOPES_MAX => {
                let scopes = all.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
                if scopes.iter().any(|scope| scope.contains(|c: char| !c.is_ascii_graphic())) {
                    return Err(refused());
                }
                wish.scopes = Some(scopes);
            }
            _ => return Err(refused()),
        }
    }
    if wish.client_id.is_none() && !wish.client_secret.is_empty() {
        return Err(refused());
    }
    Ok(wish)
}

/// `POST …/mcp/{server}/disconnect`.
pub(crate) async fn disconnect(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    Path((_, server)): Path<(String, String)>,
    _: NoBody,
) -> Result<Data<Ended>, ApiError> {
    let revoked = connect::give_up(&app, &machine, &server).await?;
    Ok(Data(Ended { revoked }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Back {
    #[serde(default)]
    state: String,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /v1/mcp/callback`: a browser comes back from another site, so this judges by itself: the state is of
/// one use, and bound to who is signed in here; or, of one that a program began, asks them.
pub(crate) async fn back(
    State(app): State<App>,
    headers: HeaderMap,
    method: Method,
    Query(back): Query<Back>,
) -> Response {
    let dashboard = app.hosts.control_url();
    // A preview of the link must not use it up.
    if method == Method::HEAD {
        return page::say(StatusCode::OK, "A sign-in", "Open it in a browser.", &dashboard);
    }
    let seen = async {
        let person = session::find(&app, &headers).await?.ok_or_else(|| {
            ApiError::new(
                Code::Unauthenticated,
                "you are not signed in to Toft in this browser: sign in, then begin again in the project",
            )
        })?;
        if back.error.is_none()
            && let Some(asked) = connect::asks(&app, &back.state).await?
        {
            return Ok(question(&asked, &dashboard));
        }
        connect::end(&app, &person.user, &person.id, back.into())
            .await
            .map(|s| done(&s, &dashboard))
    };
    seen.await.unwrap_or_else(|error| not(&error, &dashboard))
}

/// `POST /v1/mcp/callback`: a person was asked, and goes on with it.
pub(crate) async fn agree(
    State(app): State<App>,
    caller: Caller,
    Query(back): Query<Back>,
) -> Response {
    let dashboard = app.hosts.control_url();
    let Caller::Person { user, session } = caller else {
        let message = "a person comes back from a sign-in, in a browser: a key cannot";
        return not(&ApiError::new(Code::Forbidden, message), &dashboard);
    };
    match connect::end(&app, &user, &session, back.into()).await {
        Ok(server) => done(&server, &dashboard),
        Err(error) => not(&error, &dashboard),
    }
}

impl From<Back> for Answer {
    fn from(back: Back) -> Self {
        let error = back.error.map(|error| match back.error_description {
            Some(more) => format!("{error}: {more}"),
            None => error,
        });
        Self { state: back.state, code: back.code, issuer: back.iss, error }
    }
}

fn question(asked: &Asked, dashboard: &str) -> Response {
    let Asked { project, server, server_host, issuer } = asked;
    let message = format!(
        "A program with a key to the project {project} began this sign-in. Connected, the agent of that \
         project, and all who use it, work at {server_host} in your name. You come from {issuer}. If you did \
         not mean that, close this tab: nothing is kept."
    );
    page::ask(&format!("Connect {server}?"), &message, "Connect it", dashboard)
}

fn done(server: &str, dashboard: &str) -> Response {
    let title = format!("{server} is connected");
    let message = "The agent can use it from its next prompt on. You can close this tab.";
    page::say(StatusCode::OK, &title, message, dashboard)
}

fn not(error: &ApiError, dashboard: &str) -> Response {
    page::say(error.status(), "It was not connected", &error.message, dashboard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_client_is_said_whole_and_a_refusal_repeats_nothing() {
        let check =
            |body: Value| wish(serde_json::from_value(body).unwrap()).map_err(|e| e.message);
        assert!(check(json!({})).unwrap().client_id.is_none());
        let all =
            check(json!({"clientId": "a", "clientSecret": "s", "scopes": ["r", "w:x"]})).unwrap();
        assert_eq!((all.client_id.as_deref(), all.scopes.map(|s| s.len())), (Some("a"), Some(2)));
        for wrong in [
            json!({"clientSecret": "hunter2"}),
            json!({"clientId": 7, "clientSecret": "hunter2"}),
            json!({"scopes": ["a b"]}),
            json!({"scopes": "hunter2"}),
            json!({"token": "hunter2"}),
        ] {
            let said = check(wrong).err().unwrap();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
