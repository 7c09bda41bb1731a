//! For tests of this crate and of those above: the shell, the journal and people on the local system.
//! Used by no product code.

mod bench;
mod secrets;
mod shell;

pub use bench::Bench;
pub use secrets::MemorySecrets;
pub use shell::LocalShell;

use crate::host::{Journal, People, TaskEnd, TaskOrder, Tasks, ToolContext};
use async_trait::async_trait;
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use toft_model::event::{Notify, Question};
use tokio_util::sync::CancellationToken;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A journal in memory.
#[derive(Default)]
pub struct MemoryJournal {
    intents: Mutex<HashMap<String, Value>>,
    failure: Mutex<Option<String>>,
    hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl MemoryJournal {
    /// Every later record fails for this reason.
    pub fn fail_with(&self, reason: &str) {
        *lock(&self.failure) = Some(reason.to_owned());
    }

    /// Does this when the next intent is recorded: between what was prepared and its effect.
    pub fn before_record(&self, hook: impl FnOnce() + Send + 'static) {
        *lock(&self.hook) = Some(Box::new(hook));
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn recorded(&self, run_id: &str) -> Option<Value> {
        lock(&self.intents).get(run_id).cloned()
    }

    async fn record(&self, run_id: &str, intent: &Value) -> Result<(), String> {
        if let Some(reason) = lock(&self.failure).clone() {
            return Err(reason);
        }
        let hook = lock(&self.hook).take();
        if let Some(hook) = hook {
            hook();
        }
        let old = lock(&self.intents).insert(run_id.to_owned(), intent.clone());
        assert!(old.is_none(), "{run_id} was recorded twice");
        Ok(())
    }
}

/// People who remember what they were told, and give prepared answers. Without one they do not
/// answer until the question is withdrawn.
#[derive(Debug, Default)]
pub struct PreparedPeople {
    told: Mutex<Vec<Notify>>,
    asked: Mutex<Vec<Question>>,
    answers: Mutex<VecDeque<String>>,
}

impl PreparedPeople {
    /// The next question gets this answer.
    pub fn will_answer(&self, answer: &str) {
        lock(&self.answers).push_back(answer.to_owned());
    }

    /// What they were told.
    pub fn told(&self) -> Vec<Notify> {
        lock(&self.told).clone()
    }

    /// What they were asked.
    pub fn asked(&self) -> Vec<Question> {
        lock(&self.asked).clone()
    }
}

#[async_trait]
impl People for PreparedPeople {
    async fn notify(&self, notify: Notify) {
        let mut told = lock(&self.told);
        if told.iter().all(|n| n.tool_call_id != notify.tool_call_id) {
            told.push(notify);
        }
    }

    async fn ask(&self, question: Question, cancel: &CancellationToken) -> Option<String> {
        lock(&self.asked).push(question);
        let answer = lock(&self.answers).pop_front();
        if answer.is_none() {
            cancel.cancelled().await;
        }
        answer
    }
}

/// Nobody does anything.
pub struct NoTasks;

#[async_trait]
impl Tasks for NoTasks {
    async fn run(&self, _: &ToolContext, _: TaskOrder) -> Result<TaskEnd, String> {
        Err("There is no agent here.".into())
    }
}
