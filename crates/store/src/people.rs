//! Users, their sign-in sessions, password accounts and one-time tokens, in better-auth's shapes.
//! Tokens come hashed; nothing here can make or check one.

use crate::error::StoreError;
use async_trait::async_trait;

/// Id of the user that keys act as. It is no member of a team and cannot sign in.
pub const SYSTEM_USER: &str = "system";

/// What a person may do in a team. Ordered: a later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Works in projects.
    Member,
    /// Changes settings, keys and people.
    Admin,
    /// As an admin, and cannot be removed by one.
    Owner,
}

impl Role {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// From the word in the database. An unknown word may only look.
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "member" => Self::Member,
            _ => Self::Viewer,
        }
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// UUID.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Unique without regard to case.
    pub email: String,
    /// Role in the default team.
    pub role: Role,
    /// Whether a password is set.
    pub has_password: bool,
}

/// What of a user changes; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// New name.
    pub name: Option<String>,
    /// New e-mail address.
    pub email: Option<String>,
    /// New password, as a PHC string.
    pub password_phc: Option<String>,
}

/// A sign-in to remember.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Public id: not the token.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds after which it is void however busy it is.
    pub expires_at: u64,
    /// Where it came from.
    pub ip_address: Option<String>,
    /// What it came from.
    pub user_agent: Option<String>,
}

/// A sign-in that is remembered, with its person.
#[derive(Debug, Clone)]
pub struct Session {
    /// Public id.
    pub id: String,
    /// Whose.
    pub user: User,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds of the last use that was written down.
    pub used_at: u64,
    /// Absolute end, Unix milliseconds.
    pub expires_at: u64,
}

/// People and how they prove who they are.
#[async_trait]
pub trait People: Send + Sync {
    /// The owner of the default team; made from these values when there is none.
    async fn first_admin(&self, name: &str, email: &str, now_ms: u64) -> Result<User, StoreError>;
    /// A person by id.
    async fn user(&self, id: &str) -> Result<Option<User>, StoreError>;
    /// A person and the PHC string of their password, by e-mail address.
    async fn user_by_email(
        &self,
        email: &str,
    ) -> Result<Option<(User, Option<String>)>, StoreError>;
    /// The PHC string of a person's password.
    async fn password_of(&self, user: &str) -> Result<Option<String>, StoreError>;
    /// Changes a person. `Taken` when the e-mail address belongs to another.
    async fn update_user(
        &self,
        id: &str,
        patch: &UserPatch,
        now_ms: u64,
    ) -> Result<User, StoreError>;
    /// Remembers a sign-in and drops those that are over.
    async fn put_session(&self, session: &NewSession) -> Result<(), StoreError>;
    /// The sign-in of a token hash, also when it is over: the caller judges times.
    async fn session(&self, token_hash: &[u8; 32]) -> Result<Option<Session>, StoreError>;
    /// The sign-in with this public id.
    async fn session_by_id(&self, id: &str) -> Result<Option<Session>, StoreError>;
    /// Writes down a use.
    async fn touch_session(&self, id: &str, now_ms: u64) -> Result<(), StoreError>;
    /// Forgets one sign-in.
    async fn delete_session(&self, id: &str) -> Result<(), StoreError>;
    /// Forgets a person's sign-ins, all but `keep`.
    async fn delete_sessions_of(&self, user: &str, keep: Option<&str>) -> Result<(), StoreError>;
    /// Remembers a one-time token by its hash, in place of earlier ones of the same identifier
    /// when `alone`.
    async fn put_verification(
        &self,
        identifier: &str,
        value_hash: &[u8; 32],
        now_ms: u64,
        expires_at: u64,
        alone: bool,
    ) -> Result<(), StoreError>;
    /// Uses a one-time token up. True exactly once, before its end.
    async fn take_verification(
        &self,
        identifier: &str,
        value_hash: &[u8; 32],
        now_ms: u64,
    ) -> Result<bool, StoreError>;
}
