//! What is asked of one who gives tokens: one for a code, a newer one, and that one is of no use any more.

use super::{ask::Ask, failed, words};
use crate::{
    api_error::ApiError,
    secrets::connection::{Client, Connection, Method},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use toft_gateway::Fetched;
use toft_model::binding::check_brokered_value;
use toft_vault::Secret;

/// What was given.
pub(super) struct Tokens {
    pub(super) access: Secret,
    /// Empty: none.
    pub(super) refresh: Secret,
    pub(super) lifetime_ms: Option<u64>,
    pub(super) scopes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    token_type: String,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
    scope: Option<String>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum NoToken {
    /// What was asked with is of no use any more.
    Refused(String),
    /// It may work another time.
    Failed(ApiError),
}

impl NoToken {
    pub(super) fn told(self) -> ApiError {
        match self {
            Self::Refused(why) => failed(why),
            Self::Failed(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// What an answer says went wrong, fit to be shown: its own words where it has the standard's shape.
pub(super) fn said(answer: &Fetched) -> String {
    match serde_json::from_str::<Refusal>(answer.body.expose()) {
        Ok(Refusal { error, error_description: Some(more) }) => words(&format!("{error}: {more}")),
        Ok(Refusal { error, .. }) => words(&error),
        Err(_) => "it did not say why".to_owned(),
    }
}

/// Asks for a token. The fields are those of the kind of request; who asks is added.
pub(super) async fn ask_for(
    ask: &Ask<'_>,
    endpoint: &str,
    client: &Client,
    fields: &[(&str, &str)],
) -> Result<Tokens, NoToken> {
    let answer = posted(ask, endpoint, client, fields).await.map_err(NoToken::Failed)?;
    if answer.status != 200 {
        let why = format!("the sign-in was refused ({}): {}", answer.status, said(&answer));
        let refusal = serde_json::from_str::<Refusal>(answer.body.expose());
        let final_word = |r: &Refusal| {
            matches!(&*r.error, "invalid_grant" | "invalid_client" | "unauthorized_client")
        };
        return Err(match refusal {
            Ok(refusal) if final_word(&refusal) => NoToken::Refused(why),
            _ => NoToken::Failed(failed(why)),
        });
    }
    let wrong = |what: &str| NoToken::Failed(failed(format!("the sign-in came to {what}")));
    let given: Given = serde_json::from_str(answer.body.expose())
        .map_err(|_| wrong("an answer that has no token in it"))?;
    if !given.token_type.eq_ignore_ascii_case("bearer") {
        return Err(wrong("a token of a type that is not known here"));
    }
    let access = Secret::new(given.access_token);
    check_brokered_value(access.expose())
        .map_err(|_| wrong("a token that is too short, or too long (4 KiB) for a header"))?;
    Ok(Tokens {
        access,
        refresh: Secret::new(given.refresh_token.unwrap_or_default()),
        lifetime_ms: given.expires_in.map(|s| s.saturating_mul(1_000)),
        scopes: given.scope.map(|text| text.split_whitespace().map(str::to_owned).collect()),
    })
}

/// Says that tokens are of no use any more (RFC 7009); whether that was heard.
pub(super) async fn revoke(ask: &Ask<'_>, connection: &Connection) -> bool {
    let Some(endpoint) = &connection.revocation_endpoint else { return false };
    let mut heard = true;
    let both = [("refresh_token", &connection.refresh), ("access_token", &connection.access)];
    for (hint, token) in both.into_iter().filter(|(_, token)| !token.is_empty()) {
        let fields = [("token", token.expose()), ("token_type_hint", hint)];
        let answer = posted(ask, endpoint, &connection.client, &fields).await;
        heard &= answer.is_ok_and(|answer| answer.status == 200);
    }
    heard
}

async fn posted(
    ask: &Ask<'_>,
    endpoint: &str,
    client: &Client,
    fields: &[(&str, &str)],
) -> Result<Fetched, ApiError> {
    let mut fields = fields.to_vec();
    let mut credentials = None;
    match client.method {
        Method::Basic => credentials = Some(basic(client)),
        Method::Post => {
            fields.extend([("client_id", &*client.id), ("client_secret", client.secret.expose())]);
        }
        Method::None => fields.push(("client_id", &client.id)),
    }
    ask.post_form(endpoint, &fields, credentials).await
}

/// Both parts are form-encoded first (RFC 6749 §2.3.1).
fn basic(client: &Client) -> Secret {
    let escaped = super::address::escaped;
    let pair = Secret::new(format!("{}:{}", escaped(&client.id), escaped(client.secret.expose())));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}
