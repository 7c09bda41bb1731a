//! The loop against a model that says prepared things and tools that do prepared things.

mod bench;
mod compacting;
mod doubt;
mod extensions;
mod limits;
mod navigate;
mod permission;
mod plan;
mod retry;
mod run_rules;
mod saving;
mod skills;
mod stop;
mod tasks;
mod waiting;

use crate::{
    Command, Refused,
    session::{QueuedAs, Session},
};
use bench::Bench;
use std::{sync::atomic::Ordering, time::Duration};
use toft_llm::{
    ask::{ModelFailure, Retry},
    testing::{Prepared, call},
};
use toft_model::{
    event::{EventBody, OutputStream},
    message::Message,
    provider::ModelRef,
};

fn failure(code: &str, retry: Retry) -> ModelFailure {
    ModelFailure { code: code.into(), message: format!("{code} happened"), retry }
}

#[tokio::test]
async fn a_prompt_runs_through_tools_to_an_answer() {
    let bench =
        Bench::new([Prepared::call("c1", "step", r#"{"n":1}"#), Prepared::text("All done.")]);
    bench.run("do it").await;
    assert_eq!(
        bench.transcript(),
        [
            "user: do it",
            "assistant ToolUse: c1",
            r#"result c1: did 1 {"n":1}"#,
            "assistant Stop: All done."
        ]
    );
    assert_eq!(
        bench.story(),
        "agent_start message_start message_end turn_start message_start message_end tool_start tool_end \
         message_start message_end turn_end turn_start message_start message_end turn_end agent_end"
    );
    let end = bench.end();
    assert_eq!((end.reason.as_str(), end.turns, end.tools), ("done", 2, 1));
    assert_eq!(end.changed, ["/etc/b", "a.txt"]);
    let asked = bench.model.asked();
    assert_eq!(asked[0].system, asked[1].system, "caches need the same beginning");
    assert_eq!(asked[1].messages.len(), 3);
}

#[tokio::test]
async fn an_abort_closes_calls_and_gives_waiting_texts_back() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "slow", "{}"), call("c2", "step", "{}")]),
        Prepared::text("fresh start"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.prompt("later").await;
    let texts = bench.abort().await;
    assert_eq!(texts.follow_up, ["later"]);
    assert_eq!(
        bench.transcript(),
        [
            "user: go",
            "assistant ToolUse: c1,c2",
            "result c1 failed: Stopped by a person before it ended.",
            "result c2 failed: Stopped by a person before it ended.",
            "assistant Aborted: "
        ]
    );
    assert_eq!(bench.end().reason, "aborted");
    bench.run("again").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: fresh start");
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_wait_for_a_tool_that_does_not_listen() {
    let bench = Bench::new([Prepared::call("c1", "stuck", "{}")]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    let began = tokio::time::Instant::now();
    bench.abort().await;
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(bench.transcript().last().unwrap(), "assistant Aborted: ");
}

#[tokio::test]
async fn an_abort_in_mid_answer_keeps_what_was_shown() {
    let bench = Bench::new([Prepared::Hangs(vec![toft_model::message::Block::text("half")])]);
    bench.prompt("go").await;
    bench.hear("message_update", 2).await;
    bench.abort().await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Aborted: half"]);
    assert_eq!(bench.abort().await.follow_up.len(), 0, "a second abort finds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_is_tried_again_and_what_was_shown_is_voided() {
    let half = vec![toft_model::message::Block::text("half")];
    let bench = Bench::new([
        Prepared::Fails(half, failure("overloaded", Retry::Backoff)),
        Prepared::text("whole"),
    ]);
    bench.run("go").await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Stop: whole"]);
    let story = bench.story();
    let retried = "turn_start message_start message_restarted auto_retry_start message_start \
                   auto_retry_end message_end turn_end agent_end";
    assert!(story.ends_with(retried), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_stays_ends_the_prompt_and_not_the_session() {
    let bench = Bench::new([
        Prepared::Fails(vec![], failure("provider_refused_key", Retry::Never)),
        Prepared::text("now it works"),
    ]);
    bench.run("go").await;
    assert_eq!(bench.end().reason, "error");
    assert_eq!(bench.transcript()[1], "assistant Error: ");
    bench.run("go on").await;
    assert_eq!(bench.transcript()[3], "assistant Stop: now it works");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_away_is_waited_for() {
    let bench = Bench::new([Prepared::text("hello")]);
    bench.models.away.store(5, Ordering::SeqCst);
    bench.run("go").await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Stop: hello"]);
    let told = bench.kinds().iter().filter(|k| *k == "auto_retry_start").count();
    assert_eq!(told, 3, "at 1, 2 and 4");
}

#[tokio::test]
async fn calls_that_only_read_run_at_the_same_time() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "read", "{}"), call("c2", "read", "{}")]),
        Prepared::text("ok"),
    ]);
    bench.run("go").await;
    assert_eq!(bench.transcript()[2..4], ["result c1: read", "result c2: read"]);
}

#[tokio::test]
async fn faults_of_tools_are_results() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "crash", "{}"), call("c2", "nonsense", "{}")]),
        Prepared::text("ok"),
    ]);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert!(
        transcript[2].starts_with("result c1 failed: The tool `crash` failed"),
        "{transcript:?}"
    );
    assert!(transcript[3].contains("no tool") && transcript[3].contains("step"), "{transcript:?}");
    assert_eq!(bench.end().reason, "done");
}

#[tokio::test]
async fn a_model_that_repeats_itself_is_told_so() {
    let same = || Prepared::call("c", "crash", "{}");
    let bench = Bench::new([same(), same(), same(), Prepared::text("ok")]);
    bench.run("go").await;
    let notes: Vec<usize> = bench
        .transcript()
        .iter()
        .enumerate()
        .filter(|(_, line)| *line == "note toft.nudge")
        .map(|(n, _)| n)
        .collect();
    assert_eq!(notes, [7], "after the third result");
    // Ids that come again are made unique, so that old results never stand for new calls.
    assert_eq!(bench.transcript()[3], "assistant ToolUse: c_2");
}

#[tokio::test]
async fn a_question_waits_for_its_answer() {
    let bench = Bench::new([Prepared::call("c1", "ask", "{}"), Prepared::text("blue then")]);
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    let answer = |id: &str| {
        let (tool_call_id, answer) = (id.to_owned(), "blue".to_owned());
        bench.handle.ask(move |reply| Command::Answer { tool_call_id, answer, reply })
    };
    assert!(matches!(answer("c9").await, Err(Refused::NoQuestion(_))));
    answer("c1").await.unwrap();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.transcript()[2], "result c1: blue");
    assert!(matches!(answer("c1").await, Err(Refused::NoQuestion(_))));
}

#[tokio::test]
async fn what_a_tool_prints_of_a_secret_reaches_neither_people_nor_the_model() {
    let bench =
        Bench::new([Prepared::call("c1", "step", r#"{"n":"canary-12345"}"#), Prepared::text("ok")]);
    bench.secrets.set("KEY", "canary-12345");
    bench.run("go").await;
    assert_eq!(bench.transcript()[2], r#"result c1: did 1 {"n":"[secret KEY]"}"#);
    let asked = bench.model.asked();
    assert!(!format!("{:?}", asked[1].messages.last().unwrap()).contains("canary"));
    let events = bench.heard.events.lock().unwrap();
    let told = events.iter().filter(|e| matches!(e.body.kind(), "tool_update" | "tool_end"));
    let told: String = told.map(toft_model::event::Event::to_line).collect();
    assert!(told.contains("[secret KEY]") && !told.contains("canary"), "{told}");
}

#[tokio::test]
async fn both_streams_of_a_program_are_told_apart_and_each_without_secrets_that_come_in_pieces() {
    let bench = Bench::new([Prepared::call("c1", "both", "{}"), Prepared::text("ok")]);
    bench.secrets.set("KEY", "canary-12345");
    bench.run("go").await;
    let events = bench.heard.events.lock().unwrap();
    let told = |of: OutputStream| -> String {
        let updates = events.iter().filter_map(|event| match &event.body {
            EventBody::ToolUpdate(update) if update.stream == of => Some(update.delta.as_str()),
            _ => None,
        });
        updates.collect()
    };
    assert_eq!(told(OutputStream::Stdout), "out more [secret KEY] out");
    assert_eq!(told(OutputStream::Stderr), "error [secret KEY] errors");
    // Who knows no streams reads on: one of them is left out.
    let lines: Vec<String> = events
        .iter()
        .filter(|event| event.body.kind() == "tool_update")
        .map(toft_model::event::Event::to_line)
        .collect();
    for line in lines {
        assert_eq!(line.contains("error"), line.contains(r#""stream":"stderr""#), "{line}");
    }
}

#[tokio::test]
async fn a_secret_that_is_set_while_a_tool_runs_is_not_shown_as_it_comes() {
    let call = Prepared::call("c1", "gate", r#"{"n":"late-canary-12345"}"#);
    let bench = Bench::new([call, Prepared::text("ok")]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.secrets.set("KEY", "late-canary-12345");
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    let events = bench.heard.events.lock().unwrap();
    let told = events.iter().filter(|e| matches!(e.body.kind(), "tool_update"));
    let told: String = told.map(toft_model::event::Event::to_line).collect();
    assert!(told.contains("[secret KEY]") && !told.contains("canary"), "{told}");
}

#[tokio::test]
async fn history_is_compacted_before_it_overflows() {
    let long = "x".repeat(9_000);
    let bench = Bench::with_window(
        [
            Prepared::text(&long),
            Prepared::text(&long),
            Prepared::text("## Goal\nsummary"),
            // The cut is within the second turn, whose beginning gets one of its own.
            Prepared::text("## Original Request\ntwo"),
            Prepared::text("after"),
        ],
        5_000,
    );
    bench.run("one").await;
    bench.run("two").await;
    bench.run("three").await;
    let transcript = bench.transcript();
    let compaction = "compaction: ## Goal\nsummary\n\n---\n\n**Turn Context (split turn):**\n\n\
                      ## Original Request\ntwo";
    assert!(transcript.iter().any(|l| l == compaction), "{transcript:?}");
    assert_eq!(transcript.last().unwrap(), "assistant Stop: after");
    let asked = bench.model.asked();
    let summary = &asked[2];
    assert!(summary.tools.is_empty() && summary.messages.len() == 1);
    let last = asked.last().unwrap();
    assert!(matches!(last.messages[0], Message::CompactionSummary(_)));
    assert!(last.messages.len() < 5, "{}", last.messages.len());
}

#[tokio::test(start_paused = true)]
async fn an_overflow_is_compacted_and_asked_again_once() {
    let long = "x".repeat(9_000);
    let overflow = || Prepared::Fails(vec![], failure("context_overflow", Retry::Never));
    let bench = Bench::with_window(
        [
            Prepared::text(&long),
            overflow(),
            Prepared::text("summary"),
            Prepared::text("fits"),
            overflow(),
        ],
        8_000,
    );
    bench.run("one").await;
    bench.run("two").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: fits");
    assert!(bench.story().contains("compaction_start compaction_end"));
}

#[tokio::test]
async fn compaction_by_hand_says_when_there_is_nothing_to_do() {
    let bench = Bench::new([Prepared::text("short")]);
    bench.run("hi").await;
    let done = bench.handle.ask(|reply| Command::Compact { instructions: None, reply }).await;
    assert!(matches!(done, Err(Refused::NothingToCompact)));
    assert!(!bench.handle.conversation().is_compacting());
}

#[tokio::test(start_paused = true)]
async fn a_prompt_during_a_compaction_is_answered_after_it_whatever_came_before() {
    let long = "x".repeat(9_000);
    let bench = Bench::with_window(
        [
            Prepared::text(&long),
            Prepared::text(&long),
            Prepared::Fails(vec![], failure("provider_refused_key", Retry::Never)),
            Prepared::text("summary"),
            Prepared::text("of the turn"),
            Prepared::text("heard"),
        ],
        8_000,
    );
    for text in ["one", "two", "three"] {
        bench.run(text).await;
    }
    assert_eq!(bench.end().reason, "error");
    // The summary waits for the gateway: time enough to say something.
    bench.models.away.store(1, Ordering::SeqCst);
    let handle = bench.handle.clone();
    let compaction = tokio::spawn(async move {
        handle.ask(|reply| Command::Compact { instructions: None, reply }).await
    });
    bench.hear("auto_retry_start", 1).await;
    assert_eq!(bench.prompt("four").await.queued, Some(QueuedAs::FollowUp));
    let summary = compaction.await.unwrap().unwrap().summary;
    assert!(summary.starts_with("summary") && summary.ends_with("of the turn"), "{summary}");
    bench.hear("agent_end", 4).await;
    let transcript = bench.transcript();
    assert_eq!(transcript[transcript.len() - 2..], ["user: four", "assistant Stop: heard"]);
}

#[tokio::test]
async fn a_full_disk_refuses_a_prompt_and_takes_nothing() {
    let bench = Bench::new([Prepared::text("hi")]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    bench.handle.conversation().session().replace_file_for_test(full);
    assert!(matches!(bench.send("go", QueuedAs::FollowUp).await, Err(Refused::Disk(_))));
    assert!(bench.transcript().is_empty());
    assert_eq!(bench.model.asked().len(), 0);
}

#[tokio::test]
async fn a_chosen_name_and_level_are_told_and_kept() {
    let bench = Bench::new([]);
    let change = |reply| Command::Change {
        model: Some(ModelRef { provider: "openai".into(), id: "gpt-5".into() }),
        thinking_level: Some("high".into()),
        name: Some("  Named ".into()),
        reply,
    };
    bench.handle.ask(change).await.unwrap();
    assert_eq!(bench.story(), "model_change thinking_level_change session_info_changed");
    let path = bench.handle.conversation().session().path().to_owned();
    let session = Session::open(&path).unwrap();
    assert_eq!(session.name(), Some("Named"));
    assert_eq!(session.thinking_level(), Some("high"));
    assert_eq!(session.model().unwrap().id, "gpt-5");
    assert!(path.starts_with(bench.dir.path()));
}

#[tokio::test]
async fn a_prompt_without_an_end_is_stopped_and_can_go_on() {
    let answers = (0..=crate::run::limits::TURNS_MAX)
        .map(|n| Prepared::call("c", "step", &format!(r#"{{"n":{n}}}"#)))
        .chain([Prepared::text("rested")]);
    let bench = Bench::new(answers);
    bench.run("go").await;
    let end = bench.end();
    assert_eq!((end.reason.as_str(), end.turns), ("limit", crate::run::limits::TURNS_MAX));
    assert_eq!(bench.transcript().last().unwrap(), "assistant Error: ");
    bench.run("go on").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: rested");
}
