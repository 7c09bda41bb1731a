//! An answer on its way: event stream (of lines, or Amazon's of frames) or JSON, in chunks cut anywhere. Only
//! what can hold usage (or the model's name) is parsed at all.

use super::name::model;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::{memchr2, memmem};
use serde_json::Value;
use std::slice;
use toft_llm::{
    event_stream::Splitter,
    framing::{Event, Framing as _},
    usage::Tokens,
};

/// Longest event line that is looked into. Usage stands in short ones; a tool call of 2 MB in one
/// line is passed over.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Longest JSON answer that is looked into: images in base64 included, held once per call.
const JSON_BYTES_MAX: usize = 4 << 20;

/// Collects what an answer says of itself.
#[derive(Debug)]
pub(crate) struct Answer {
    form: Form,
    pub(crate) tokens: Tokens,
    pub(crate) model: Option<String>,
    /// The format's own end mark has come: who goes away now has all of it.
    pub(crate) whole: bool,
    told: Told,
}

/// How far Anthropic's counts have come. Those that it begins a stream with hold one token of output;
/// all of them come shortly before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Unsaid,
    First,
    Last,
}

#[derive(Debug)]
enum Form {
    Events { line: Vec<u8>, skipping: bool },
    Json { whole: Vec<u8> },
    Frames(Splitter),
    Opaque,
}

impl Answer {
    /// By the answer's content type.
    pub(crate) fn new(content_type: Option<&str>) -> Self {
        let essence = content_type.and_then(|t| t.split(';').next()).unwrap_or("").trim();
        let form = if essence.eq_ignore_ascii_case("text/event-stream") {
            Form::Events { line: Vec::new(), skipping: false }
        } else if essence.eq_ignore_ascii_case("application/json") {
            Form::Json { whole: Vec::new() }
        } else if essence.eq_ignore_ascii_case("application/vnd.amazon.eventstream") {
            Form::Frames(Splitter::with_limit(LINE_BYTES_MAX))
        } else {
            Form::Opaque
        };
        Self { form, tokens: Tokens::default(), model: None, whole: false, told: Told::Unsaid }
    }

    /// The next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        match &mut self.form {
            Form::Opaque => {}
            Form::Json { whole } if whole.len() + bytes.len() > JSON_BYTES_MAX => {
                self.form = Form::Opaque;
            }
            Form::Json { whole } => whole.extend_from_slice(bytes),
            Form::Events { line, skipping } => {
                // A line ends with CR, LF or both; an empty line in between means nothing here.
                while let Some(at) = memchr2(b'\n', b'\r', bytes) {
                    let (head, rest) = (&bytes[..at], &bytes[at + 1..]);
                    if !std::mem::take(skipping) {
                        if !line.is_empty() {
                            line.extend_from_slice(head);
                        }
                        let seen = if line.is_empty() { head } else { &line[..] };
                        self.whole |= is_end(seen);
                        if let Some(data) = seen.strip_prefix(b"data:") {
                            look(data, &mut self.tokens, &mut self.model, &mut self.told);
                        }
                    }
                    line.clear();
                    bytes = rest;
                }
                if *skipping || line.len() + bytes.len() > LINE_BYTES_MAX {
                    *skipping = true;
                    *line = Vec::new();
                } else {
                    line.extend_from_slice(bytes);
                }
            }
            Form::Frames(frames) => {
                frames.push(bytes);
                loop {
                    match frames.next_event() {
                        Ok(Some(event)) => {
                            self.whole |=
                                frame(&event, &mut self.tokens, &mut self.model, &mut self.told);
                        }
                        Ok(None) => return,
                        // Nothing more can be told apart in it.
                        Err(_) => break,
                    }
                }
                self.form = Form::Opaque;
            }
        }
    }

    /// Whether its counts are those of all of it. `complete`: its body came to its end.
    pub(crate) fn is_counted(&self, complete: bool) -> bool {
        self.whole || self.told == Told::Last || (complete && self.told != Told::First)
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) {
        match std::mem::replace(&mut self.form, Form::Opaque) {
            Form::Json { whole } => {
                if let Ok(answer) = serde_json::from_slice::<Value>(&whole) {
                    // Google's streams may be one array of pieces.
                    let pieces = answer.as_array().map_or(slice::from_ref(&answer), Vec::as_slice);
                    for piece in pieces {
                        self.tokens.take(piece);
                        self.model = model(piece).or(self.model.take());
                    }
                    self.whole = true;
                }
            }
            // A last line without its end is no event.
            Form::Events { .. } | Form::Frames(_) | Form::Opaque => {}
        }
    }
}

/// What OpenAI's responses end with, one of them.
const RESPONSE_ENDS: [&[u8]; 3] =
    [b"\"response.completed\"", b"\"response.incomplete\"", b"\"response.failed\""];

/// Anthropic's and OpenAI's marks. Gemini has none: its stream ends with its body.
fn is_end(line: &[u8]) -> bool {
    if let Some(data) = line.strip_prefix(b"data:") {
        // What a response reports stands in the line that ends it.
        return data.trim_ascii() == b"[DONE]"
            || RESPONSE_ENDS.iter().any(|end| memmem::find(data, end).is_some());
    }
    line.strip_prefix(b"event:").is_some_and(|name| name.trim_ascii() == b"message_stop")
}

/// One event of Amazon's; whether it is the last. Usage comes at the end of a conversation's; those of
/// its makers' own formats are within, and what they cost stands in the last of them.
fn frame(
    event: &Event<'_>,
    tokens: &mut Tokens,
    name: &mut Option<String>,
    told: &mut Told,
) -> bool {
    match &*event.name {
        "metadata" => {
            look(event.data.as_bytes(), tokens, name, told);
            true
        }
        "chunk" => {
            let within = serde_json::from_str::<Value>(&event.data).unwrap_or_default();
            let within = within["bytes"].as_str().and_then(|text| STANDARD.decode(text).ok());
            let Some(within) = within else { return false };
            look(&within, tokens, name, told);
            let Ok(within) = serde_json::from_slice::<Value>(&within) else { return false };
            let counts = &within["amazon-bedrock-invocationMetrics"];
            let count = |key: &str| counts[key].as_u64();
            tokens.input = count("inputTokenCount").or(tokens.input);
            tokens.output = count("outputTokenCount").or(tokens.output);
            counts.is_object()
        }
        _ => false,
    }
}

/// The data of one event.
fn look(data: &[u8], tokens: &mut Tokens, name: &mut Option<String>, told: &mut Told) {
    let has_usage = memmem::find(data, b"\"usage").is_some();
    let names_model = name.is_none() && memmem::find(data, b"\"model").is_some();
    if !(has_usage || names_model) {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return };
    tokens.take(&event);
    match event["type"].as_str() {
        Some("message_start") => *told = Told::First,
        Some("message_delta") if event["usage"]["output_tokens"].is_u64() => *told = Told::Last,
        _ => {}
    }
    if name.is_none() {
        *name = model(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::framed;
    use proptest::prelude::*;

    const STREAM: &str = "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":\
        {\"model\":\"claude-x\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\r\n\r\n\
        : ping\n\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\\"usage\\\": é\"}}\n\n\
        data:{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\r\rdata: [DONE]\n\n";

    fn whole(content_type: &str, chunks: &[&[u8]]) -> (Tokens, Option<String>) {
        let mut answer = Answer::new(Some(content_type));
        for chunk in chunks {
            answer.feed(chunk);
        }
        answer.finish();
        (answer.tokens, answer.model)
    }

    fn seen(input: u64, output: u64) -> Tokens {
        Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
    }

    proptest! {
        #[test]
        fn a_stream_cut_anywhere_reports_the_same(cut in 1usize..40) {
            let chunks: Vec<&[u8]> = STREAM.as_bytes().chunks(cut).collect();
            let got = whole("text/event-stream; charset=utf-8", &chunks);
            prop_assert_eq!(got, (seen(7, 9), Some("claude-x".to_owned())));
        }

        #[test]
        fn no_bytes_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            whole("text/event-stream", &chunks);
            whole("application/json", &chunks);
            whole("application/vnd.amazon.eventstream", &chunks);
        }
    }

    #[test]
    fn amazons_frames_report_what_they_hold_wherever_they_are_cut() {
        let of = |frames: &[Vec<u8>], cut: usize| {
            let mut answer = Answer::new(Some("application/vnd.amazon.eventstream"));
            frames.concat().chunks(cut).for_each(|chunk| answer.feed(chunk));
            answer.finish();
            (answer.tokens, answer.whole)
        };
        let delta =
            framed("contentBlockDelta", r#"{"delta":{"text":"\"usage\":{\"inputTokens\":9}"}}"#);
        let end = framed(
            "metadata",
            r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":7,"outputTokens":9,"totalTokens":21,
                "cacheReadInputTokens":5,"cacheWriteInputTokens":0}}"#,
        );
        let counted = Tokens { cache_read: Some(5), cache_write: Some(0), ..seen(7, 9) };
        let within =
            |text: &str| framed("chunk", &format!(r#"{{"bytes":"{}"}}"#, STANDARD.encode(text)));
        let chunks = [
            within(
                r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#,
            ),
            within(
                r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":8,"outputTokenCount":9}}"#,
            ),
        ];
        for cut in [1, 7, 10_000] {
            assert_eq!(of(&[delta.clone(), end.clone()], cut), (counted, true));
            assert_eq!(of(std::slice::from_ref(&delta), cut), (Tokens::default(), false));
            assert_eq!(of(&chunks, cut), (seen(8, 9), true));
        }
        let mut broken = end.clone();
        broken[20] ^= 1;
        assert_eq!(of(&[broken, end], 5), (Tokens::default(), false));
    }

    #[test]
    fn the_end_marks_are_seen_and_words_about_them_are_not() {
        let check = |stream: &str, want: bool| {
            let mut answer = Answer::new(Some("text/event-stream"));
            stream.as_bytes().chunks(7).for_each(|chunk| answer.feed(chunk));
            assert_eq!(answer.whole, want, "{stream}");
        };
        check(STREAM, true);
        check("event: message_stop\ndata: {\"type\":\"message_stop\"}\n", true);
        check("data: {\"type\":\"response.completed\",\"response\":{}}\n", true);
        check("data: {\"type\":\"response.incomplete\",\"response\":{}}\n", true);
        check("data: {\"type\":\"response.failed\",\"response\":{}}\n", true);
        check("data: {\"delta\":{\"text\":\"data: [DONE]\"}}\n", false);
        check("data: {\"delta\":\"\\\"response.completed\\\"\"}\n", false);
        check("event: message_start\ndata: {}\n", false);
        check("data: [DONE]", false);
    }

    #[test]
    fn counts_are_of_all_of_it_when_they_came_last() {
        let start = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,\
            \"output_tokens\":1}}}\n\n";
        let delta = "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n";
        let check = |stream: &str, want: [bool; 2]| {
            let mut answer = Answer::new(Some("text/event-stream"));
            answer.feed(stream.as_bytes());
            answer.finish();
            assert_eq!([true, false].map(|all| answer.is_counted(all)), want, "{stream}");
        };
        check(start, [false, false]);
        check(&format!("{start}{delta}"), [true, true]);
        check("data: {\"usageMetadata\":{\"promptTokenCount\":9}}\n", [true, false]);
        check("data: [DONE]\n", [true, true]);
        let mut json = Answer::new(Some("application/json"));
        json.feed(b"{\"usage\":{}");
        assert!(!json.is_counted(false), "cut");
        json.feed(b"}");
        json.finish();
        assert!(json.is_counted(false));
    }

    #[test]
    fn a_json_answer_is_understood_at_its_end() {
        let body = br#"{"model":"gpt-x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        let got = whole("application/json", &[&body[..20], &body[20..]]);
        assert_eq!(got, (seen(3, 4), Some("gpt-x".into())));
    }

    #[test]
    fn an_answer_that_is_an_array_of_pieces_is_understood() {
        let body = br#"[{"modelVersion":"g","usageMetadata":{"promptTokenCount":9}},
            {"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4}}]"#;
        assert_eq!(whole("application/json", &[body]), (seen(9, 4), Some("g".into())));
    }

    #[test]
    fn a_monstrous_line_is_passed_over_and_the_next_one_read() {
        let monster = vec![b'x'; LINE_BYTES_MAX];
        let end = b"\"}\ndata: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n";
        let got = whole("text/event-stream", &[b"data: {\"a\":\"", &monster, &monster, end]);
        assert_eq!(got, (seen(1, 2), None));
        let big = vec![b' '; JSON_BYTES_MAX];
        let json = br#"{"usage":{"prompt_tokens":1}}"#;
        assert_eq!(whole("application/json", &[&big, json]).0, Tokens::default());
    }

    #[test]
    fn what_is_of_another_type_is_left_alone() {
        assert_eq!(whole("audio/mpeg", &[b"data: {\"usage\":{}}\n"]).0, Tokens::default());
    }
}
