//! Who a request is from, as an extractor: a handler that takes a [`Caller`] cannot be reached
//! without valid credentials, and with a cookie only from our own pages.

use super::{KEY_HEADER, Key, keys::Made, session};
use crate::{
    api_error::{ApiError, Code},
    hosts,
    state::App,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use std::sync::Arc;
use toft_store::{Role, SYSTEM_USER, User};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Somebody signed in.
    Person {
        user: User,
        /// Public id of the sign-in.
        session: String,
    },
    /// A program with a key.
    Program(Key),
}

impl Caller {
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Person { user, .. } => user.role,
            Self::Program(key) => key.role(),
        }
    }

    pub(crate) fn user_id(&self) -> &str {
        match self {
            Self::Person { user, .. } => &user.id,
            Self::Program(_) => SYSTEM_USER,
        }
    }

    /// The sign-in that ends with this caller's rights, if they can end.
    pub(crate) fn session(&self) -> Option<&str> {
        match self {
            Self::Person { session, .. } => Some(session),
            Self::Program(_) => None,
        }
    }

    /// Refuses those who may do less.
    pub(crate) fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.role() >= role {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Forbidden,
            format!("this needs the role {}: ask an admin of the team", role.as_str()),
        ))
    }
}

/// A key in a header, and whether there was one at all.
pub(crate) enum HeaderKey {
    None,
    /// Not one of ours. On a preview it may be the app's own.
    Foreign,
    Ours(Key),
}

/// Looks for a key in `X-Agent-Api-Key`, then in `Authorization: Bearer`.
pub(crate) fn header_key(app: &App, headers: &HeaderMap) -> HeaderKey {
    let given = headers.get(KEY_HEADER).and_then(|v| v.to_str().ok()).map(str::trim);
    let given = given.filter(|key| !key.is_empty());
    let bearer = || {
        let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    };
    match given.or_else(bearer) {
        None if headers.contains_key(header::AUTHORIZATION) => HeaderKey::Foreign,
        None => HeaderKey::None,
        Some(text) => match app.auth.key(text) {
            Some(key) => {
                used(app, &key);
                HeaderKey::Ours(key)
            }
            None => HeaderKey::Foreign,
        },
    }
}

/// Takes note that a key was used.
pub(crate) fn used(app: &App, key: &Key) {
    let Key::Made(made) = key else { return };
    let now = app.clock.now_ms();
    if made.used(now) {
        let (app, made): (App, Arc<Made>) = (app.clone(), Arc::clone(made));
        app.clone().tasks.spawn(async move {
            if let Err(error) = app.store.touch_api_key(&made.key.id, now).await {
                tracing::warn!(%error, "the last use of an API key was not written down");
            }
        });
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if let Some(judged) = parts.extensions.get::<Self>() {
            return Ok(judged.clone());
        }
        match header_key(app, &parts.headers) {
            HeaderKey::Ours(key) => return Ok(Self::Program(key)),
            // A wrong key is never made up for by a cookie.
            HeaderKey::Foreign => return Err(ApiError::unauthenticated()),
            HeaderKey::None => {}
        }
        let Some(found) = session::find(app, &parts.headers).await? else {
            return Err(ApiError::unauthenticated());
        };
        from_own_page(app, parts)?;
        Ok(Self::Person { user: found.user, session: found.id })
    }
}

/// A cookie comes along whatever page asked, so the page must be ours.
fn from_own_page(app: &App, parts: &Parts) -> Result<(), ApiError> {
    let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let site = hosts::fetch_site(&parts.headers);
    let ours = if hosts::only_reads(&parts.method, &parts.headers) {
        matches!(site, None | Some("same-origin" | "none"))
    } else {
        app.hosts.is_own_origin(&parts.headers, host) || site == Some("same-origin")
    };
    if ours {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "this request came from another site's page: open the dashboard itself, or use a key",
    ))
}
