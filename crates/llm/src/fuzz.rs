//! What the fuzzer feeds (`.ci/fuzz`): parsers of bytes that providers, programs, servers of models and people
//! send, each with the rules that hold whatever the bytes are. Nothing of this is in what ships.

use crate::{
    answering::{self, WireFormat},
    ask::{Model as _, ModelEvent, ModelFailure, ModelRequest},
    catalogue::{local::SERVERS, overlay::Overlay},
    event_stream::{self, write},
    framing::Framing,
    refusal::Words,
    route::Models,
    sse,
    testing::{MemoryTransport, PreparedAnswer, model_info, request, user},
    usage::Tokens,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};
use toft_model::{
    event::Delta,
    message::{AssistantMessage, StopReason},
    provider::{Api, ModelInfo},
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// A name, and what reads the bytes.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub const TARGETS: &[Fuzzed] = &[
    ("server_sent_events", server_sent_events),
    ("amazon_event_stream", amazon_event_stream),
    ("answer_anthropic", |bytes| answer(bytes, "anthropic", Api::AnthropicMessages)),
    ("answer_openai_chat", |bytes| answer(bytes, "openai", Api::OpenaiCompletions)),
    ("answer_openai_responses", |bytes| answer(bytes, "openai", Api::OpenaiResponses)),
    ("answer_gemini", |bytes| answer(bytes, "google", Api::GoogleGenerativeAi)),
    ("answer_bedrock", |bytes| answer(bytes, "bedrock", Api::BedrockConverseStream)),
    ("request_anthropic", |bytes| asked(bytes, WireFormat::Anthropic)),
    ("request_openai_chat", |bytes| asked(bytes, WireFormat::OpenaiChat)),
    ("request_openai_responses", |bytes| asked(bytes, WireFormat::OpenaiResponses)),
    ("request_gemini", |bytes| asked(bytes, WireFormat::Gemini)),
    ("refusals", refusals),
    ("lists_of_models", lists_of_models),
    ("models_file", models_file),
];

/// Every format with a provider that speaks it.
const SPOKEN: [(&str, Api); 5] = [
    ("anthropic", Api::AnthropicMessages),
    ("openai", Api::OpenaiCompletions),
    ("openai", Api::OpenaiResponses),
    ("google", Api::GoogleGenerativeAi),
    ("bedrock", Api::BedrockConverseStream),
];

/// Bytes of an event at most: few, so that the limit is met.
const EVENT_BYTES_MAX: usize = 2_048;

/// The first byte says how large the pieces are in which the rest arrives.
fn size_and_rest(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first()?;
    Some((usize::from(*size).max(1), rest))
}

/// All events of bytes that arrive in such pieces, and whether they ended well.
fn split(mut framing: impl Framing, bytes: &[u8], size: usize) -> (Vec<(String, String)>, bool) {
    let mut events = Vec::new();
    for chunk in bytes.chunks(size) {
        framing.push(chunk);
        loop {
            match framing.next_event() {
                Ok(Some(event)) => {
                    events.push((event.name.into_owned(), event.data.into_owned()));
                }
                Ok(None) => break,
                Err(_) => return (events, false),
            }
        }
    }
    (events, true)
}

fn server_sent_events(bytes: &[u8]) {
    let Some((size, bytes)) = size_and_rest(bytes) else { return };
    let whole = split(sse::Splitter::with_limit(EVENT_BYTES_MAX), bytes, bytes.len().max(1));
    let cut = split(sse::Splitter::with_limit(EVENT_BYTES_MAX), bytes, size);
    assert_eq!(cut, whole, "cut by {size}");
}

fn amazon_event_stream(bytes: &[u8]) {
    let Some((size, bytes)) = size_and_rest(bytes) else { return };
    let check = |bytes: &[u8]| {
        let new = || event_stream::Splitter::with_limit(EVENT_BYTES_MAX);
        let whole = split(new(), bytes, bytes.len().max(1));
        assert_eq!(split(new(), bytes, size), whole, "cut by {size}");
    };
    check(bytes);
    // Nobody guesses a checksum: with right ones the headers are read.
    let head = size.min(bytes.len());
    check(&[write::framed(&bytes[..head], &bytes[head..]), write::framed(b"", b"{}")].concat());
}

struct Told {
    deltas: Vec<Delta>,
    message: AssistantMessage,
    failure: Option<ModelFailure>,
}

/// Asks a model that answers so.
fn ask(model: ModelInfo, answer: PreparedAnswer) -> Told {
    let asked = ModelRequest { model, ..request("anthropic", "x", vec![user("hi")]) };
    put(asked, MemoryTransport::new([answer]))
}

fn put(asked: ModelRequest, transport: Arc<MemoryTransport>) -> Told {
    thread_local! {
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().build().expect("there is room for one");
    }
    let mut stream = Models::new(transport).ask(asked, CancellationToken::new());
    let mut deltas = Vec::new();
    let told = async {
        loop {
            match stream.next().await {
                Some(ModelEvent::Delta(delta)) => deltas.push(delta),
                Some(ModelEvent::Sealed { .. }) => {}
                Some(ModelEvent::Done { message, failure }) => {
                    assert!(stream.next().await.is_none(), "the end is the end");
                    return Told { deltas, message, failure };
                }
                None => panic!("a stream without Done"),
            }
        }
    };
    RUNTIME.with(|runtime| runtime.block_on(told))
}

fn model(provider: &str, api: Api) -> ModelInfo {
    ModelInfo { api, ..model_info(provider, "claude-opus-4-6") }
}

/// A body in a wire format. Amazon's are written as lines, `EVENT {…}`, and framed here.
fn answer(bytes: &[u8], provider: &str, api: Api) {
    let Some((size, bytes)) = size_and_rest(bytes) else { return };
    let body = if api == Api::BedrockConverseStream { messages(bytes) } else { bytes.to_vec() };
    let chunks = body.chunks(size).map(Bytes::copy_from_slice).collect();
    let cut = PreparedAnswer { chunks, ..PreparedAnswer::stream("") };
    let whole = ask(model(provider, api), PreparedAnswer::stream(body));
    let cut = ask(model(provider, api), cut);
    assert_eq!((&cut.message, &cut.failure), (&whole.message, &whole.failure), "cut by {size}");
    assert_eq!(cut.deltas, whole.deltas, "cut by {size}");
    let failed = matches!(whole.message.stop_reason, StopReason::Error | StopReason::Aborted);
    assert_eq!(whole.failure.is_some(), failed, "they agree");
    assert!(!failed || whole.message.tool_calls().next().is_none(), "a half answer calls nothing");
    assert!(whole.message.tool_calls().all(|call| !call.name.is_empty() && !call.id.is_empty()));
    let ids: HashSet<&str> = whole.message.tool_calls().map(|call| call.id.as_str()).collect();
    assert_eq!(ids.len(), whole.message.tool_calls().count(), "no two calls have one id");
    assert!(whole.message.usage.total_tokens >= whole.message.usage.output);
}

fn messages(lines: &[u8]) -> Vec<u8> {
    let line = |line: &[u8]| {
        let end = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
        let (name, data) = line.split_at(end);
        let name = String::from_utf8_lossy(name);
        let (kind, word) = match name.strip_prefix('!') {
            Some(_) => ("exception", ":exception-type"),
            None => ("event", ":event-type"),
        };
        let name: String = name.trim_start_matches('!').chars().take(60).collect();
        write::message(&[(word, &name), (":message-type", kind)], data)
    };
    lines.split(|b| *b == b'\n').filter(|text| !text.is_empty()).flat_map(line).collect()
}

/// What a program asks for, read and asked of a model. The first byte: of which format that is, and whether
/// it is listed.
fn asked(bytes: &[u8], format: WireFormat) {
    let Some((first, body)) = bytes.split_first() else { return };
    let (provider, api) = SPOKEN[usize::from(first & 15) % SPOKEN.len()];
    match answering::read(format, body, model(provider, api), first >> 4 & 1 == 1) {
        Err(refused) => assert!(!refused.to_string().is_empty(), "it says why"),
        Ok(asked) => {
            assert!(!asked.request.messages.is_empty());
            let transport = MemoryTransport::new([]);
            put(asked.request, Arc::clone(&transport));
            for sent in transport.sent() {
                let body = serde_json::from_slice::<Value>(&sent.body);
                assert!(body.is_ok_and(|body| body.is_object()), "it is asked in JSON");
            }
        }
    }
}

/// An answer with a status that refuses, and what its words and counts say. The first byte: the format and
/// the status.
fn refusals(bytes: &[u8]) {
    const STATUSES: [u16; 16] =
        [200, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529];
    let Some((first, body)) = bytes.split_first() else { return };
    let status = STATUSES[usize::from(first >> 4)];
    let (provider, api) = SPOKEN[usize::from(first & 15) % SPOKEN.len()];
    let text = String::from_utf8_lossy(body);
    let told = ask(model(provider, api), PreparedAnswer::json(status, &text));
    let failure = told.failure.expect("it is a refusal");
    assert!(!failure.code.is_empty() && !failure.message.trim().is_empty());
    assert!(Words::of_body(body).message.chars().count() <= 1_001, "it is shortened");
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let mut tokens = Tokens::default();
    tokens.take(&value);
    let usage = tokens.usage();
    assert!(usage.total_tokens >= usage.output);
}

/// The first byte: whose list it is.
fn lists_of_models(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let server = &SERVERS[usize::from(*first) % SERVERS.len()];
    let Ok(models) = server.models(bytes) else { return };
    for mut info in models {
        assert!(info.context_window > 0 && info.max_tokens <= info.context_window);
        let _ = server.tell_more(&mut info, bytes);
        assert!(info.context_window > 0 && info.max_tokens > 0);
    }
}

fn models_file(bytes: &[u8]) {
    let Ok(overlay) = Overlay::read(&String::from_utf8_lossy(bytes)) else { return };
    for own in overlay.providers() {
        assert!(own.base_url.to_ascii_lowercase().starts_with("http"));
        let models = overlay.models(&own.id);
        assert!(models.iter().all(|info| info.max_tokens <= info.context_window));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}
