//! `POST …/toft/prompt`, `steer` and `follow-up`: each message has an id, the sender's or one made here,
//! and is delivered once however often it is sent. Before a prompt a checkpoint is taken, and told which
//! message it is for by that message's own event; a prompt that is only queued, or refused, needs none.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    checkpoints::auto,
    envelope,
    headers::clean_answer,
    machines::{
        Machine,
        deliver::{self, Answer, Message, Undelivered},
    },
    state::App,
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{sync::Arc, time::Duration};
use toft_model::id::{SessionId, hex, random_hex};
use tokio::{sync::Semaphore, time::timeout};

/// Names a message; sent again under it, it is not said again.
const KEY_HEADER: &str = "idempotency-key";
/// As the draft "The Idempotency-Key HTTP Header Field" has it, a key is a UUID or the like.
const KEY_BYTES_MAX: usize = 200;
/// JSON bodies: a prompt may carry images in base64.
pub(super) const BODY_BYTES_MAX: usize = 32 << 20;
/// Bodies that are looked into. A longer one carries images; it is taken to be for the current
/// conversation.
const LOOK_BYTES_MAX: usize = 1 << 20;
/// Longer bodies that are held at once, so that the next bridge can be sent them too: 256 MiB.
static LONG_ONES: Semaphore = Semaphore::const_new(8);
/// How long one waits for its turn.
const LONG_WAIT: Duration = Duration::from_secs(30);
/// How long a body may take to come: one that never ends would keep a place for good.
const BODY_TIMEOUT: Duration = Duration::from_mins(5);
/// Bytes of an id that is made here: none comes twice.
const ID_BYTES: usize = 8;

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Prompt,
    Steer,
    FollowUp,
}

impl Route {
    /// By its name below `/toft/`.
    pub(super) fn named(route: &str) -> Option<Self> {
        Some(match route {
            "prompt" => Self::Prompt,
            "steer" => Self::Steer,
            "follow-up" => Self::FollowUp,
            _ => return None,
        })
    }
}

/// What is looked at in a body.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Look {
    session_id: Option<SessionId>,
    entry_id: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    data: Sent,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    queued: Option<String>,
    /// It had come before.
    #[serde(default)]
    repeated: bool,
}

/// Sends it. `path`: path and query for the bridge.
pub(super) async fn send(
    app: &App,
    caller: &Caller,
    machine: &Arc<Machine>,
    route: Route,
    path: &str,
    req: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = req.into_parts();
    let key = key(&parts.headers)?.map(|key| id_of(caller.user_id(), key));
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let length = length.and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(envelope::too_large(BODY_BYTES_MAX));
    }
    let is_long = length.is_none_or(|length| length > LOOK_BYTES_MAX);
    let _turn = if is_long { Some(turn().await?) } else { None };
    let body = timeout(BODY_TIMEOUT, whole(body)).await.map_err(|_| {
        ApiError::invalid("the body did not come in time: nothing of it was done, send it again")
    })??;
    let look: Look = if body.len() <= LOOK_BYTES_MAX {
        serde_json::from_slice(&body).unwrap_or_default()
    } else {
        Look::default()
    };
    let id = key.clone().unwrap_or_else(|| random_hex(ID_BYTES));
    let again = match (&look.entry_id, &key) {
        (Some(_), _) => "the same entryId".to_owned(),
        (None, Some(_)) => "the same Idempotency-Key".to_owned(),
        (None, None) => format!("\"entryId\":\"{id}\" in its body"),
    };

    let _hold = machine.in_use(&app.clock);
    let taken = match route {
        Route::Prompt => auto::before_prompt(app, machine, look.session_id).await,
        Route::Steer | Route::FollowUp => None,
    };
    let cause = match route {
        Route::Prompt => "POST prompt",
        Route::Steer => "POST steer",
        Route::FollowUp => "POST follow-up",
    };
    let message = Message { path, body, id: &id, cause };
    let answer = match deliver::deliver(app, machine, &message).await {
        Ok(answer) => answer,
        Err(Undelivered::NotTaken(error)) => {
            if let Some(taken) = taken {
                auto::not_sent(app, machine, taken);
            }
            return Err(error);
        }
        // Its message may come, and takes the checkpoint then.
        Err(Undelivered::Unknown(why)) => return Err(unknown(&why, &again)),
    };
    if let Some(taken) = taken
        && !begins_work(&answer)
    {
        auto::not_sent(app, machine, taken);
    }
    let (mut parts, body) = answer.response.into_parts();
    clean_answer(&mut parts.headers);
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Whether the checkpoint before it is this message's.
fn begins_work(answer: &Answer) -> bool {
    let said = serde_json::from_slice::<Said>(answer.response.body()).ok();
    // Sent twice by this request alone, it is this request's all the same.
    let is_new = |sent: &Sent| sent.queued.is_none() && (answer.tried || !sent.repeated);
    answer.response.status() == StatusCode::ACCEPTED && said.is_none_or(|said| is_new(&said.data))
}

fn unknown(why: &str, again: &str) -> ApiError {
    ApiError::new(
        Code::OutcomeUnknown,
        format!(
            "whether the message was taken is not known ({}). The conversation shows it if it was; sent \
             again with {again} it is never said twice",
            why.trim_end_matches('.')
        ),
    )
}

/// The sender's name for the message.
fn key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut keys = headers.get_all(KEY_HEADER).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > KEY_BYTES_MAX || keys.next().is_some() {
        return Err(ApiError::invalid(format!(
            "Idempotency-Key must be one text of 1 to {KEY_BYTES_MAX} visible characters"
        )));
    }
    Ok(Some(key))
}

/// Two people may choose the same key.
fn id_of(user: &str, key: &str) -> String {
    let digest = Sha256::new().chain_update(user).chain_update([0]).chain_update(key).finalize();
    format!("key-{}", hex(&digest[..16]))
}

async fn turn() -> Result<tokio::sync::SemaphorePermit<'static>, ApiError> {
    let turn = timeout(LONG_WAIT, LONG_ONES.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        ApiError::new(
            Code::Unavailable,
            "too many long messages are being sent at once: nothing of this one was done, send it again",
        )
    })
}

async fn whole(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(envelope::too_large(BODY_BYTES_MAX)),
        Err(error) => Err(ApiError::invalid(format!("the body could not be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_key_is_its_owners_and_becomes_the_name_of_an_entry() {
        let of = |user: &str, key: &str| id_of(user, key);
        assert_eq!(of("u1", "a"), of("u1", "a"));
        assert_ne!(of("u1", "a"), of("u2", "a"));
        // Nobody reaches another's keys by where his name ends.
        assert_ne!(of("u1", "2a"), of("u12", "a"));
        let id = of("u1", "anything at all: ü");
        assert!((8..=64).contains(&id.len()), "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{id}");
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_passed_over() {
        let check = |keys: &[&str], want: Result<Option<&str>, ()>| {
            let mut headers = HeaderMap::new();
            for value in keys {
                headers.append(KEY_HEADER, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(key(&headers).map_err(|_| ()), want, "{keys:?}");
        };
        check(&[], Ok(None));
        check(&[" k1 "], Ok(Some("k1")));
        check(&[""], Err(()));
        check(&["a", "b"], Err(()));
        check(&[&"x".repeat(KEY_BYTES_MAX + 1)], Err(()));
    }
}
