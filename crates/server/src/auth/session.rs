//! Sign-ins of people: made, found by their cookie, ended. Tokens are in the browser, hashes here.

use super::{cookie, token};
use crate::{api_error::ApiError, state::App};
use axum::http::{HeaderMap, HeaderValue, header};
use std::net::IpAddr;
use toft_model::id::uuid_v7;
use toft_store::{NewSession, Session, User};

/// A sign-in that is not used for this long is over.
const IDLE_MS: u64 = 7 * 24 * 3600 * 1000;
/// A sign-in is over after this, however busy it is.
const LIFE_MS: u64 = 30 * 24 * 3600 * 1000;
/// A use is written down at most this often.
const TOUCH_MS: u64 = 5 * 60 * 1000;
/// Longest `User-Agent` that is kept.
const AGENT_CHARS_MAX: usize = 200;

/// Signs a person in: a new id and token each time. What the browser had before is ended, so a
/// planted session gains nothing. Answers the cookie.
pub(crate) async fn begin(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<HeaderValue, ApiError> {
    let now = app.clock.now_ms();
    if let Some(old) = find(app, headers).await? {
        app.store.delete_session(&old.id).await?;
        app.auth.sign_in_ended();
    }
    let secret = token::random();
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .map(|a| a.chars().take(AGENT_CHARS_MAX).collect());
    let session = NewSession {
        id: uuid_v7(now),
        user_id: user.id.clone(),
        token_hash: token::digest(&secret),
        created_at: now,
        expires_at: now + LIFE_MS,
        ip_address: address.map(|a| a.to_string()),
        user_agent: agent,
    };
    app.store.put_session(&session).await?;
    Ok(cookie::session(&secret, LIFE_MS / 1000, app.hosts.control_is_tls()))
}

/// The sign-in that a request's cookie names, if it is valid now.
pub(crate) async fn find(app: &App, headers: &HeaderMap) -> Result<Option<Session>, ApiError> {
    for secret in cookie::values(headers, cookie::SESSION) {
        let found = app.store.session(&token::digest(secret)).await?;
        if let Some(session) = found.filter(|s| is_valid(s, app.clock.now_ms())) {
            touch(app, &session);
            return Ok(Some(session));
        }
    }
    Ok(None)
}

/// Whether the sign-in with this public id is valid now.
pub(crate) async fn lives(app: &App, id: &str) -> Result<bool, ApiError> {
    let found = app.store.session_by_id(id).await?;
    Ok(found.is_some_and(|s| is_valid(&s, app.clock.now_ms())))
}

fn is_valid(session: &Session, now_ms: u64) -> bool {
    now_ms < session.expires_at && now_ms < session.used_at + IDLE_MS
}

fn touch(app: &App, session: &Session) {
    let now = app.clock.now_ms();
    if now < session.used_at + TOUCH_MS {
        return;
    }
    let (app, id) = (app.clone(), session.id.clone());
    app.clone().tasks.spawn(async move {
        if let Err(error) = app.store.touch_session(&id, now).await {
            tracing::warn!(%error, "a sign-in's last use was not written down");
        }
    });
}
