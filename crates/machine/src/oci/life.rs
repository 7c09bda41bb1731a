//! A start: a container is made of a disk, its first process takes its seat, is written down, and
//! may go on. A server that is killed anywhere in between leaves at most a container whose first
//! process has ended, because nobody told it to go on; the next start or sweep removes it.

use super::{Inner, engine, frame::Frame, tree::SHOWN};
use crate::{
    backend::{MachineError, Running, StartSpec},
    begin::{self, TOKEN_BYTES},
    boot::{self, Places},
    cgroup::Groups,
    folders::{self, BRIDGE_SOCKET, INIT_SOCKET},
    inside::ROOT,
    procs,
    running::{self, blocking, step},
    state::State,
    steps,
};
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{
        SocketFlags, accept_with,
        sockopt::{Timeout, set_socket_timeout, socket_peercred},
    },
};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use toft_jail::{
    contained::{self, Seat},
    spec::{Commit, GATEWAY_ADDRESS, Report},
    wire,
};
use toft_model::{
    id::{ProjectId, random_hex},
    machine::Limits,
};

/// From the engine's word that a container runs to the first word of its first process. Usually a
/// few milliseconds; a busy host takes longer.
const SEAT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a container that says nothing is looked at.
const SEAT_LOOK: Duration = Duration::from_millis(250);
/// A message between two processes of this host.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Folder of a machine's run folder that is shown inside, read-only.
const SEAT_FOLDER: &str = "seat";
const SEAT_SOCKET: &str = "seat.sock";
/// Where it is seen.
const SEAT_INSIDE: &str = "/run/toft/seat";
/// Folder of a machine's run folder with the files that are shown in `/etc`.
const ETC_FOLDER: &str = "etc";
/// Toft's own places and what services leave in `/run`.
const RUN_OPTIONS: &str = "rw,mode=755,size=67108864";
/// Names are resolved by the proxy, not in the machine.
const RESOLV: &str = "nameserver 127.77.0.1\noptions timeout:1 attempts:1\n";
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
];

/// What a container is made of.
pub(super) struct Plan<'a> {
    pub(super) hostname: String,
    /// Folder `rootfs` of a disk.
    pub(super) root: &'a Path,
    /// Where sockets, seat and files for `/etc` lie.
    pub(super) run: &'a Path,
    /// Shown at `/var/lib/toft`.
    pub(super) log: Option<&'a Path>,
    pub(super) limits: &'a Limits,
    pub(super) labels: HashMap<String, String>,
}

/// A place for one first process.
pub(super) struct Offer {
    listener: OwnedFd,
    path: PathBuf,
}

impl Drop for Offer {
    fn drop(&mut self) {
        // Left behind, nobody listens at it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A first process that has its seat and waits for the word to go on.
pub(super) struct Seated {
    socket: OwnedFd,
    pub(super) pid: u32,
    pub(super) listeners: Vec<OwnedFd>,
    pub(super) filtered: bool,
}

/// Makes the folders that a container is shown, and listens for its first process.
pub(super) fn offer(plan: &Plan<'_>) -> io::Result<Offer> {
    for name in [SEAT_FOLDER, ETC_FOLDER] {
        folders::private(&plan.run.join(name))?;
    }
    let etc = plan.run.join(ETC_FOLDER);
    let gateway = std::net::Ipv4Addr::from(GATEWAY_ADDRESS);
    let hosts = format!(
        "127.0.0.1\tlocalhost\n{gateway}\tgateway.internal\n::1\tip6-localhost ip6-loopback\n\
         127.0.1.1\t{}\n",
        plan.hostname
    );
    let hostname = format!("{}\n", plan.hostname);
    let texts = [hosts.as_str(), &hostname, RESOLV];
    for (name, text) in SHOWN.iter().zip(texts) {
        fs::write(etc.join(name), text)?;
    }
    let folder = plan.run.join(SEAT_FOLDER);
    let path = folder.join(SEAT_SOCKET);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    // Addresses hold 107 bytes; data folders may be deeper.
    let held = File::open(&folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{SEAT_SOCKET}", held.as_raw_fd()));
    Ok(Offer { listener: contained::offer(&short)?, path })
}

impl Offer {
    /// Waits a while for somebody to come.
    pub(super) fn wait(&self, limit: Duration) -> io::Result<Option<OwnedFd>> {
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(_) => Ok(Some(accept_with(&self.listener, SocketFlags::CLOEXEC)?)),
            Err(e) => Err(e.into()),
        }
    }
}

/// Hands a first process what it needs, and hears that its walls stand.
pub(super) fn seat(
    socket: OwnedFd,
    boot: String,
    init: &UnixListener,
    bridge: &UnixListener,
    said: &File,
) -> io::Result<Seated> {
    set_socket_timeout(&socket, Timeout::Recv, Some(MESSAGE_TIMEOUT))?;
    let pid = socket_peercred(&socket)?.pid.as_raw_nonzero().get();
    wire::send(&socket, &Seat { boot }, &[init.as_fd(), bridge.as_fd(), said.as_fd()])?;
    match wire::recv::<Report>(&socket)? {
        Some((Report::Ready(facts), listeners)) => {
            let pid = u32::try_from(pid).map_err(io::Error::other)?;
            Ok(Seated { socket, pid, listeners, filtered: facts.seccomp })
        }
        Some((Report::Failed { step, why, .. }, _)) => {
            Err(io::Error::other(format!("could not {step}: {why}")))
        }
        Some((Report::Cloned { .. }, _)) => Err(io::ErrorKind::InvalidData.into()),
        None => Err(io::Error::other("its first process ended without a word")),
    }
}

impl Seated {
    /// The word to go on.
    pub(super) fn commit(&self) -> io::Result<()> {
        wire::send(&self.socket, &Commit, &[])
    }
}

impl Inner {
    /// What the engine is asked for.
    pub(super) fn body(
        &self,
        plan: &Plan<'_>,
        frame: &Frame,
        image: String,
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
        let etc = plan.run.join(ETC_FOLDER);
        mounts.extend(SHOWN.iter().map(|n| bind(&etc.join(n), format!("/etc/{n}"), true)));
        mounts.push(bind(&plan.run.join(SEAT_FOLDER), SEAT_INSIDE.to_owned(), true));
        mounts.extend(plan.log.map(|log| bind(log, "/var/lib/toft".to_owned(), false)));
        let binds = self.binary.binds.iter();
        mounts.extend(binds.map(|b| bind(&b.source, b.target.clone(), true)));
        let places = Places::confined(self.binary.command.clone());
        let words = |list: &[&str]| Some(list.iter().map(|w| (*w).to_owned()).collect());
        let host = HostConfig {
            mounts: Some(mounts),
            // Whatever is written outside the disk would be lost: nothing can be.
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/run".to_owned(), RUN_OPTIONS.to_owned())])),
            network_mode: Some("none".to_owned()),
            cap_drop: words(&["ALL"]),
            cap_add: words(KEPT_CAPABILITIES),
            security_opt: words(&["no-new-privileges", "label=disable"]),
            memory: engine::memory(plan.limits),
            memory_swap: engine::memory(plan.limits),
            nano_cpus: engine::nano_cpus(plan.limits),
            pids_limit: engine::pids(plan.limits),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            init: Some(false),
            ..HostConfig::default()
        };
        let seat = format!("{SEAT_INSIDE}/{SEAT_SOCKET}");
        let env = boot::init_env(&places);
        ContainerCreateBody {
            image: Some(image),
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
        body: ContainerCreateBody,
        offer: Offer,
    ) -> io::Result<OwnedFd> {
        self.engine.create(name, body).await?;
        self.engine.start(name).await?;
        let offer = Arc::new(offer);
        let until = Instant::now() + SEAT_TIMEOUT;
        loop {
            let waiting = Arc::clone(&offer);
            if let Some(socket) = blocking(move || waiting.wait(SEAT_LOOK)).await? {
                return Ok(socket);
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
        let name = self.container(&project);
        let started = self.launch_named(spec, &name).await;
        if started.is_err()
            && let Err(e) = self.engine.remove(&name).await
        {
            tracing::warn!(project.id = %project, "a container of a failed start stays: {e}");
        }
        started
    }

    async fn launch_named(
        self: &Arc<Self>,
        spec: StartSpec,
        name: &str,
    ) -> Result<Running, MachineError> {
        let project = spec.project.clone();
        let (run, log) = (self.folders.run(&project), self.folders.log(&project));
        let (inner, asked, at) = (Arc::clone(self), spec.clone(), name.to_owned());
        let prepared = blocking(move || inner.prepare(&asked, &at)).await?;
        let Prepared { offer, frame, body, init, bridge, said, boot, token } = prepared;
        let failed = |e: io::Error| {
            let text = folders::log_tail(&self.folders.log(&spec.project));
            let detail = if text.is_empty() { e.to_string() } else { format!("{e}: {text}") };
            MachineError::DidNotStart { project: spec.project.clone(), detail }
        };
        let image = frame.ensure(&self.engine).await.map_err(failed)?;
        let body = ContainerCreateBody { image: Some(image), ..body };
        let socket = self.run(name, body, offer).await.map_err(failed)?;
        let (folder, kept) = (run.clone(), token.clone());
        let seated = blocking(move || {
            let seated = seat(socket, boot, &init, &bridge, &said)?;
            let started_at = written(&folder, seated.pid, kept)?;
            steps::reached("start.written");
            seated.commit()?;
            Ok::<_, io::Error>((seated, started_at))
        });
        let (seated, started_at) = seated.await.map_err(|e| {
            let _ = State::remove(&run);
            failed(e)
        })?;
        steps::reached("start.committed");
        begin::greet(&run, &log, &project).await?;
        steps::reached("start.greeted");
        Ok(Running {
            project,
            token,
            gateway_listeners: seated.listeners,
            init_pid: seated.pid,
            started_at,
            adopted: false,
        })
    }

    fn prepare(&self, spec: &StartSpec, name: &str) -> Result<Prepared, MachineError> {
        let project = &spec.project;
        let disk = self.made_disk(project)?;
        self.bound(project, spec.limits.disk_bytes)?;
        let (run, log) = (self.folders.run(project), self.folders.log(project));
        for folder in [&run, &log] {
            folders::private(folder).map_err(step(project, "preparing the machine's folders"))?;
        }
        steps::reached("start.folders");
        let listening = "opening the machine's sockets";
        let init = folders::listen(&run, INIT_SOCKET).map_err(step(project, listening))?;
        let bridge = folders::listen(&run, BRIDGE_SOCKET).map_err(step(project, listening))?;
        steps::reached("start.sockets");
        let said = folders::new_log(&log).map_err(step(project, "opening the machine's log"))?;
        let token = random_hex(TOKEN_BYTES);
        let root = disk.join(ROOT);
        let places = Places::confined(self.binary.command.clone());
        let mut asked = spec.clone();
        // The image may have no bash; what a project sets itself comes later and wins.
        let bash = fs::symlink_metadata(root.join("usr/bin/bash")).is_ok()
            || fs::symlink_metadata(root.join("bin/bash")).is_ok();
        let shell = if bash { "/bin/bash" } else { "/bin/sh" };
        asked.env.insert(0, ("SHELL".to_owned(), shell.to_owned()));
        let boot = boot::init_boot(&asked, &token, &places, Vec::new());
        let boot = serde_json::to_string(&boot)
            .map_err(|e| step(project, "writing the boot data")(io::Error::from(e)))?;
        let plan = Plan {
            hostname: boot::hostname(spec),
            root: &root,
            run: &run,
            log: Some(&log),
            limits: &spec.limits,
            labels: self.labels(Some(project)),
        };
        let frame = Frame::of(&root).map_err(step(project, "looking at the machine's disk"))?;
        if frame.folders().iter().all(|folder| folder != "usr") {
            return Err(MachineError::Unable {
                what: "starting this machine",
                why: format!(
                    "its disk holds no whole system, so {name} cannot be made of it: it was made \
                     by another backend; start Toft with that one"
                ),
            });
        }
        let offer = offer(&plan).map_err(step(project, listening))?;
        let body = self.body(&plan, &frame, String::new());
        Ok(Prepared { offer, frame, body, init, bridge, said, boot, token })
    }

    /// Ends what runs of a machine, then its container.
    pub(super) async fn end(
        &self,
        project: &ProjectId,
        grace: Duration,
    ) -> Result<(), MachineError> {
        let run = self.folders.run(project);
        if State::read(&run).is_some_and(|state| state.hold().is_some()) {
            // What is paused hears nothing, and cannot even be killed everywhere.
            self.go_on(project).await?;
        }
        let ended = running::end(&run, project, grace).await;
        if let Err(e) = self.engine.remove(&self.container(project)).await {
            // It holds no process any more; the next start or sweep removes it.
            tracing::warn!(project.id = %project, "the machine's container stays: {e}");
        }
        ended
    }
}

/// Everything of a start that is made before the engine is asked.
struct Prepared {
    offer: Offer,
    frame: Frame,
    body: ContainerCreateBody,
    init: UnixListener,
    bridge: UnixListener,
    said: File,
    boot: String,
    token: String,
}

/// Writes down that a machine runs; answers since when.
fn written(run: &Path, pid: u32, token: String) -> io::Result<u64> {
    let stat = procs::stat(pid).ok_or_else(|| io::Error::other("its first process is gone"))?;
    let started_at = begin::unix_ms();
    let state = State {
        init_pid: pid,
        start_ticks: stat.start_ticks,
        boot_id: procs::boot_id()?,
        token,
        started_at,
        groups: Groups::default(),
    };
    state.write(run)?;
    Ok(started_at)
}
