//! One service: starts its program as a child of init, takes down what it prints, starts it again
//! when it ended, stops it. A program goes on while no bridge lives; the next one's keeper finds it
//! by its id and goes on at the byte where this one stopped. Decides nothing about other services.

use super::{
    board::{Board, Seen},
    clash,
    pages::Pages,
    plan::{Plan, backoff, clean, exec_key, ran_well},
};
use crate::{
    app_port::AppPort, clock::Clock, inspect::InspectDb, log::EventLog, own_file::make_way,
    shell::InitShell, state_file::replace,
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_machine::{
    init_client::{ExecEvent, ExecHandle},
    service_log::key,
};
use toft_model::{
    event::{EventBody, ServiceChange, ServiceState},
    init::{ExecExit, ExecStatus},
    inspect::ServiceProcess,
};
use toft_tools::host::{Shell as _, ShellError};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Between TERM and KILL: a database writes its last pages.
const STOP_GRACE_MS: u64 = 5_000;

/// When a machine stops, everything in it ends at once and the bridge is told to end at the same
/// moment: what ended by that is no failure, so nothing is said before the bridge is gone.
const VERDICT_WAIT: Duration = Duration::from_millis(400);

/// How often a port that another program has is looked at again.
const PORT_WAIT: Duration = Duration::from_secs(2);

/// How often init is asked again when it cannot be reached.
const LOST_WAIT: Duration = Duration::from_secs(1);

/// What is wanted of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// `None`: it is not to run.
    pub(super) plan: Option<Plan>,
    /// It is wanted and cannot be run as it is declared, for this reason.
    pub(super) refused: Option<String>,
    /// Counts orders by hand: with another one it begins anew.
    pub(super) turn: u64,
}

/// What keepers share.
pub(super) struct Parts {
    pub(super) shell: InitShell,
    pub(super) log: EventLog,
    pub(super) board: Arc<Board>,
    pub(super) db: Arc<InspectDb>,
    pub(super) app_port: Arc<AppPort>,
    /// Where logs lie.
    pub(super) dir: PathBuf,
    pub(super) clock: Clock,
}

/// Where in the log the program's output is, for the next bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Mark {
    exec: String,
    pid: u32,
    /// A byte of the program's output, and its position in the log.
    at: u64,
    base: u64,
    restarts: u32,
}

pub(super) struct Keeper {
    parts: Arc<Parts>,
    id: String,
    name: String,
    wishes: watch::Receiver<Wish>,
    turn: u64,
    restarts: u32,
    /// Failures in a row.
    failures: u32,
    pages: Option<Pages>,
    mark: Mark,
    /// The trouble that was told last.
    told: Option<String>,
    /// Whether what is shown is why it cannot be run as it is declared.
    refused: bool,
}

/// How following a program ended.
enum Over {
    Exit(ExecExit),
    /// Something else is wanted.
    Changed,
}

/// Nobody wants anything of this service any more.
struct Gone;

impl Keeper {
    pub(super) fn new(
        parts: Arc<Parts>,
        id: String,
        name: String,
        wishes: watch::Receiver<Wish>,
    ) -> Self {
        let turn = wishes.borrow().turn;
        Self {
            parts,
            id,
            name,
            wishes,
            turn,
            restarts: 0,
            failures: 0,
            pages: None,
            mark: Mark::default(),
            told: None,
            refused: false,
        }
    }

    /// Keeps it until its row is gone. Dropping this leaves the program running.
    pub(super) async fn live(mut self) {
        self.open().await;
        while self.step().await.is_ok() {}
        self.end_all_but(None).await;
        self.parts.board.remove(&self.id);
    }

    async fn open(&mut self) {
        let (dir, key) = (self.parts.dir.clone(), key(&self.id));
        let opened = tokio::task::spawn_blocking(move || {
            let pages = Pages::open(&dir, &key);
            let mark = dir.join(format!("{key}.json"));
            make_way(&mark);
            let mark = std::fs::read(mark).unwrap_or_default();
            (pages, serde_json::from_slice(&mark).unwrap_or_default())
        });
        if let Ok((pages, mark)) = opened.await {
            match pages {
                Ok(pages) => self.pages = Some(pages),
                Err(error) => tracing::warn!(%error, "output of a service is not kept"),
            }
            self.mark = mark;
        }
    }

    async fn step(&mut self) -> Result<(), Gone> {
        if self.wishes.has_changed().is_err() {
            return Err(Gone);
        }
        let wish = self.wishes.borrow_and_update().clone();
        let by_hand = wish.turn != self.turn;
        if by_hand {
            (self.turn, self.restarts, self.failures) = (wish.turn, 0, 0);
            self.end_all_but(None).await;
        }
        let Some(plan) = wish.plan else {
            match wish.refused {
                Some(why) => self.refuse(why).await,
                None => self.rest(by_hand).await,
            }
            return self.wishes.changed().await.map_err(|_| Gone);
        };
        self.refused = false;
        self.name.clone_from(&plan.name);
        let id = plan.exec_id();
        let found = self.end_all_but(Some(&id)).await;
        let fresh = found.is_none();
        if fresh && let Some(why) = self.port_is_taken(&plan) {
            self.trouble("port_in_use", &why);
            self.show(ServiceState::Backoff, None, None, Some(why));
            return self.wait(PORT_WAIT).await;
        }
        let handle = match found {
            Some(status) => self.attach(&status).await,
            None => self.start(&plan).await,
        };
        let over = match handle {
            Ok(handle) => self.follow(handle, &plan).await,
            Err(error) if error.code == "lost" => return self.wait(LOST_WAIT).await,
            Err(error) => {
                let why = format!("It could not be started: {}", error.message);
                self.trouble("service_failed", &why);
                return self.ended(&plan, None, Some(why)).await;
            }
        };
        match over {
            Over::Changed => Ok(()),
            Over::Exit(exit) => {
                sleep(VERDICT_WAIT).await;
                if plan.comes_back(clean(&exit)) {
                    // What it left behind may have its port.
                    let _ = self.parts.shell.kill(&id, STOP_GRACE_MS).await;
                }
                let _ = self.parts.shell.forget(&id).await;
                if ran_well(&exit) {
                    self.failures = 0;
                }
                self.ended(&plan, Some(&exit), None).await
            }
        }
    }

    /// Not to run. What ended for good keeps saying how, until somebody gives an order.
    async fn rest(&mut self, by_hand: bool) {
        let ran = self.end_all_but(None).await.is_some();
        let now = self.parts.board.process(&self.id).map(|process| process.state);
        let over = matches!(now, Some(ServiceState::Exited | ServiceState::Failed));
        if by_hand || ran || self.refused || (now.is_some() && !over) {
            self.show(ServiceState::Stopped, None, None, None);
        }
        self.refused = false;
    }

    /// Not to run as it is declared: a program of an earlier declaration ends too.
    async fn refuse(&mut self, why: String) {
        self.end_all_but(None).await;
        self.refused = true;
        self.trouble("service_invalid", &why);
        self.show(ServiceState::Failed, None, None, Some(why));
    }

    /// Why nothing can listen on its port now.
    fn port_is_taken(&self, plan: &Plan) -> Option<String> {
        let own = self.parts.app_port.own();
        plan.port.and_then(|port| clash::of_port(port, own, |pid| self.parts.board.name_of(pid)))
    }

    /// Its program ended, or could not begin.
    async fn ended(
        &mut self,
        plan: &Plan,
        exit: Option<&ExecExit>,
        problem: Option<String>,
    ) -> Result<(), Gone> {
        let (clean, code) = (exit.is_some_and(clean), exit.and_then(|exit| exit.code));
        let how = match exit {
            Some(ExecExit { code: Some(code), .. }) => format!("ended with exit code {code}"),
            Some(ExecExit { signal: Some(signal), .. }) => format!("ended by signal {signal}"),
            Some(_) => "ended".to_owned(),
            None => "could not be started".to_owned(),
        };
        // A clean end is none.
        let trouble = |then: &str| exit.filter(|_| !clean).map(|_| format!("It {how}{then}."));
        if !plan.comes_back(clean) {
            let problem = problem.or_else(|| trouble(": see its log"));
            self.note(&how);
            let (state, status) = if clean {
                (ServiceState::Exited, "stopped")
            } else {
                (ServiceState::Failed, "error")
            };
            self.show(state, None, code, problem);
            // It is over: no wake and no restore begins it again.
            self.parts.db.set_status(&self.id, status).await;
            return self.wishes.changed().await.map_err(|_| Gone);
        }
        let wait = backoff(self.failures);
        self.failures += 1;
        let then = format!("; it is started again in {} s: see its log", wait.as_secs_f64());
        let problem = problem.or_else(|| trouble(&then));
        self.note(&format!("{how}; it is started again in {} s", wait.as_secs_f64()));
        self.show(ServiceState::Backoff, None, code, problem);
        self.wait(wait).await?;
        self.restarts += 1;
        Ok(())
    }

    /// Waits, or until something else is wanted.
    async fn wait(&mut self, time: Duration) -> Result<(), Gone> {
        match timeout(time, self.wishes.changed()).await {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(_)) => Err(Gone),
        }
    }

    async fn start(&mut self, plan: &Plan) -> Result<ExecHandle, ShellError> {
        let handle = self.parts.shell.exec(plan.spec()).await?;
        self.note(&format!("started: {}", plan.command));
        self.set_mark(Mark { exec: handle.id.clone(), pid: handle.pid, ..Mark::default() }).await;
        self.told = None;
        self.show(ServiceState::Running, Some(handle.pid), None, None);
        Ok(handle)
    }

    /// A program that an earlier bridge started.
    async fn attach(&mut self, status: &ExecStatus) -> Result<ExecHandle, ShellError> {
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
        if status.exit.is_none() {
            let process = ServiceProcess {
                state: ServiceState::Running,
                pid: Some(status.pid),
                restarts: self.restarts,
                exit_code: None,
                since: status.started_at,
                problem: None,
            };
            // No news: it ran before.
            self.parts.board.set(&self.id, self.seen(process));
        }
        Ok(handle)
    }

    /// Takes down what it prints until it ends or something else is wanted.
    async fn follow(&mut self, mut handle: ExecHandle, plan: &Plan) -> Over {
        let id = plan.exec_id();
        loop {
            tokio::select! {
                event = handle.next() => match event {
                    Ok(Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes))) => {
                        if let Some(pages) = &mut self.pages {
                            pages.append(&bytes);
                        }
                        if plan.announces {
                            self.parts.app_port.observe_output(&String::from_utf8_lossy(&bytes));
                        }
                    }
                    Ok(Some(ExecEvent::Gap(to))) => {
                        self.note("what it printed here was lost: nobody could take it down");
                        self.set_mark(Mark { at: to, ..self.mark.clone() }).await;
                    }
                    Ok(Some(ExecEvent::Exit(exit))) => return Over::Exit(exit),
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
    async fn end_all_but(&self, keep: Option<&str>) -> Option<ExecStatus> {
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

    /// A line of ours in the log; positions of the program's output move with it.
    fn note(&mut self, text: &str) {
        if let Some(pages) = &mut self.pages {
            let before = pages.end();
            pages.note(text);
            self.mark.base += pages.end() - before;
        }
    }

    /// Output from `mark.at` on follows here.
    async fn set_mark(&mut self, mark: Mark) {
        let base = self.pages.as_ref().map_or(0, Pages::end);
        self.mark = Mark { base, restarts: self.restarts, ..mark };
        let path = self.parts.dir.join(format!("{}.json", key(&self.id)));
        let bytes = serde_json::to_vec(&self.mark).expect("a mark is plain data");
        // Lost, a next bridge takes down once more what is still kept.
        let _ = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
    }

    /// Tells people of trouble, once.
    fn trouble(&mut self, code: &str, why: &str) {
        if self.told.as_deref() == Some(why) {
            return;
        }
        self.told = Some(why.to_owned());
        self.note(why);
        let message = format!("Service {}: {why}", self.name);
        self.parts.log.append(None, EventBody::Error { code: code.to_owned(), message });
    }

    fn seen(&self, process: ServiceProcess) -> Seen {
        Seen { name: self.name.clone(), process: Some(process), turn: self.turn }
    }

    fn show(
        &self,
        state: ServiceState,
        pid: Option<u32>,
        exit_code: Option<i32>,
        problem: Option<String>,
    ) {
        let before = self.parts.board.process(&self.id);
        let restarts = self.restarts;
        let same = before.as_ref().is_some_and(|b| {
            (b.state, b.pid, b.exit_code, b.restarts, &b.problem)
                == (state, pid, exit_code, restarts, &problem)
        });
        let since = match before {
            Some(before) if same => before.since,
            _ => (self.parts.clock)(),
        };
        let process = ServiceProcess { state, pid, restarts, exit_code, since, problem };
        self.parts.board.set(&self.id, self.seen(process));
        if !same {
            let change = ServiceChange {
                id: self.id.clone(),
                name: self.name.clone(),
                state,
                exit_code,
                restarts,
            };
            self.parts.log.append(None, EventBody::Service(change));
        }
    }
}
