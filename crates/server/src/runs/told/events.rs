//! A run's events, as they are made.

use serde_json::Value;
use toft_store::NewRunEvent;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::runs) struct Told(pub(in crate::runs) Vec<NewRunEvent>);

impl Told {
    pub(in crate::runs) fn say(&mut self, ts: u64, kind: &str, data: &Value) {
        self.0.push(NewRunEvent { ts, kind: kind.to_owned(), data: data.to_string() });
    }

    /// A `status`, with what belongs to it.
    pub(in crate::runs) fn status(&mut self, ts: u64, status: &str, mut with: Value) {
        with["status"] = status.into();
        self.say(ts, "status", &with);
    }
}
