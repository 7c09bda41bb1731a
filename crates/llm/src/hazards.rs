//! What every wire format must withstand, in one table: each hazard is run against each adapter.

mod garbage;

use crate::{
    anthropic::Anthropic,
    ask::{Model, ModelEvent, ModelFailure, Retry},
    openai_chat::OpenaiChat,
    testing::{BodyEnd, MemoryTransport, PreparedAnswer, assistant, call, request, result, user},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use toft_model::{
    event::Delta,
    message::{AssistantMessage, Block, INVALID_ARGUMENTS, Message, StopReason},
};
use tokio_util::sync::CancellationToken;

/// One wire format, and how it says things.
struct Format {
    name: &'static str,
    provider: &'static str,
    model: &'static str,
    make: fn(Arc<MemoryTransport>) -> Arc<dyn Model>,
    text: fn(&str) -> String,
    call: fn(index: usize, id: &str, json: &str) -> String,
    end: &'static str,
    error: &'static str,
}

const FORMATS: [Format; 2] = [
    Format {
        name: "anthropic",
        provider: "anthropic",
        model: "claude-opus-4-6",
        make: |t| Arc::new(Anthropic::new(t).with_idle_timeout(IDLE)),
        text: |text| {
            let start = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}, "new_field": [1]});
            let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
            let stop = json!({"type": "content_block_stop", "index": 0});
            format!(
                "event: content_block_start\ndata: {start}\n\nevent: content_block_delta\ndata: {delta}\n\nevent: content_block_stop\ndata: {stop}\n\n"
            )
        },
        call: |index, id, json| {
            let index = index + 1;
            let start = json!({"type": "content_block_start", "index": index, "content_block": {"type": "tool_use", "id": id, "name": "bash", "input": {}}});
            let delta = json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": json}});
            let stop = json!({"type": "content_block_stop", "index": index});
            format!("data: {start}\n\ndata: {delta}\n\ndata: {stop}\n\n")
        },
        end: "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        error: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    },
    Format {
        name: "openai",
        provider: "openai",
        model: "gpt-5",
        make: |t| Arc::new(OpenaiChat::new(t).with_idle_timeout(IDLE)),
        text: |text| {
            let chunk =
                json!({"choices": [{"index": 0, "delta": {"content": text, "new_field": [1]}}]});
            format!("data: {chunk}\n\n")
        },
        call: |index, id, json| {
            let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [
                {"index": index, "id": id, "function": {"name": "bash", "arguments": json}}]}}]});
            format!("data: {chunk}\n\n")
        },
        end: "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\ndata: [DONE]\n\n",
        error: "data: {\"error\":{\"message\":\"Overloaded\",\"code\":503}}\n\n",
    },
];

const IDLE: Duration = Duration::from_mins(5);

struct Outcome {
    deltas: Vec<Delta>,
    message: AssistantMessage,
    failure: Option<ModelFailure>,
}

impl Outcome {
    fn code(&self) -> &str {
        self.failure.as_ref().map_or("", |f| f.code.as_str())
    }

    fn words(&self) -> &str {
        self.failure.as_ref().map_or("", |f| f.message.as_str())
    }

    fn calls(&self) -> Vec<(&str, String)> {
        self.message
            .tool_calls()
            .map(|c| (c.id.as_str(), serde_json::to_string(&c.arguments).unwrap()))
            .collect()
    }
}

impl Format {
    fn ask_with(
        &self,
        answer: PreparedAnswer,
        history: Vec<Message>,
        cancel: CancellationToken,
    ) -> futures_util::stream::BoxStream<'static, ModelEvent> {
        let model = (self.make)(MemoryTransport::new([answer]));
        model.ask(request(self.provider, self.model, history), cancel)
    }

    async fn ask(&self, answer: PreparedAnswer) -> Outcome {
        self.ask_after(answer, vec![user("hi")]).await
    }

    async fn ask_after(&self, answer: PreparedAnswer, history: Vec<Message>) -> Outcome {
        let mut stream = self.ask_with(answer, history, CancellationToken::new());
        let mut deltas = Vec::new();
        loop {
            match stream.next().await {
                Some(ModelEvent::Delta(delta)) => deltas.push(delta),
                Some(ModelEvent::Done { message, failure }) => {
                    assert!(stream.next().await.is_none(), "{}: the end is the end", self.name);
                    // One rule for all of them: failure, stop reason and words agree.
                    assert_eq!(
                        failure.is_some(),
                        matches!(message.stop_reason, StopReason::Error | StopReason::Aborted)
                    );
                    assert_eq!(
                        failure.as_ref().map(|f| &f.message),
                        message.error_message.as_ref()
                    );
                    assert_eq!(message.provider, self.provider);
                    return Outcome { deltas, message, failure };
                }
                None => panic!("{}: a stream without Done", self.name),
            }
        }
    }

    fn whole(&self) -> String {
        format!(
            "{}{}{}{}",
            (self.text)("Héllo 🎈"),
            (self.call)(0, "a", "{\"command\":\"ls\"}"),
            (self.call)(1, "b", "{}"),
            self.end
        )
    }
}

fn chunked(body: &[u8], size: usize) -> PreparedAnswer {
    PreparedAnswer {
        chunks: body.chunks(size).map(Bytes::copy_from_slice).collect(),
        ..PreparedAnswer::stream("")
    }
}

#[tokio::test]
async fn a_whole_answer_is_the_same_however_it_is_chunked() {
    for format in FORMATS {
        let body = format.whole();
        let whole = format.ask(PreparedAnswer::stream(body.clone())).await;
        assert_eq!(whole.failure, None);
        assert_eq!(whole.message.stop_reason, StopReason::ToolUse);
        assert_eq!(whole.calls(), [("a", "{\"command\":\"ls\"}".into()), ("b", "{}".into())]);
        assert_eq!(whole.message.usage.output, 9);
        for size in [1, 2, 3, 7, 64] {
            let cut = format.ask(chunked(body.as_bytes(), size)).await;
            assert_eq!(cut.message, whole.message, "{} in pieces of {size}", format.name);
            assert_eq!(cut.deltas, whole.deltas, "{} in pieces of {size}", format.name);
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_never_yields_a_call() {
    for format in FORMATS {
        let body = format.whole();
        for end in [BodyEnd::Clean, BodyEnd::Broken] {
            // The last byte is the end of the blank line that makes the end mark an event.
            for cut in 0..body.len() - 1 {
                let answer = chunked(&body.as_bytes()[..cut], 50).ending(end.clone());
                let got = format.ask(answer).await;
                assert_eq!(got.code(), "cut", "{} at byte {cut}", format.name);
                assert_eq!(got.failure.as_ref().unwrap().retry, Retry::Backoff);
                assert_eq!(got.calls(), [], "{} at byte {cut}", format.name);
            }
        }
    }
}

#[tokio::test]
async fn an_empty_stream_is_a_cut_one() {
    for format in FORMATS {
        let got = format.ask(PreparedAnswer::stream("")).await;
        assert_eq!((got.code(), got.message.content.len()), ("cut", 0));
        assert!(got.words().contains("before its answer"), "{}", got.words());
    }
}

#[tokio::test]
async fn what_had_arrived_before_a_cut_is_kept() {
    for format in FORMATS {
        let body = format!("{}{}", (format.text)("half"), (format.call)(0, "a", "{\"comm"));
        let got = format.ask(PreparedAnswer::stream(body).ending(BodyEnd::Broken)).await;
        assert_eq!(got.message.content, [Block::text("half")]);
        assert!(got.words().contains("connection reset"), "{}", got.words());
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_reach_the_tool_as_such() {
    for format in FORMATS {
        let body = format!("{}{}", (format.call)(0, "a", "{\"command\": \"ls"), format.end);
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!(got.failure, None);
        let call = got.message.tool_calls().next().unwrap();
        assert_eq!(call.arguments[INVALID_ARGUMENTS], "{\"command\": \"ls");
    }
}

#[tokio::test]
async fn ids_that_were_used_before_are_made_unique() {
    for format in FORMATS {
        let body =
            format!("{}{}{}", (format.call)(0, "a", "{}"), (format.call)(1, "a", "{}"), format.end);
        let history = vec![user("hi"), assistant(vec![call("a", "bash", "{}")]), result("a", "x")];
        let got = format.ask_after(PreparedAnswer::stream(body), history).await;
        let ids: Vec<&str> = got.message.tool_calls().map(|c| c.id.as_str()).collect();
        // With one id for both, a format that tells calls apart by index alone has two of them.
        assert_eq!(ids, ["a_1", "a_2"], "{}", format.name);
    }
}

#[tokio::test]
async fn refusals_have_a_code_and_the_providers_words() {
    let check =
        async |format: &Format, answer: PreparedAnswer, code: &str, retry: Retry, part: &str| {
            let got = format.ask(answer).await;
            assert_eq!(got.code(), code, "{}: {}", format.name, got.words());
            assert_eq!(got.failure.as_ref().unwrap().retry, retry, "{}: {code}", format.name);
            assert!(got.words().contains(part), "{}: {}", format.name, got.words());
        };
    let backoff = Retry::Backoff;
    let never = Retry::Never;
    for format in &FORMATS {
        let json = PreparedAnswer::json;
        let said = |words: &str| json!({"error": {"type": "x", "message": words}}).to_string();
        check(
            format,
            json(401, &said("invalid x-api-key")),
            "provider_refused_key",
            never,
            "invalid x-api-key",
        )
        .await;
        check(
            format,
            json(403, &said("not allowed here")),
            "provider_refused_key",
            never,
            "not allowed here",
        )
        .await;
        check(format, json(404, &said("no such model: x")), "unknown_model", never, format.model)
            .await;
        check(
            format,
            json(400, &said("temperature: bad")),
            "invalid_request",
            never,
            "temperature: bad",
        )
        .await;
        let overflow = "prompt is too long: 205000 tokens > 200000 maximum";
        check(format, json(400, &said(overflow)), "context_overflow", never, "205000").await;
        let overflow = "This model's maximum context length is 128000 tokens. However, …";
        check(format, json(400, &said(overflow)), "context_overflow", never, "128000").await;
        check(format, json(413, ""), "context_overflow", never, format.model).await;
        let limited = json(429, &said("slow down")).header("retry-after", "7");
        check(format, limited, "rate_limited", Retry::After(Duration::from_secs(7)), "slow down")
            .await;
        check(format, json(429, &said("slow down")), "rate_limited", backoff, "slow down").await;
        check(
            format,
            json(429, &said("You exceeded your current quota")),
            "rate_limited",
            never,
            "quota",
        )
        .await;
        check(format, json(402, &said("Insufficient Balance")), "rate_limited", never, "Balance")
            .await;
        check(format, json(500, &said("internal")), "provider_error", backoff, "internal").await;
        check(format, json(502, "<html>bad gateway</html>"), "provider_error", backoff, "(502)")
            .await;
        check(format, json(503, ""), "overloaded", backoff, "(503)").await;
        check(format, json(529, &said("Overloaded")), "overloaded", backoff, "Overloaded").await;
        check(format, json(200, &said("odd")), "bad_answer", backoff, "odd").await;
        check(format, json(200, "{}"), "bad_answer", backoff, "gave an answer that is none").await;
        check(format, PreparedAnswer::stream(format.error), "overloaded", backoff, "Overloaded")
            .await;
        check(
            format,
            PreparedAnswer::stream("data: {nonsense\n\n"),
            "bad_answer",
            backoff,
            "cannot be read",
        )
        .await;
        let ours = |status, code: &str, words: &str| {
            let body = json!({"error": {"type": code, "code": code, "message": words}}).to_string();
            json(status, &body).header("x-toft-error", code)
        };
        check(format, ours(424, "no_key", "Add a key."), "no_key", never, "Add a key.").await;
        check(
            format,
            ours(502, "upstream_unreachable", "No route."),
            "unreachable",
            backoff,
            "No route.",
        )
        .await;
        check(format, ours(401, "unauthenticated", ""), "invalid_request", never, "token").await;
    }
}

#[tokio::test]
async fn an_error_in_the_middle_keeps_the_text_and_drops_the_calls() {
    for format in FORMATS {
        let body =
            format!("{}{}{}", (format.text)("so far"), (format.call)(0, "a", "{}"), format.error);
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!(
            (got.code(), &got.message.content[..]),
            ("overloaded", &[Block::text("so far")][..])
        );
    }
}

#[tokio::test]
async fn nothing_at_the_gateway_is_told() {
    for format in FORMATS {
        let model = (format.make)(MemoryTransport::new([]));
        let asked = request(format.provider, format.model, vec![user("hi")]);
        let events: Vec<_> = model.ask(asked, CancellationToken::new()).collect().await;
        let [ModelEvent::Done { failure: Some(failure), .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((failure.code.as_str(), failure.retry), ("unreachable", Retry::Backoff));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_given_up() {
    for format in FORMATS {
        let answer = PreparedAnswer::stream((format.text)("hm")).ending(BodyEnd::Silent);
        let began = tokio::time::Instant::now();
        let got = format.ask(answer).await;
        assert_eq!(began.elapsed(), IDLE);
        assert_eq!(
            (got.code(), &got.message.content[..]),
            ("idle_timeout", &[Block::text("hm")][..])
        );
        assert!(got.words().contains("300 seconds"), "{}", got.words());
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_call_at_once_and_keeps_the_text() {
    for format in FORMATS {
        let body = format!("{}{}", (format.text)("so far"), (format.call)(0, "a", "{}"));
        let answer = PreparedAnswer::stream(body).ending(BodyEnd::Silent);
        let cancel = CancellationToken::new();
        let mut stream = format.ask_with(answer, vec![user("hi")], cancel.clone());
        // As many deltas as there are; then it would wait for more.
        let began = tokio::time::Instant::now();
        let mut seen = 0;
        let done = loop {
            match tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
                Ok(Some(ModelEvent::Delta(_))) => seen += 1,
                Ok(Some(ModelEvent::Done { message, failure })) => break (message, failure),
                Ok(None) => panic!("no Done"),
                Err(_) => cancel.cancel(),
            }
        };
        assert_eq!(began.elapsed(), Duration::from_secs(1), "no wait after the cancel");
        assert!(seen >= 3);
        assert_eq!(done.0.stop_reason, StopReason::Aborted);
        assert_eq!(done.0.content, [Block::text("so far")]);
        assert_eq!(done.1.unwrap().code, "aborted");
    }
}

#[tokio::test]
async fn a_call_that_was_cancelled_before_it_began_sends_nothing() {
    for format in FORMATS {
        let transport = MemoryTransport::new([]);
        let model = (format.make)(transport.clone());
        let cancel = CancellationToken::new();
        cancel.cancel();
        let asked = request(format.provider, format.model, vec![user("hi")]);
        let events: Vec<_> = model.ask(asked, cancel).collect().await;
        assert!(matches!(events.as_slice(), [ModelEvent::Done { .. }]));
        assert!(transport.sent().is_empty());
    }
}

#[tokio::test]
async fn a_huge_delta_and_wrong_bytes_are_taken() {
    for format in FORMATS {
        let huge = "é".repeat(1 << 20);
        let body = format!("{}{}", (format.text)(&huge), format.end);
        let got = format.ask(chunked(body.as_bytes(), 16_000)).await;
        assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text(huge)][..]));
        let mut body = (format.text)("a~b").into_bytes();
        let at = body.windows(3).position(|w| w == b"a~b").unwrap() + 1;
        body[at] = 0xff;
        body.extend_from_slice(format.end.as_bytes());
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text("a\u{fffd}b")][..]));
    }
}

#[tokio::test]
async fn an_endless_event_is_refused() {
    for format in FORMATS {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let chunks =
            std::iter::once(Bytes::from_static(b"data: ")).chain(std::iter::repeat_n(chunk, 17));
        let answer = PreparedAnswer { chunks: chunks.collect(), ..PreparedAnswer::stream("") };
        let got = format.ask(answer).await;
        assert_eq!(got.code(), "bad_answer");
    }
}
