//! What the fuzzer feeds of this crate (`.ci/fuzz`): texts that machines and servers of MCP send. The fuzzer is built of
//! this file and of those that it names, not of the crate: they use nothing else of it. Nothing of this is in what ships.

use crate::{
    machines::sse::{EVENT_BYTES_MAX, SseEvent, SseParser},
    mcp::challenge::parameter,
};

/// A name, and what reads the bytes.
type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub(crate) const TARGETS: &[Fuzzed] =
    &[("bridge_events", bridge_events), ("challenges", challenges)];

fn parse(bytes: &[u8], piece: usize) -> Vec<SseEvent> {
    let (mut parser, mut events) = (SseParser::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        parser.push(piece, &mut events);
    }
    events
}

/// The same events come out wherever the stream is cut: the first byte says into what pieces.
fn bridge_events(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let events = parse(bytes, usize::from(*piece).max(1));
    assert_eq!(parse(bytes, bytes.len().max(1)), events);
    for event in &events {
        assert!(event.data.len() <= EVENT_BYTES_MAX);
        assert!(!event.kind.contains('\n'));
    }
    // An event written as it was read is read the same, but for ends of lines within it.
    let plain = |event: &&SseEvent| !event.omitted && !format!("{event:?}").contains("\\r");
    for event in events.iter().filter(plain) {
        let id = event.id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        let data = event.data.replace('\n', "\ndata: ");
        let text = format!("event: {}\n{id}data: {data}\n\n", event.kind);
        assert_eq!(parse(text.as_bytes(), 7), std::slice::from_ref(event));
    }
}

/// A value is found under each way to write its name, and is what stands there.
fn challenges(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for name in ["resource_metadata", "scope", "error", "realm"] {
        let found = parameter(text, name);
        assert_eq!(parameter(text, &name.to_ascii_uppercase()), found);
        let Some(value) = found else { continue };
        assert!(value.len() <= text.len());
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let written = format!("Bearer {name}=\"{quoted}\"");
        assert_eq!(parameter(&written, name), Some(value));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}
