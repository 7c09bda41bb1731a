//! Backend `host`: a machine is a plain folder, and its processes are ordinary processes of the
//! user that runs Toft. The same init and bridge as in a real machine, no walls at all; for hosts
//! that cannot have any. Only below a folder that an admin allowed.

mod contract;

use crate::{
    backend::{MachineError, Running, StartSpec},
    begin::{self, Start, TOKEN_BYTES},
    blocking::blocking,
    boot,
    cgroup::{CgroupHost, MachineGroup},
    error::step,
    folders::{self, BRIDGE_SOCKET, Folders, INIT_SOCKET},
    machines::Machines,
    places::{Places, gateway_fds},
};
use std::{
    fs, io,
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_jail::spec::{FD_BOOT, Run, Spec, Task};
use toft_model::{
    boot::HOST_OWN,
    id::{ProjectId, random_hex},
};

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
    /// Whether all around it is the project's own, as in a sandbox.
    pub is_walled: bool,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: HostConfig,
    machines: Machines,
    cgroups: CgroupHost,
}

/// Folder in a project's folder for everything that is Toft's, beside what the project itself keeps there.
const OWN: &str = ".toft";
/// Those two, and what keeps them out of a person's repository, with itself.
const HOME: &str = HOST_OWN[0];
const LOG: &str = HOST_OWN[1];
const IGNORED: (&str, &[u8]) = (".gitignore", b"# Toft's own: not the project's.\n*\n");

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
        Ok(Host(Arc::new(Inner { config, machines: Machines::new(folders), cgroups })))
    })
    .await
}

impl Host {
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
        self.folder(project).join(LOG)
    }

    fn create(&self, project: &ProjectId) -> io::Result<()> {
        let folder = self.folder(project);
        fs::create_dir_all(&folder)?;
        for path in [OWN, HOME, LOG] {
            folders::private(&folder.join(path))?;
        }
        Self::ignored(&folder)
    }

    /// Toft's own folders are none of what the project's git keeps, whoever asks it to add everything.
    fn ignored(folder: &Path) -> io::Result<()> {
        let (name, text) = IGNORED;
        for own in HOST_OWN {
            let file = folder.join(own).join(name);
            if fs::symlink_metadata(&file).is_err() {
                fs::write(file, text)?;
            }
        }
        Ok(())
    }

    fn launch(&self, spec: &StartSpec) -> Result<Running, MachineError> {
        let project = &spec.project;
        let (run, log) = (self.machines.folders.run(project), self.log(project));
        folders::private(&run).map_err(step(project, "preparing the machine's folders"))?;
        // A move to here brings a home of its own.
        Self::ignored(&self.folder(project))
            .map_err(step(project, "preparing the machine's folders"))?;
        // What is left of one that ended by itself would count for this one.
        self.cgroups.sweep(project.as_str());
        crate::watch::forget(&run);
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
            home: text(&folder.join(HOME)),
            user_home: self.config.home.clone(),
            user: self.config.user.clone(),
            log_fd: None,
            read_only_fd: None,
            log: text(log),
            gateway_at: gateway_url.clone(),
            gateway_url,
            proxy_url,
            gateway_fds: gateway_fds(false),
            has_app_listener: false,
            path: self.config.path.clone(),
            env: Vec::new(),
            has_walls: self.config.is_walled,
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
            open_files: toft_jail::open_files::usual(),
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
            gateway_fds: places.gateway_fds,
            descriptors: &descriptors,
            listeners,
            walls_stand: Box::new(|| Ok(())),
        };
        begin::launch(start, &launch).map(|(running, _)| running)
    }
}
