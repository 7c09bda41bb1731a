//! Services: programs that rows of the inspect database declare with a command. Each is kept running
//! as its row wants it, below init, so that it outlives this bridge; what is observed of it is on a
//! [`board::Board`] for all who show it. Not the rows: those are `inspect`'s.

pub(crate) mod board;
mod clash;
mod coming;
mod keeper;
mod pages;
mod plan;
mod routes;

pub(crate) use plan::ID_PREFIX;
pub(crate) use routes::router;

use crate::{
    app_port::AppPort, clock::Clock, inspect::InspectDb, log::EventLog, secrets::KnownSecrets,
    shell::InitShell,
};
use board::Seen;
use keeper::{Keeper, Parts, Wish};
use plan::{Plan, exec_key};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_machine::service_log::FOLDER;
use toft_model::inspect::{Service, ServiceProcess, ServiceState};
use toft_tools::host::Shell as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// Services that are kept running; a machine of a person has a handful.
const SERVICES_MAX: usize = 64;

/// Services whose logs are kept after their rows went.
const LOGS_MAX: usize = 2 * SERVICES_MAX;

/// How long an order by hand is waited for: what a stop may take, and a bit.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// What services need.
pub(crate) struct ServicesParts {
    pub(crate) shell: InitShell,
    pub(crate) log: EventLog,
    pub(crate) db: Arc<InspectDb>,
    pub(crate) app_port: Arc<AppPort>,
    pub(crate) secrets: Arc<KnownSecrets>,
    pub(crate) log_dir: PathBuf,
    pub(crate) clock: Clock,
}

/// See the module.
pub(crate) struct Services {
    parts: Arc<Parts>,
    keepers: Mutex<HashMap<String, watch::Sender<Wish>>>,
    /// Orders by hand.
    turns: Mutex<HashMap<String, u64>>,
    /// Those that are too many.
    crowded: Mutex<HashSet<String>>,
    stop: CancellationToken,
}

impl Services {
    /// Keeps services as the rows want them, until `stop`; programs go on then.
    pub(crate) fn start(parts: ServicesParts, stop: CancellationToken) -> Arc<Self> {
        let ServicesParts { shell, log, db, app_port, secrets, log_dir, clock } = parts;
        let board = Arc::clone(db.board());
        let dir = log_dir.join(FOLDER);
        let known = Arc::clone(&secrets);
        let parts = Arc::new(Parts { shell, log, board, db, app_port, secrets: known, dir, clock });
        let services = Arc::new(Self {
            parts,
            keepers: Mutex::default(),
            turns: Mutex::default(),
            crowded: Mutex::default(),
            stop: stop.clone(),
        });
        let board = Arc::clone(&services.parts.board);
        let ends = stop.clone();
        // Ends with the bridge.
        tokio::spawn(async move {
            let mut changes = secrets.revisions();
            // What init said before counts, too.
            changes.mark_changed();
            let follow = async {
                while changes.changed().await.is_ok() {
                    if let Some(now) = &*changes.borrow_and_update() {
                        board.take_environment(now.revision);
                    }
                }
            };
            tokio::select! {
                () = follow => {}
                () = ends.cancelled() => {}
            }
        });
        let this = Arc::clone(&services);
        // Ends with the bridge.
        tokio::spawn(async move {
            tokio::select! {
                () = this.watch() => {}
                () = stop.cancelled() => {}
            }
        });
        services
    }

    async fn watch(&self) {
        let mut rows = self.parts.board.rows();
        let Ok(first) = rows.wait_for(Option::is_some).await.map(|rows| rows.clone()) else {
            return;
        };
        self.end_undeclared(&first.unwrap_or_default()).await;
        let dir = self.parts.dir.clone();
        let old = tokio::task::spawn_blocking(move || pages::remove_old(&dir, LOGS_MAX)).await;
        if let Ok(Err(error)) = old {
            tracing::debug!(%error, "old logs of services stay");
        }
        loop {
            rows.mark_unchanged();
            self.reconcile();
            if rows.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends programs of services that went away while no bridge lived.
    async fn end_undeclared(&self, rows: &[Service]) {
        let declared: Vec<String> =
            rows.iter().map(|row| format!("{}:", exec_key(&row.id))).collect();
        for exec in self.parts.shell.list().await.unwrap_or_default() {
            let ours = exec.id.starts_with(ID_PREFIX);
            if ours && !declared.iter().any(|key| exec.id.starts_with(key)) {
                let _ = self.parts.shell.kill(&exec.id, 0).await;
                let _ = self.parts.shell.forget(&exec.id).await;
            }
        }
    }

    /// Tells each keeper what its row wants; the first rows come first when there are too many.
    fn reconcile(&self) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The newest, looked at while nobody else tells the keepers.
        let rows = self.parts.board.rows().borrow().clone().unwrap_or_default();
        let mut declared: Vec<(&Service, Plan)> =
            rows.iter().filter_map(|row| Some((row, Plan::of(row)?))).collect();
        declared.sort_by(|(a, _), (b, _)| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
        let over = declared.split_off(declared.len().min(SERVICES_MAX));
        keepers.retain(|id, _| declared.iter().any(|(row, _)| row.id == *id));
        self.too_many(over.into_iter().map(|(row, _)| row).filter(|row| wants_to_run(row)));
        for (row, plan) in declared {
            let turn = turns.get(&row.id).copied().unwrap_or_default();
            let wanted = wants_to_run(row);
            let refused = row.problem.clone().filter(|_| wanted);
            let plan = Some(plan).filter(|_| wanted && refused.is_none());
            let wish = Wish { plan, refused, turn };
            let Some(keeper) = keepers.get(&row.id) else {
                let (wishes, heard) = watch::channel(wish);
                keepers.insert(row.id.clone(), wishes);
                let (id, name) = (row.id.clone(), row.name.clone());
                let keeper = Keeper::new(Arc::clone(&self.parts), id, name, heard);
                let stop = self.stop.clone();
                // Ends with its row, or with the bridge.
                tokio::spawn(async move {
                    tokio::select! {
                        () = keeper.live() => {}
                        () = stop.cancelled() => {}
                    }
                });
                continue;
            };
            keeper.send_if_modified(|known| {
                let changed = *known != wish;
                *known = wish;
                changed
            });
        }
    }

    /// Says of those that nobody keeps running why that is.
    fn too_many<'a>(&self, over: impl Iterator<Item = &'a Service>) {
        let mut crowded = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        let now: HashSet<String> = over
            .map(|row| {
                let process = ServiceProcess {
                    state: ServiceState::Failed,
                    pid: None,
                    restarts: 0,
                    exit_code: None,
                    since: (self.parts.clock)(),
                    restart_to_apply: false,
                    problem: Some(format!(
                        "{SERVICES_MAX} services that were declared before it have all places: \
                         remove the row of one of them, or its command."
                    )),
                };
                if !crowded.contains(&row.id) {
                    let seen =
                        Seen { name: row.name.clone(), process: Some(process), ..Seen::default() };
                    self.parts.board.set(&row.id, seen);
                }
                row.id.clone()
            })
            .collect();
        for id in crowded.difference(&now) {
            self.parts.board.remove(id);
        }
        *crowded = now;
    }

    /// The row of a service, with what is observed.
    async fn row(&self, id: &str) -> Option<Service> {
        self.parts.db.now().await.services.into_iter().find(|row| row.id == id)
    }

    /// Writes what is wanted and waits until it was done. With `anew` it begins anew even if it is
    /// as wanted already.
    async fn order(&self, id: &str, status: &str, anew: bool) -> bool {
        if !self.parts.db.set_status(id, status).await {
            return false;
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = turns.entry(id.to_owned()).or_default();
            *turn += u64::from(anew);
            *turn
        };
        let mut seen = self.parts.board.changes();
        self.reconcile();
        let done = |all: &HashMap<String, Seen>| {
            all.get(id).is_some_and(|seen| seen.turn >= turn && seen.process.is_some())
        };
        let _ = timeout(ORDER_TIMEOUT, seen.wait_for(done)).await;
        true
    }

    /// The folder in which the logs' folder lies.
    fn logs(&self) -> Option<&Path> {
        self.parts.dir.parent()
    }
}

/// Whether a row says that the service is to run.
fn wants_to_run(row: &Service) -> bool {
    row.status.trim().eq_ignore_ascii_case("running")
}
