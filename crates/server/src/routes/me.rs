//! `/v1/me`: who asks, and what server this is.

use crate::{
    api_error::{ApiError, Code},
    auth::{caller::Caller, password},
    envelope::{Data, JsonBody},
    line,
    state::App,
};
use axum::{extract::State, http::HeaderMap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_store::{Role, User, UserPatch};
use toft_vault::Secret;

/// Longest e-mail address (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;

/// What a person may do, as the API says it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ShownRole {
    Admin,
    Member,
}

/// A person, or a key in the place of one.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "User")]
pub(crate) struct ShownUser {
    id: String,
    name: String,
    /// Null of a key.
    email: Option<String>,
    role: ShownRole,
    has_password: bool,
}

/// A person.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OneUser {
    pub(crate) user: ShownUser,
}

/// Who asks, and what server this is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Me {
    user: ShownUser,
    server: ThisServer,
}

/// The server that answers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThisServer {
    version: String,
    /// By which name it was asked.
    host: Option<String>,
    /// Addresses of previews, with `{label}` for the project's; null where they go by port.
    preview_pattern: Option<String>,
    /// What makes machines of projects that name nothing else: `native`, `host`, `oci` or `e2b`.
    backend: String,
    /// All that projects and runs may name here as `workspaceBackend`.
    backends: Vec<&'static str>,
    /// Whether no provider but the scripted one can be asked.
    demo_only: bool,
}

/// A person as the API shows them.
pub(crate) fn shown(user: &User) -> ShownUser {
    ShownUser {
        id: user.id.clone(),
        name: user.name.clone(),
        email: Some(user.email.clone()),
        role: role(user.role),
        has_password: user.has_password,
    }
}

fn role(role: Role) -> ShownRole {
    match role {
        Role::Owner | Role::Admin => ShownRole::Admin,
        Role::Member | Role::Viewer => ShownRole::Member,
    }
}

/// `GET /v1/me`.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Data<Me>, ApiError> {
    let user = match &caller {
        Caller::Person { user, .. } => shown(user),
        Caller::Program(key) => ShownUser {
            id: caller.user_id().to_owned(),
            name: key.name().to_owned(),
            email: None,
            role: role(caller.role()),
            has_password: false,
        },
    };
    let host = headers.get("host").and_then(|v| v.to_str().ok());
    // Ports are given one by one: they follow no pattern.
    let by_port = host.is_some_and(|host| app.hosts.bare_address(host).is_some());
    let pattern = (!by_port).then(|| app.hosts.preview_origin("{label}"));
    Ok(Data(Me {
        user,
        server: ThisServer {
            version: app.version.clone(),
            host: host.map(str::to_owned),
            preview_pattern: pattern,
            backend: app.backend.name().to_owned(),
            backends: app.backend.choices(),
            demo_only: app.providers.demo_only(&*app.store).await?,
        },
    }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Patch {
    name: Option<String>,
    email: Option<String>,
    password: Option<String>,
    current_password: Option<String>,
}

/// `PATCH /v1/me`. A new password needs the old one, and ends every other sign-in.
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Patch>,
) -> Result<Data<OneUser>, ApiError> {
    let Caller::Person { user, session } = &caller else {
        return Err(ApiError::new(
            Code::Forbidden,
            "a key has no profile: sign in to change yours",
        ));
    };
    let mut patch = UserPatch { name: body.name, email: body.email, password_phc: None };
    if let Some(name) = &mut patch.name {
        *name = line::name("name", name)?;
    }
    if let Some(email) = &mut patch.email {
        *email = email.trim().to_owned();
        check_email(email)?;
    }
    if let Some(new) = body.password {
        password::acceptable(&new)?;
        if user.has_password {
            let old = Secret::new(body.current_password.unwrap_or_default());
            let phc = app.store.password_of(&user.id).await?;
            let now = app.clock.now_ms();
            let judged = app.auth.lockout.begin(&user.email, None, now);
            if !app.auth.hasher.fits(old, phc).await? || !judged {
                return Err(ApiError::new(
                    Code::Forbidden,
                    "currentPassword is wrong, or was wrong too often: check it, or wait 15 minutes",
                ));
            }
            app.auth.lockout.succeeded(&user.email, None);
        }
        patch.password_phc = Some(app.auth.hasher.hash(Secret::new(new)).await?);
    }
    let changed = app.store.update_user(&user.id, &patch, app.clock.now_ms()).await?;
    if patch.password_phc.is_some() {
        app.store.delete_sessions_of(&user.id, Some(session)).await?;
        app.auth.rights_ended();
    }
    Ok(Data(OneUser { user: shown(&changed) }))
}

fn check_email(email: &str) -> Result<(), ApiError> {
    let fine = email.len() <= EMAIL_BYTES_MAX
        && !email.contains(|c: char| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !host.contains('@')
        });
    if fine { Ok(()) } else { Err(ApiError::invalid("email must look like name@host")) }
}
