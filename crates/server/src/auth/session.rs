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
/// Cookies of our name that are looked up: a tossed one beside the real one, not a flood.
const SAME_NAME_MAX: usize = 4;
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
        app.auth.rights_ended();
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

/// The sign-in that a request's cookie names, if it is valid now. Others of that name may have been
/// tossed in by a page on another port of this host: nonsense among them is passed over, but two
/// people at once are nobody, or such a page could make a visitor work in its owner's name.
pub(crate) async fn find(app: &App, headers: &HeaderMap) -> Result<Option<Session>, ApiError> {
    let mut valid = Vec::new();
    for secret in cookie::values(headers, cookie::SESSION).take(SAME_NAME_MAX) {
        let session = app.store.session(&token::digest(secret)).await?;
        valid.extend(session.filter(|s| is_valid(s, app.clock.now_ms())));
    }
    let found = of_one_person(valid);
    if let Some(session) = &found {
        touch(app, session);
    }
    Ok(found)
}

/// The first of several valid sign-ins, if all are the same person's.
fn of_one_person(valid: Vec<Session>) -> Option<Session> {
    let mut valid = valid.into_iter();
    let first = valid.next()?;
    if valid.all(|other| other.user.id == first.user.id) {
        return Some(first);
    }
    tracing::warn!("a request carried the sign-ins of two people and was refused");
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use toft_store::Role;

    fn of(user: &str, id: &str) -> Session {
        let user = User {
            id: user.into(),
            name: user.into(),
            email: format!("{user}@example.org"),
            role: Role::Member,
            has_password: false,
        };
        Session { id: id.into(), user, created_at: 1, used_at: 1, expires_at: 2 }
    }

    #[test]
    fn two_people_at_once_are_nobody() {
        let found = |valid| of_one_person(valid).map(|s| s.id);
        assert_eq!(found(vec![]), None);
        assert_eq!(found(vec![of("ada", "1"), of("ada", "2")]), Some("1".into()));
        assert_eq!(found(vec![of("ada", "1"), of("eve", "2")]), None);
        assert_eq!(found(vec![of("eve", "2"), of("ada", "1"), of("eve", "3")]), None);
    }
}
