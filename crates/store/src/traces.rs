//! How far traces were sent, for each place that takes them. Not the traces: they are made of the copy
//! of events, which is read from here by kind.

use crate::{error::StoreError, events::NewEvent};
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// How far a place has taken a project's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceCursor {
    /// Everything that ended up to this event was taken.
    pub sent: u64,
    /// Everything that is unfinished at `sent` began after this event.
    pub open_from: u64,
}

/// Some events, and how far was looked for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// In order.
    pub events: Vec<NewEvent>,
    /// Up to this number there are no others.
    pub through: u64,
}

/// Places that take traces.
#[async_trait]
pub trait Traces: Send + Sync {
    /// Names the places that are in use from now on. One that was not in use begins with what happens
    /// next in the projects that there are, and with the first event of later ones; one that is no longer
    /// is forgotten.
    async fn use_trace_sinks(&self, names: &[&str], now_ms: u64) -> Result<(), StoreError>;
    /// Whether a place in use has ever taken anything.
    async fn trace_taken(&self, sink: &str) -> Result<bool, StoreError>;
    /// It has.
    async fn put_trace_taken(&self, sink: &str) -> Result<(), StoreError>;
    /// How far a place in use has come with a project.
    async fn trace_cursor(
        &self,
        sink: &str,
        project: &ProjectId,
    ) -> Result<TraceCursor, StoreError>;
    /// Moves it. Never lost before what it depends on: the copy of events is written the same way.
    async fn put_trace_cursor(
        &self,
        sink: &str,
        project: &ProjectId,
        cursor: TraceCursor,
    ) -> Result<(), StoreError>;
    /// Events of some kinds after `after`: at most `rows_max`, and about `bytes_max` of data (at least
    /// one when there is one).
    async fn events_of(
        &self,
        project: &ProjectId,
        kinds: &[&str],
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<EventPage, StoreError>;
}
