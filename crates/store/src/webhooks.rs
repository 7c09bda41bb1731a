//! Addresses that are told of runs that are over, and what is still to be sent there. Not how it is sent.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::{
    id::ProjectId,
    run::{JobId, WebhookId},
};

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Of which project; `None`: of all.
    pub project: Option<ProjectId>,
    /// Where to.
    pub url: String,
    /// What it is signed with, sealed.
    pub sealed: String,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id: the same however often it is sent.
    pub id: WebhookId,
    /// Where to.
    pub webhook: Webhook,
    /// Whose run.
    pub project: ProjectId,
    /// Which run.
    pub run: JobId,
    /// How often it was tried.
    pub attempts: u32,
    /// Unix milliseconds before which it is not tried.
    pub next_at: u64,
    /// Unix milliseconds when it was given up or delivered.
    pub done_at: Option<u64>,
    /// Whether the receiver has taken it.
    pub is_delivered: bool,
    /// What the last attempt came to.
    pub said: Option<String>,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// How much of what is due is wanted: an address that takes long must not keep the others from theirs.
#[derive(Debug, Clone, Copy)]
pub struct Claiming<'a> {
    /// At most so many together.
    pub limit: u32,
    /// At most so many of each address.
    pub per_webhook: u32,
    /// Nothing for these: what they were sent before is still under way.
    pub busy: &'a [WebhookId],
}

/// Webhooks.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Adds one, unless its project has so many (or so many are there for all): whether it was.
    async fn add_webhook(&self, webhook: &Webhook, at_most: u32) -> Result<bool, StoreError>;
    /// Those of a project, or of all projects, oldest first.
    async fn webhooks(&self, project: Option<&ProjectId>) -> Result<Vec<Webhook>, StoreError>;
    /// Removes one, with what is still to be sent there; whether it was there.
    async fn delete_webhook(
        &self,
        project: Option<&ProjectId>,
        id: &WebhookId,
    ) -> Result<bool, StoreError>;
    /// What is due, given to who asks: it is not due again for `lease_ms`.
    async fn claim_deliveries(
        &self,
        of: &Claiming<'_>,
        lease_ms: u64,
        now_ms: u64,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// Writes down what an attempt came to: how long until it is tried again, nothing when it is over.
    async fn put_delivery(
        &self,
        id: &WebhookId,
        is_delivered: bool,
        again_in_ms: Option<u64>,
        said: &str,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// What was sent to an address, newest first.
    async fn deliveries(&self, id: &WebhookId, limit: u32) -> Result<Vec<Delivery>, StoreError>;
}
