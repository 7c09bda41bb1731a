//! One service: starts its program as a child of init, takes down what it prints, starts it again
//! when it ended, stops it. A program goes on while no bridge lives; the next one's keeper finds it
//! by its id and goes on at the byte where this one stopped. Decides nothing about other services.

mod program;
mod shown;

use super::{
    board::Board,
    clash,
    pages::Pages,
    plan::{Plan, backoff, clean, ran_well},
};
use crate::{
    app_port::AppPort, clock::Clock, inspect::InspectDb, log::EventLog, own_file::make_way,
    secrets::KnownSecrets, shell::InitShell,
};
use program::{Mark, Over};
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_machine::service_log::key;
use toft_model::{init::ExecExit, inspect::ServiceState, mask::Stars};
use toft_tools::host::Shell as _;
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
    /// Values of secrets do not go into logs.
    pub(super) secrets: Arc<KnownSecrets>,
    /// Where logs lie.
    pub(super) dir: PathBuf,
    pub(super) clock: Clock,
}

pub(super) struct Keeper {
    parts: Arc<Parts>,
    id: String,
    name: String,
    wishes: watch::Receiver<Wish>,
    turn: u64,
    restarts: u32,
    /// Revision of the secrets that its program was started with.
    environment: u64,
    /// Failures in a row.
    failures: u32,
    pages: Option<Pages>,
    stars: Stars,
    mark: Mark,
    /// The trouble that was told last.
    told: Option<String>,
    /// Whether what is shown is why it cannot be run as it is declared.
    refused: bool,
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
            environment: 0,
            failures: 0,
            pages: None,
            stars: Stars::default(),
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
}
