//! How the events of a stream are told apart in the bytes of a body. Which framing an answer has is a
//! property of its wire format: [`crate::sse`] for most, [`crate::event_stream`] for Amazon's.

use std::borrow::Cow;

/// Bytes of one event at most. The largest real ones carry a whole file as tool arguments in one
/// piece, a few MiB; more than this is a broken or hostile peer.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// One event that has data.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name; empty when it has none.
    pub name: Cow<'a, str>,
    /// What it says. Bytes that are no UTF-8 become U+FFFD.
    pub data: Cow<'a, str>,
    /// The framing itself says that the provider failed, and `name` is its word for why.
    pub failed: bool,
}

/// Bytes that are no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unframed {
    /// An event is longer than the limit.
    #[error("one event of the stream is longer than {0} bytes")]
    TooLong(usize),
    /// Lengths, checksums or headers that contradict each other.
    #[error("the stream is no event stream: {0}")]
    Broken(&'static str),
}

/// Splits a body into events, wherever it was cut.
pub trait Framing: Default + Send + 'static {
    /// Adds bytes that arrived.
    fn push(&mut self, bytes: &[u8]);

    /// The next whole event, if there is one. What remains when the body ends is no event. After an
    /// error nothing more comes of the stream.
    fn next_event(&mut self) -> Result<Option<Event<'_>>, Unframed>;
}
