//! How runs end other than well: cancelled in each phase, out of time, failed and tried again, handed over twice.

use super::*;
use crate::runtime::runs::{Book, Ending, RunRefused, Taken, commit::program_of, take};
use std::time::Duration;
use toft_agent::Command;
use toft_model::{id::SessionId, provider::ModelRef};
use toft_tools::host::Shell as _;

/// Cancels a run as soon as `at` says so; gives it with its house.
fn cancelled<F: Future<Output = ()>>(
    house: House,
    order: &RunOrder,
    at: impl Fn(Arc<AgentRuntime>) -> F,
) -> (House, RunNow) {
    let mut run = None;
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        runtime.order_run(id(), order.clone()).await.unwrap();
        at(Arc::clone(&runtime)).await;
        let refused = runtime.cancel_run(&id(), 0).await;
        assert!(matches!(refused, Err(RunRefused::Stale(1))), "{refused:?}");
        let now = runtime.cancel_run(&id(), 1).await.unwrap();
        assert_eq!((now.phase, now.status), (Phase::Over, Some(RunStatus::Cancelled)));
        let handle = conversation(&runtime, &now).await;
        assert!(!handle.conversation().is_working());
        // Again it says the same.
        assert_eq!(runtime.cancel_run(&id(), 1).await.unwrap().end_seq, now.end_seq);
        run = Some(now);
    }));
    let programs = house.init.block_on(house.shell.list()).unwrap();
    assert!(programs.iter().all(|program| program.exit.is_some()), "nothing runs on");
    let last = house.phases().pop();
    assert_eq!(last, Some((Phase::Over, Some(RunStatus::Cancelled))));
    (house, run.unwrap())
}

async fn tool(runtime: Arc<AgentRuntime>) {
    let mut events = Box::pin(runtime.log().follow(Some(0), None));
    hear(&mut events, "tool_start").await;
}

#[test]
fn a_run_is_cancelled_in_each_phase() {
    let (house, _) = cancelled(House::new(vec![slow()]), &order(&json!({})), tool);
    assert_eq!(house.phases()[0].0, Phase::Plan);

    let approval = order(&json!({"approval": true}));
    let waits = async |runtime: Arc<AgentRuntime>| {
        until(&runtime, |state| state.waits.is_some() && state.told.is_some()).await;
    };
    let (house, run) = cancelled(House::new(vec![plan()]), &approval, waits);
    assert_eq!(house.phases().len(), 3);
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let state = conversation(&runtime, &run).await.conversation().session().plan().unwrap().1;
        let rejected = toft_model::plan::PlanState::Rejected;
        assert_eq!(state, rejected, "nobody is asked about it any more");
    }));

    let builds = async |runtime: Arc<AgentRuntime>| {
        until(&runtime, |state| state.phase == Phase::Build && state.told.is_some()).await;
        tool(runtime).await;
    };
    let (house, _) = cancelled(House::new(vec![plan(), slow()]), &order(&json!({})), builds);
    assert_eq!(house.phases()[1].0, Phase::Build);

    // Git takes long.
    let house = House::with_git(vec![plan(), write(), built()]);
    std::fs::write(house.project().join(".gitattributes"), "*.txt filter=slow\n").unwrap();
    house.git(&["config", "filter.slow.clean", "sleep 60; cat"]);
    let shell = Arc::clone(&house.shell);
    let git = async |_: Arc<AgentRuntime>| loop {
        let programs = shell.list().await.unwrap();
        if programs.iter().any(|program| program.id == program_of(&id())) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let (house, run) = cancelled(house, &order(&json!({})), git);
    assert_eq!((house.phases()[2].0, run.commit), (Phase::Commit, None));
    assert_eq!(house.git(&["log", "--format=%s"]), "first");
}

#[test]
fn a_cancel_that_the_bridge_did_not_outlive_is_carried_out_by_the_next() {
    let order = order(&json!({}));
    let live = async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        if runtime.order_run(id(), order.clone()).await.is_err() {
            std::future::pending::<()>().await;
        }
        hear(&mut events, "tool_start").await;
        if runtime.cancel_run(&id(), 1).await.is_err() {
            std::future::pending::<()>().await;
        }
        until(&runtime, State::is_over).await;
    };
    let calm = House::new(vec![slow()]);
    let never = fate(u64::MAX, false);
    assert!(calm.life(Some(Arc::clone(&never)), live));
    let expected = calm.phases();
    let points = never.told.load(Ordering::SeqCst);
    for at in 1..=points {
        let house = House::new(vec![slow()]);
        house.life(Some(fate(at, false)), live);
        assert!(house.life(None, live), "killed at {at}");
        assert_eq!(house.phases(), expected, "killed at {at}");
        let ends = house.events().iter().filter(|e| e.body.kind() == "agent_end").count();
        assert_eq!(ends, 1, "killed at {at}");
    }
}

#[test]
fn a_phase_that_takes_too_long_ends_the_run_and_another_attempt_goes_on() {
    let house = House::new(vec![slow(), plan(), write(), built()]);
    let first = order(&json!({"planTimeoutS": 1}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let run = over(&runtime, &first).await;
        assert_eq!(run.status, Some(RunStatus::Error));
        let why = run.error.clone().unwrap();
        assert!(why.contains("Planning took longer than the 1 seconds"), "{why}");
        let handle = conversation(&runtime, &run).await;
        assert!(!handle.conversation().is_working());
        let again = RunOrder { fence: 2, attempt: 2, plan_timeout_s: 600, ..first.clone() };
        let run = over(&runtime, &again).await;
        assert_eq!((run.status, run.attempt), (Some(RunStatus::Completed), 2), "{run:?}");
        assert!(house.project().join("made.txt").exists());
    }));
}

#[test]
fn a_run_that_failed_is_tried_again_without_saying_its_prompt_again() {
    let house = House::new(vec![plan(), write(), built()]);
    let model = |provider: &str| ModelRef { provider: provider.into(), id: "script".into() };
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let handle = runtime.session(None).await.unwrap();
        let choose = async |provider: &str| {
            let model = Some(model(provider));
            let change = |reply| Command::Change { model, thinking_level: None, name: None, reply };
            handle.ask(change).await.unwrap();
        };
        choose("nobody").await;
        let mut order = order(&json!({"sessionId": handle.conversation().id(), "commit": false}));
        let run = over(&runtime, &order).await;
        assert_eq!(run.status, Some(RunStatus::Error), "{run:?}");
        let why = run.error.clone().unwrap();
        assert!(why.contains("demo/script"), "the agent's words: {why}");
        choose("demo").await;
        // The same attempt: its end is told again. A larger fence without another attempt, too.
        order.fence = 2;
        let (again, known) = runtime.order_run(id(), order.clone()).await.unwrap();
        assert_eq!((again.end_seq, again.fence, known), (run.end_seq, 2, true));
        (order.fence, order.attempt) = (3, 2);
        let (begins, known) = runtime.order_run(id(), order.clone()).await.unwrap();
        assert_eq!((begins.status, begins.attempt, known), (None, 2, false));
        let done = until(&runtime, State::is_over).await;
        assert_eq!((done.status, done.error.as_deref()), (Some(RunStatus::Completed), None));
        assert_eq!(done.after_seq, run.after_seq);
        assert!(done.end_seq > run.end_seq);
        let prompts = house.said(&done).iter().filter(|line| line.contains("a file")).count();
        assert_eq!(prompts, 1);
    }));
    let phases: Vec<Phase> = house.phases().into_iter().map(|(phase, _)| phase).collect();
    let phases_expected =
        [Phase::Plan, Phase::Over, Phase::Plan, Phase::Build, Phase::Commit, Phase::Over];
    assert_eq!(phases, phases_expected);
}

#[test]
fn a_model_that_there_is_not_fails_the_run_before_anything_is_said() {
    let house = House::new(vec![plan()]);
    let order = order(&json!({"model": {"provider": "nobody", "id": "m"}}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let run = over(&runtime, &order).await;
        assert_eq!(run.status, Some(RunStatus::Error));
        assert!(house.said(&run).is_empty());
    }));
}

#[test]
fn one_that_is_not_told_to_be_over_yet_is_not_tried_again() {
    let log = tempfile::tempdir().unwrap();
    let mut book = Book::open(log.path()).unwrap();
    let first = order(&json!({}));
    let session = SessionId::at(1);
    let give = |book: &mut Book, order: &RunOrder| {
        take(book, id(), order.clone(), session.clone(), (1, 0))
    };
    assert!(matches!(give(&mut book, &first), Ok(Taken::Begins)));
    let ends = |state: &mut State| {
        let (status, phase) = (RunStatus::Error, Phase::Plan);
        state.end(Ending { status, error: None, phase, stops: false, failed: None });
        state.step(Phase::Over, 2, 3);
    };
    book.change(&id(), ends).unwrap();
    let again = RunOrder { fence: 2, attempt: 2, ..first };
    assert!(matches!(give(&mut book, &again), Err(RunRefused::Telling)));
    book.change(&id(), |state| state.told = Some(4)).unwrap();
    assert!(matches!(give(&mut book, &again), Ok(Taken::Begins)));
}

#[test]
fn one_run_works_in_a_conversation_and_other_orders_are_refused() {
    let house = House::new(vec![plan()]);
    let other: JobId = "s23456789bcd".parse().unwrap();
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let session = runtime.session(None).await.unwrap().conversation().id().clone();
        let first = order(&json!({"sessionId": session, "approval": true, "fence": 5}));
        runtime.order_run(id(), first.clone()).await.unwrap();
        let refused = runtime.order_run(other.clone(), first.clone()).await;
        assert!(matches!(refused, Err(RunRefused::InSession(ref by)) if *by == id()));
        let stale = RunOrder { fence: 4, ..first.clone() };
        let refused = runtime.order_run(id(), stale).await;
        assert!(matches!(refused, Err(RunRefused::Stale(5))));
        let another = RunOrder { prompt: "else".into(), ..first.clone() };
        assert!(matches!(runtime.order_run(id(), another).await, Err(RunRefused::Other)));
        let larger = RunOrder { fence: 6, ..first.clone() };
        let (now, known) = runtime.order_run(id(), larger).await.unwrap();
        assert_eq!((now.fence, known), (6, true));
        let refused = runtime.cancel_run(&id(), 5).await;
        assert!(matches!(refused, Err(RunRefused::Stale(6))));
        runtime.cancel_run(&id(), 6).await.unwrap();
        runtime.order_run(other.clone(), first).await.unwrap();
        let listed: Vec<JobId> = runtime.runs_now().into_iter().map(|run| run.id).collect();
        assert_eq!(listed, [other.clone(), id()]);
        runtime.cancel_run(&other, 5).await.unwrap();
    }));
}

#[test]
fn a_disk_that_went_back_ends_what_was_under_way() {
    let house = House::new(vec![plan()]);
    let order = order(&json!({"approval": true}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        runtime.order_run(id(), order.clone()).await.unwrap();
        until(&runtime, |state| state.waits.is_some()).await;
        runtime.cut_runs().await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Cancelled));
        assert!(run.error.unwrap().contains("checkpoint"));
    }));
}
