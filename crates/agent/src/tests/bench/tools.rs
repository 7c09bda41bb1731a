//! The prepared tools.

use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use toft_model::{
    event::{OutputStream, Question},
    tool::ToolSpec,
};
use toft_tools::{Again, Tool, ToolContext, ToolOutcome, Update};
use tokio::sync::Notify;

/// `step` answers at once and counts; `slow` runs until cancelled; `gate` runs until opened;
/// `ask` asks; `crash` panics; `read` waits for its twin; `both` writes to both streams.
pub(super) struct TestTool {
    pub(super) name: &'static str,
    pub(super) state: Arc<ToolState>,
}

#[derive(Default)]
pub(in crate::tests) struct ToolState {
    pub(in crate::tests) runs: AtomicU64,
    /// Calls that count do not end.
    pub(in crate::tests) hang: AtomicBool,
    pub(in crate::tests) began: Notify,
    pub(in crate::tests) gate: Notify,
    pub(in crate::tests) readers: AtomicU64,
    /// Exit codes of the next commands; 0 when there is none.
    pub(in crate::tests) exits: Mutex<std::collections::VecDeque<i32>>,
    /// Commands do not end.
    pub(in crate::tests) hang_checks: AtomicBool,
}

#[async_trait]
impl Tool for TestTool {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: self.name.into(), description: String::new(), parameters: json!({}) }
    }

    fn stands_for(&self, arguments: &Value) -> Option<(String, Value)> {
        (self.name == "relay").then(|| ("step".into(), arguments["arguments"].clone()))
    }

    fn again(&self, _: &Value) -> Again {
        match self.name {
            "unsure" => Again::Unsure,
            "attached" => Again::Attaches,
            _ => Again::Safe,
        }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        self.state.began.notify_one();
        match self.name {
            "slow" => {
                ctx.cancel.cancelled().await;
                ToolOutcome::cancelled(toft_tools::STOPPED)
            }
            "stuck" => std::future::pending().await,
            "gate" => {
                self.state.gate.notified().await;
                let _ = ctx.updates.send(arguments.to_string().into()).await;
                ToolOutcome::text("opened")
            }
            "ask" => {
                let question = Question {
                    question: "Which?".into(),
                    tool_call_id: ctx.call_id.clone(),
                    ..Question::default()
                };
                match ctx.people.ask(question, &ctx.cancel).await {
                    Some(answer) => ToolOutcome::text(answer),
                    None => ToolOutcome::cancelled("nobody answered"),
                }
            }
            "bash" => {
                if self.state.hang_checks.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let code = self.state.exits.lock().unwrap().pop_front().unwrap_or_default();
                let command = arguments["command"].as_str().unwrap_or_default();
                ToolOutcome::text(format!("ran {command}: exit {code}"))
                    .details(json!({ "exitCode": code }))
            }
            "both" => {
                for (text, stream) in [
                    ("out ", OutputStream::Stdout),
                    ("more ca", OutputStream::Stdout),
                    ("error ca", OutputStream::Stderr),
                    ("nary-12345 out", OutputStream::Stdout),
                    ("nary-12345 errors", OutputStream::Stderr),
                ] {
                    let _ = ctx.updates.send(Update { text: text.into(), stream }).await;
                }
                ToolOutcome::text("said")
            }
            "crash" => panic!("a tool with a fault"),
            "read" => {
                // Ends only when two run at once.
                self.state.readers.fetch_add(1, Ordering::SeqCst);
                while self.state.readers.load(Ordering::SeqCst) < 2 {
                    tokio::task::yield_now().await;
                }
                ToolOutcome::text("read")
            }
            _ => {
                if self.state.hang.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let n = self.state.runs.fetch_add(1, Ordering::SeqCst) + 1;
                let _ = ctx.updates.send(format!("working on {n}\n").into()).await;
                let mut outcome = ToolOutcome::text(format!("did {n} {arguments}"));
                outcome.changed = vec![ctx.cwd.join("a.txt"), "/etc/b".into()];
                outcome
            }
        }
    }
}
