//! How much a request may hold, counted before anything is made of it. Its bytes are whoever takes the
//! body's to bound.

use super::Refused;
use serde_json::Value;

/// Messages (or items) of a request: Anthropic's own limit.
const MESSAGES_MAX: usize = 100_000;

/// Pieces of all messages together: as many as one piece in each message.
const BLOCKS_MAX: usize = 100_000;

/// Values in the JSON of a request: ten for each piece. Each is some tens of bytes in memory, however
/// few it is on the wire.
const VALUES_MAX: usize = 1_000_000;

/// Lists of messages, by the names of the formats.
const MESSAGES: [&str; 3] = ["messages", "input", "contents"];

/// Lists in a message.
const BLOCKS: [&str; 5] = ["content", "parts", "tool_calls", "summary", "output"];

/// Refuses a body with more values than can be read at once.
pub(super) fn check_bytes(body: &[u8]) -> Result<(), Refused> {
    let (mut values, mut quoted, mut escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    at_most(values, VALUES_MAX, "values in its JSON")
}

/// Refuses a request with too many messages or pieces of them.
pub(super) fn check(body: &Value) -> Result<(), Refused> {
    let (mut messages, mut blocks) = (0, 0);
    for list in MESSAGES.iter().filter_map(|name| body.get(name)?.as_array()) {
        messages += list.len();
        blocks += list.iter().map(blocks_in).sum::<usize>();
    }
    at_most(messages, MESSAGES_MAX, "messages")?;
    at_most(blocks, BLOCKS_MAX, "pieces in its messages")
}

/// Pieces of a message, and of the results in it.
fn blocks_in(message: &Value) -> usize {
    let lists = |value: &Value| -> usize {
        let lists = BLOCKS.iter().filter_map(|name| value.get(name)?.as_array());
        lists.map(Vec::len).sum()
    };
    let within = BLOCKS.iter().filter_map(|name| message.get(name)?.as_array()).flatten();
    lists(message) + within.map(lists).sum::<usize>()
}

fn at_most(count: usize, most: usize, what: &str) -> Result<(), Refused> {
    if count <= most {
        return Ok(());
    }
    Err(Refused::new(format!(
        "The request has {count} {what}, and {most} are taken for a model of another provider: send \
         less of the conversation."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_counted_outside_of_texts() {
        let check = |body: String, expected: bool| {
            assert_eq!(check_bytes(body.as_bytes()).is_ok(), expected, "{}", body.len());
        };
        check(format!("[{}0]", "0,".repeat(VALUES_MAX - 1)), true);
        check(format!("[{}0]", "0,".repeat(VALUES_MAX)), false);
        check(format!("[\"\\\"{}\"]", "[,{".repeat(VALUES_MAX)), true);
    }

    #[test]
    fn messages_and_pieces_are_counted() {
        let many = vec![json!({}); MESSAGES_MAX + 1];
        let refused = check(&json!({"messages": many})).unwrap_err();
        assert!(refused.0.contains("100001 messages"), "{refused}");
        assert_eq!(check(&json!({"input": vec![json!({}); MESSAGES_MAX]})), Ok(()));
        let results = json!({"content": [{"content": many}]});
        let refused = check(&json!({"messages": [results]})).unwrap_err();
        assert!(refused.0.contains("100002 pieces"), "{refused}");
    }
}
