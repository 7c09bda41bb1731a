//! Tools of MCP servers. A project declares servers ([`config`]); each runs as a program of the machine
//! ([`part`]), so that limits, environment, way out and abort are those of every program. One that is reached
//! over HTTP has a program of ours between. Here: which servers there are, and which tools they give an agent.
//! What people see of them is in [`seen`].
//!
//! The list of tools is made when a prompt's work begins and stays until then, so that caches hit.

mod config;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod link;
pub(crate) mod part;
mod result;
mod search;
mod seen;
mod server;
mod start;
#[cfg(test)]
mod tests;
mod tool;

pub use config::Declaration;
pub use result::folder as kept;
pub use seen::{NoRestart, Seen, SeenServer, SeenTool};

use crate::{
    host::{Secrets, Shell},
    registry::Toolbox,
};
use config::{Config, Found};
use futures_util::future::join_all;
use search::{McpCall, McpSearch};
use server::Server;
use start::Around;
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use toft_model::mcp::McpChange;
use tokio::time::timeout;
use tool::McpTool;

/// Programs that are servers have ids that begin so.
pub const ID_PREFIX: &str = "mcp.";

/// With more tools than these, they stand behind a search.
const TOOLS_SHOWN_MAX: usize = 20;

/// Tools of all servers at most.
const TOOLS_MAX: usize = 20_000;

/// How long a prompt waits for servers that start. Some are installed first; those come with a later prompt.
const READY_MAX: Duration = Duration::from_secs(15);

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// In words: a declaration or a server is of no use.
    Words(String),
    /// A server is in another state.
    Changed(McpChange),
}

/// Tells people.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// How long servers are kept and waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// One that nobody used for this long is ended, to give its memory back.
    pub idle_max: Duration,
    /// How often that is looked at.
    pub idle_look: Duration,
    /// After a failure the next start waits this long, and twice as long after each further one.
    pub again_first: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            idle_max: Duration::from_mins(10),
            idle_look: Duration::from_mins(1),
            again_first: Duration::from_secs(1),
        }
    }
}

/// The servers of a project.
pub struct Servers {
    around: Arc<Around>,
    more: Arc<dyn Fn() -> Vec<Declaration> + Send + Sync>,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    servers: BTreeMap<String, Arc<Server>>,
    /// As they were declared last.
    found: BTreeMap<String, Found>,
    faults: Vec<String>,
    /// Faults of the config that were told.
    told: HashSet<String>,
}

impl Servers {
    /// Those that the project in `cwd` declares.
    pub fn new(shell: Arc<dyn Shell>, secrets: Arc<dyn Secrets>, cwd: PathBuf, tell: Tell) -> Self {
        Self::with_pace(shell, secrets, cwd, tell, Pace::default())
    }

    /// The same at another pace.
    pub fn with_pace(
        shell: Arc<dyn Shell>,
        secrets: Arc<dyn Secrets>,
        cwd: PathBuf,
        tell: Tell,
        pace: Pace,
    ) -> Self {
        let around = Arc::new(Around { shell, secrets, cwd, tell, pace });
        Self { around, more: Arc::new(Vec::new), live: Mutex::default() }
    }

    /// The same with those that are declared elsewhere, which count over the variable and below the files.
    /// Asked each time that is looked; may block.
    pub fn and_those_of(self, more: impl Fn() -> Vec<Declaration> + Send + Sync + 'static) -> Self {
        Self { more: Arc::new(more), ..self }
    }

    /// The box with the tools of the servers that are declared now, those whose name `may` be there. Servers that
    /// are not declared any more end. With `start` those that are new start, and are waited for a while; without,
    /// only what is known counts.
    pub async fn add_to(&self, tools: Toolbox, start: bool, may: impl Fn(&str) -> bool) -> Toolbox {
        self.look().await;
        let servers: Vec<_> = self.live().servers.values().cloned().collect();
        if start {
            join_all(servers.iter().map(|server| self.started(server))).await;
        }
        with_tools(tools, &servers, may)
    }

    /// Waits for a server, but not again for one that took long before.
    async fn started(&self, server: &Arc<Server>) {
        let starting = Arc::clone(server);
        // Goes on when nobody waits any more; it has a time limit of its own.
        let ready = tokio::spawn(async move { starting.ready().await });
        let wait = if server.is_late() { Duration::ZERO } else { READY_MAX };
        if timeout(wait, ready).await.is_err() && !server.set_late() {
            (self.around.tell)(News::Words(format!(
                "The MCP server `{}` takes long to start: its tools come with a later prompt.",
                server.name()
            )));
        }
    }

    /// What is declared now becomes what there is.
    async fn look(&self) {
        let variable = self.around.secrets.setting(config::VARIABLE).await;
        let (cwd, more) = (self.around.cwd.clone(), Arc::clone(&self.more));
        let read =
            tokio::task::spawn_blocking(move || Config::read(variable.as_deref(), &more(), &cwd));
        if let Ok(config) = read.await {
            self.take(config);
        }
    }

    fn take(&self, config: Config) {
        let mut live = self.live();
        for fault in &config.faults {
            if live.told.insert(fault.clone()) {
                (self.around.tell)(News::Words(fault.clone()));
            }
        }
        let found = &config.servers;
        let gone = live.servers.extract_if(.., |name, server| {
            !found.get(name).is_some_and(|f| !f.disabled && f.declared == server.declared)
        });
        for (_, server) in gone {
            tokio::spawn(async move { server.end().await });
        }
        for (name, found) in config.servers.iter().filter(|(_, found)| !found.disabled) {
            live.servers
                .entry(name.clone())
                .or_insert_with(|| Server::new(found.declared.clone(), Arc::clone(&self.around)));
        }
        (live.found, live.faults) = (config.servers, config.faults);
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_tools(mut tools: Toolbox, servers: &[Arc<Server>], may: impl Fn(&str) -> bool) -> Toolbox {
    let mut names = HashSet::new();
    let mut all = Vec::new();
    for server in servers {
        for listed in &*server.listed() {
            if all.len() < TOOLS_MAX {
                let tool = McpTool::new(Arc::clone(server), listed, &mut names);
                if may(&tool.spec.name) {
                    all.push(Arc::new(tool));
                }
            }
        }
    }
    if all.len() > TOOLS_SHOWN_MAX {
        let all: Arc<[Arc<McpTool>]> = all.into();
        return tools.with(Arc::new(McpSearch(Arc::clone(&all)))).with(Arc::new(McpCall(all)));
    }
    for tool in all {
        tools = tools.with(tool);
    }
    tools
}
