//! A start: a container is made of a disk, its first process takes its seat, is written down, and
//! may go on. A server that is killed anywhere in between leaves at most a container whose first
//! process has ended, because nobody told it to go on; the next start or sweep removes it.

use super::{
    Inner, engine,
    frame::Frame,
    plan::Plan,
    seat::{ETC_FOLDER, Guest, Offer, SEAT_FOLDER, SEAT_INSIDE, SEAT_SOCKET, offer},
    tree::SHOWN,
};
use crate::{
    backend::{MachineError, Running, StartSpec},
    begin::{self, TOKEN_BYTES},
    binary::Seen,
    blocking::blocking,
    boot,
    cgroup::{CgroupHost, ContainedGroup, Groups},
    error::step,
    folders::{self, BRIDGE_SOCKET, INIT_SOCKET},
    images::Definition,
    inside::ROOT,
    places::{Places, gateway_fds},
    procs,
    state::State,
    steps,
};
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use std::{
    collections::HashMap,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use toft_jail::{contained, spec::FD_HANDED};
use toft_model::{
    boot::InitBoot,
    id::{ProjectId, random_hex},
    machine::Limits,
};

/// From the engine's word that a container runs to the first word of its first process. Usually a
/// few milliseconds; a busy host takes longer.
const SEAT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a container that says nothing is looked at.
const SEAT_LOOK: Duration = Duration::from_millis(250);
/// Toft's own places and what services leave in `/run`.
const RUN_OPTIONS: &str = "rw,mode=755,size=67108864";
/// Files that outlive a restart of the machine, though not of use for long.
const VAR_TMP: &str = "var/tmp";
/// What databases and browsers share between their processes. It counts as memory of the machine's.
const SHM_BYTES: i64 = 1 << 30;
/// What the machine's root keeps: as in `native`.
const KEPT_CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "AUDIT_WRITE",
    "SETFCAP",
    // That of init and bridge: see `toft_jail::child`.
    "WAKE_ALARM",
];

impl Inner {
    /// What the engine is asked for.
    pub(super) fn body(
        &self,
        plan: &Plan<'_>,
        frame: &Frame,
        places: &Places,
    ) -> ContainerCreateBody {
        let bind = |source: &Path, target: String, read_only: bool| Mount {
            source: Some(source.to_string_lossy().into_owned()),
            target: Some(target),
            typ: Some(MountType::BIND),
            read_only: Some(read_only),
            ..Mount::default()
        };
        let folders = frame.folders().iter();
        let mut mounts: Vec<Mount> =
            folders.map(|name| bind(&plan.root.join(name), format!("/{name}"), false)).collect();
        // Otherwise the engine puts an empty one in memory over it. Nothing on the way is a link.
        let var_tmp = plan.root.join(VAR_TMP);
        if frame.folders().iter().any(|folder| folder == "var")
            && var_tmp.symlink_metadata().is_ok_and(|meta| meta.is_dir())
        {
            mounts.push(bind(&var_tmp, format!("/{VAR_TMP}"), false));
        }
        let etc = plan.run.join(ETC_FOLDER);
        mounts.extend(SHOWN.iter().map(|n| bind(&etc.join(n), format!("/etc/{n}"), true)));
        mounts.push(bind(&plan.run.join(SEAT_FOLDER), SEAT_INSIDE.to_owned(), true));
        mounts
            .extend(plan.log.map(|log| bind(log, "/var/lib/toft".to_owned(), plan.log_is_handed)));
        let binds = plan.binary.binds.iter();
        mounts.extend(binds.map(|b| bind(&b.source, b.target.clone(), true)));
        let words = |list: &[&str]| Some(list.iter().map(|w| (*w).to_owned()).collect());
        let limits = self.found.of_engine(plan.limits);
        let host = HostConfig {
            mounts: Some(mounts),
            // Whatever is written outside the disk would be lost: nothing can be.
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/run".to_owned(), RUN_OPTIONS.to_owned())])),
            network_mode: Some("none".to_owned()),
            cap_drop: words(&["ALL"]),
            cap_add: words(KEPT_CAPABILITIES),
            security_opt: words(&["no-new-privileges", "label=disable"]),
            memory: engine::memory(&limits),
            memory_swap: engine::memory(&limits),
            nano_cpus: engine::nano_cpus(&limits),
            pids_limit: Some(engine::pids(&limits).unwrap_or(-1)),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            shm_size: Some(SHM_BYTES),
            init: Some(false),
            ..HostConfig::default()
        };
        let seat = format!("{SEAT_INSIDE}/{SEAT_SOCKET}");
        let env = boot::init_env(places);
        ContainerCreateBody {
            hostname: Some(plan.hostname.clone()),
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            entrypoint: Some(places.command_with(&["init", &seat])),
            cmd: Some(Vec::new()),
            env: Some(env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            network_disabled: Some(true),
            labels: Some(plan.labels.clone()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }

    /// Makes and starts a container, and waits until its first process comes for its seat.
    pub(super) async fn run(
        &self,
        name: &str,
        frame: &Frame,
        body: ContainerCreateBody,
        offer: Offer,
    ) -> io::Result<Guest> {
        let image = Some(frame.ensure(&self.engine).await?);
        let body = ContainerCreateBody { image, ..body };
        match self.engine.create(name, body.clone()).await {
            // Another server has removed the image just then.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                frame.ensure(&self.engine).await?;
                self.engine.create(name, body).await?;
            }
            created => created?,
        }
        self.engine.start(name).await?;
        let offer = Arc::new(offer);
        let until = Instant::now() + SEAT_TIMEOUT;
        loop {
            let waiting = Arc::clone(&offer);
            if let Some(socket) = blocking(move || waiting.wait(SEAT_LOOK)).await? {
                return Guest::new(socket);
            }
            let now = self.engine.condition(name).await?.unwrap_or_default();
            if !now.running {
                return Err(io::Error::other(format!("the container ended: {}", now.said)));
            }
            if Instant::now() > until {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the container runs, and its first process says nothing",
                ));
            }
        }
    }

    /// Starts a machine whose disk exists and that does not run.
    pub(super) async fn launch(self: &Arc<Self>, spec: StartSpec) -> Result<Running, MachineError> {
        let project = spec.project.clone();
        let started = Box::pin(self.launch_named(spec)).await;
        if started.is_err() {
            self.remove_container(&project).await;
        }
        started
    }

    async fn launch_named(self: &Arc<Self>, spec: StartSpec) -> Result<Running, MachineError> {
        let project = spec.project.clone();
        let name = self.container(&project);
        let (run, log) = (self.folders.run(&project), self.log(&project));
        let (inner, asked) = (Arc::clone(self), spec.clone());
        let prepared = blocking(move || inner.prepare(&asked)).await?;
        let failed = |e: io::Error| {
            let text = folders::log_tail(&self.log(&spec.project));
            let detail = if text.is_empty() { e.to_string() } else { format!("{e}: {text}") };
            MachineError::DidNotStart { project: spec.project.clone(), detail }
        };
        let Prepared { offer, frame, body, rest } = prepared;
        let guest = self.run(&name, &frame, body, offer).await.map_err(failed)?;
        let (inner, asked) = (Arc::clone(self), spec.clone());
        let seated = blocking(move || inner.take_in(&asked, guest, rest)).await;
        let running = seated.map_err(|e| {
            let _ = State::remove(&run);
            failed(e)
        })?;
        steps::reached("start.committed");
        begin::greet(&run, &log, &project).await?;
        steps::reached("start.greeted");
        Ok(running)
    }

    /// Limits the work of a machine whose first process has come, writes down that it runs, and lets
    /// it go on.
    fn take_in(&self, spec: &StartSpec, guest: Guest, rest: Rest) -> io::Result<Running> {
        let (project, pid) = (&spec.project, guest.pid);
        let group = self.limited(project, pid, &spec.limits)?;
        let ContainedGroup { groups, doors } = group;
        steps::reached("start.groups");
        let taken = || {
            let Rest { mut boot, token, init, bridge, said, handed } = rest;
            boot.work_cgroup_procs = (0..doors.len()).map(contained::door).collect();
            let boot = serde_json::to_string(&boot)?;
            let seated = guest.seat(boot, &init, &bridge, &said, handed.as_ref(), &doors)?;
            let run = self.folders.run(project);
            let started_at = written(&run, pid, token.clone(), groups.clone())?;
            steps::reached("start.written");
            seated.commit()?;
            Ok(Running {
                project: project.clone(),
                token,
                gateway_listeners: seated.listeners,
                init_pid: pid,
                started_at,
                adopted: false,
            })
        };
        taken().inspect_err(|_: &io::Error| groups.remove())
    }

    /// Makes the groups of a machine whose first process this is.
    fn limited(
        &self,
        project: &ProjectId,
        pid: u32,
        limits: &Limits,
    ) -> io::Result<ContainedGroup> {
        if self.found.lacks.is_some() {
            return Ok(ContainedGroup::default());
        }
        let host = CgroupHost::around(pid, project.as_str()).only(&self.found.own);
        if let Some(lost) = self.found.own.iter().find(|c| host.way(c).is_none()) {
            return Err(io::Error::other(format!(
                "{} has put it into no control group of its own by which its {lost} is limited",
                self.engine.name
            )));
        }
        ContainedGroup::make(&host, project.as_str(), pid, limits)
    }

    fn prepare(&self, spec: &StartSpec) -> Result<Prepared, MachineError> {
        let project = &spec.project;
        let disk = self.made_disk(project)?;
        self.bound(project, spec.limits.disk_bytes)?;
        let (run, log) = (self.folders.run(project), self.log(project));
        folders::private(&run).map_err(step(project, "preparing the machine's folders"))?;
        self.make_log(project)?;
        crate::watch::forget(&run);
        steps::reached("start.folders");
        let listening = "opening the machine's sockets";
        let init = folders::listen(&run, INIT_SOCKET).map_err(step(project, listening))?;
        let bridge = folders::listen(&run, BRIDGE_SOCKET).map_err(step(project, listening))?;
        steps::reached("start.sockets");
        let said = folders::new_log(&log).map_err(step(project, "opening the machine's log"))?;
        let token = random_hex(TOKEN_BYTES);
        let root = disk.join(ROOT);
        let binary = self.binary.seen();
        let places =
            Self::places(&disk, &binary).map_err(step(project, "reading what the image sets"))?;
        let handed = contained::handed(&log).inspect_err(|e| {
            tracing::debug!("programs can write to the log folder of their container, too: {e}");
        });
        let handed = handed.ok();
        let places = Places { log_fd: handed.as_ref().map(|_| FD_HANDED), ..places };
        let boot = boot::init_boot(spec, &token, &places, Vec::new());
        let plan = Plan {
            hostname: boot::hostname(spec),
            root: &root,
            binary: &binary,
            run: &run,
            log: Some(&log),
            log_is_handed: handed.is_some(),
            limits: &spec.limits,
            labels: self.labels(Some(project)),
        };
        let frame = Frame::of(&root).map_err(step(project, "looking at the machine's disk"))?;
        if frame.folders().iter().all(|folder| folder != "usr") {
            return Err(MachineError::Unable {
                what: "starting this machine",
                why: "its disk holds no whole system, so no container can be made of it: it was made \
                     by another backend; start Toft with that one"
                    .to_owned(),
            });
        }
        let offer = offer(&plan).map_err(step(project, listening))?;
        let body = self.body(&plan, &frame, &places);
        Ok(Prepared { offer, frame, body, rest: Rest { boot, token, init, bridge, said, handed } })
    }

    /// Where things are inside, and what the image sets of programs' environment.
    fn places(disk: &Path, binary: &Seen) -> io::Result<Places> {
        let places = Places::confined(binary.command.clone());
        let image = Definition::read(disk)?.unwrap_or_default();
        let (path, env) = image.environment();
        let shell = image.shell.unwrap_or_else(|| "/bin/sh".to_owned());
        Ok(Places { path, env, shell: Some(shell), ..places })
    }
}

/// Everything of a start that is made before the engine is asked.
struct Prepared {
    offer: Offer,
    frame: Frame,
    body: ContainerCreateBody,
    rest: Rest,
}

/// What the first process gets when it comes.
struct Rest {
    boot: InitBoot,
    token: String,
    init: UnixListener,
    bridge: UnixListener,
    said: File,
    /// The way to write to its log folder.
    handed: Option<OwnedFd>,
}

/// Writes down that a machine runs; answers since when.
fn written(run: &Path, pid: u32, token: String, groups: Groups) -> io::Result<u64> {
    let stat = procs::stat(pid).ok_or_else(|| io::Error::other("its first process is gone"))?;
    let started_at = begin::unix_ms();
    let state = State {
        init_pid: pid,
        start_ticks: stat.start_ticks,
        boot_id: procs::boot_id()?,
        token,
        started_at,
        groups,
        gateway_fds: gateway_fds(false),
    };
    state.write(run)?;
    Ok(started_at)
}
