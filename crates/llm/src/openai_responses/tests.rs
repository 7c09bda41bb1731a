//! What is sent and what is read, on real shapes of the format.

use crate::{
    ask::{Model as _, ModelEvent, ModelRequest, Options, Output, ThinkingLevel, ToolChoice},
    catalogue,
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, assistant, call, request, result, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use toft_model::{
    message::{AssistantMessage, Block, Message},
    provider::{Api, ModelInfo},
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

/// OpenAI's models, asked in this format.
fn model(id: &str) -> ModelInfo {
    let model = catalogue::model("openai", id).unwrap();
    ModelInfo { api: Api::OpenaiResponses, ..model }
}

async fn sent(mut asked: ModelRequest) -> (String, Value) {
    asked.model = model(&asked.model.id);
    let transport = MemoryTransport::new([PreparedAnswer::stream("")]);
    let mut events = Models::new(transport.clone()).ask(asked, CancellationToken::new());
    while events.next().await.is_some() {}
    let request = transport.sent().remove(0);
    (request.path, serde_json::from_slice(&request.body).unwrap())
}

async fn read(events: &[Value]) -> AssistantMessage {
    let frame =
        |e: &Value| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap_or_default());
    let body: String = events.iter().map(frame).collect();
    let transport = MemoryTransport::new([PreparedAnswer::stream(body)]);
    let mut asked = request("openai", "gpt-5", vec![user("hi")]);
    asked.model = model("gpt-5");
    let events: Vec<ModelEvent> =
        Models::new(transport).ask(asked, CancellationToken::new()).collect().await;
    match events.into_iter().last() {
        Some(ModelEvent::Done { message, failure: None }) => message,
        other => panic!("{other:?}"),
    }
}

fn answer() -> Vec<Value> {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let sealed = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA"});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "ls", "arguments": ""});
    let item = |kind: &str, index: u64, item: &Value| json!({"type": format!("response.output_item.{kind}"), "output_index": index, "item": item});
    vec![
        json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "usage": null}}),
        item("added", 0, &reasoning),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "I look"}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "then say."}),
        item("done", 0, &sealed),
        item("added", 1, &json!({"type": "message", "id": "msg_1", "content": []})),
        json!({"type": "response.content_part.added", "output_index": 1, "part": {"type": "output_text", "text": ""}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "delta": "Let me see."}),
        json!({"type": "response.output_text.done", "output_index": 1, "text": "Let me see."}),
        item(
            "done",
            1,
            &json!({"type": "message", "content": [{"type": "output_text", "text": "Let me see."}]}),
        ),
        item("added", 2, &call),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"path\""}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":\"/\"}"}),
        item("done", 2, &call),
        json!({"type": "response.completed", "response": {"status": "completed", "error": null, "usage": {
            "input_tokens": 20, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 9}}}),
    ]
}

#[tokio::test]
async fn thoughts_words_and_calls_are_read() {
    let message = read(&answer()).await;
    let seal = r#"{"id":"rs_1","encrypted_content":"gAAA"}"#;
    assert_eq!(
        message.content,
        [
            Block::Thinking {
                thinking: "I look\n\nthen say.".into(),
                thinking_signature: Some(seal.into()),
                redacted: false,
            },
            Block::text("Let me see."),
            call("call_1", "ls", r#"{"path":"/"}"#),
        ]
    );
    assert_eq!((message.usage.input, message.usage.cache_read, message.usage.output), (15, 5, 9));
    let mut cut = answer();
    *cut.last_mut().unwrap() = json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}});
    cut.drain(12..16);
    assert_eq!(read(&cut).await.stop_reason, toft_model::message::StopReason::Length);
}

#[tokio::test]
async fn items_that_come_at_once_are_read_too() {
    let message = read(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "content": [{"type": "output_text", "text": "all"}]}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "ls"}}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "function_call", "arguments": "{\"a\":1}"}}),
        json!({"type": "response.completed", "response": {}}),
    ])
    .await;
    assert_eq!(message.content, [Block::text("all"), call("c", "ls", r#"{"a":1}"#)]);
}

#[tokio::test]
async fn refusals_and_thoughts_that_come_at_once_are_read_too() {
    let item = |kind: &str, index: u64, item: &Value| json!({"type": format!("response.output_item.{kind}"), "output_index": index, "item": item});
    let message = read(&[
        item("added", 0, &json!({"type": "reasoning", "id": "rs_1"})),
        item("done", 0, &json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
            "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]})),
        item("added", 1, &json!({"type": "reasoning"})),
        item("done", 1, &json!({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "raw"}]})),
        item("added", 2, &json!({"type": "message"})),
        item("done", 2, &json!({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]})),
        json!({"type": "response.completed", "response": {}}),
    ])
    .await;
    let thought = |thinking: &str, signature: Option<&str>| Block::Thinking {
        thinking: thinking.into(),
        thinking_signature: signature.map(Into::into),
        redacted: false,
    };
    let seal = r#"{"id":"rs_1","encrypted_content":"gAAA"}"#;
    let wanted = [thought("one\n\ntwo", Some(seal)), thought("raw", None), Block::text("No.")];
    assert_eq!(message.content, wanted);
}

#[tokio::test]
async fn the_least_that_may_be_asked_for_is_asked_for() {
    let mut asked = request("openai", "gpt-4.1", vec![user("hi")]);
    asked.max_tokens = Some(1);
    assert_eq!(sent(asked).await.1["max_output_tokens"], 16);
}

#[tokio::test]
async fn a_model_that_does_not_think_is_not_sent_thoughts() {
    let Message::Assistant(mut said) = assistant(read(&answer()).await.content) else { panic!() };
    "openai".clone_into(&mut said.provider);
    "openai-responses".clone_into(&mut said.api);
    let history = vec![user("hi"), Message::Assistant(said), result("call_1", "a")];
    let (_, body) = sent(request("openai", "gpt-4.1", history)).await;
    let kinds: Value =
        body["input"].as_array().unwrap().iter().map(|i| i["type"].clone()).collect();
    assert_eq!(kinds, json!([null, null, "function_call", "function_call_output"]));
}

#[tokio::test]
async fn a_conversation_is_written_as_the_format_wants_it() {
    let Message::Assistant(mut said) = assistant(read(&answer()).await.content) else { panic!() };
    "openai".clone_into(&mut said.provider);
    "openai-responses".clone_into(&mut said.api);
    let history = vec![user("hi"), Message::Assistant(said), result("call_1", "a"), user("go on")];
    let mut asked = request("openai", "gpt-5", history);
    asked.thinking = ThinkingLevel::High;
    asked.tools = vec![ToolSpec {
        name: "ls".into(),
        description: "List.".into(),
        parameters: json!({"type": "object"}),
    }];
    asked.options = Options {
        temperature: Some(1.0),
        tool_choice: ToolChoice::Tool("ls".into()),
        one_call: true,
        output: Output::Schema { name: "n".into(), schema: json!({"type": "object"}) },
        ..Options::default()
    };
    let (path, body) = sent(asked).await;
    assert_eq!(path, "/llm/openai/v1/responses");
    assert_eq!(
        body,
        json!({
            "model": "gpt-5",
            "instructions": "You are an agent.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
                    "summary": [{"type": "summary_text", "text": "I look\n\nthen say."}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
                {"type": "function_call", "call_id": "call_1", "name": "ls", "arguments": "{\"path\":\"/\"}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "a"},
                {"role": "user", "content": [{"type": "input_text", "text": "go on"}]}
            ],
            "stream": true, "store": false, "max_output_tokens": 32_000,
            "tools": [{"type": "function", "name": "ls", "description": "List.",
                "parameters": {"type": "object"}, "strict": false}],
            "tool_choice": {"type": "function", "name": "ls"}, "parallel_tool_calls": false,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "high", "summary": "auto"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
            "temperature": 1.0, "prompt_cache_key": "s1"
        })
    );
}

fn patch_tool() -> ToolSpec {
    ToolSpec {
        name: "apply_patch".into(),
        description: "Change files.".into(),
        parameters: json!({"type": "object", "properties": {"input": {"type": "string"}},
            "required": ["input"]}),
    }
}

#[tokio::test]
async fn a_tool_of_one_text_is_called_without_json() {
    let patch = "*** Begin Patch\n\"é\"\t\\\n*** End Patch";
    let item = json!({"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "apply_patch", "input": ""});
    let added = json!({"type": "response.output_item.added", "output_index": 0, "item": item});
    let delta = |text: &str| json!({"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": text});
    let whole = json!({"type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": patch});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": whole});
    let end = json!({"type": "response.completed", "response": {"status": "completed"}});
    let (head, tail) = patch.split_at(17);
    for events in [
        vec![added.clone(), delta(head), delta(tail), done.clone(), end.clone()],
        vec![added, done, end],
    ] {
        let message = read(&events).await;
        let called = message.tool_calls().next().unwrap().clone();
        assert_eq!((&*called.id, &*called.name), ("call_1", "apply_patch"));
        assert_eq!(Value::Object(called.arguments), json!({"input": patch}));

        let history = vec![user("hi"), Message::Assistant(message), result("call_1", "done")];
        let mut asked = request("openai", "gpt-5.4", history);
        asked.tools = vec![patch_tool()];
        asked.options.tool_choice = ToolChoice::Tool("apply_patch".into());
        let (_, body) = sent(asked.clone()).await;
        let tool = json!({"type": "custom", "name": "apply_patch", "description": "Change files."});
        assert_eq!(body["tools"], json!([tool]));
        assert_eq!(body["tool_choice"], json!({"type": "custom", "name": "apply_patch"}));
        assert_eq!(body["input"][1]["type"], "custom_tool_call");
        assert_eq!(body["input"][1]["input"], patch);
        assert_eq!(
            body["input"][2],
            json!({"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"})
        );
        // A model that was not trained on it, and a tool that takes more, are asked in JSON.
        asked.model.id = "o3".into();
        let (_, body) = sent(asked.clone()).await;
        assert_eq!(body["tools"][0]["type"], "function");
        assert_eq!(body["input"][1]["type"], "function_call");
        asked.model.id = "gpt-5.4".into();
        asked.tools[0].parameters["properties"]["other"] = json!({"type": "string"});
        let (_, body) = sent(asked).await;
        assert_eq!(body["tools"][0]["type"], "function");
        assert_eq!(body["input"][2]["type"], "function_call_output");
    }
}
