//! What models cost, for the sums of runs. People set it; what is not there costs nobody knows what.

use crate::error::StoreError;
use async_trait::async_trait;

/// The price of a model. Amounts are billionths of the currency for 1,000 tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrice {
    /// Provider id.
    pub provider: String,
    /// Model id.
    pub model: String,
    /// `USD`.
    pub currency: String,
    /// Read, and not from the cache.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from the cache; as `input` when absent.
    pub cached_input: Option<u64>,
    /// Written and not shown; as `output` when absent.
    pub reasoning_output: Option<u64>,
    /// Names these prices in what they were used for.
    pub version: String,
    /// Whether they are used.
    pub is_active: bool,
    /// Unix milliseconds.
    pub updated_at: u64,
}

/// Prices.
#[async_trait]
pub trait Prices: Send + Sync {
    /// All, by provider and model.
    async fn prices(&self) -> Result<Vec<ModelPrice>, StoreError>;
    /// The price of a model, if it is used.
    async fn active_price(
        &self,
        provider: &str,
        model: &str,
    ) -> Result<Option<ModelPrice>, StoreError>;
    /// Sets a price, in place of the one before.
    async fn put_price(&self, price: &ModelPrice) -> Result<(), StoreError>;
    /// Removes one; whether it was there.
    async fn delete_price(&self, provider: &str, model: &str) -> Result<bool, StoreError>;
}
