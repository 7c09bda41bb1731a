//! The Converse format in both directions. What every format must withstand is in `hazards`.

use crate::{
    ask::{Model as _, ModelEvent, ModelFailure, ModelRequest, Retry, ThinkingLevel, ToolChoice},
    event_stream::write,
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, assistant, call, request, result, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use toft_model::{
    event::Delta,
    message::{AssistantMessage, Block, Message, StopReason, UserContent, UserMessage},
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// A body of events.
fn body(events: &[(&str, Value)]) -> Vec<u8> {
    let message = |(name, data): &(&str, Value)| {
        let headers = [
            (":event-type", *name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        write::message(&headers, data.to_string().as_bytes())
    };
    events.iter().flat_map(message).collect()
}

fn answer(events: &[(&str, Value)]) -> PreparedAnswer {
    PreparedAnswer::stream(body(events))
        .header("content-type", "application/vnd.amazon.eventstream")
}

async fn ask(
    request: ModelRequest,
    answer: PreparedAnswer,
) -> (Vec<Delta>, AssistantMessage, Option<ModelFailure>) {
    let model = Models::new(MemoryTransport::new([answer]));
    let mut stream = model.ask(request, CancellationToken::new());
    let mut deltas = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            ModelEvent::Delta(delta) => deltas.push(delta),
            ModelEvent::Sealed { .. } => {}
            ModelEvent::Done { message, failure } => return (deltas, message, failure),
        }
    }
    panic!("the stream ended without Done");
}

/// Path and body that a request is written as.
async fn sent(request: ModelRequest) -> (String, Value) {
    let transport = MemoryTransport::new([answer(&[])]);
    let mut stream = Models::new(transport.clone()).ask(request, CancellationToken::new());
    while stream.next().await.is_some() {}
    let sent = &transport.sent()[0];
    (sent.path.clone(), serde_json::from_slice(&sent.body).unwrap())
}

/// In the shape that the API's documentation shows; `p` pads events against their length being seen.
fn thinks() -> Vec<(&'static str, Value)> {
    let delta = |at: usize, delta: Value| {
        ("contentBlockDelta", json!({"contentBlockIndex": at, "delta": delta, "p": "abcdef"}))
    };
    let stop = |at: usize| ("contentBlockStop", json!({"contentBlockIndex": at, "p": "ab"}));
    let tool = json!({"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather"}});
    vec![
        ("messageStart", json!({"role": "assistant", "p": "abcd"})),
        delta(0, json!({"reasoningContent": {"text": "The weather"}})),
        delta(0, json!({"reasoningContent": {"text": "…"}})),
        delta(0, json!({"reasoningContent": {"signature": "EqQB"}})),
        delta(0, json!({"reasoningContent": {"signature": "CgKd"}})),
        stop(0),
        delta(1, json!({"text": "Okay"})),
        delta(1, json!({"text": ", let's check \"it\"."})),
        stop(1),
        ("contentBlockStart", json!({"contentBlockIndex": 2, "start": tool, "p": "a"})),
        delta(2, json!({"toolUse": {"input": ""}})),
        delta(2, json!({"toolUse": {"input": "{\"location\": \"San"}})),
        delta(2, json!({"toolUse": {"input": " Francisco\"}"}})),
        stop(2),
        ("messageStop", json!({"stopReason": "tool_use", "p": "abc"})),
        (
            "metadata",
            json!({"metrics": {"latencyMs": 1_200}, "usage": {"inputTokens": 472, "outputTokens": 89,
                "totalTokens": 2_661, "cacheReadInputTokens": 2_000, "cacheWriteInputTokens": 100}}),
        ),
    ]
}

#[tokio::test]
async fn a_stream_becomes_deltas_and_a_message() {
    let asked = request("bedrock", CLAUDE, vec![user("hi")]);
    let (deltas, message, failure) = ask(asked, answer(&thinks())).await;
    assert_eq!(failure, None);
    assert_eq!(message.stop_reason, StopReason::ToolUse);
    assert_eq!((&*message.provider, &*message.api), ("bedrock", "bedrock-converse-stream"));
    assert_eq!(
        serde_json::to_value(&message.content).unwrap(),
        json!([
            {"type": "thinking", "thinking": "The weather…", "thinkingSignature": "EqQBCgKd"},
            {"type": "text", "text": "Okay, let's check \"it\"."},
            {"type": "toolCall", "id": "tooluse_1", "name": "get_weather",
             "arguments": {"location": "San Francisco"}}
        ])
    );
    let usage = &message.usage;
    assert_eq!(
        [usage.input, usage.output, usage.cache_read, usage.cache_write, usage.total_tokens],
        [472, 89, 2_000, 100, 2_661]
    );
    let cost = usage.cost.as_ref().unwrap().total;
    assert!(
        (cost - (472.0 * 3.0 + 89.0 * 15.0 + 2_000.0 * 0.3 + 100.0 * 3.75) / 1e6).abs() < 1e-12
    );
    let kinds: Vec<String> = deltas
        .iter()
        .map(|d| serde_json::to_value(d).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    let expected = "thinking_start thinking_delta thinking_delta thinking_end text_start text_delta \
         text_delta text_end toolcall_start toolcall_delta toolcall_delta toolcall_end";
    assert_eq!(kinds.join(" "), expected);
}

#[tokio::test]
async fn hidden_thinking_comes_in_pieces_and_goes_back_as_one() {
    let hidden = |data: &str| {
        let delta = json!({"reasoningContent": {"redactedContent": data}});
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": delta}))
    };
    // "one two " and "three", each padded.
    let pieces = [hidden("b25lIHR3byA="), hidden("dGhyZWU=")];
    let text = ("contentBlockDelta", json!({"contentBlockIndex": 1, "delta": {"text": "Hello."}}));
    let stop = ("messageStop", json!({"stopReason": "end_turn"}));
    for closed in [true, false] {
        let mut events = pieces.to_vec();
        events.extend(closed.then(|| ("contentBlockStop", json!({"contentBlockIndex": 0}))));
        events.extend([text.clone(), stop.clone()]);
        let asked = request("bedrock", CLAUDE, vec![user("hi")]);
        // Without `metadata` it is whole when the body ends.
        let (_, message, failure) = ask(asked, answer(&events)).await;
        assert_eq!(failure, None);
        let thought = Block::Thinking {
            thinking: String::new(),
            thinking_signature: Some("b25lIHR3byB0aHJlZQ==".into()),
            redacted: true,
        };
        assert_eq!(message.content, [thought, Block::text("Hello.")], "closed: {closed}");
        let messages = vec![user("hi"), Message::Assistant(message), user("go on")];
        let (_, body) = sent(request("bedrock", CLAUDE, messages)).await;
        assert_eq!(
            body["messages"][1]["content"][0],
            json!({"reasoningContent": {"redactedContent": "b25lIHR3byB0aHJlZQ=="}})
        );
    }
}

#[tokio::test]
async fn stop_reasons_are_told_apart() {
    for (reason, expected, code) in [
        ("end_turn", StopReason::Stop, None),
        ("stop_sequence", StopReason::Stop, None),
        ("max_tokens", StopReason::Length, None),
        ("model_context_window_exceeded", StopReason::Length, None),
        ("something_new", StopReason::Stop, None),
        ("guardrail_intervened", StopReason::Error, Some("provider_error")),
        ("content_filtered", StopReason::Error, Some("provider_error")),
        ("malformed_tool_use", StopReason::Error, Some("provider_error")),
        ("refusal", StopReason::Error, Some("provider_error")),
    ] {
        let events = [
            ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "hi"}})),
            ("messageStop", json!({"stopReason": reason})),
            ("metadata", json!({"usage": {}})),
        ];
        let asked = request("bedrock", CLAUDE, vec![user("hi")]);
        let (_, message, failure) = ask(asked, answer(&events)).await;
        assert_eq!(message.stop_reason, expected, "{reason}");
        assert_eq!(failure.map(|f| f.code).as_deref(), code, "{reason}");
        assert_eq!(message.content, [Block::text("hi")], "{reason}");
    }
}

#[tokio::test]
async fn exceptions_in_a_stream_have_our_codes() {
    for (exception, words, code, retry) in [
        ("throttlingException", "Too many tokens", "rate_limited", Retry::Backoff),
        ("modelStreamErrorException", "it broke", "provider_error", Retry::Backoff),
        ("internalServerException", "oh", "provider_error", Retry::Backoff),
        ("serviceUnavailableException", "busy", "overloaded", Retry::Backoff),
        ("validationException", "temperature", "invalid_request", Retry::Never),
        (
            "validationException",
            "Input is too long for requested model.",
            "context_overflow",
            Retry::Never,
        ),
        ("somethingNewException", "what", "provider_error", Retry::Backoff),
    ] {
        let headers = [
            (":exception-type", exception),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ];
        let said = json!({"message": words, "originalStatusCode": 500}).to_string();
        let stream = PreparedAnswer::stream(write::message(&headers, said.as_bytes()));
        let asked = request("bedrock", CLAUDE, vec![user("hi")]);
        let failure = ask(asked, stream).await.2.unwrap();
        assert_eq!((&*failure.code, failure.retry), (code, retry), "{exception}");
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    // An error of the framing has its words in a header, and may have none.
    for (words, part) in [("it is over", "it is over"), ("", "InternalError")] {
        let headers = [
            (":message-type", "error"),
            (":error-code", "InternalError"),
            (":error-message", words),
        ];
        let stream = PreparedAnswer::stream(write::message(&headers, b""));
        let asked = request("bedrock", CLAUDE, vec![user("hi")]);
        let failure = ask(asked, stream).await.2.unwrap();
        assert_eq!(failure.code, "provider_error");
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

#[tokio::test]
async fn refusals_are_known_by_the_name_in_their_header() {
    for (status, name, body, code) in [
        (424, "ModelErrorException:http://internal/", "{\"message\":\"x\"}", "provider_error"),
        (403, "UnrecognizedClientException", "{\"Message\":\"bad token\"}", "provider_refused_key"),
        (400, "ValidationException", "{\"message\":\"x\"}", "invalid_request"),
        (429, "ModelNotReadyException", "{\"message\":\"x\"}", "rate_limited"),
        (418, "com.amazon#ResourceNotFoundException", "{}", "unknown_model"),
    ] {
        let refusal = PreparedAnswer::json(status, body).header("x-amzn-errortype", name);
        let failure = ask(request("bedrock", CLAUDE, vec![user("hi")]), refusal).await.2.unwrap();
        assert_eq!(failure.code, code, "{name}: {}", failure.message);
    }
    let refusal = PreparedAnswer::json(403, "{\"Message\":\"The security token is invalid.\"}");
    let failure = ask(request("bedrock", CLAUDE, vec![user("hi")]), refusal).await.2.unwrap();
    assert!(failure.message.contains("The security token is invalid."), "{}", failure.message);
}

fn ls() -> ToolSpec {
    ToolSpec {
        name: "ls".into(),
        description: "List.".into(),
        parameters: json!({"type": "object"}),
    }
}

fn own(blocks: Vec<Block>) -> Message {
    said_by(CLAUDE, blocks)
}

fn said_by(model: &str, blocks: Vec<Block>) -> Message {
    let Message::Assistant(mut m) = assistant(blocks) else { unreachable!() };
    model.clone_into(&mut m.model);
    "bedrock".clone_into(&mut m.provider);
    "bedrock-converse-stream".clone_into(&mut m.api);
    Message::Assistant(m)
}

fn thought(signature: Option<&str>) -> Block {
    Block::Thinking {
        thinking: "hm".into(),
        thinking_signature: signature.map(str::to_owned),
        redacted: false,
    }
}

#[tokio::test]
async fn a_request_says_everything_in_the_formats_words() {
    let picture = Message::User(UserMessage {
        content: UserContent::Blocks(vec![
            Block::text("see"),
            Block::Image { data: "aGk=".into(), mime_type: "image/png".into() },
        ]),
        timestamp: 1,
    });
    let called = own(vec![
        thought(Some("sig")),
        Block::text("I look."),
        call("tooluse_1", "ls", r#"{"path":"."}"#),
        call("functions.ls:1", "l s", "{}"),
    ]);
    let messages = vec![picture, called, result("tooluse_1", "a\nb"), user("and now?")];
    let mut asked = request("bedrock", CLAUDE, messages);
    asked.thinking = ThinkingLevel::Medium;
    asked.tools = vec![ls()];
    asked.options.temperature = Some(1.0);
    asked.options.top_p = Some(0.95);
    asked.options.stop = vec!["END".into()];
    asked.options.tool_choice = ToolChoice::Required;
    let (path, got) = sent(asked).await;
    assert_eq!(
        path,
        "/llm/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
    );
    let other_id = got["messages"][1]["content"][3]["toolUse"]["toolUseId"].clone();
    let point = json!({"cachePoint": {"type": "default"}});
    assert_eq!(
        got,
        json!({
            "messages": [
                {"role": "user", "content": [
                    {"text": "see"},
                    {"image": {"format": "png", "source": {"bytes": "aGk="}}}
                ]},
                {"role": "assistant", "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                    {"text": "I look."},
                    {"toolUse": {"toolUseId": "tooluse_1", "name": "ls", "input": {"path": "."}}},
                    {"toolUse": {"toolUseId": other_id, "name": "l_s", "input": {}}}
                ]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "a\nb"}],
                        "status": "success"}},
                    {"toolResult": {"toolUseId": other_id, "status": "error", "content": [
                        {"text": "No result: the call was interrupted before it ended."}]}},
                    {"text": "and now?"},
                    point
                ]}
            ],
            "system": [{"text": "You are an agent."}, point],
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "ls", "description": "List.",
                    "inputSchema": {"json": {"type": "object"}}}}],
                "toolChoice": {"any": {}}
            },
            "inferenceConfig": {"maxTokens": 32_000, "temperature": 1.0, "topP": 0.95,
                "stopSequences": ["END"]},
            "additionalModelRequestFields": {
                "thinking": {"type": "enabled", "budget_tokens": 8_192},
                "anthropic_beta": ["interleaved-thinking-2025-05-14"]
            }
        })
    );
}

#[tokio::test]
async fn models_get_what_they_take() {
    let point = "cachePoint";
    let mut asked = request("bedrock", "anthropic.claude-opus-4-6-v1", vec![user("hi")]);
    asked.thinking = ThinkingLevel::High;
    let (_, got) = sent(asked.clone()).await;
    assert_eq!(
        got["additionalModelRequestFields"],
        json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}})
    );
    assert_eq!(got.to_string().matches(point).count(), 2);
    // Tools are what changes least where there is no system prompt.
    asked.system.clear();
    asked.tools = vec![ls()];
    let (_, got) = sent(asked.clone()).await;
    assert_eq!(got["toolConfig"]["tools"][1], json!({point: {"type": "default"}}));
    asked.options.one_off = true;
    let (_, got) = sent(asked).await;
    assert!(!got.to_string().contains(point));

    let thoughts = vec![thought(Some("sig")), Block::text("t"), call("a", "ls", "{}")];
    let messages = vec![user("hi"), said_by("deepseek.v3.2", thoughts), result("a", "x")];
    let mut asked = request("bedrock", "deepseek.v3.2", messages);
    asked.thinking = ThinkingLevel::High;
    let (_, got) = sent(asked).await;
    assert!(!got.to_string().contains(point) && !got.to_string().contains("additionalModel"));
    assert_eq!(got["messages"][1]["content"][0], json!({"text": "t"}));
    assert!(!got.to_string().contains("reasoningContent"), "it would be refused");
    // The conversation has calls, so it needs their tools.
    assert_eq!(got["toolConfig"]["tools"][0]["toolSpec"]["name"], "ls");

    // An unsigned thought of Claude's is none to it.
    let messages = vec![user("hi"), own(vec![thought(None), Block::text("t")]), user("go")];
    let (_, got) = sent(request("bedrock", CLAUDE, messages)).await;
    assert_eq!(got["messages"][1]["content"], json!([{"text": "t"}]));
}

#[tokio::test]
async fn no_tool_is_offered_to_a_model_that_may_call_none() {
    let mut asked = request("bedrock", CLAUDE, vec![user("hi")]);
    asked.tools = vec![ls()];
    asked.options.tool_choice = ToolChoice::Never;
    assert_eq!(sent(asked).await.1.get("toolConfig"), None);
}

#[tokio::test]
async fn the_name_of_a_profile_is_one_part_of_the_path() {
    let arn = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/ab";
    let (path, _) = sent(request("bedrock", arn, vec![user("hi")])).await;
    let name = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Aapplication-inference-profile%2Fab";
    assert_eq!(path, format!("/llm/bedrock/model/{name}/converse-stream"));
    for bad in ["a/../b", "", "a\n"] {
        let asked = request("bedrock", bad, vec![user("hi")]);
        let failure = ask(asked, answer(&[])).await.2.unwrap();
        assert_eq!(failure.code, "invalid_request", "{bad:?}");
    }
}

#[tokio::test]
async fn a_longer_conversation_begins_as_the_shorter_one() {
    let all = [
        user("one"),
        own(vec![Block::text("t"), call("a", "ls", "{}"), call("b", "ls", "{}")]),
        result("a", "1"),
        result("b", "2"),
        user("steer"),
        own(vec![Block::text("done")]),
        user("two"),
    ];
    let mut before = String::new();
    for end in [1, 4, 5, 7] {
        let (_, got) = sent(request("bedrock", CLAUDE, all[..end].to_vec())).await;
        let point = ",{\"cachePoint\":{\"type\":\"default\"}}";
        let text = got["messages"].to_string();
        assert_eq!(text.matches(point).count(), 1, "the last user message");
        let text = text.replace(point, "");
        // What is added follows the last message, or stands at its end.
        let open = before.trim_end_matches(['}', ']']);
        assert!(text.starts_with(open), "{end}: {text} does not begin as {before}");
        before = text;
    }
}
