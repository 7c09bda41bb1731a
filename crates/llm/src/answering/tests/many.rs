//! Requests with very many calls: they are read in the time that their length takes.

use super::*;
use crate::handover::{Turn, turns};
use serde_json::json;

const CALLS: usize = 20_000;

fn check(format: WireFormat, body: &Value) {
    let asked = read(format, body.to_string().as_bytes(), label().model, true).unwrap();
    let messages = &asked.request.messages;
    let said = messages.iter().filter_map(|m| match m {
        Message::Assistant(said) => Some(said.tool_calls()),
        _ => None,
    });
    let calls: Vec<&str> = said.flatten().map(|call| &*call.id).collect();
    let results: Vec<(&str, &str)> = messages
        .iter()
        .filter_map(|m| match m {
            Message::ToolResult(result) => Some((&*result.tool_call_id, &*result.tool_name)),
            _ => None,
        })
        .collect();
    assert_eq!((calls.len(), results.len()), (CALLS, CALLS), "{format:?}");
    assert!(calls.iter().zip(&results).all(|(call, result)| *call == result.0), "{format:?}");
    assert!(results.iter().all(|result| result.1 == "ls"), "{format:?}");
    let turns = turns(messages, &asked.request.model);
    let Some(Turn::Results(answers)) = turns.last() else { panic!("{format:?}") };
    assert!(answers.iter().all(|answer| !answer.is_error), "{format:?}");
}

#[test]
fn twenty_thousand_calls_are_matched_with_their_results() {
    let call = json!({"functionCall": {"name": "ls"}});
    let result = json!({"functionResponse": {"name": "ls", "response": {"output": "x"}}});
    check(
        WireFormat::Gemini,
        &json!({"contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": vec![call; CALLS]},
            {"role": "user", "parts": vec![result; CALLS]},
        ]}),
    );
    let id = |at: usize| format!("toolu_{at}");
    let call = |at| json!({"type": "tool_use", "id": id(at), "name": "ls", "input": {}});
    let result = |at| json!({"type": "tool_result", "tool_use_id": id(at), "content": "x"});
    check(
        WireFormat::Anthropic,
        &json!({"max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": (0..CALLS).map(call).collect::<Vec<_>>()},
            {"role": "user", "content": (0..CALLS).map(result).collect::<Vec<_>>()},
        ]}),
    );
}

#[test]
fn twenty_thousand_calls_at_once_are_told_one_after_the_other() {
    let mut assembly = Assembly::default();
    // With one id for all of them, and in pieces that are mixed.
    let calls: Vec<usize> = (0..CALLS).map(|_| assembly.open_tool("same", "ls")).collect();
    for call in calls {
        assembly.push_json(call, "{}");
    }
    assembly.close_all();
    let events: Vec<ModelEvent> = std::iter::from_fn(|| assembly.next_event()).collect();
    let stream = encode(WireFormat::Anthropic, &events);
    let ids: std::collections::HashSet<&str> =
        stream.split("\"id\":\"").skip(2).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), CALLS);
    let last = format!("same_{}", CALLS - 1);
    assert!(
        stream.trim_end().ends_with(&format!("\"index\":{}}}", CALLS - 1)) && ids.contains(&*last)
    );
}

#[test]
fn a_stream_of_very_many_calls_is_read() {
    const CALLS: usize = 50_000;
    let chat = |at: usize| {
        json!({"choices": [{"delta": {"tool_calls": [{"index": at, "id": format!("c{at}"),
        "function": {"name": "ls", "arguments": "{}"}}]}}]})
    };
    let mut stream = String::new();
    for at in 0..CALLS {
        sse::data(&mut stream, &chat(at));
    }
    // And a word more for each, the first one first.
    for at in 0..CALLS {
        sse::data(
            &mut stream,
            &json!({"choices": [{"delta": {"tool_calls": [{"index": at,
            "function": {"arguments": " "}}]}}]}),
        );
    }
    sse::data(&mut stream, &json!({"choices": [{"finish_reason": "stop"}]}));
    let (message, failure) = decode(WireFormat::OpenaiChat, &(stream + "data: [DONE]\n\n"));
    assert_eq!((failure, message.tool_calls().count()), (None, CALLS));
}

#[test]
fn too_many_messages_are_refused_with_words() {
    let many = vec![json!({"role": "user", "content": "a"}); 100_001];
    let body = json!({"messages": many}).to_string();
    let refused = read(WireFormat::OpenaiChat, body.as_bytes(), label().model, true).unwrap_err();
    assert!(refused.0.contains("100001 messages"), "{refused}");
}

#[test]
fn responses_without_an_id_go_to_the_oldest_open_call_of_that_name() {
    let call = |id: &str, name: &str| json!({"functionCall": {"id": id, "name": name}});
    let result = |id: Option<&str>, name: &str| {
        let mut result = json!({"functionResponse": {"name": name, "response": {"output": "x"}}});
        if let Some(id) = id {
            result["functionResponse"]["id"] = json!(id);
        }
        result
    };
    let body = json!({"contents": [
        {"role": "model", "parts": [call("a", "ls"), call("b", "cat"), call("c", "ls")]},
        {"role": "user", "parts": [result(Some("a"), "ls"), result(None, "ls"), result(None, "cat")]},
        {"role": "model", "parts": [call("d", "ls")]},
        {"role": "user", "parts": [result(None, "ls")]},
    ]});
    let asked = read(WireFormat::Gemini, body.to_string().as_bytes(), label().model, true).unwrap();
    let ids: Vec<&str> = asked
        .request
        .messages
        .iter()
        .filter_map(|m| match m {
            Message::ToolResult(result) => Some(&*result.tool_call_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["a", "c", "b", "d"]);
}
