//! The hash chain over a project's events: a changed, removed or inserted row shows.

use crate::events::NewEvent;
use sha2::{Digest as _, Sha256};

/// Hash of an event that follows the one with hash `before`. Fields are length-prefixed, so that
/// no two rows hash alike.
pub(crate) fn link(before: &[u8; 32], event: &NewEvent) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(event.seq.to_be_bytes());
    hash.update(event.ts.to_be_bytes());
    for field in [event.session.as_deref().unwrap_or(""), &event.kind, &event.data] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().into()
}

/// Digest of what came under a taken number, to record each content once.
pub(crate) fn digest(kind: &str, data: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((kind.len() as u64).to_be_bytes());
    hash.update(kind.as_bytes());
    hash.update(data.as_bytes());
    hash.finalize().into()
}

/// Whether two events say the same. Text may differ where JSON does not (order of keys after a
/// restart of another bridge version): only the content counts.
pub(crate) fn same(kept: &NewEvent, came: &NewEvent) -> bool {
    if kept.kind != came.kind {
        return false;
    }
    if kept.data == came.data {
        return true;
    }
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    matches!((parse(&kept.data), parse(&came.data)), (Some(a), Some(b)) if a == b)
}
