//! What is refused, and the shapes of failures.

use super::*;
use serde_json::json;
use std::time::Duration;

fn refused(format: WireFormat, mut body: Value, part: &str) {
    let (key, one) = match format {
        WireFormat::OpenaiChat | WireFormat::Anthropic => {
            ("messages", json!([{"role": "user", "content": "hi"}]))
        }
        WireFormat::OpenaiResponses => ("input", json!("hi")),
        WireFormat::Gemini => ("contents", json!([{"parts": [{"text": "hi"}]}])),
    };
    if body.get(key).is_none() {
        body[key] = one;
    }
    let got = read(format, body.to_string().as_bytes(), label().model, true);
    let got = got.map(|asked| asked.request).map_err(|e| e.to_string());
    assert!(matches!(&got, Err(words) if words.contains(part)), "{body}: {got:?}");
}

#[test]
fn what_would_give_another_answer_is_refused_by_its_name() {
    use WireFormat::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
    refused(OpenaiChat, json!({"n": 2}), "n: ");
    refused(OpenaiChat, json!({"logprobs": true}), "logprobs");
    refused(OpenaiChat, json!({"modalities": ["audio"]}), "modalities");
    refused(OpenaiChat, json!({"messages": []}), "no message");
    refused(OpenaiChat, json!({"messages": "hi"}), "messages has to be a list");
    refused(OpenaiChat, json!({"messages": [7]}), "messages[0] has to be an object");
    refused(OpenaiChat, json!({"messages": [{"role": "alien"}]}), "messages[0]: the role");
    refused(OpenaiChat, json!({"temperature": "hot"}), "temperature has to be a number");
    refused(OpenaiChat, json!({"response_format": {"type": "json_object"}}), "schema");
    let address = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    refused(
        OpenaiChat,
        json!({"messages": [{"role": "user", "content": [address]}]}),
        "messages[0].content[0].image_url: an image has to be in the request",
    );
    refused(OpenaiResponses, json!({"previous_response_id": "r"}), "whole conversation");
    refused(OpenaiResponses, json!({"background": true}), "whole conversation");
    refused(Anthropic, json!({"mcp_servers": [{}]}), "mcp_servers");
    let document = json!({"type": "document", "source": {}});
    refused(
        Anthropic,
        json!({"messages": [{"role": "user", "content": [document]}]}),
        "messages[0].content[0]: document is not taken",
    );
    refused(Gemini, json!({"cachedContent": "c"}), "cachedContent");
    refused(Gemini, json!({"generationConfig": {"candidateCount": 2}}), "one candidate");
    refused(Gemini, json!({"generationConfig": {"responseModalities": ["IMAGE"]}}), "text here");
    let file = json!({"fileData": {"fileUri": "u"}});
    refused(Gemini, json!({"contents": [{"parts": [file]}]}), "contents[0].parts[0]: only");
    for format in ALL {
        let got = read(format, b"{\"messages\":", label().model, true).unwrap_err();
        assert!(got.to_string().contains("no JSON"), "{got}");
    }
}

#[test]
fn a_model_is_not_asked_for_what_it_cannot_do() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}});
    let body =
        json!({"reasoning_effort": "high", "messages": [{"role": "user", "content": [image]}]});
    let blind = ModelInfo { images: false, reasoning: false, ..label().model };
    let body = body.to_string();
    let got = read(WireFormat::OpenaiChat, body.as_bytes(), blind.clone(), true).unwrap_err();
    assert!(got.to_string().contains("cannot see images"), "{got}");
    // Of a model that nobody knows, the program knows best.
    let asked = read(WireFormat::OpenaiChat, body.as_bytes(), blind.clone(), false).unwrap();
    assert!(asked.request.model.images && asked.request.model.reasoning);
    let body = r#"{"reasoning_effort":"high","messages":[{"role":"user","content":"hi"}]}"#;
    let asked = read(WireFormat::OpenaiChat, body.as_bytes(), blind, true).unwrap();
    assert_eq!(asked.request.thinking, ThinkingLevel::Off);
    assert!(asked.dropped.contains("thinking"));
}

#[test]
fn stop_sequences_are_refused_where_there_are_none() {
    let body = br#"{"stop":"X","messages":[{"role":"user","content":"hi"}]}"#;
    let model = ModelInfo { api: Api::OpenaiResponses, ..label().model };
    let got = read(WireFormat::OpenaiChat, body, model, true).unwrap_err();
    assert!(got.to_string().contains("stop sequences"), "{got}");
}

#[test]
fn failures_have_the_shape_that_each_formats_programs_know() {
    let failed = |code: &str, retry| ModelFailure {
        code: code.into(),
        message: "X failed: words".into(),
        retry,
    };
    let wait = Retry::After(Duration::from_millis(1_500));
    for (format, code, retry, status, expected) in [
        (
            WireFormat::OpenaiChat,
            "rate_limited",
            wait,
            429,
            json!({"error": {"message": "X failed: words", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"}}),
        ),
        (
            WireFormat::OpenaiResponses,
            "rate_limited",
            Retry::Never,
            429,
            json!({"error": {"message": "X failed: words", "type": "rate_limit_error", "param": null, "code": "insufficient_quota"}}),
        ),
        (
            WireFormat::Anthropic,
            "overloaded",
            Retry::Backoff,
            529,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "X failed: words", "code": "overloaded"}}),
        ),
        (
            WireFormat::Anthropic,
            "context_overflow",
            Retry::Never,
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: X failed: words", "code": "context_length_exceeded"}}),
        ),
        (
            WireFormat::Gemini,
            "unknown_model",
            Retry::Never,
            404,
            json!({"error": {"code": 404, "message": "X failed: words", "status": "NOT_FOUND"}}),
        ),
    ] {
        let answer = failure::answer(format, &failed(code, retry));
        assert_eq!((answer.status, &answer.body), (status, &expected));
        assert_eq!(answer.never, retry == Retry::Never);
        assert_eq!(answer.retry_after.is_some(), retry == wait);
    }
}
