//! Keys that people make for programs: what each opens, never the key itself.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Model calls.
    Models,
    /// Looking.
    Read,
    /// Everything, the other two as well.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Models, Self::Read, Self::Admin];

    /// The word in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// From that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A key as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// UUID.
    pub id: String,
    /// Unique without regard to case.
    pub name: String,
    /// How the key begins.
    pub prefix: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Sorted, each once.
    pub scopes: Vec<Scope>,
    /// The only project that it opens.
    pub project: Option<ProjectId>,
    /// Id of the person who made it; `None` when a program did.
    pub created_by: Option<String>,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds from which on it opens nothing.
    pub expires_at: Option<u64>,
    /// Unix milliseconds of the last use that was written down.
    pub used_at: Option<u64>,
}

/// Keys of programs.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// All of them, newest first, those that have expired too.
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    /// Remembers a new one. `Taken` when the name is another's, `Missing` without its project.
    async fn put_api_key(&self, key: &ApiKey) -> Result<(), StoreError>;
    /// Writes down a use.
    async fn touch_api_key(&self, id: &str, now_ms: u64) -> Result<(), StoreError>;
    /// Forgets one; whether it was there. Those of a project are forgotten with it.
    async fn delete_api_key(&self, id: &str) -> Result<bool, StoreError>;
}
