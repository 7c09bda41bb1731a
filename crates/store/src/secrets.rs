//! Secrets of projects, as sealed texts, and the keys that they are sealed with, sealed too. Opening
//! them is the vault's.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// A secret as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// Its name, unique in the project.
    pub name: String,
    /// What becomes of the value.
    pub kind: String,
    /// Sealed with the project's key. `None`: only the name is known.
    pub sealed: Option<String>,
    /// The project's revision at which this value was set.
    pub revision: u64,
    /// Unix milliseconds.
    pub set_at: u64,
    /// User id of who set it.
    pub set_by: String,
    /// Of one that is brokered.
    pub brokered: Option<BrokeredRow>,
}

/// What a brokered secret has besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokeredRow {
    /// What stands for its value in the machine.
    pub placeholder: String,
    /// Which requests its value is put into, as JSON.
    pub binding: String,
}

/// What the values of a project are sealed with, and what is sealed beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectKey {
    /// The project's key, sealed under the master key.
    pub sealed: String,
    /// The authority that its machine trusts, once it has one.
    pub authority: Option<AuthorityRow>,
}

/// A project's certificate authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityRow {
    /// Its certificate (PEM).
    pub certificate: String,
    /// Its key, sealed with the project's key.
    pub sealed: String,
}

/// All secrets of one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectSecrets {
    /// Counts their changes; 0: there never was one.
    pub revision: u64,
    /// The project's key.
    pub key: Option<ProjectKey>,
    /// By name.
    pub rows: Vec<SecretRow>,
}

/// Everything that is sealed under the master key itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapped {
    /// What webhooks are signed with, by their ids.
    pub webhooks: Vec<(String, String)>,
    /// Keys of projects.
    pub data_keys: Vec<(ProjectId, String)>,
    /// Sealed keys of providers.
    pub provider_keys: Vec<(String, String)>,
}

/// Secrets of projects.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Of one project, also of a fork that is being made.
    async fn secrets(&self, project: &ProjectId) -> Result<ProjectSecrets, StoreError>;
    /// Writes rows and the key that they are sealed with; rows of other names stay. `false`: the
    /// project's revision is no longer `before`, and nothing was written. The new one is `before + 1`.
    /// On disk when this returns.
    async fn put_secrets(
        &self,
        project: &ProjectId,
        before: u64,
        key: &ProjectKey,
        rows: &[SecretRow],
        now_ms: u64,
    ) -> Result<bool, StoreError>;
    /// Removes one and counts that; `false`: there was none of that name.
    async fn delete_secret(&self, project: &ProjectId, name: &str) -> Result<bool, StoreError>;
    /// Puts another value in the place of one: nothing else of it changes, nor the project's revision. `false`: it
    /// is no longer sealed as `before`.
    async fn reseal_secret(
        &self,
        project: &ProjectId,
        name: &str,
        before: &str,
        sealed: &str,
    ) -> Result<bool, StoreError>;
    /// Puts another key, and the same authority and values sealed with it, in the place of what is there; `false`:
    /// the revision is no longer `at`. Revisions stay.
    async fn replace_secret_key(
        &self,
        project: &ProjectId,
        at: u64,
        key: &ProjectKey,
        sealed: &[(String, String)],
        now_ms: u64,
    ) -> Result<bool, StoreError>;
    /// The id of the master key that this database is sealed with, once one was recorded.
    async fn master_id(&self) -> Result<Option<String>, StoreError>;
    /// Records it.
    async fn put_master_id(&self, id: &str) -> Result<(), StoreError>;
    /// Everything that is sealed under the master key.
    async fn wrapped(&self) -> Result<Wrapped, StoreError>;
    /// The same, sealed under another master key, whose id is recorded: all of it or nothing. On disk
    /// when this returns.
    async fn rewrap(&self, anew: &Wrapped, master_id: &str) -> Result<(), StoreError>;
}
