//! The agent of this machine: all its sessions, the one that is current, the models that the
//! gateway offers, and what must be gone on with after this process died. Not HTTP: that is
//! [`crate::agent_routes`].

mod children;
pub(crate) mod fork;
mod intents;
mod memory;
mod models;
mod open;
mod recover;
pub(crate) mod runs;
pub(crate) mod said;
mod sink;
#[cfg(test)]
pub(crate) mod tests;
mod tickets;

use crate::{app_port::AppPort, clock::Clock, log::EventLog};
use intents::IntentFiles;
use memory::Memory;
pub use models::GatewayModels;
use runs::Runs;
use said::Said;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};
use toft_agent::{
    Bounds, Handle, PromptFacts,
    extensions::Extensions,
    session::{Index, Listed, Session, SessionError},
    shown::Shown,
    skills::{HOME_FOLDER, Skills},
    surroundings::{ModelSource, Settings, Surroundings},
};
use toft_model::{boot::BridgeBoot, event::EventBody, id::SessionId};
use toft_tools::{
    Toolbox,
    host::{Secrets, Shell},
    mcp::{News, Servers},
};
use tokio_util::sync::CancellationToken;

/// What the bridge gives the agent.
pub struct RuntimeParts {
    /// Which project, where, and the way to the gateway.
    pub boot: BridgeBoot,
    /// Takes events.
    pub log: EventLog,
    /// Runs programs as children of init.
    pub shell: Arc<dyn Shell>,
    /// Knows which secrets the machine has.
    pub secrets: Arc<dyn Secrets>,
    /// Sees tool output.
    pub app_port: Arc<AppPort>,
    /// The time.
    pub clock: Clock,
}

/// The agent cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such session.
    #[error("there is no session {0:?} in this project: `GET /toft/sessions` lists them")]
    NoSession(String),
    /// A session file cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A folder or small file of the agent's own cannot be used.
    #[error("{step} failed: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The gateway's address is not one.
    #[error(transparent)]
    Gateway(#[from] toft_llm::gateway::GatewayAddressError),
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> RuntimeError {
    move |source| RuntimeError::Io { step, source }
}

/// See the module.
pub struct AgentRuntime {
    boot: BridgeBoot,
    log: EventLog,
    app_port: Arc<AppPort>,
    around: Arc<Surroundings>,
    memory: Memory,
    /// Held from reading the settings to their change.
    settings_turn: tokio::sync::Mutex<()>,
    said: Said,
    runs: Runs,
    /// Open sessions. Held across opening one, so that no session gets two actors.
    open: tokio::sync::Mutex<HashMap<SessionId, Handle>>,
    index: Arc<Mutex<Index>>,
    /// What was told of sessions that are not open, where that is not simply everything.
    told: Mutex<HashMap<SessionId, Shown>>,
    stop: CancellationToken,
    me: Weak<Self>,
}

impl AgentRuntime {
    /// Starts the agent: tells what the log misses, then goes on with what was cut.
    pub async fn start(parts: RuntimeParts) -> Result<Arc<Self>, RuntimeError> {
        let models = GatewayModels::new(&parts.boot.gateway_url, &parts.boot.token)?;
        // So that the first question does not wait for the list.
        models.warm();
        Self::start_with(parts, Arc::new(models), Toolbox::standard()).await
    }

    /// The same with other models and tools.
    pub async fn start_with(
        parts: RuntimeParts,
        models: Arc<dyn ModelSource>,
        tools: Toolbox,
    ) -> Result<Arc<Self>, RuntimeError> {
        let RuntimeParts { boot, log, shell, secrets, app_port, clock } = parts;
        let home = PathBuf::from(&boot.home);
        let log_dir = PathBuf::from(&boot.log_dir);
        let memory =
            blocking(move || Memory::open(&home)).await.map_err(failed("reading agent.json"))?;
        let beside = move || {
            Ok((IntentFiles::open(&log_dir)?, Said::open(&log_dir)?, Runs::open(&log_dir)?))
        };
        let (intents, said, runs) =
            blocking(beside).await.map_err(failed("opening what lies beside the event log"))?;
        let observed = Arc::clone(&app_port);
        let sessions = Path::new(&boot.home).join("sessions");
        let index = blocking(move || {
            std::fs::create_dir_all(&sessions)?;
            Session::sweep_copies(&sessions)?;
            Ok(Index::open(&sessions))
        })
        .await
        .map_err(failed("making the folder of sessions"))?;
        let runtime = Arc::new_cyclic(|me: &Weak<Self>| {
            let home_of_programs = shell.home();
            let skills = Skills::new(&boot.cwd, &home_of_programs);
            let extensions = Arc::new(Extensions::new(&boot.cwd, tools.clone()));
            let extended = Arc::clone(&extensions);
            let told = log.clone();
            let servers = Servers::new(
                Arc::clone(&shell),
                Arc::clone(&secrets),
                PathBuf::from(&boot.cwd),
                Arc::new(move |news| {
                    told.append(
                        None,
                        match news {
                            News::Words(message) => {
                                EventBody::Error { code: "mcp_server".into(), message }
                            }
                            News::Changed(change) => EventBody::McpServer(change),
                        },
                    );
                }),
            )
            .and_those_of(move || extended.servers());
            let around = Surroundings {
                extensions,
                skills: Arc::new(skills),
                servers: Arc::new(servers),
                sink: Arc::new(log.clone()),
                models,
                tools,
                shell,
                secrets,
                intents: Arc::new(intents),
                cwd: PathBuf::from(&boot.cwd),
                bounds: boot.path_policy.then(|| bounds(&boot, &home_of_programs)),
                prompt: PromptFacts {
                    project: boot.name.clone(),
                    cwd: boot.cwd.clone(),
                    app_url: boot.app_url.clone(),
                    app_port: boot.app_port,
                    inspect_db: Path::new(&boot.home).join("inspect.db").display().to_string(),
                },
                observe_output: Arc::new(move |text: &str| observed.observe_output(text)),
                clock,
                settings: RwLock::new(memory.settings()),
                rules_of: runs.rules_of(),
            };
            Self {
                me: me.clone(),
                around: Arc::new(around),
                boot,
                log,
                app_port,
                memory,
                settings_turn: tokio::sync::Mutex::default(),
                said,
                runs,
                open: tokio::sync::Mutex::new(HashMap::new()),
                index: Arc::new(Mutex::new(index)),
                told: Mutex::default(),
                stop: CancellationToken::new(),
            }
        });
        runtime.recover().await?;
        runtime.resume_runs().await?;
        Ok(runtime)
    }

    /// Ends all actors. Work is left as it is: the next start goes on with it.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The event log.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// Which project this is, and where.
    pub fn boot(&self) -> &BridgeBoot {
        &self.boot
    }

    /// The port of the app.
    pub fn app_port(&self) -> &Arc<AppPort> {
        &self.app_port
    }

    /// What became of prompts.
    pub(crate) fn prompts(&self) -> &Said {
        &self.said
    }

    /// What sessions share.
    pub fn around(&self) -> &Arc<Surroundings> {
        &self.around
    }

    /// Settings of all sessions.
    pub fn settings(&self) -> Settings {
        self.around.settings()
    }

    /// Changes settings of all sessions; on disk when this returns. One change is made after the other: none
    /// puts back what another one has changed meanwhile.
    pub async fn change_settings(
        &self,
        change: impl FnOnce(&mut Settings),
    ) -> Result<(), RuntimeError> {
        let _one = self.settings_turn.lock().await;
        let before = self.settings();
        let mut settings = before.clone();
        change(&mut settings);
        if settings != before {
            let kept = self.memory.set_settings(settings.clone()).await;
            kept.map_err(failed("writing agent.json"))?;
            *self.around.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        }
        Ok(())
    }

    /// An open session: the given one, or the current one.
    pub async fn session(&self, id: Option<&SessionId>) -> Result<Handle, RuntimeError> {
        let mut open = self.open.lock().await;
        let id = match id {
            Some(id) => id.clone(),
            None => match self.memory.current() {
                Some(current) => current,
                None => return self.create_in(&mut open, None, None, true).await,
            },
        };
        match self.open_in(&mut open, &id).await {
            // The current one's file may be gone, for example after a restore.
            Err(RuntimeError::NoSession(_)) if self.memory.current().as_ref() == Some(&id) => {
                self.another_in(&mut open).await
            }
            other => other,
        }
    }

    /// Makes a session and makes it the current one.
    pub async fn create(
        &self,
        name: Option<String>,
        parent_session: Option<String>,
    ) -> Result<Handle, RuntimeError> {
        let mut open = self.open.lock().await;
        self.create_in(&mut open, name, parent_session, true).await
    }

    /// Makes a session beside the current one, which stays current.
    pub async fn create_beside(
        &self,
        name: Option<String>,
        parent_session: Option<String>,
    ) -> Result<Handle, RuntimeError> {
        let mut open = self.open.lock().await;
        let current = self.memory.current().is_none();
        self.create_in(&mut open, name, parent_session, current).await
    }

    /// Makes a session the current one.
    pub async fn switch(&self, id: &SessionId) -> Result<Handle, RuntimeError> {
        let mut open = self.open.lock().await;
        let handle = self.open_in(&mut open, id).await?;
        self.make_current(&handle).await?;
        Ok(handle)
    }

    /// The id of the session in a file of the sessions' folder.
    pub async fn session_of_path(&self, path: &str) -> Result<SessionId, RuntimeError> {
        let listed = self.list().await?;
        let wanted = Path::new(path);
        listed
            .into_iter()
            .find(|one| one.path == wanted || one.path.file_name() == Some(wanted.as_os_str()))
            .map(|one| one.id)
            .ok_or_else(|| RuntimeError::NoSession(path.to_owned()))
    }

    /// The current session's id.
    pub async fn current(&self) -> Result<SessionId, RuntimeError> {
        match self.memory.current() {
            Some(id) => Ok(id),
            None => Ok(self.session(None).await?.conversation().id().clone()),
        }
    }

    /// All sessions, newest change first.
    pub async fn list(&self) -> Result<Vec<Listed>, RuntimeError> {
        let index = Arc::clone(&self.index);
        blocking(move || {
            let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
            let listed = index.refresh()?;
            if let Err(error) = index.save() {
                tracing::warn!(%error, "the index of sessions cannot be kept");
            }
            Ok(listed)
        })
        .await
        .map_err(failed("listing the sessions"))
    }

    /// Open sessions, for their status.
    pub async fn open_sessions(&self) -> HashMap<SessionId, Handle> {
        self.open.lock().await.clone()
    }

    fn told(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Shown>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions_dir(&self) -> PathBuf {
        Path::new(&self.boot.home).join("sessions")
    }
}

impl Drop for AgentRuntime {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What tools for files keep to in a machine without walls.
fn bounds(boot: &BridgeBoot, home: &Path) -> Bounds {
    let log = Path::new(&boot.log_dir);
    Bounds {
        own: vec![PathBuf::from(&boot.home), log.to_owned()],
        also: vec![log.join("exec"), toft_tools::mcp::kept(), home.join(HOME_FOLDER)],
    }
}

/// Runs blocking file work on a thread meant for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
