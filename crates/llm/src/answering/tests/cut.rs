//! Calls that the output limit cut, and calls whose arguments are no JSON: no program takes one for whole.

use super::*;
use serde_json::json;
use toft_model::message::INVALID_ARGUMENTS;

/// What a model says that makes a whole call and then one with these arguments.
fn asked(arguments: &str, finish: &str, passed_on: bool) -> Vec<ModelEvent> {
    let call = |index: u64, name: &str, arguments: &str| {
        json!({"choices": [{"delta": {"tool_calls": [{"index": index, "id": format!("id_{name}"),
            "function": {"name": name, "arguments": arguments}}]}}]})
    };
    let events = [
        json!({"choices": [{"delta": {"content": "I look."}}]}),
        call(0, "whole", "{\"x\":1}"),
        call(1, "half", arguments),
        json!({"choices": [{"delta": {}, "finish_reason": finish}]}),
    ];
    let mut stream = String::new();
    for event in &events {
        sse::data(&mut stream, event);
    }
    stream.push_str("data: [DONE]\n\n");
    let transport = MemoryTransport::new([PreparedAnswer::stream(stream)]);
    let mut request = request("openai", "any", vec![user("hi")]);
    request.options.passed_on = passed_on;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let answer = Models::new(transport).ask(request, CancellationToken::new());
    runtime.block_on(answer.collect())
}

fn message_of(events: &[ModelEvent]) -> &AssistantMessage {
    let Some(ModelEvent::Done { message, failure: None }) = events.last() else { panic!() };
    message
}

fn stop_word(format: WireFormat) -> &'static str {
    match format {
        WireFormat::OpenaiChat => "\"finish_reason\":\"length\"",
        WireFormat::OpenaiResponses => "\"reason\":\"max_output_tokens\"",
        WireFormat::Anthropic => "\"stop_reason\":\"max_tokens\"",
        WireFormat::Gemini => "\"finishReason\":\"MAX_TOKENS\"",
    }
}

/// Arguments of a call in a stream of the chat format.
fn chat_arguments(stream: &str, index: u64) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let calls = events.filter_map(|event| {
        let call = event.pointer("/choices/0/delta/tool_calls/0")?.clone();
        (call["index"] == index).then(|| call["function"]["arguments"].as_str().unwrap().to_owned())
    });
    calls.collect()
}

#[test]
fn a_call_that_the_limit_cut_is_not_told_as_whole_in_any_format() {
    for arguments in ["{\"path\": \"/et", ""] {
        let events = asked(arguments, "length", true);
        let message = message_of(&events);
        assert_eq!(message.stop_reason, StopReason::Length);
        let names: Vec<&str> = message.tool_calls().map(|call| &*call.name).collect();
        assert_eq!(names, ["whole"]);
        for format in ALL {
            let answer = whole(format, &label(), &Shape::default(), message).to_string();
            let stream = encode(format, &events);
            for told in [&answer, &stream] {
                assert!(told.contains(stop_word(format)), "{format:?}: {told}");
                assert!(!told.contains(INVALID_ARGUMENTS), "{format:?}: {told}");
                assert!(told.contains("id_whole"), "{format:?}: {told}");
            }
            assert!(!answer.contains("id_half"), "{format:?}: {answer}");
            match format {
                WireFormat::OpenaiChat => assert_eq!(chat_arguments(&stream, 1), arguments),
                WireFormat::OpenaiResponses => {
                    let ends = stream.matches("event: response.output_item.done").count();
                    assert_eq!(ends, 2, "text and the whole call: {stream}");
                    let last = stream.lines().rfind(|line| line.starts_with("data: ")).unwrap();
                    assert!(!last.contains("id_half"), "{last}");
                }
                // Its raw text, and no more.
                WireFormat::Anthropic => {
                    let raw = json!(arguments).to_string();
                    let pieces = stream.matches("partial_json").count();
                    assert_eq!(pieces, 1 + usize::from(!arguments.is_empty()), "{stream}");
                    assert!(arguments.is_empty() || stream.contains(&raw), "{stream}");
                }
                WireFormat::Gemini => assert!(!stream.contains("id_half"), "{stream}"),
            }
        }
    }
}

#[test]
fn the_agent_is_told_of_a_call_that_the_limit_cut() {
    let events = asked("{\"path\": \"/et", "length", false);
    let message = message_of(&events);
    assert_eq!(message.stop_reason, StopReason::ToolUse);
    assert!(message.tool_calls().any(|call| call.arguments.contains_key(INVALID_ARGUMENTS)));
}

#[test]
fn arguments_that_are_no_json_go_out_as_they_are_or_not_at_all() {
    let events = asked("[1", "tool_calls", true);
    for format in ALL {
        let answer = whole(format, &label(), &Shape::default(), message_of(&events)).to_string();
        let stream = encode(format, &events);
        for told in [&answer, &stream] {
            assert!(!told.contains(INVALID_ARGUMENTS), "{format:?}: {told}");
            let malformed = told.contains("MALFORMED_FUNCTION_CALL");
            assert_eq!(malformed, format == WireFormat::Gemini, "{told}");
        }
    }
    assert_eq!(chat_arguments(&encode(WireFormat::OpenaiChat, &events), 1), "[1");
}

#[test]
fn each_call_without_arguments_is_told_to_have_none() {
    for argued in [0, 1] {
        let mut assembly = Assembly::default();
        let calls = ["a", "b"].map(|id| assembly.open_tool(id, "ls"));
        assembly.push_json(calls[argued], "{\"x\":1}");
        assembly.close_all();
        let mut events: Vec<ModelEvent> = std::iter::from_fn(|| assembly.next_event()).collect();
        let mut message = ends::empty_message(&label().model);
        message.stop_reason = StopReason::ToolUse;
        events.push(ModelEvent::Done { message, failure: None });
        let stream = encode(WireFormat::OpenaiChat, &events);
        for index in 0..2 {
            let expected = if index == argued { "{\"x\":1}" } else { "{}" };
            assert_eq!(chat_arguments(&stream, index as u64), expected, "{stream}");
        }
    }
}
