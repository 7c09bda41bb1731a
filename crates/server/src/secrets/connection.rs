//! A sign-in at an MCP server, as it is sealed: the token that is put into requests, and what it is renewed
//! with. It lies among the project's secrets as one that is brokered, and the token alone goes to the gateway.

use crate::api_error::ApiError;
use serde::{Deserialize, Serialize};
use toft_vault::Secret;

/// A secret that is such a sign-in.
pub(crate) const MCP: &str = "mcp";

/// See the module. What is kept outlives versions: fields are only added.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connection {
    /// Name of the server.
    pub(crate) server: String,
    pub(crate) url: String,
    /// What the token is for, as the server calls itself (RFC 8707).
    pub(crate) resource: String,
    /// Who gave it.
    pub(crate) issuer: String,
    pub(crate) token_endpoint: String,
    pub(crate) revocation_endpoint: Option<String>,
    pub(crate) client: Client,
    pub(crate) scopes: Vec<String>,
    #[serde(with = "text")]
    pub(crate) access: Secret,
    #[serde(with = "text")]
    pub(crate) refresh: Secret,
    /// Unix milliseconds.
    pub(crate) connected_at: u64,
    pub(crate) received_at: u64,
    pub(crate) expires_at: Option<u64>,
    /// User id of who signed in.
    pub(crate) by: String,
    /// Why it is of no use any more.
    pub(crate) ended: Option<String>,
}

/// Who asks for tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// Empty: it has none.
    #[serde(with = "text")]
    pub(crate) secret: Secret,
    pub(crate) method: Method,
}

/// How it says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Method {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "client_secret_basic")]
    Basic,
    #[serde(rename = "client_secret_post")]
    Post,
}

impl Connection {
    pub(crate) fn sealed_text(&self) -> Result<Secret, ApiError> {
        serde_json::to_string(self)
            .map(Secret::new)
            .map_err(|error| ApiError::internal("the sign-in could not be written", &error))
    }

    pub(super) fn read(text: &Secret) -> Option<Self> {
        serde_json::from_str(text.expose()).ok()
    }
}

/// The token within a sealed value.
pub(super) fn token_of(value: &Secret) -> Option<Secret> {
    Connection::read(value).map(|connection| connection.access)
}

/// A secret as its text, for what is sealed at once.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use toft_vault::Secret;

    pub(super) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}
