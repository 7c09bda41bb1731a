//! `reasoning_details`: how OpenRouter passes on what the makers of models seal, in pieces. Put together,
//! they go back as they are; kept as the signature of the thinking that they belong to.

use serde_json::{Map, Value};

/// Those of one message so far.
#[derive(Debug, Default)]
pub(super) struct Details {
    pieces: Vec<Map<String, Value>>,
    /// Bytes of those that came since somebody asked.
    grown: usize,
}

impl Details {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that came since this was asked before.
    pub(super) fn grown(&mut self) -> usize {
        std::mem::take(&mut self.grown)
    }

    /// Takes those of one chunk. Gives the words in them, for providers that say them nowhere else.
    pub(super) fn take(&mut self, pieces: &[Value]) -> String {
        let mut words = String::new();
        for piece in pieces.iter().filter_map(Value::as_object) {
            self.grown += piece.values().map(size).sum::<usize>();
            let said = ["text", "summary"].iter().filter_map(|name| piece.get(*name)?.as_str());
            said.for_each(|said| words.push_str(said));
            match self.pieces.last_mut().filter(|last| goes_on(last, piece)) {
                Some(last) => add(last, piece),
                None => self.pieces.push(piece.clone()),
            }
        }
        words
    }

    /// As a signature.
    pub(super) fn seal(&self) -> String {
        serde_json::to_string(&self.pieces).expect("it was JSON")
    }

    /// Out of a signature; nothing for one of another kind.
    pub(super) fn unseal(signature: &str) -> Vec<Value> {
        serde_json::from_str(signature).unwrap_or_default()
    }
}

/// Whether a piece is more of the last one: of its kind, and its number where they have one.
fn goes_on(last: &Map<String, Value>, piece: &Map<String, Value>) -> bool {
    // Sealed data is whole, and a signature ends a text.
    let open = last.get("type").and_then(Value::as_str) != Some("reasoning.encrypted")
        && last.get("signature").is_none_or(Value::is_null);
    open && ["type", "index"].iter().all(|name| last.get(*name) == piece.get(*name))
}

/// Bytes of a value, about.
fn size(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.to_string().len(), str::len)
}

fn add(last: &mut Map<String, Value>, piece: &Map<String, Value>) {
    for (name, value) in piece {
        match (last.get_mut(name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(before)), Value::String(more))
                if matches!(name.as_str(), "text" | "summary") =>
            {
                before.push_str(more);
            }
            (_, value) => {
                last.insert(name.clone(), value.clone());
            }
        }
    }
}
