//! The program of a service: started, found again after another bridge, followed and ended. Its output
//! goes into the log; a mark beside that says for the next bridge how far.

use super::{Keeper, LOST_WAIT, STOP_GRACE_MS};
use crate::{
    services::{
        pages::Pages,
        plan::{Plan, exec_key},
    },
    state_file::replace,
};
use serde::{Deserialize, Serialize};
use toft_machine::{
    init_client::{ExecEvent, ExecHandle},
    service_log::key,
};
use toft_model::{
    init::{ExecExit, ExecStatus},
    inspect::{ServiceProcess, ServiceState},
    mask::Stars,
};
use toft_tools::host::{Secrets as _, Shell as _, ShellError};
use tokio::time::sleep;

/// Where in the log the program's output is, for the next bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mark {
    exec: String,
    pid: u32,
    /// A byte of the program's output, and its position in the log.
    at: u64,
    pub(super) base: u64,
    restarts: u32,
}

/// How following a program ended.
pub(super) enum Over {
    Exit(ExecExit),
    /// Something else is wanted.
    Changed,
}

impl Keeper {
    pub(super) async fn start(&mut self, plan: &Plan) -> Result<ExecHandle, ShellError> {
        let handle = self.parts.shell.exec(plan.spec()).await?;
        self.environment = handle.environment;
        self.note(&format!("started: {}", plan.command));
        self.set_mark(Mark { exec: handle.id.clone(), pid: handle.pid, ..Mark::default() }).await;
        self.told = None;
        self.show(ServiceState::Running, Some(handle.pid), None, None);
        Ok(handle)
    }

    /// A program that an earlier bridge started.
    pub(super) async fn attach(&mut self, status: &ExecStatus) -> Result<ExecHandle, ShellError> {
        let end = self.pages.as_ref().map_or(0, Pages::end);
        let mark = Mark { exec: status.id.clone(), pid: status.pid, ..Mark::default() };
        if (&self.mark.exec, self.mark.pid) == (&mark.exec, mark.pid) {
            self.mark.at += end.saturating_sub(self.mark.base);
            self.mark.base = end;
            self.restarts = self.restarts.max(self.mark.restarts);
        } else {
            self.set_mark(mark).await;
        }
        let handle = self.parts.shell.attach(&status.id, self.mark.at).await?;
        self.environment = status.environment;
        if status.exit.is_none() {
            let process = ServiceProcess {
                state: ServiceState::Running,
                pid: Some(status.pid),
                restarts: self.restarts,
                exit_code: None,
                since: status.started_at,
                restart_to_apply: false,
                problem: None,
            };
            // No news: it ran before.
            self.parts.board.set(&self.id, self.seen(process));
        }
        Ok(handle)
    }

    /// Takes down what it prints until it ends or something else is wanted.
    pub(super) async fn follow(&mut self, mut handle: ExecHandle, plan: &Plan) -> Over {
        let id = plan.exec_id();
        // What was held back is not in the log, and comes again.
        self.stars = Stars::default();
        loop {
            tokio::select! {
                event = handle.next() => match event {
                    Ok(Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes))) => {
                        let shown = self.stars.pass(&self.parts.secrets.mask(), &bytes);
                        if let Some(pages) = &mut self.pages {
                            pages.append(&shown);
                        }
                        if plan.announces {
                            self.parts.app_port.observe_output(&String::from_utf8_lossy(&bytes));
                        }
                    }
                    Ok(Some(ExecEvent::Gap(to))) => {
                        self.stars = Stars::default();
                        self.note("what it printed here was lost: nobody could take it down");
                        self.set_mark(Mark { at: to, ..self.mark.clone() }).await;
                    }
                    Ok(Some(ExecEvent::Exit(exit))) => {
                        let rest = self.stars.rest(&self.parts.secrets.mask());
                        if let Some(pages) = &mut self.pages {
                            pages.append(&rest);
                        }
                        return Over::Exit(exit);
                    }
                    // The next step finds it again, or finds it gone.
                    Ok(None) | Err(_) => {
                        sleep(LOST_WAIT).await;
                        return Over::Changed;
                    }
                },
                changed = self.wishes.changed() => {
                    let wish = self.wishes.borrow().clone();
                    let same = wish.turn == self.turn
                        && wish.plan.as_ref().is_some_and(|plan| plan.exec_id() == id);
                    // Another name or restart rule counts from the next end on.
                    if changed.is_err() || !same || wish.plan.as_ref() != Some(plan) {
                        return Over::Changed;
                    }
                }
            }
        }
    }

    /// Ends this service's programs but one; gives that one.
    pub(super) async fn end_all_but(&self, keep: Option<&str>) -> Option<ExecStatus> {
        let shell = &self.parts.shell;
        let prefix = format!("{}:", exec_key(&self.id));
        let all = shell.list().await.unwrap_or_default();
        let mut kept = None;
        for exec in all.into_iter().filter(|exec| exec.id.starts_with(&prefix)) {
            if keep == Some(exec.id.as_str()) {
                kept = Some(exec);
                continue;
            }
            if exec.exit.is_none() {
                if let Err(error) = shell.kill(&exec.id, STOP_GRACE_MS).await {
                    tracing::warn!(%error, service = self.id, "a service could not be stopped");
                }
                if keep.is_none() {
                    kept = Some(exec.clone());
                }
            }
            let _ = shell.forget(&exec.id).await;
        }
        kept
    }

    /// Output from `mark.at` on follows here.
    pub(super) async fn set_mark(&mut self, mark: Mark) {
        let base = self.pages.as_ref().map_or(0, Pages::end);
        self.mark = Mark { base, restarts: self.restarts, ..mark };
        let path = self.parts.dir.join(format!("{}.json", key(&self.id)));
        let bytes = serde_json::to_vec(&self.mark).expect("a mark is plain data");
        // Lost, a next bridge takes down once more what is still kept.
        let _ = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
    }
}
