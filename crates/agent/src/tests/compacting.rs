//! The context made shorter in the middle of work: by leaving old outputs out, by summaries, once after an answer
//! that ended for want of room.

use super::bench::Bench;
use crate::session::{Body, Extra};
use toft_llm::{
    ask::{ModelFailure, Retry},
    testing::Prepared,
};
use toft_model::message::{Block, Message, ToolResultMessage, UserContent, UserMessage, text_of};

/// Something said and a result of so many tokens in the file already.
fn result(bench: &Bench, tokens: usize) -> String {
    let conversation = bench.handle.conversation();
    let said =
        Message::User(UserMessage { content: UserContent::Text("old".into()), timestamp: 1 });
    conversation.append(Body::Message(said), Extra::default()).unwrap();
    let result = Message::ToolResult(ToolResultMessage {
        tool_call_id: "c".into(),
        tool_name: "bash".into(),
        content: vec![Block::text("r".repeat(tokens * 4))],
        details: None,
        is_error: false,
        timestamp: 1,
    });
    conversation.append(Body::Message(result), Extra::default()).unwrap()
}

#[tokio::test]
async fn old_outputs_are_left_out_before_anything_is_summarised() {
    let bench = Bench::with_window([Prepared::text("answered")], 100_000);
    let old = result(&bench, 45_000);
    result(&bench, 41_000);
    bench.run("go").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: answered");
    assert!(!bench.story().contains("compaction"), "{}", bench.story());
    let asked = bench.model.asked();
    assert_eq!(asked.len(), 1, "nobody was asked for a summary");
    let results: Vec<String> = asked[0]
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::ToolResult(m) => Some(text_of(&m.content)),
            _ => None,
        })
        .collect();
    assert!(results[0].contains("left out here"), "{}", results[0]);
    assert_eq!(results[1].len(), 41_000 * 4);
    let session = bench.handle.conversation().session();
    let edits = session.entries().iter().filter(
        |entry| matches!(&entry.body, Body::ContextEdit { target_id, .. } if *target_id == old),
    );
    assert_eq!(edits.count(), 1);
}

#[tokio::test]
async fn where_that_is_not_enough_the_summary_has_them() {
    let bench =
        Bench::with_window([Prepared::text("the summary"), Prepared::text("answered")], 60_000);
    result(&bench, 25_000);
    result(&bench, 45_000);
    bench.run("go").await;
    assert!(bench.story().contains("compaction_start compaction_end"), "{}", bench.story());
    let session = bench.handle.conversation().session();
    let edited = |entry: &crate::session::Entry| matches!(entry.body, Body::ContextEdit { .. });
    assert!(!session.entries().iter().any(edited));
    let asked = bench.model.asked();
    let Message::User(question) = &asked[0].messages[0] else { panic!() };
    assert!(question.content.text().contains("[Result of bash]: rrr"));
    assert!(asked[0].options.one_off && !asked[1].options.one_off);
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_fails_for_a_moment_is_asked_for_again() {
    let busy =
        ModelFailure { code: "overloaded".into(), message: "busy".into(), retry: Retry::Backoff };
    let bench = Bench::with_window(
        [Prepared::Fails(vec![], busy), Prepared::text("the summary"), Prepared::text("answered")],
        60_000,
    );
    result(&bench, 25_000);
    result(&bench, 45_000);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert!(transcript.iter().any(|line| line == "compaction: the summary"), "{transcript:?}");
    assert_eq!(transcript.last().unwrap(), "assistant Stop: answered");
}

#[tokio::test]
async fn half_a_summary_does_not_stand_for_the_history() {
    let call = Prepared::call("c", "step", "{}");
    let bench = Bench::with_window([call, Prepared::text("answered")], 60_000);
    result(&bench, 25_000);
    result(&bench, 45_000);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert!(!transcript.iter().any(|line| line.starts_with("compaction")), "{transcript:?}");
    assert_eq!(
        transcript.last().unwrap(),
        "assistant Stop: answered",
        "the question may still fit"
    );
}
