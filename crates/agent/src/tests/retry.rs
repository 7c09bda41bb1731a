//! A turn that failed or was stopped, tried again.

use super::{bench::Bench, failure};
use crate::{Command, Refused};
use toft_llm::{ask::Retry, testing::Prepared};

#[tokio::test(start_paused = true)]
async fn a_failed_turn_is_tried_again_without_another_message() {
    let half = vec![toft_model::message::Block::text("half")];
    let refused = || failure("provider_refused_key", Retry::Never);
    let bench = Bench::new([
        Prepared::call("c1", "step", "{}"),
        Prepared::Fails(half, refused()),
        Prepared::Fails(vec![], refused()),
        Prepared::text("whole"),
    ]);
    let retry = || bench.handle.ask(|reply| Command::Retry { reply });
    assert!(matches!(retry().await, Err(Refused::NothingToRetry)));
    bench.run("go").await;
    for n in 2..=3 {
        retry().await.unwrap();
        bench.hear("agent_end", n).await;
    }
    assert_eq!(
        bench.transcript(),
        [
            "user: go",
            "assistant ToolUse: c1",
            "result c1: did 1 {}",
            "assistant Error: half",
            "assistant Error: ",
            "assistant Stop: whole"
        ]
    );
    let asked = bench.model.asked();
    for retried in &asked[2..] {
        assert_eq!(retried.messages, asked[1].messages, "failed answers do not count");
    }
    let bookings: Vec<_> = asked.iter().map(|request| request.booking.clone()).collect();
    assert!(bookings[0].session.is_some() && bookings[0].run.is_some(), "{bookings:?}");
    assert!(bookings.iter().all(|b| *b == bookings[0]), "a retry is the same run: {bookings:?}");
    let end = bench.end();
    assert_eq!((end.reason.as_str(), end.turns, end.tools), ("done", 1, 0), "its own receipt");
    let story = bench.story();
    let retried = "agent_end agent_start turn_start message_start message_end turn_end agent_end";
    assert!(story.ends_with(retried), "{story}");
    assert!(matches!(retry().await, Err(Refused::NothingToRetry)));
}

#[tokio::test(start_paused = true)]
async fn work_that_is_held_back_waits_for_as_long_as_it_must() {
    let held = |after| Prepared::Fails(vec![], failure("held_back", Retry::After(after)));
    let long = std::iter::repeat_n(held(std::time::Duration::from_secs(30)), 9);
    let spent = || Prepared::Fails(vec![], failure("budget_spent", Retry::Never));
    let bench = Bench::new(long.chain([spent(), spent(), Prepared::text("at last")]));
    bench.run("go").await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Stop: at last"]);
    // Told at 1, 2, 4 and 8, and that it is over.
    assert!(!bench.handle.conversation().needs_person());
    let story = bench.story();
    assert_eq!(story.matches("auto_retry_start").count(), 4, "{story}");
    assert_eq!(story.matches("auto_retry_end").count(), 1, "{story}");
    let runs: Vec<_> = bench.model.asked().into_iter().map(|r| r.booking.run).collect();
    bench.run("again").await;
    let next = bench.model.asked().pop().unwrap().booking.run;
    assert!(next.is_some() && !runs.contains(&next), "another prompt is another run: {next:?}");
}

#[tokio::test]
async fn a_stopped_turn_is_tried_again_and_a_working_one_is_not() {
    let bench = Bench::new([Prepared::call("c1", "slow", "{}"), Prepared::text("after all")]);
    let retry = || bench.handle.ask(|reply| Command::Retry { reply });
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    assert!(matches!(retry().await, Err(Refused::Busy)));
    bench.abort().await;
    retry().await.unwrap();
    bench.hear("agent_end", 2).await;
    assert_eq!(
        bench.transcript()[2..],
        [
            "result c1 failed: Stopped by a person before it ended.",
            "assistant Aborted: ",
            "assistant Stop: after all"
        ]
    );
    assert_eq!(bench.end().reason, "done");
}

#[tokio::test]
async fn what_waited_behind_a_failed_turn_is_delivered_after_its_retry() {
    let failed = Prepared::Fails(vec![], failure("provider_refused_key", Retry::Never));
    let bench = Bench::new([
        Prepared::call("c1", "gate", "{}"),
        failed,
        Prepared::text("one"),
        Prepared::text("two"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.prompt("later").await;
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    bench.handle.ask(|reply| Command::Retry { reply }).await.unwrap();
    bench.hear("agent_end", 2).await;
    assert_eq!(
        bench.transcript()[3..],
        ["assistant Error: ", "assistant Stop: one", "user: later", "assistant Stop: two"]
    );
}
