//! Settings of people and sealed provider keys. Opening a sealed key is the vault's.

use crate::error::StoreError;
use async_trait::async_trait;

/// A provider key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKey {
    /// Provider id.
    pub provider: String,
    /// Sealed by the vault.
    pub sealed: String,
    /// Its end, for people (`…abcd`).
    pub hint: String,
}

/// Settings and keys.
#[async_trait]
pub trait Settings: Send + Sync {
    /// All settings of a user as (key, value).
    async fn settings(&self, user: &str) -> Result<Vec<(String, String)>, StoreError>;
    /// Sets a setting, or removes it with `None`.
    async fn put_setting(
        &self,
        user: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), StoreError>;
    /// All provider keys.
    async fn provider_keys(&self) -> Result<Vec<ProviderKey>, StoreError>;
    /// Sets a provider's key.
    async fn put_provider_key(&self, key: &ProviderKey, now_ms: u64) -> Result<(), StoreError>;
    /// Removes a provider's key.
    async fn delete_provider_key(&self, provider: &str) -> Result<(), StoreError>;
}
