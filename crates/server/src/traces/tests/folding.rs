//! Events become spans: which, below which, and always the same ones.

use crate::traces::{
    content::Content,
    fold::Fold,
    span::{Fact, Kind, Span},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use toft_model::id::ProjectId;
use toft_store::NewEvent;

const NOTHING: Content = Content { inputs: false, outputs: false };
const ALL: Content = Content { inputs: true, outputs: true };

fn project() -> ProjectId {
    "a23456789bcd".parse().unwrap()
}

/// Events of `(session, kind, data)`, a tenth of a second apart.
fn events(told: Vec<(&str, &str, Value)>) -> Vec<NewEvent> {
    (1..)
        .zip(told)
        .map(|(seq, (session, kind, mut data))| {
            let ts = 1_000_000 + 100 * seq;
            data["ts"] = ts.into();
            NewEvent {
                seq,
                ts: 77,
                session: Some(session.to_owned()),
                kind: kind.to_owned(),
                data: data.to_string(),
            }
        })
        .collect()
}

fn user(text: &str) -> Value {
    json!({"messageId": "u", "entryId": "u", "parentId": null,
        "message": {"role": "user", "content": text, "timestamp": 1}})
}

fn answer(content: &Value, stop: &str, asked_at: u64) -> Value {
    json!({"messageId": "a", "entryId": "a", "parentId": null, "message": {
        "role": "assistant", "content": content, "api": "anthropic-messages",
        "provider": "anthropic", "model": "claude", "stopReason": stop, "timestamp": asked_at,
        "usage": {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 7, "totalTokens": 122,
            "cost": {"total": 0.5}}}})
}

fn text(said: &str) -> Value {
    json!([{"type": "text", "text": said}])
}

fn tool(call: &str, name: &str) -> Value {
    json!({"toolCallId": call, "toolName": name, "input": {"command": "ls"}})
}

fn tool_ended(call: &str, duration_ms: u64, is_error: bool) -> Value {
    json!({"toolCallId": call, "toolName": "bash", "isError": is_error, "durationMs": duration_ms,
        "result": {"content": [{"type": "text", "text": "a.txt"}]}})
}

fn fold(content: Content, events: &[NewEvent]) -> Vec<Span> {
    let mut fold = Fold::new(project(), content, 0);
    let spans = events.iter().flat_map(|event| fold.take(event)).collect();
    let last = events.last().unwrap().seq;
    assert_eq!(fold.open_from(last), last, "nothing goes on at the end");
    spans
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn fact<'a>(span: &'a Span, name: &str) -> Option<&'a Fact> {
    span.facts.iter().find(|(key, _)| *key == name).map(|(_, fact)| fact)
}

/// A prompt with two calls at once and a task.
fn handed_on() -> Vec<NewEvent> {
    let mut task = tool("c2", "task");
    task["childSession"] = "kid".into();
    let mut told = vec![
        ("main", "message_end", user("Do it")),
        ("main", "agent_start", json!({})),
        ("main", "message_start", json!({"messageId": "a", "role": "assistant"})),
        ("main", "message_end", answer(&text("Two parts."), "toolUse", 1_000_220)),
        ("main", "tool_start", tool("c1", "bash")),
        ("main", "tool_start", task),
    ];
    told.extend([
        ("kid", "agent_start", json!({})),
        ("kid", "message_end", user("Add up")),
        ("kid", "tool_start", tool("c1", "files__read")),
        ("kid", "tool_end", tool_ended("c1", 50, false)),
        ("kid", "message_start", json!({"messageId": "k", "role": "assistant"})),
        ("kid", "message_end", answer(&text("Seven."), "stop", 1)),
        ("kid", "agent_end", json!({"reason": "done"})),
        ("main", "tool_end", tool_ended("c1", 30, true)),
        ("main", "tool_end", tool_ended("c2", 0, false)),
        ("main", "message_start", json!({"messageId": "b", "role": "assistant"})),
        ("main", "message_end", answer(&text("Done."), "stop", 1_001_610)),
        ("main", "agent_end", json!({"reason": "done"})),
    ]);
    events(told)
}

#[test]
fn a_prompt_is_a_tree_of_spans_with_its_task_below_the_call() {
    let spans = fold(NOTHING, &handed_on());
    assert_eq!(
        names(&spans),
        [
            "chat claude",
            "execute_tool files__read",
            "chat claude",
            "invoke_agent toft task",
            "execute_tool bash",
            "execute_tool task",
            "chat claude",
            "invoke_agent toft",
        ]
    );
    let [first, inner, kid_chat, kid, bash, task, last, main] = &spans[..] else { unreachable!() };
    assert!(spans.iter().all(|span| span.trace == main.trace && span.thread == "main"));
    assert_eq!(main.parent, None);
    for child in [first, bash, task, last] {
        assert_eq!(child.parent, Some(main.id), "{}", child.name);
    }
    assert_eq!(kid.parent, Some(task.id));
    assert_eq!((inner.parent, kid_chat.parent), (Some(kid.id), Some(kid.id)));
    let of = |span| fact(span, "gen_ai.conversation.id").cloned();
    assert_eq!((of(main), of(kid)), (Some(Fact::from("main")), Some(Fact::from("kid"))));
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), spans.len());
    // Times: the call from when it was asked, a prompt from when it was said, calls side by side as long
    // as they ran.
    assert_eq!((first.from_ms, first.to_ms), (1_000_220, 1_000_400));
    assert_eq!((main.from_ms, main.to_ms), (1_000_100, 1_001_800));
    assert_eq!((bash.from_ms, bash.to_ms), (1_000_500, 1_000_530));
    assert_eq!((task.from_ms, task.to_ms), (1_000_600, 1_001_500));
    assert_eq!(kid_chat.from_ms, 1_001_100, "a time before the prompt cannot be");
    assert_eq!(fact(bash, "error.type"), Some(&Fact::from("tool_error")));
    assert_eq!(fact(inner, "gen_ai.tool.type"), Some(&Fact::from("extension")));
    assert_eq!((main.kind, first.kind, bash.kind), (Kind::Agent, Kind::Chat, Kind::Tool));
    // What was read from a cache was read. The agent's own calls, without the task's.
    assert_eq!(fact(first, "gen_ai.usage.input_tokens"), Some(&Fact::Count(117)));
    assert_eq!(fact(main, "gen_ai.usage.input_tokens"), Some(&Fact::Count(234)));
    assert_eq!(fact(main, "toft.cost_usd"), Some(&Fact::Amount(1.0)));
}

#[test]
fn what_was_said_is_told_only_where_it_may() {
    let spans = fold(NOTHING, &handed_on());
    assert!(spans.iter().all(|span| span.input.is_none() && span.output.is_none()));
    let facts = format!("{spans:?}");
    for said in ["Do it", "Two parts", "a.txt", "Add up", "Seven"] {
        assert!(!facts.contains(said), "{said}");
    }
    let spans = fold(ALL, &handed_on());
    let [first, .., bash, _, last, main] = &spans[..] else { unreachable!() };
    let asked = json!([{"role": "user", "parts": [{"type": "text", "content": "Do it"}]}]);
    assert_eq!((first.input.as_ref(), main.input.as_ref()), (Some(&asked), Some(&asked)));
    let done = json!([{"role": "assistant", "finish_reason": "stop",
        "parts": [{"type": "text", "content": "Done."}]}]);
    assert_eq!((last.output.as_ref(), main.output.as_ref()), (Some(&done), Some(&done)));
    assert_eq!(last.input, Some(json!([])), "only what is new is told");
    assert_eq!(bash.input, Some(json!({"command": "ls"})));
    assert_eq!(bash.output, Some(json!("a.txt")));
}

#[test]
fn failures_are_told_as_such_and_a_stop_by_a_person_is_none() {
    let mut failed = answer(&json!([]), "error", 1);
    failed["message"]["errorMessage"] = "overloaded".into();
    let retry = json!({"attempt": 1, "maxAttempts": 3, "delayMs": 9, "errorMessage": "429"});
    let spans = fold(
        NOTHING,
        &events(vec![
            ("s", "agent_start", json!({})),
            ("s", "message_start", json!({"messageId": "a", "role": "assistant"})),
            ("s", "message_restarted", json!({"messageId": "a", "reason": "cut"})),
            ("s", "auto_retry_start", retry),
            ("s", "message_start", json!({"messageId": "b", "role": "assistant"})),
            ("s", "message_end", failed),
            ("s", "agent_end", json!({"reason": "error"})),
        ]),
    );
    assert_eq!(names(&spans), ["chat", "chat claude", "invoke_agent toft"]);
    let errors: Vec<_> = spans.iter().map(|span| span.error.as_deref()).collect();
    assert_eq!(errors, [Some("cut"), Some("overloaded"), Some("overloaded")]);
    assert_eq!(spans[2].marks.len(), 1);

    let mut stopped = answer(&json!([]), "aborted", 1);
    stopped["message"]["usage"] = json!({});
    let spans = fold(
        NOTHING,
        &events(vec![
            ("s", "agent_start", json!({})),
            ("s", "message_end", stopped),
            ("s", "agent_end", json!({"reason": "aborted"})),
        ]),
    );
    assert_eq!(names(&spans), ["invoke_agent toft"], "no model was asked");
    assert_eq!(spans[0].error, None);
}

#[test]
fn what_never_came_to_an_end_is_closed_with_what_it_belongs_to() {
    let mut task = tool("c2", "task");
    task["childSession"] = "kid".into();
    let spans = fold(
        NOTHING,
        &events(vec![
            ("s", "agent_start", json!({})),
            ("s", "tool_start", task),
            ("kid", "agent_start", json!({})),
            ("kid", "tool_start", tool("k1", "bash")),
            ("s", "compaction_start", json!({"reason": "threshold"})),
            ("other", "restored", json!({"sessions": [{"sessionId": "s", "fromEntryId": null}]})),
        ]),
    );
    let wanted = [
        "execute_tool bash",
        "invoke_agent toft task",
        "compact",
        "execute_tool task",
        "invoke_agent toft",
    ];
    assert_eq!(names(&spans), wanted);
    let interrupted = |span: &&Span| fact(span, "error.type") == Some(&Fact::from("interrupted"));
    assert_eq!(spans.iter().filter(interrupted).count(), 4);
}

#[test]
fn a_call_that_waited_for_a_person_took_as_long_as_that() {
    let spans = fold(
        NOTHING,
        &events(vec![
            ("s", "agent_start", json!({})),
            ("s", "tool_start", tool("c1", "bash")),
            ("s", "question", json!({"toolCallId": "c1", "question": "May it?", "options": []})),
            ("s", "tool_end", tool_ended("c1", 3, false)),
            ("s", "agent_end", json!({"reason": "done"})),
        ]),
    );
    assert_eq!((spans[0].from_ms, spans[0].to_ms), (1_000_200, 1_000_400));
    // One of a task is asked in the conversation that has the task.
    let mut task = tool("c1", "task");
    task["childSession"] = "kid".into();
    let asked = json!({"toolCallId": "c1", "id": "kid:k1", "childSession": "kid", "question": "?"});
    let spans = fold(
        NOTHING,
        &events(vec![
            ("s", "agent_start", json!({})),
            ("s", "tool_start", task),
            ("kid", "agent_start", json!({})),
            ("kid", "tool_start", tool("k1", "bash")),
            ("s", "question", asked),
            ("kid", "tool_end", tool_ended("k1", 3, false)),
            ("kid", "agent_end", json!({"reason": "done"})),
            ("s", "tool_end", tool_ended("c1", 3, false)),
            ("s", "agent_end", json!({"reason": "done"})),
        ]),
    );
    let times = |at: usize| (spans[at].from_ms, spans[at].to_ms);
    assert_eq!((names(&spans)[0], times(0)), ("execute_tool bash", (1_000_400, 1_000_600)));
    assert_eq!((names(&spans)[2], times(2)), ("execute_tool task", (1_000_200, 1_000_800)));
}

/// Anything that a machine might say.
fn anything() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let session = prop::sample::select(vec!["a", "b", "c"]);
    let call = prop::sample::select(vec!["1", "2"]);
    let said = (0..13_usize, call, session.clone()).prop_map(|(which, call, child)| {
        let mut task = tool(call, "task");
        task["childSession"] = child.into();
        match which {
            0 | 1 => ("agent_start", json!({})),
            2 => ("agent_end", json!({"reason": "done"})),
            3 => ("message_start", json!({"role": "assistant"})),
            4 => ("message_end", answer(&text("x"), "stop", 1_000_300)),
            5 => ("message_end", user("x")),
            6 => ("message_restarted", json!({"reason": "x"})),
            7 => ("tool_start", tool(call, "bash")),
            8 => ("tool_start", task),
            9 => ("tool_end", tool_ended(call, 10, false)),
            10 => ("compaction_start", json!({"reason": "x"})),
            11 => ("restored", json!({"sessions": [{"sessionId": child}]})),
            _ => ("tool_end", json!("nonsense")),
        }
    });
    (session, said).prop_map(|(session, (kind, data))| (session, kind, data))
}

proptest! {
    #[test]
    fn wherever_it_is_cut_the_rest_comes_out_the_same(said in prop::collection::vec(anything(), 1..60)) {
        let said = said.into_iter().map(|(session, kind, mut data)| {
            if !data.is_object() { data = json!({"value": data}); }
            (session, kind, data)
        });
        let events = events(said.collect());
        let mut whole = Fold::new(project(), ALL, 0);
        let mut spans = Vec::new();
        let mut from = Vec::new();
        for event in &events {
            spans.extend(whole.take(event));
            from.push((event.seq, whole.open_from(event.seq)));
        }
        for (sent, open_from) in from {
            prop_assert!(open_from <= sent);
            let mut again = Fold::new(project(), ALL, open_from);
            let rest: Vec<Span> = events
                .iter()
                .filter(|event| event.seq > open_from)
                .flat_map(|event| again.take(event))
                .filter(|span| span.ended > sent)
                .collect();
            let wanted: Vec<Span> = spans.iter().filter(|span| span.ended > sent).cloned().collect();
            prop_assert_eq!(rest, wanted);
        }
    }
}
