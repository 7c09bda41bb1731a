//! Backend `host`: a machine is a plain folder, and its processes are ordinary processes of the
//! user that runs Toft. The same init and bridge as in a real machine, no walls at all; for hosts
//! that cannot have any. Only below a folder that an admin allowed.

use crate::{
    backend::{Backend, MachineError, Running, StartSpec, Stats},
    begin::{self, Start, TOKEN_BYTES},
    boot::{self, Places},
    cgroup::{CgroupHost, MachineGroup, Way},
    folders::{self, BRIDGE_SOCKET, Folders, INIT_SOCKET},
    frozen, limited,
    running::{self, blocking, step},
    turns::Turns,
    watch::Watches,
};
use async_trait::async_trait;
use std::{
    fs, io,
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_jail::spec::{FD_BOOT, Run, Spec, Task};
use toft_model::{
    event::LimitHit,
    id::{ProjectId, random_hex},
    machine::{Ability, Can, Limits},
};
use tokio::{net::UnixStream, sync::broadcast};

/// What the backend is told.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The data folder, for sockets and states.
    pub data_dir: PathBuf,
    /// The `toft` binary.
    pub exe: PathBuf,
    /// The folder that was allowed; each project gets one in it.
    pub allowed_dir: PathBuf,
    /// `PATH` of programs.
    pub path: String,
    /// `HOME` of programs.
    pub home: String,
    /// `USER` of programs.
    pub user: String,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: HostConfig,
    folders: Folders,
    cgroups: CgroupHost,
    turns: Turns,
    watches: Watches,
}

/// Folder in a project's folder for everything that is Toft's.
const OWN: &str = ".toft";

/// Opens the backend. The allowed folder must exist.
pub async fn open(mut config: HostConfig) -> Result<Host, MachineError> {
    blocking(move || {
        let bad = |missing: String| MachineError::Unsupported {
            missing,
            remedy: "Give an existing folder that can be written to with `--allow-host DIR`."
                .to_owned(),
        };
        let shown = config.allowed_dir.display().to_string();
        config.allowed_dir = fs::canonicalize(&config.allowed_dir)
            .map_err(|e| bad(format!("the folder {shown} cannot be used: {e}")))?;
        config.exe = fs::canonicalize(&config.exe).map_err(|e| MachineError::Unsupported {
            missing: format!("the program {} cannot be used: {e}", config.exe.display()),
            remedy: "Start `toft` from where it is installed.".to_owned(),
        })?;
        let folders = Folders::open(&config.data_dir)
            .map_err(|e| bad(format!("the data folder cannot be used: {e}")))?;
        let cgroups = CgroupHost::detect(folders.data());
        // Each machine makes them when it needs them.
        cgroups.remove();
        Ok(Host(Arc::new(Inner {
            config,
            folders,
            cgroups,
            turns: Turns::default(),
            watches: Watches::default(),
        })))
    })
    .await
}

impl Host {
    /// Does what blocks in the project's turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        project: &ProjectId,
        work: impl FnOnce(&Inner, &ProjectId) -> T + Send + 'static,
    ) -> T {
        let turn = self.0.turns.take(project).await;
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || {
            let done = work(&inner, &project);
            // Held here: a caller that is cancelled does not let the next one in.
            drop(turn);
            done
        })
        .await
    }

    /// Sees to it that limits which are reached are told, while a machine runs and is not frozen.
    fn watch(&self, project: &ProjectId) {
        if !frozen::is_frozen(&self.0.folders.run(project)) {
            self.0.watches.begin(project, &self.0.cgroups, None);
        }
    }

    /// Removes the control groups of this data folder when no machine runs.
    pub async fn close(&self) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.cgroups.remove()).await;
        Ok(())
    }
}

impl Inner {
    fn folder(&self, project: &ProjectId) -> PathBuf {
        self.config.allowed_dir.join(project.as_str())
    }

    fn log(&self, project: &ProjectId) -> PathBuf {
        self.folder(project).join(OWN).join("log")
    }

    fn create(&self, project: &ProjectId) -> io::Result<()> {
        let folder = self.folder(project);
        fs::create_dir_all(&folder)?;
        for path in [folder.join(OWN), folder.join(OWN).join("home"), self.log(project)] {
            folders::private(&path)?;
        }
        Ok(())
    }

    fn launch(&self, spec: &StartSpec) -> Result<Running, MachineError> {
        let project = &spec.project;
        let (run, log) = (self.folders.run(project), self.log(project));
        folders::private(&run).map_err(step(project, "preparing the machine's folders"))?;
        let group = MachineGroup::make(&self.cgroups, project.as_str(), &spec.limits, None)
            .map_err(step(project, "making the machine's control groups"))?;
        let (groups, programs) = (group.groups.clone(), group.programs());
        let launched = self.launch_in(spec, group, &run, &log);
        if launched.is_err() {
            groups.remove();
        } else if let Some(programs) = programs {
            programs.make_rest();
        }
        launched
    }

    fn launch_in(
        &self,
        spec: &StartSpec,
        group: MachineGroup,
        run: &Path,
        log: &Path,
    ) -> Result<Running, MachineError> {
        let project = &spec.project;
        let listening = "opening the machine's sockets";
        let init = folders::listen(run, INIT_SOCKET).map_err(step(project, listening))?;
        let bridge = folders::listen(run, BRIDGE_SOCKET).map_err(step(project, listening))?;
        let said = folders::new_log(log).map_err(step(project, "opening the machine's log"))?;
        let gateway = || -> io::Result<(OwnedFd, String)> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let url = format!("http://{}", listener.local_addr()?);
            Ok((listener.into(), url))
        };
        let (model, gateway_url) = gateway().map_err(step(project, listening))?;
        let (egress, proxy_url) = gateway().map_err(step(project, listening))?;
        let folder = self.folder(project);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let places = Places {
            command: vec![text(&self.config.exe)],
            cwd: text(&folder),
            home: text(&folder.join(OWN).join("home")),
            user_home: self.config.home.clone(),
            user: self.config.user.clone(),
            log: text(log),
            gateway_url,
            proxy_url,
            has_app_listener: false,
            path: self.config.path.clone(),
            env: Vec::new(),
            shell: None,
        };
        let token = random_hex(TOKEN_BYTES);
        let boot = boot::init_boot(spec, &token, &places, group.work_files_outside());
        let boot = serde_json::to_string(&boot)
            .map_err(|e| step(project, "writing the boot data")(io::Error::from(e)))?;
        let task = Task::Run(Run {
            argv: places.command_with(&["init", &FD_BOOT.to_string()]),
            env: boot::init_env(&places),
            cwd: places.cwd.clone(),
            boot,
        });
        let mut cgroups = group.join;
        cgroups.namespace = false;
        let launch = Spec { jail: None, task, cgroups };
        let descriptors = [init.as_fd(), bridge.as_fd(), model.as_fd(), egress.as_fd()];
        let copies = [&model, &egress].map(OwnedFd::try_clone);
        let listeners =
            copies.into_iter().collect::<io::Result<_>>().map_err(step(project, listening))?;
        let start = Start {
            project,
            exe: &self.config.exe,
            run,
            log,
            said,
            token,
            groups: group.groups,
            descriptors: &descriptors,
            listeners,
        };
        begin::launch(start, &launch).map(|(running, _)| running)
    }
}

#[async_trait]
impl Backend for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    async fn abilities(&self) -> Vec<Ability> {
        let mut all: Vec<Ability> = [
            ("user namespaces", "no sandbox: programs run as your own user, on your own files"),
            ("id range", "none: programs have your user's id"),
            ("storage", "a plain folder, without copies"),
            ("system folders", "none: programs see the whole host"),
            ("disk limit", "none"),
            ("network isolation", "none: programs reach what you reach"),
            ("system call filter", "none"),
        ]
        .map(|(name, how)| Ability {
            name: name.to_owned(),
            enforced: false,
            how: how.to_owned(),
            remedy: Some(
                "Use the backend `native`: `toft up` without `--backend host`.".to_owned(),
            ),
        })
        .into();
        for (name, controller) in
            [("memory limit", "memory"), ("process limit", "pids"), ("cpu limit", "cpu")]
        {
            let way = self.0.cgroups.way(controller);
            all.push(Ability {
                name: name.to_owned(),
                enforced: way.is_some(),
                how: match way {
                    Some(Way::V2) => format!("cgroup v2, controller {controller}"),
                    Some(Way::V1) => format!("cgroup v1, controller {controller}"),
                    None => "no control group that we may use".to_owned(),
                },
                remedy: way.is_none().then(|| "Run Toft as root.".to_owned()),
            });
        }
        let freezer = self.0.cgroups.freezer();
        all.push(Ability {
            name: "freezer".to_owned(),
            enforced: freezer.is_some(),
            how: match freezer {
                Some(way) => format!("cgroup {way:?}").to_lowercase(),
                None => "no control group that we may use".to_owned(),
            },
            remedy: freezer.is_none().then(|| "Run Toft as root.".to_owned()),
        });
        all
    }

    fn can(&self) -> Can {
        let controllers = ["memory", "pids", "cpu"].into_iter();
        let limited = controllers.filter(|name| self.0.cgroups.way(name).is_some());
        Can {
            freeze: self.0.cgroups.freezer().is_some(),
            limits: limited.map(str::to_owned).collect(),
            ..Can::default()
        }
    }

    fn storage(&self) -> String {
        "plain folder".to_owned()
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.create(&id))
            .await
            .map_err(step(project, "making the project's folder"))
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let project = spec.project.clone();
        let _turn = self.0.turns.take(&project).await;
        let run = self.0.folders.run(&project);
        frozen::settle(&run);
        if let Some(running) = running::adopt(&run, &project).await? {
            self.watch(&project);
            return Ok(running);
        }
        // What was watched has ended by itself.
        self.0.watches.end(&project);
        let inner = Arc::clone(&self.0);
        let running = blocking(move || inner.launch(&spec)).await?;
        begin::greet(&run, &self.0.log(&project), &project).await?;
        self.watch(&project);
        Ok(running)
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let _turn = self.0.turns.take(project).await;
        let run = self.0.folders.run(project);
        frozen::settle(&run);
        let found = running::adopt(&run, project).await?;
        if found.is_some() {
            self.watch(project);
        }
        Ok(found)
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.0.watches.end(project);
        running::end(&self.0.folders.run(project), project, grace).await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let turn = self.0.turns.take(project).await;
        self.0.watches.end(project);
        let run = self.0.folders.run(project);
        running::end(&run, project, Duration::ZERO).await?;
        let folder = self.0.folder(project);
        blocking(move || {
            [folder, run].into_iter().try_for_each(|path| toft_jail::tree::remove(&path))
        })
        .await
        .map_err(step(project, "removing the project's folder"))?;
        self.0.turns.end(project, turn);
        Ok(())
    }

    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        let (known, wanted) = (known.to_vec(), known.to_vec());
        for project in blocking(move || running::unwanted(&inner.folders.runs(), &wanted)).await {
            let _turn = self.0.turns.take(&project).await;
            running::sweep(&self.0.folders.run(&project), &project, &known).await?;
        }
        Ok(())
    }

    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.0.folders.run(project), INIT_SOCKET, project).await
    }

    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.0.folders.run(project), BRIDGE_SOCKET, project).await
    }

    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError> {
        let run = self.0.folders.run(project);
        Ok(blocking(move || running::stats(&run)).await)
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.0.log(project)
    }

    async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        let freeze = |inner: &Inner, id: &ProjectId| {
            frozen::freeze(&inner.folders.run(id), id).inspect(|()| inner.watches.end(id))
        };
        self.in_turn(project, freeze).await
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        let thaw = |inner: &Inner, id: &ProjectId| frozen::thaw(&inner.folders.run(id), id);
        self.in_turn(project, thaw).await?;
        self.watch(project);
        Ok(())
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.in_turn(project, |inner, id| frozen::is_frozen(&inner.folders.run(id))).await)
    }

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.0.watches.hits()
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        let limits = limits.clone();
        let change = move |inner: &Inner, id: &ProjectId| {
            limited::set(&inner.folders.run(id), id, &inner.cgroups, &limits)
        };
        self.in_turn(project, change).await
    }
}
