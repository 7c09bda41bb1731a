//! Where a server's sign-in is: the server says so in its refusal, or at a known path (RFC 9728), and the one
//! who gives tokens describes itself (RFC 8414, OpenID Connect Discovery). What does not fit together is refused.

use super::{address::Address, ask::Ask, challenge::parameter, failed};
use crate::api_error::{ApiError, Code};
use serde::Deserialize;
use serde_json::json;

/// Who may give tokens for one server: the first that describes itself counts.
const ISSUERS_MAX: usize = 3;

/// Scopes that are asked for at most.
pub(super) const SCOPES_MAX: usize = 64;

/// With it a token can be renewed (OpenID Connect).
const OFFLINE: &str = "offline_access";

/// A sign-in that is offered.
pub(super) struct Offer {
    /// What the token is for.
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    pub(super) issuer: Issuer,
}

/// What a server says of its sign-in.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "RFC 9728 names them so")]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Who gives tokens, as it describes itself.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_field_names, reason = "RFC 8414 names them so")]
pub(super) struct Issuer {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) registration_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    response_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// Asks a server without a token, and follows what it says.
pub(super) async fn offer(ask: &Ask<'_>, url: &str, server: &Address) -> Result<Offer, ApiError> {
    let hello = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "toft", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let accept = "application/json, text/event-stream";
    let answer = ask.post_json(url, &hello, accept, true).await?;
    if answer.status != 401 {
        return Err(ApiError::new(
            Code::SignInNotOffered,
            format!(
                "{} answered {} without asking for a sign-in: give it a token in `headers` of its \
                 declaration if it wants one",
                server.host(),
                answer.status
            ),
        ));
    }
    let said = |name| answer.header("www-authenticate").find_map(|text| parameter(text, name));
    let resource = resource(ask, server, said("resource_metadata")).await?;
    let scopes = said("scope").map(|text| text.split_whitespace().map(str::to_owned).collect());
    let (name, issuers, known) = match resource {
        Some(found) => (found.resource, found.authorization_servers, found.scopes_supported),
        // Servers of early versions are their own.
        None => (url.to_owned(), Vec::new(), Vec::new()),
    };
    let issuers = if issuers.is_empty() { vec![server.at("")] } else { issuers };
    let mut scopes: Vec<String> = scopes.unwrap_or(known);
    scopes.truncate(SCOPES_MAX);
    for issuer in issuers.iter().take(ISSUERS_MAX) {
        let Some(issuer) = described(ask, issuer).await? else { continue };
        issuer.check()?;
        let offline = issuer.scopes_supported.iter().any(|scope| scope == OFFLINE);
        if offline && !scopes.is_empty() && !scopes.iter().any(|scope| scope == OFFLINE) {
            scopes.push(OFFLINE.to_owned());
        }
        return Ok(Offer { resource: name, scopes, issuer });
    }
    Err(failed(format!(
        "{} wants a sign-in, but who gives it does not describe itself (RFC 8414): give the server a \
         token in `headers` of its declaration instead",
        server.host()
    )))
}

/// What a server says of its sign-in. `None`: it says nothing.
async fn resource(
    ask: &Ask<'_>,
    server: &Address,
    named: Option<String>,
) -> Result<Option<Resource>, ApiError> {
    let known = "/.well-known/oauth-protected-resource";
    let places = match named {
        Some(named) => {
            let is_one = Address::parse(&named).is_some();
            if !is_one {
                return Err(failed(format!(
                    "{} says that its sign-in is described at an address that is none over TLS",
                    server.host()
                )));
            }
            vec![named]
        }
        None => vec![server.at(&format!("{known}{}", server.path())), server.at(known)],
    };
    for place in places {
        let Some(found) = ask.document::<Resource>(place).await? else { continue };
        let covers = Address::parse(&found.resource).is_some_and(|r| r.covers(server));
        if !covers {
            return Err(failed(format!(
                "{} describes a sign-in that is for another server: it is not used",
                server.host()
            )));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// What one who gives tokens says of itself. `None`: nothing, or not under that name.
async fn described(ask: &Ask<'_>, issuer: &str) -> Result<Option<Issuer>, ApiError> {
    let Some(address) = Address::parse(issuer) else { return Ok(None) };
    for place in places(&address) {
        let found: Option<Issuer> = ask.document(place).await?;
        let same =
            |found: &Issuer| found.issuer.trim_end_matches('/') == issuer.trim_end_matches('/');
        if let Some(found) = found.filter(same) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where it is described.
fn places(issuer: &Address) -> Vec<String> {
    let (oauth, openid) =
        ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration");
    match issuer.path() {
        "" => vec![issuer.at(oauth), issuer.at(openid)],
        path => vec![
            issuer.at(&format!("{oauth}{path}")),
            issuer.at(&format!("{openid}{path}")),
            issuer.at(&format!("{path}{openid}")),
        ],
    }
}

impl Issuer {
    /// Refuses what this client does not do.
    fn check(&self) -> Result<(), ApiError> {
        let unsupported = |what: &str| {
            let message = format!("{}: {what}", super::words(&self.issuer));
            Err(ApiError::new(Code::SignInUnsupported, message))
        };
        let has = |list: &Option<Vec<String>>, wanted: &str| {
            list.as_ref().is_some_and(|list| list.iter().any(|one| one == wanted))
        };
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint];
        let others = [&self.registration_endpoint, &self.revocation_endpoint];
        if !endpoints
            .into_iter()
            .chain(others.into_iter().flatten())
            .all(|e| Address::parse(e).is_some())
        {
            return unsupported("one of its addresses is none over TLS");
        }
        if !has(&self.code_challenge_methods_supported, "S256") {
            return unsupported(
                "it does not say that it takes PKCE with S256, without which a code could be stolen",
            );
        }
        if self.response_types_supported.is_some() && !has(&self.response_types_supported, "code") {
            return unsupported("it gives no authorization codes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_looked_for_where_the_standards_have_it() {
        let places = |issuer| places(&Address::parse(issuer).unwrap());
        assert_eq!(
            places("https://a.test/"),
            [
                "https://a.test/.well-known/oauth-authorization-server",
                "https://a.test/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            places("https://a.test/tenant"),
            [
                "https://a.test/.well-known/oauth-authorization-server/tenant",
                "https://a.test/.well-known/openid-configuration/tenant",
                "https://a.test/tenant/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn one_without_proof_of_the_code_is_refused() {
        let check = |change: serde_json::Value| {
            let mut said = json!({
                "issuer": "https://a.test", "authorization_endpoint": "https://a.test/authorize",
                "token_endpoint": "https://a.test/token", "code_challenge_methods_supported": ["S256"],
            });
            said.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let issuer: Issuer = serde_json::from_value(said).unwrap();
            issuer.check().map_err(|error| error.code)
        };
        assert_eq!(check(json!({})), Ok(()));
        for wrong in [
            json!({"code_challenge_methods_supported": null}),
            json!({"code_challenge_methods_supported": ["plain"]}),
            json!({"response_types_supported": ["token"]}),
            json!({"token_endpoint": "http://a.test/token"}),
            json!({"registration_endpoint": "https://x@a.test/"}),
        ] {
            assert_eq!(check(wrong), Err(Code::SignInUnsupported));
        }
    }
}
