//! What a program is told, it sends back: the model sees its own words, thoughts and calls again.

use super::*;
use serde_json::json;

/// A request of a program that has got this answer.
fn request_after(format: WireFormat, answer: &Value) -> Value {
    match format {
        WireFormat::OpenaiChat => json!({"model": "m", "messages": [
            {"role": "user", "content": "hi"}, answer["choices"][0]["message"]]}),
        WireFormat::Anthropic => json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": answer["content"]}]}),
        WireFormat::OpenaiResponses => {
            let mut input = vec![json!({"role": "user", "content": "hi"})];
            input.extend(answer["output"].as_array().unwrap().iter().cloned());
            json!({"model": "m", "input": input})
        }
        WireFormat::Gemini => json!({"contents": [
            {"role": "user", "parts": [{"text": "hi"}]}, answer["candidates"][0]["content"]]}),
    }
}

/// What of a message can come back.
fn kept(format: WireFormat, content: &[Block]) -> Vec<Block> {
    let mut texts = String::new();
    let mut out = Vec::new();
    for block in content {
        match (format, block) {
            (WireFormat::OpenaiChat, Block::Text { text, .. }) => texts.push_str(text),
            (WireFormat::OpenaiChat, Block::Thinking { .. }) => {}
            (_, block) => out.push(block.clone()),
        }
    }
    // The format has one text for a message, before its calls.
    if !texts.is_empty() {
        out.insert(0, Block::text(texts));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_answer_comes_back_as_the_message_that_it_was(message in message()) {
        for format in ALL {
            let shape = Shape::default();
            let answer = whole(format, &label(), &shape, &message);
            let body = request_after(format, &answer).to_string();
            let asked = read(format, body.as_bytes(), label().model, true).unwrap();
            let kept = kept(format, &message.content);
            let got = asked.request.messages.get(1);
            if kept.is_empty() {
                prop_assert!(got.is_none());
                continue;
            }
            let Some(Message::Assistant(got)) = got else { panic!("{format:?}: {got:?}") };
            prop_assert_eq!(&got.content, &kept, "{:?}: {}", format, answer);
            let thought = kept.iter().any(|b| matches!(b, Block::Thinking { .. }));
            if thought {
                let by = (got.provider.as_str(), got.api.as_str());
                prop_assert_eq!(by, ("anthropic", "anthropic-messages"), "{:?}", format);
            }
        }
    }
}

#[test]
fn thinking_that_is_not_ours_is_left_out() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
            {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
            {"type": "text", "text": "yes"}]},
        {"role": "user", "content": "and?"}]});
    let asked =
        read(WireFormat::Anthropic, body.to_string().as_bytes(), label().model, true).unwrap();
    let Message::Assistant(said) = &asked.request.messages[1] else { panic!() };
    assert_eq!(said.content, [Block::text("yes")]);
}

#[test]
fn a_free_text_tool_is_called_with_its_text() {
    let tools = json!([
        {"type": "custom", "name": "apply_patch", "description": "Patch.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "web_search"}]);
    let body = json!({"model": "m", "tools": tools, "input": [
        {"role": "user", "content": "hi"},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** A"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"}]});
    let asked = read(WireFormat::OpenaiResponses, body.to_string().as_bytes(), label().model, true)
        .unwrap();
    assert!(asked.request.tools[0].description.ends_with("start: x"));
    assert_eq!(
        asked.dropped.iter().map(String::as_str).collect::<Vec<_>>(),
        ["the tool web_search"]
    );
    let Message::Assistant(said) = &asked.request.messages[1] else { panic!() };
    let call = said.tool_calls().next().unwrap();
    assert_eq!(Value::Object(call.arguments.clone()), json!({"input": "*** A"}));

    let mut message = ends::empty_message(&label().model);
    message.content = vec![Block::ToolCall(call.clone())];
    message.stop_reason = StopReason::ToolUse;
    let answer = whole(WireFormat::OpenaiResponses, &label(), &asked.shape, &message);
    let expected = json!({"id": "ctc_abc_0", "type": "custom_tool_call", "status": "completed",
        "call_id": "c1", "name": "apply_patch", "input": "*** A"});
    assert_eq!(answer["output"], json!([expected]));
    let mut encoder = encoder(WireFormat::OpenaiResponses, label(), asked.shape);
    let mut stream = String::new();
    for event in events(&message, 3) {
        encoder.event(&event, &mut stream);
    }
    assert!(!stream.contains("function_call"), "{stream}");
    assert!(stream.contains("event: response.custom_tool_call_input.done"), "{stream}");
    assert_eq!(stream.matches(&expected.to_string()).count(), 2, "{stream}");
}
