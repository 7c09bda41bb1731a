//! How we are known to one who gives tokens: as a client that a person names, or as one that registers itself
//! (RFC 7591).

use super::{ask::Ask, discover::Issuer, failed, words};
use crate::{
    api_error::{ApiError, Code},
    secrets::connection::{Client, Method},
};
use serde::Deserialize;
use serde_json::json;
use toft_vault::Secret;

/// What people read where they are asked to agree.
const CLIENT_NAME: &str = "Toft";

/// Bytes of an id that is given to us.
const ID_BYTES_MAX: usize = 2_048;

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    token_endpoint_auth_method: Option<Method>,
}

/// Ways to say who we are, in the order in which they are chosen. Without a list the standard's counts.
fn method(issuer: &Issuer, has_secret: bool) -> Method {
    let listed = issuer.token_endpoint_auth_methods_supported.as_deref();
    let takes = |name: &str| listed.is_some_and(|list| list.iter().any(|one| one == name));
    match (has_secret, listed) {
        (false, _) => Method::None,
        (true, Some(_)) if !takes("client_secret_basic") && takes("client_secret_post") => {
            Method::Post
        }
        (true, _) => Method::Basic,
    }
}

/// A client that a person names.
pub(super) fn named(issuer: &Issuer, id: String, secret: Secret) -> Client {
    let method = method(issuer, !secret.is_empty());
    Client { id, secret, method }
}

/// Registers one that may come back to this address.
pub(super) async fn registered(
    ask: &Ask<'_>,
    issuer: &Issuer,
    redirect_uri: &str,
    scopes: &[String],
) -> Result<Client, ApiError> {
    let who = words(&issuer.issuer);
    let Some(endpoint) = &issuer.registration_endpoint else {
        return Err(ApiError::new(
            Code::SignInUnsupported,
            format!(
                "{who} lets nobody register by themselves: make a client there with the address \
                 {redirect_uri}, and give its id (`clientId`, and `clientSecret` if it has one)"
            ),
        ));
    };
    let listed = issuer.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let public = listed.is_empty() || listed.iter().any(|one| one == "none");
    let wanted = method(issuer, !public);
    let mut wish = json!({
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": wanted,
    });
    if !scopes.is_empty() {
        wish["scope"] = scopes.join(" ").into();
    }
    let answer = ask.post_json(endpoint, &wish, "application/json", false).await?;
    if !matches!(answer.status, 200 | 201) {
        return Err(failed(format!(
            "{who} did not register Toft ({}): {}",
            answer.status,
            super::tokens::said(&answer)
        )));
    }
    let registered: Registered = serde_json::from_str(answer.body.expose())
        .map_err(|_| failed(format!("{who} registered Toft and did not say as what")))?;
    if registered.client_id.is_empty() || registered.client_id.len() > ID_BYTES_MAX {
        return Err(failed(format!("{who} registered Toft under an id that is none")));
    }
    let secret = Secret::new(registered.client_secret.unwrap_or_default());
    let method = match registered.token_endpoint_auth_method {
        _ if secret.is_empty() => Method::None,
        Some(method) => method,
        None => wanted,
    };
    Ok(Client { id: registered.client_id, secret, method })
}
