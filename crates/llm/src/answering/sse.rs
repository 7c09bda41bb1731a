//! Server-sent events as they go out.

use serde::Serialize;
use std::fmt::Write as _;

/// One event of this data.
pub(super) fn data(out: &mut String, data: &impl Serialize) {
    let json = serde_json::to_string(data).expect("answers hold only JSON-able data");
    let _ = write!(out, "data: {json}\n\n");
}

/// One event with a name.
pub(super) fn named(out: &mut String, name: &str, value: &impl Serialize) {
    let _ = writeln!(out, "event: {name}");
    data(out, value);
}
