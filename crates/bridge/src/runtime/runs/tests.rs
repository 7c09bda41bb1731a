//! Runs whose bridge is killed at every event and every line, that wait for people, fail, and are ended.

mod ends;
mod people;

use super::{State, commit::message_of};
use crate::{
    log::tests::Fate,
    runtime::{AgentRuntime, tests::House},
};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::Command as Program,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use toft_agent::{Handle, session::Session};
use toft_llm::testing::call;
use toft_model::{
    event::{Event, EventBody},
    message::Block,
    run::{Commit, JobId, Phase, RunNow, RunOrder, RunStatus, RunStep},
};

const PLAN: &str = r#"```json
{"summary": "A file.", "todos": [{"id": "a", "title": "Make it"}]}
```"#;

fn plan() -> Vec<Block> {
    vec![Block::text(PLAN)]
}

fn write() -> Vec<Block> {
    vec![call("c1", "write", r#"{"path":"made.txt","content":"made\n"}"#)]
}

/// Works until it is stopped.
fn slow() -> Vec<Block> {
    vec![call("c1", "bash", r#"{"command":"sleep 60"}"#)]
}

fn built() -> Vec<Block> {
    vec![Block::text("Built.")]
}

fn id() -> JobId {
    "r23456789bcd".parse().unwrap()
}

fn order(with: &Value) -> RunOrder {
    let mut order = json!({
        "fence": 1, "prompt": "a file", "plan": true, "commit": true,
        "author": {"name": "Ada", "email": "ada@example.com"},
        "planTimeoutS": 600, "buildTimeoutS": 600,
    });
    order.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    serde_json::from_value(order).unwrap()
}

impl House {
    fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    fn git(&self, args: &[&str]) -> String {
        let sign = ["-c", "user.name=Bob", "-c", "user.email=bob@example.com"];
        let mut git = Program::new("git");
        let done = git.args(sign).args(args).current_dir(self.project()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// With a repository that has one commit.
    fn with_git(answers: Vec<Vec<Block>>) -> Self {
        let house = Self::new(answers);
        std::fs::write(house.project().join("README"), "first\n").unwrap();
        house.git(&["init", "-q"]);
        house.git(&["add", "README"]);
        house.git(&["commit", "-q", "-m", "first"]);
        house
    }

    fn steps(&self) -> Vec<(u64, RunStep)> {
        let step = |event: Event| match event.body {
            EventBody::RunStep(step) => Some((event.seq, step)),
            _ => None,
        };
        self.events().into_iter().filter_map(step).collect()
    }

    fn phases(&self) -> Vec<(Phase, Option<RunStatus>)> {
        self.steps().into_iter().map(|(_, step)| (step.phase, step.status)).collect()
    }

    /// What was said in the run's conversation, without times and ids.
    fn said(&self, run: &RunNow) -> Vec<String> {
        let name = format!("_{}.jsonl", run.session_id);
        let files = std::fs::read_dir(self.dir.path().join("home/sessions")).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        let path = paths.find(|path| path.to_string_lossy().ends_with(&name)).unwrap();
        let session = Session::open(&path).unwrap();
        let said = session.transcript().map(|(_, _, message)| {
            let mut value = serde_json::to_value(&message).unwrap();
            value.as_object_mut().unwrap().remove("timestamp");
            value.as_object_mut().unwrap().remove("details");
            value.to_string()
        });
        said.collect()
    }
}

/// Hands it over, and waits for its end.
async fn over(runtime: &AgentRuntime, order: &RunOrder) -> RunNow {
    if runtime.order_run(id(), order.clone()).await.is_err() {
        // The bridge is gone; this life is over.
        std::future::pending::<()>().await;
    }
    until(runtime, State::is_over).await
}

async fn until(runtime: &AgentRuntime, holds: impl Fn(&State) -> bool) -> RunNow {
    runtime.runs.until(&id(), holds).await;
    runtime.run_now(&id()).await.unwrap()
}

async fn hear(events: &mut (impl Stream<Item = Event> + Unpin), kind: &str) {
    while events.next().await.expect("the log goes on").body.kind() != kind {}
}

async fn conversation(runtime: &AgentRuntime, run: &RunNow) -> Handle {
    runtime.session(Some(&run.session_id)).await.unwrap()
}

fn fate(at: u64, after: bool) -> Arc<Fate> {
    let told = AtomicU64::new(0);
    Arc::new(Fate { at, after, told, died: tokio_util::sync::CancellationToken::new() })
}

/// What an undisturbed run leaves.
fn check(house: &House, run: &RunNow, why: &str) {
    let (status, phase) = (Some(RunStatus::Completed), Phase::Over);
    assert_eq!((run.status, run.phase, run.error.as_deref()), (status, phase, None), "{why}");
    let phases =
        [(Phase::Plan, None), (Phase::Build, None), (Phase::Commit, None), (phase, status)];
    assert_eq!(house.phases(), phases, "{why}");
    let events = house.events();
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.seq, n as u64 + 1, "{why}");
    }
    let steps = house.steps();
    assert!(run.after_seq < steps[0].0 && run.end_seq == Some(steps[3].0), "{why}: {run:?}");
    let built = steps[1].1.plan.as_ref().map(|plan| plan.plan.summary.as_str());
    assert_eq!(built, Some("A file."), "{why}");
    let kinds = |kind: &str| events.iter().filter(|e| e.body.kind() == kind).count();
    for (kind, count) in [
        ("agent_start", 2),
        ("agent_end", 2),
        ("plan_ready", 1),
        ("plan_settled", 1),
        ("mode_change", 2),
        ("tool_end", 1),
        ("session_created", 2),
    ] {
        assert_eq!(kinds(kind), count, "{why}: {kind}");
    }
    let sha = house.git(&["rev-parse", "HEAD"]);
    assert_eq!(run.commit, Some(Commit::Made { sha: sha.clone() }), "{why}");
    assert_eq!(steps[3].1.commit, Some(Commit::Made { sha }), "{why}");
    let log = house.git(&["log", "--format=%an <%ae> %s"]);
    let made = format!("Ada <ada@example.com> {}", message_of(&id()));
    assert_eq!(log, format!("{made}\nBob <bob@example.com> first"), "{why}");
    assert_eq!(house.git(&["status", "--porcelain"]), "", "{why}");
}

#[test]
fn a_run_is_done_once_wherever_the_bridge_is_killed() {
    let answers = || vec![plan(), write(), built()];
    let order = order(&json!({}));
    let live = async |runtime: Arc<AgentRuntime>| {
        over(&runtime, &order).await;
    };
    let ended = |house: &House| {
        let mut run = None;
        assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
            run = Some(over(&runtime, &order).await);
        }));
        run.unwrap()
    };
    let calm = House::with_git(answers());
    let never = fate(u64::MAX, false);
    assert!(calm.life(Some(Arc::clone(&never)), live));
    let run = ended(&calm);
    check(&calm, &run, "undisturbed");
    let expected = calm.said(&run);
    let points = never.told.load(Ordering::SeqCst);
    assert!(points > 60, "{points}");
    let both = |at| [(at, false), (at, true)];
    // A line of the book is a point of its own before and after it is written.
    let wanted = |point: &(u64, bool)| toft_lane::deep() || point.0.is_multiple_of(2) == point.1;
    for (at, after) in (1..=points).flat_map(both).filter(wanted) {
        let why = format!("killed {} {at} of {points}", if after { "after" } else { "before" });
        let house = House::with_git(answers());
        let fate = fate(at, after);
        house.life(Some(Arc::clone(&fate)), live);
        let told = fate.told.load(Ordering::SeqCst);
        assert!(fate.died.is_cancelled() || told > points / 2, "{why}");
        let run = ended(&house);
        check(&house, &run, &why);
        assert_eq!(house.said(&run), expected, "{why}");
    }
}

#[test]
fn a_run_without_a_plan_builds_at_once_in_the_conversation_that_it_names() {
    let house = House::new(vec![vec![Block::text("Hello.")], write(), built()]);
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let named = runtime.session(None).await.unwrap().conversation().id().clone();
        let first = order(&json!({"plan": false, "sessionId": named, "commit": false}));
        let run = over(&runtime, &first).await;
        assert_eq!((run.session_id, run.status), (named, Some(RunStatus::Completed)));
        assert_eq!(run.commit, Some(Commit::Skipped { reason: "disabled".into() }));
        // Another one goes on there, and says what it is told to.
        let other: JobId = "s23456789bcd".parse().unwrap();
        let again = RunOrder { prompt: "more".into(), commit: true, ..first };
        runtime.order_run(other.clone(), again).await.unwrap();
        runtime.runs.until(&other, State::is_over).await;
        let run = runtime.run_now(&other).await.unwrap();
        assert_eq!(run.commit, Some(Commit::Skipped { reason: "not_git_repo".into() }));
        assert!(house.said(&run).iter().any(|line| line.contains("more")));
    }));
    assert_eq!(std::fs::read_to_string(house.project().join("made.txt")).unwrap(), "made\n");
    let phases: Vec<Phase> = house.phases().into_iter().map(|(phase, _)| phase).collect();
    let one = [Phase::Build, Phase::Commit, Phase::Over];
    assert_eq!(phases, [one, one].concat());
}

#[test]
fn what_an_order_says_of_tools_holds_until_its_run_is_over() {
    let answers = vec![write(), built(), write(), built()];
    let house = House::new(answers);
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let rules = json!({"allowedTools": ["read"]});
        let narrow = order(&json!({"plan": false, "commit": false, "rules": rules}));
        let run = over(&runtime, &narrow).await;
        assert_eq!(run.status, Some(RunStatus::Completed));
        assert!(
            house.said(&run).iter().any(|line| line.contains("There is no tool named `write`"))
        );
        assert!(!house.project().join("made.txt").exists());
        let other: JobId = "s23456789bcd".parse().unwrap();
        let wide = order(&json!({"plan": false, "sessionId": run.session_id, "prompt": "again"}));
        runtime.order_run(other.clone(), wide).await.unwrap();
        runtime.runs.until(&other, State::is_over).await;
    }));
    assert_eq!(std::fs::read_to_string(house.project().join("made.txt")).unwrap(), "made\n");
}
