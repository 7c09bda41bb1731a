//! The beginning of a streamed answer: whether a first event comes, and is no failure. Until then nothing
//! has been sent to the program.

use super::{Body, call::Left, probe::own_words};
use http::{Response, header};
use http_body_util::BodyExt as _;
use memchr::memchr;
use serde_json::Value;
use std::collections::VecDeque;

/// Bytes that are kept back at most; a first event is a few hundred.
const BYTES_MAX: usize = 64 << 10;

/// The answer, begun. In the way of an error: why there is none, in the provider's words.
pub(super) async fn begun(response: Response<Body>, left: &Left) -> Result<Response<Body>, String> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let streams = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
    if !streams || response.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(response);
    }
    let (parts, mut body) = response.into_parts();
    let (mut first, mut seen) = (VecDeque::new(), Seen::default());
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                // Trailers end an answer, and no event stream has any.
                let Ok(data) = frame.into_data() else { break };
                let event = seen.feed(&data);
                first.push_back(data);
                match event {
                    Some(Event::Failure(words)) => {
                        left.failed();
                        return Err(words);
                    }
                    Some(Event::Other) => break,
                    None if seen.bytes > BYTES_MAX => break,
                    None => {}
                }
            }
            Some(Err(error)) => return Err(format!("the connection broke: {error}")),
            None if seen.bytes == 0 => return Err("the answer ended before it began".to_owned()),
            None => break,
        }
    }
    Ok(Response::from_parts(parts, Body::Begun(first, Box::new(body))))
}

/// What the first event is.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Failure(String),
    Other,
}

#[derive(Debug, Default)]
struct Seen {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    bytes: usize,
}

impl Seen {
    /// The first event, once it is whole. Signs of life are none.
    fn feed(&mut self, mut bytes: &[u8]) -> Option<Event> {
        self.bytes += bytes.len();
        while let Some(at) = memchr(b'\n', bytes) {
            self.line.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at + 1..];
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if let Some(name) = line.strip_prefix(b"event:") {
                self.name = name.trim_ascii().to_vec();
            } else if let Some(data) = line.strip_prefix(b"data:") {
                self.data.extend_from_slice(data);
            } else if line.is_empty() {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if !data.is_empty() && name != b"ping" {
                    return Some(event(&name, &data));
                }
            }
        }
        self.line.extend_from_slice(bytes);
        None
    }
}

fn event(name: &[u8], data: &[u8]) -> Event {
    let value = serde_json::from_slice::<Value>(data).unwrap_or_default();
    let fails = name == b"error" || value.get("error").is_some_and(|error| !error.is_null());
    if fails { Event::Failure(own_words(data)) } else { Event::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &str, expected: Option<&Event>) {
        for cut in [1, 7, 1_000] {
            let mut seen = Seen::default();
            let got = stream.as_bytes().chunks(cut).find_map(|chunk| seen.feed(chunk));
            assert_eq!(got.as_ref(), expected, "{stream} {cut}");
        }
    }

    #[test]
    fn a_failure_in_place_of_an_answer_is_seen_in_every_format() {
        let fails = |words: &str| Event::Failure(words.to_owned());
        check(
            "event: error\r\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\
             \"message\":\"Overloaded\"}}\r\n\r\n",
            Some(&fails("Overloaded")),
        );
        check(
            ": waiting\n\ndata: {\"error\":{\"message\":\"no\",\"code\":502}}\n\n",
            Some(&fails("no")),
        );
        check(
            "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: error\ndata: {\"message\":\"x\"}\n\n",
            Some(&fails("x")),
        );
        check("data: {\"choices\":[],\"error\":null}\n\n", Some(&Event::Other));
        check(
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: error\ndata: {}\n\n",
            Some(&Event::Other),
        );
        check("data: [DONE]\n\n", Some(&Event::Other));
        check(": waiting\n\nevent: ping\ndata: {}\n\ndata: {", None);
    }
}
