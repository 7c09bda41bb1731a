//! What is sent and what is read, on real shapes of the format.

use super::in_path;
use crate::{
    ask::{
        Model as _, ModelEvent, ModelFailure, ModelRequest, Options, Output, ThinkingLevel,
        ToolChoice,
    },
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, assistant, call, request, result, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use toft_model::{
    message::{AssistantMessage, Block, Message, StopReason},
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

async fn read(chunks: &[Value]) -> (AssistantMessage, Option<ModelFailure>) {
    let frames: Vec<String> = chunks.iter().map(|c| format!("data: {c}\r\n\r\n")).collect();
    let body = frames.concat();
    let transport = MemoryTransport::new([PreparedAnswer::stream(body)]);
    let asked = request("google", "gemini-3.5-flash", vec![user("hi")]);
    let events: Vec<ModelEvent> =
        Models::new(transport).ask(asked, CancellationToken::new()).collect().await;
    match events.into_iter().last() {
        Some(ModelEvent::Done { message, failure }) => (message, failure),
        other => panic!("{other:?}"),
    }
}

async fn sent(asked: ModelRequest) -> (String, Value) {
    let transport = MemoryTransport::new([PreparedAnswer::stream("")]);
    let mut events = Models::new(transport.clone()).ask(asked, CancellationToken::new());
    while events.next().await.is_some() {}
    let request = transport.sent().remove(0);
    (request.path, serde_json::from_slice(&request.body).unwrap())
}

fn chunk(parts: &Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 20}, "modelVersion": "gemini-3.5-flash"})
}

fn signed(thinking: &str, signature: &str) -> Block {
    Block::Thinking {
        thinking: thinking.into(),
        thinking_signature: Some(signature.into()),
        redacted: false,
    }
}

/// Two calls of which the first one is signed, and at last an empty part with a signature.
fn answer() -> Vec<Value> {
    vec![
        chunk(&json!([{"text": "I look", "thought": true}])),
        chunk(&json!([{"text": " around.", "thought": true}])),
        chunk(&json!([{"text": "Let me"}, {"text": " see."}])),
        chunk(&json!([
            {"functionCall": {"name": "ls", "args": {"path": "/"}}, "thoughtSignature": "c2lnMQ=="},
            {"functionCall": {"name": "ls", "args": {}}}])),
        chunk(&json!([{"text": "", "thoughtSignature": "c2lnMg=="}])),
        json!({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": {
            "promptTokenCount": 20, "cachedContentTokenCount": 5, "candidatesTokenCount": 9,
            "thoughtsTokenCount": 3, "totalTokenCount": 32}}),
    ]
}

#[tokio::test]
async fn thoughts_words_calls_and_signatures_are_read() {
    let (message, failure) = read(&answer()).await;
    assert_eq!(failure, None);
    assert_eq!(
        message.content,
        [
            Block::Thinking {
                thinking: "I look around.".into(),
                thinking_signature: None,
                redacted: false,
            },
            Block::text("Let me see."),
            signed("", "c2lnMQ=="),
            call("call_1", "ls", r#"{"path":"/"}"#),
            call("call_2", "ls", "{}"),
            signed("", "c2lnMg=="),
        ]
    );
    assert_eq!(message.stop_reason, StopReason::ToolUse);
    assert_eq!((message.usage.input, message.usage.cache_read, message.usage.output), (15, 5, 12));
}

#[tokio::test]
async fn each_signature_goes_back_on_the_part_that_it_came_with() {
    let (said, _) = read(&answer()).await;
    let history =
        vec![user("hi"), Message::Assistant(said), result("call_1", "a"), result("call_2", "b")];
    let mut asked = request("google", "gemini-3.5-flash", history);
    asked.thinking = ThinkingLevel::Low;
    asked.tools = vec![ToolSpec {
        name: "ls".into(),
        description: "List.".into(),
        parameters: json!({"type": "object"}),
    }];
    asked.options = Options {
        top_p: Some(0.5),
        stop: vec!["END".into()],
        tool_choice: ToolChoice::Tool("ls".into()),
        output: Output::Json,
        ..Options::default()
    };
    let (path, body) = sent(asked).await;
    let path_wanted = "/llm/google/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse";
    assert_eq!(path, path_wanted);
    let response = |id: &str, text: &str| json!({"functionResponse": {"id": id, "name": "ls", "response": {"output": text}}});
    assert_eq!(
        body,
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [
                    {"text": "Let me see."},
                    {"functionCall": {"id": "call_1", "name": "ls", "args": {"path": "/"}}, "thoughtSignature": "c2lnMQ=="},
                    {"functionCall": {"id": "call_2", "name": "ls", "args": {}}},
                    {"text": "", "thoughtSignature": "c2lnMg=="}]},
                {"role": "user", "parts": [response("call_1", "a"), response("call_2", "b")]}
            ],
            "systemInstruction": {"parts": [{"text": "You are an agent."}]},
            "tools": [{"functionDeclarations": [{"name": "ls", "description": "List.",
                "parametersJsonSchema": {"type": "object"}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["ls"]}},
            "generationConfig": {"maxOutputTokens": 32_000, "topP": 0.5, "stopSequences": ["END"],
                "responseMimeType": "application/json",
                "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "low"}}
        })
    );
}

#[tokio::test]
async fn a_call_that_another_model_made_says_that_it_has_no_signature() {
    let history = || {
        vec![
            user("hi"),
            assistant(vec![call("a", "ls", "{}"), call("b", "ls", "{}")]),
            result("a", "x"),
            result("b", "y"),
        ]
    };
    for (model, expected) in [
        ("gemini-3-pro-preview", json!("skip_thought_signature_validator")),
        ("gemini-3.5-flash", json!("skip_thought_signature_validator")),
        ("gemini-2.5-pro", Value::Null),
    ] {
        let (_, body) = sent(request("google", model, history())).await;
        let parts = &body["contents"][1]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], expected, "{model}");
        // Only the first of a message has to have one.
        assert_eq!(parts[1]["thoughtSignature"], Value::Null, "{model}");
    }
}

#[tokio::test]
async fn thinking_is_asked_for_as_each_model_knows_it() {
    use ThinkingLevel::{High, Medium, Minimal, Off};
    for (model, level, expected) in [
        ("gemini-2.5-flash", Off, json!({"includeThoughts": false, "thinkingBudget": 0})),
        ("gemini-2.5-pro", Off, json!({"includeThoughts": false, "thinkingBudget": 128})),
        ("gemini-2.5-pro", High, json!({"includeThoughts": true, "thinkingBudget": 16_384})),
        ("gemini-3-pro-preview", Medium, json!({"includeThoughts": true, "thinkingLevel": "high"})),
        ("gemini-3.5-flash", Minimal, json!({"includeThoughts": true, "thinkingLevel": "minimal"})),
    ] {
        let mut asked = request("google", model, vec![user("hi")]);
        asked.thinking = level;
        let (_, body) = sent(asked).await;
        assert_eq!(body["generationConfig"]["thinkingConfig"], expected, "{model} {level:?}");
    }
}

#[tokio::test]
async fn what_was_not_answered_is_a_failure_with_its_reason() {
    let end = |why: &str| json!({"candidates": [{"finishReason": why}]});
    for (chunks, part) in [
        (vec![json!({"promptFeedback": {"blockReason": "SAFETY"}})], "SAFETY"),
        (vec![chunk(&json!([{"text": "a"}])), end("RECITATION")], "RECITATION"),
        (vec![end("MALFORMED_FUNCTION_CALL")], "MALFORMED_FUNCTION_CALL"),
        (vec![end("TOO_MANY_TOOL_CALLS")], "TOO_MANY_TOOL_CALLS"),
        (vec![end("MALFORMED_RESPONSE")], "MALFORMED_RESPONSE"),
        (vec![end("MISSING_THOUGHT_SIGNATURE")], "MISSING_THOUGHT_SIGNATURE"),
        (vec![end("MODEL_ARMOR")], "MODEL_ARMOR"),
    ] {
        let (_, failure) = read(&chunks).await;
        let failure = failure.unwrap();
        assert_eq!(failure.code, "provider_error");
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert_eq!(read(&[end("MAX_TOKENS")]).await.0.stop_reason, StopReason::Length);
}

#[test]
fn a_name_cannot_leave_its_place_in_a_path() {
    assert_eq!(in_path("gemini-2.5-pro").unwrap(), "gemini-2.5-pro");
    assert_eq!(in_path("a/b?c#d%é").unwrap(), "a/b%3Fc%23d%25%C3%A9");
    assert_eq!(in_path("a..b/...").unwrap(), "a..b/...");
    for bad in ["", ".", "..", "../x", "x/..", "a/./b", "a//b", "/a", "a/", "a\tb", ".\n./b"] {
        assert_eq!(in_path(bad), None, "{bad:?}");
    }
}
