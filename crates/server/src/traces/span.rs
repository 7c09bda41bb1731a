//! A finished span as we know it, before any encoding, and the ids of spans. An id is made of what the
//! span stands for: told again, it is the same span.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use toft_model::id::ProjectId;

/// Names this way to make ids: another way is another number.
const WAY: &str = "toft traces 1";

pub(crate) type TraceId = [u8; 16];
pub(crate) type SpanId = [u8; 8];

/// What a span stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The work on one prompt.
    Agent,
    /// One call of a model.
    Chat,
    /// One call of a tool.
    Tool,
    /// History that was summed up.
    Compaction,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    Text(String),
    Texts(Vec<String>),
    Count(u64),
    Amount(f64),
    Flag(bool),
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Something that happened in the course of a span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    pub(crate) at_ms: u64,
    pub(crate) name: &'static str,
    pub(crate) facts: Vec<(&'static str, Fact)>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Unix milliseconds.
    pub(crate) from_ms: u64,
    /// Unix milliseconds, never before `from_ms`.
    pub(crate) to_ms: u64,
    /// The conversation that the work belongs to, that of a task's caller for a task.
    pub(crate) thread: String,
    pub(crate) facts: Vec<(&'static str, Fact)>,
    pub(crate) marks: Vec<Mark>,
    /// What went in, if it may be told.
    pub(crate) input: Option<Value>,
    /// What came out, if it may be told.
    pub(crate) output: Option<Value>,
    /// Why it failed, for people.
    pub(crate) error: Option<String>,
    /// Number of the event that ended it.
    pub(crate) ended: u64,
}

fn digest(project: &ProjectId, seq: u64, what: &str) -> [u8; 32] {
    Sha256::digest(format!("{WAY}\n{project}\n{seq}\n{what}")).into()
}

/// The trace of the work that an event began.
pub(crate) fn trace_id(project: &ProjectId, seq: u64) -> TraceId {
    let digest = digest(project, seq, "trace");
    std::array::from_fn(|at| digest[at])
}

/// The span that an event began.
pub(crate) fn span_id(project: &ProjectId, seq: u64, kind: Kind) -> SpanId {
    let what = match kind {
        Kind::Agent => "agent",
        Kind::Chat => "chat",
        Kind::Tool => "tool",
        Kind::Compaction => "compaction",
    };
    let digest = digest(project, seq, what);
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_id_is_always_the_same_and_no_other_has_it() {
        let one: ProjectId = "a23456789bcd".parse().unwrap();
        let two: ProjectId = "a23456789bce".parse().unwrap();
        assert_eq!(span_id(&one, 7, Kind::Chat), span_id(&one, 7, Kind::Chat));
        let mut all = BTreeSet::new();
        for project in [&one, &two] {
            for seq in [1, 11, 2] {
                all.insert(trace_id(project, seq).to_vec());
                for kind in [Kind::Agent, Kind::Chat, Kind::Tool, Kind::Compaction] {
                    all.insert(span_id(project, seq, kind).to_vec());
                }
            }
        }
        assert_eq!(all.len(), 2 * 3 * 5);
        // What has been sent once must not be sent under another name by a later version.
        assert_eq!(toft_model::id::hex(&trace_id(&one, 7)), GOLDEN);
    }

    const GOLDEN: &str = "8e4335cd00409b6aa82f54dad94b2b0d";
}
