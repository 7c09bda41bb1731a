//! What people do with runs: approve, refuse and change plans, answer, stop, speak in between.

use super::*;
use crate::runtime::runs::{found::prompt_of, state::Wait};
use toft_agent::{Command, Refused, session::QueuedAs};
use toft_model::{
    message::UserContent,
    plan::{Mode, Plan, PlanSource, PlanTodo},
    run::WaitsFor,
};

fn waits(state: &State) -> bool {
    state.told.is_some() && matches!(state.waits, Some(Wait { what: WaitsFor::Approval, .. }))
}

/// Orders the run, and waits until it waits for approval; its conversation.
async fn at_its_plan(runtime: &AgentRuntime, order: &RunOrder) -> Handle {
    runtime.order_run(id(), order.clone()).await.unwrap();
    let run = until(runtime, waits).await;
    conversation(runtime, &run).await
}

fn edited() -> Plan {
    let todo = PlanTodo { title: "Make it red".into(), ..PlanTodo::default() };
    Plan { summary: "Red.".into(), todos: vec![todo] }
}

#[test]
fn a_run_waits_for_approval_over_restarts_and_builds_what_a_person_made_of_it() {
    let house = House::with_git(vec![plan(), write(), built()]);
    let order = order(&json!({"approval": true}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        runtime.order_run(id(), order.clone()).await.unwrap();
        until(&runtime, waits).await;
    }));
    let steps = house.steps();
    assert_eq!(house.phases(), [(Phase::Plan, None), (Phase::Plan, None)]);
    assert_eq!((steps[0].1.waits_for, &steps[0].1.plan), (None, &None));
    assert_eq!(steps[1].1.waits_for, Some(WaitsFor::Approval));
    assert_eq!(steps[1].1.plan.as_ref().unwrap().plan.summary, "A file.");
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let run = until(&runtime, waits).await;
        assert_eq!((run.waits_for, run.status), (Some(WaitsFor::Approval), None));
        assert!(runtime.runs_at_work().await.is_empty(), "its machine may sleep");
        let plan = run.plan.clone().unwrap();
        assert_eq!(plan.plan.summary, "A file.");
        let handle = conversation(&runtime, &run).await;
        let approve = |reply| Command::Approve {
            plan_id: Some(plan.plan_id.clone()),
            plan: Some(edited()),
            reply,
        };
        handle.ask(approve).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!((run.status, run.waits_for), (Some(RunStatus::Completed), None));
        assert_eq!(run.plan.unwrap().plan.summary, "Red.");
    }));
    assert_eq!(house.phases().len(), 5, "waiting is told once");
    assert_eq!(house.steps()[2].1.plan.as_ref().unwrap().plan.summary, "Red.");
}

#[test]
fn words_without_a_plan_are_put_forward_before_a_person_is_asked() {
    let words = vec![Block::text("I would write one line.")];
    let house = House::new(vec![words, write(), built()]);
    let order = order(&json!({"approval": true}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        runtime.order_run(id(), order.clone()).await.unwrap();
        let run = until(&runtime, waits).await;
        let plan = run.plan.clone().unwrap();
        assert_eq!(plan.source, PlanSource::Text);
        assert!(plan.plan.summary.contains("one line"), "{plan:?}");
        let handle = conversation(&runtime, &run).await;
        let plan_id = Some(plan.plan_id.clone());
        let approve = |reply| Command::Approve { plan_id: plan_id.clone(), plan: None, reply };
        handle.ask(approve).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Completed));
    }));
}

#[test]
fn a_plan_is_made_anew_as_often_as_a_person_refuses_it() {
    // Often, for the moment in which their words stand there and nothing works on them yet.
    const REFUSED: usize = 20;
    let plans = (0..=REFUSED).map(|n| vec![Block::text(PLAN.replace("A file.", &n.to_string()))]);
    let house = House::new(plans.chain([write(), built()]).collect());
    let order = order(&json!({"approval": true}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        runtime.order_run(id(), order.clone()).await.unwrap();
        let mut plan = until(&runtime, waits).await.plan.unwrap();
        let run = runtime.run_now(&id()).await.unwrap();
        let handle = conversation(&runtime, &run).await;
        for n in 1..=REFUSED {
            let known = plan.plan_id;
            let (plan_id, reason) = (Some(known.clone()), Some("not that".to_owned()));
            let reject =
                |reply| Command::Reject { plan_id: plan_id.clone(), reason: reason.clone(), reply };
            handle.ask(reject).await.unwrap();
            let next = |state: &State| {
                state.is_over() || (waits(state) && state.plan_id.as_ref() != Some(&known))
            };
            let run = until(&runtime, next).await;
            assert_eq!((run.status, &run.error), (None, &None), "refused {n} times");
            plan = run.plan.unwrap();
            assert_eq!(plan.plan.summary, n.to_string());
        }
        // Without a reason it is only marked: the run goes on waiting.
        let reject = |reply| Command::Reject { plan_id: None, reason: None, reply };
        handle.ask(reject).await.unwrap();
        let approve = |reply| Command::Approve { plan_id: None, plan: None, reply };
        handle.ask(approve).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Completed), "{run:?}");
        assert_eq!(run.plan.unwrap().plan_id, plan.plan_id);
    }));
}

#[test]
fn a_run_that_plans_anew_says_that_nobody_is_waited_for() {
    let ask = vec![call("c1", "ask", r#"{"question":"Which colour?"}"#)];
    let house = House::new(vec![plan(), ask]);
    let order = order(&json!({"approval": true}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let handle = at_its_plan(&runtime, &order).await;
        let reason = Some("not that".to_owned());
        let reject = |reply| Command::Reject { plan_id: None, reason: reason.clone(), reply };
        handle.ask(reject).await.unwrap();
        let asks = |state: &State| state.waits.is_some_and(|wait| wait.what == WaitsFor::Answer);
        until(&runtime, asks).await;
    }));
    let waited: Vec<_> = house.steps().into_iter().map(|(_, step)| step.waits_for).collect();
    assert_eq!(waited, [None, Some(WaitsFor::Approval), None]);
}

#[test]
fn a_plan_that_is_approved_at_any_moment_is_built_at_once() {
    // Often: while planning comes to its end, and while the run is just about to wait.
    for round in 0..20 {
        let house = House::new(vec![plan(), slow()]);
        let order = order(&json!({"approval": true, "commit": false}));
        assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
            let mut events = Box::pin(runtime.log().follow(Some(0), None));
            runtime.order_run(id(), order.clone()).await.unwrap();
            if round % 2 == 0 {
                until(&runtime, waits).await;
            } else {
                hear(&mut events, "plan_ready").await;
            }
            let run = runtime.run_now(&id()).await.unwrap();
            let handle = conversation(&runtime, &run).await;
            let approve = |reply| Command::Approve { plan_id: None, plan: None, reply };
            while let Err(refused) = handle.ask(approve).await {
                assert!(matches!(refused, Refused::Busy), "{refused}");
                tokio::task::yield_now().await;
            }
            until(&runtime, |state| state.phase == Phase::Build && state.told.is_some()).await;
            runtime.cancel_run(&id(), 1).await.unwrap();
            until(&runtime, State::is_over).await;
        }));
    }
}

#[test]
fn a_mode_that_is_set_while_a_plan_waits_builds_nothing() {
    let house = House::new(vec![plan(), write(), built()]);
    let order = order(&json!({"approval": true}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let handle = at_its_plan(&runtime, &order).await;
        handle.ask(|reply| Command::Mode { mode: Mode::Build, reply }).await.unwrap();
        hear(&mut events, "mode_change").await;
        hear(&mut events, "mode_change").await;
        // The look that this brings about.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let run = runtime.run_now(&id()).await.unwrap();
        assert_eq!((run.waits_for, run.status), (Some(WaitsFor::Approval), None));
        // What is said in that mode is work without a plan.
        let (content, waiting) = (UserContent::Text("just do it".into()), Some(QueuedAs::Steer));
        handle.prompt(None, content, waiting).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Completed), "{run:?}");
    }));
    assert!(house.project().join("made.txt").exists(), "it was built");
}

#[test]
fn what_is_said_in_build_mode_while_a_plan_waits_is_built_in_its_own_time() {
    let house = House::new(vec![plan(), slow()]);
    let order = order(&json!({"approval": true, "commit": false}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let handle = at_its_plan(&runtime, &order).await;
        handle.ask(|reply| Command::Mode { mode: Mode::Build, reply }).await.unwrap();
        let content = UserContent::Text("just do it".into());
        handle.prompt(None, content, None).await.unwrap();
        // While it works.
        until(&runtime, |state| state.phase == Phase::Build && state.told.is_some()).await;
        runtime.cancel_run(&id(), 1).await.unwrap();
        until(&runtime, State::is_over).await;
    }));
    let waited: Vec<_> = house.steps().into_iter().map(|(_, step)| step.waits_for).collect();
    assert_eq!(waited[..3], [None, Some(WaitsFor::Approval), None]);
}

#[test]
fn a_run_whose_prompt_was_not_said_yet_ends_nobody_elses_work() {
    let house = House::new(vec![slow()]);
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let handle = runtime.session(None).await.unwrap();
        let session = handle.conversation().id().clone();
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let content = UserContent::Text("mine".into());
        handle.prompt(None, content, None).await.unwrap();
        hear(&mut events, "tool_start").await;
        // As a prompt leaves it that the person was faster than.
        let prompt = prompt_of(&id());
        let content = UserContent::Text("a file".into());
        runtime.said.claim(&prompt, session.clone(), &content).await.unwrap();
        let order = order(&json!({"sessionId": session, "commit": false}));
        runtime.order_run(id(), order).await.unwrap();
        until(&runtime, |state| state.told.is_some()).await;
        runtime.cancel_run(&id(), 1).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Cancelled));
        assert!(handle.conversation().is_working(), "the person's work goes on");
        handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await.unwrap();
    }));
}

#[test]
fn a_summary_that_a_person_wants_while_a_plan_waits_is_no_other_plan() {
    let summary = vec![Block::text("What was said.")];
    let house = House::new(vec![plan(), summary]);
    let order = order(&json!({"approval": true, "commit": false}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let handle = at_its_plan(&runtime, &order).await;
        // Whatever comes of it.
        let _ = handle.ask(|reply| Command::Compact { instructions: None, reply }).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let run = runtime.run_now(&id()).await.unwrap();
        assert_eq!((run.waits_for, run.status), (Some(WaitsFor::Approval), None));
    }));
    let waited: Vec<_> = house.steps().into_iter().map(|(_, step)| step.waits_for).collect();
    assert_eq!(waited, [None, Some(WaitsFor::Approval)]);
}

#[test]
fn a_run_whose_agent_asks_says_so_and_goes_on_with_the_answer() {
    let ask = vec![call("c1", "ask", r#"{"question":"Which colour?"}"#)];
    let house = House::new(vec![ask, built()]);
    let order = order(&json!({"plan": false, "commit": false}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        runtime.order_run(id(), order.clone()).await.unwrap();
        hear(&mut events, "question").await;
        let run = until(&runtime, |state| state.waits.is_some()).await;
        assert_eq!(run.waits_for, Some(WaitsFor::Answer));
        assert!(runtime.runs_at_work().await.is_empty());
        let handle = conversation(&runtime, &run).await;
        let (tool_call_id, answer) = ("c1".to_owned(), "blue".to_owned());
        handle.ask(|reply| Command::Answer { tool_call_id, answer, reply }).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!((run.status, run.waits_for), (Some(RunStatus::Completed), None));
    }));
}

#[test]
fn a_person_who_stops_the_agent_ends_the_run() {
    let house = House::new(vec![slow()]);
    let order = order(&json!({}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        runtime.order_run(id(), order.clone()).await.unwrap();
        hear(&mut events, "tool_start").await;
        let run = runtime.run_now(&id()).await.unwrap();
        let handle = conversation(&runtime, &run).await;
        handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await.unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Cancelled));
        assert!(run.error.unwrap().contains("a person"));
    }));
}

#[test]
fn what_a_person_says_meanwhile_belongs_to_the_run() {
    let wait = r#"{"command":"until test -e go; do sleep 0.01; done"}"#;
    let steered = vec![Block::text("As you say.")];
    let house = House::new(vec![vec![call("c1", "bash", wait)], steered]);
    let order = order(&json!({"plan": false, "commit": false}));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        runtime.order_run(id(), order.clone()).await.unwrap();
        hear(&mut events, "tool_start").await;
        let run = runtime.run_now(&id()).await.unwrap();
        let handle = conversation(&runtime, &run).await;
        let (content, waiting) = (UserContent::Text("red".into()), QueuedAs::Steer);
        handle.prompt(None, content, Some(waiting)).await.unwrap();
        std::fs::write(house.project().join("go"), "").unwrap();
        let run = until(&runtime, State::is_over).await;
        assert_eq!(run.status, Some(RunStatus::Completed));
        let said = house.said(&run);
        assert!(said.last().unwrap().contains("As you say."), "{said:#?}");
    }));
}
