//! `toft init`: pid 1 of a machine. Holds the listeners, starts and restarts the bridge, runs
//! programs (terminals, tools, services) as its own children, reaps every orphan, and speaks
//! `toft_model::init`. Knows nothing of agents, HTTP or conversations: it may not fail, so it does
//! little.
//!
//! Works as an ordinary process too (backend `host`, tests): then orphans come to it because it is
//! a subreaper.

mod bridge_child;
mod conn;
pub mod contained;
mod covered;
mod end;
mod environment;
mod exec;
mod groups;
mod hunt;
mod output;
mod places;
mod read_only;
mod reap;
mod receipts;
mod spawn;
mod stderr;
mod table;
mod tree;
mod trust;

use self::{
    bridge_child::Bridge,
    end::{Target, end},
    environment::Held,
    exec::Exec,
    groups::Groups,
    reap::Reaper,
    receipts::Receipts,
    spawn::Scratch,
    table::{ENDED_MAX, Table},
    tree::Trees,
};
use std::{
    cell::Cell,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, SystemTime},
};
use toft_jail::child::{inherited, mark_close_on_exec_from, set_nonblocking};
use toft_model::{
    boot::{BridgeBoot, InitBoot},
    id::random_hex,
    init::InitReply,
};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::{LocalSet, spawn_local},
    time::sleep,
};

/// Largest boot description: an environment of [`spawn`]'s limit fits.
const BOOT_BYTES_MAX: u64 = 4 << 20;

/// Connections at the same time; each costs a few KiB until its program prints.
const CONNECTIONS_MAX: usize = 1_024;

/// What processes get between TERM and KILL when init itself is told to end by a signal.
const SIGNAL_GRACE: Duration = Duration::from_secs(2);

/// Until the work of a start is done and the code for it is no longer needed.
const STARTED_AFTER: Duration = Duration::from_secs(1);

/// After a failed accept (no descriptors left) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Init could not begin its work.
#[derive(Debug, thiserror::Error)]
pub enum InitFailed {
    /// The boot description could not be read.
    #[error("descriptor {fd} holds no boot description for init: {source}")]
    Boot {
        /// Which descriptor.
        fd: RawFd,
        /// Why.
        source: io::Error,
    },
    /// Something that was passed or named could not be used.
    #[error("init could not take over {what}: {source}")]
    Step {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A request that is answered with `Failed`.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }

    fn into_reply(self) -> InitReply {
        InitReply::Failed { code: self.code.to_owned(), message: self.message }
    }
}

/// The folder of the event log and of kept output, outside the checkpointed tree.
struct LogFolder {
    /// Where to write: below a descriptor that nobody else has, or where it is shown.
    dir: PathBuf,
    /// Where the others in the machine find it.
    shown: PathBuf,
    /// Below it.
    exec: PathBuf,
    /// Where the others in the machine find kept output.
    exec_shown: PathBuf,
    fd: Option<OwnedFd>,
}

impl LogFolder {
    fn new(shown: &str, exec_shown: String, fd: Option<OwnedFd>) -> Self {
        let exec_shown = PathBuf::from(exec_shown);
        let dir = fd.as_ref().map_or_else(
            || PathBuf::from(shown),
            |fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
        );
        let exec = exec_shown.strip_prefix(shown).unwrap_or(&exec_shown).to_owned();
        Self { dir, shown: PathBuf::from(shown), exec, exec_shown, fd }
    }

    fn exec_dir(&self) -> PathBuf {
        self.dir.join(&self.exec)
    }
}

/// Everything that init knows. Lives on one thread.
struct Init {
    table: Table,
    reaper: Reaper,
    bridge: Bridge,
    /// Told when everything has ended and init may go.
    stopped: Notify,
    /// Random text in the environment of all that this init starts.
    mark: String,
    /// Names this life of init; programs do not learn it.
    life: String,
    work_env: Vec<(String, String)>,
    environment: Held,
    cwd: PathBuf,
    log: LogFolder,
    receipts: Receipts,
    trees: Trees,
    groups: Groups,
    gateway_fds: Vec<OwnedFd>,
    /// The mounts for programs that only read.
    read_only: Option<OwnedFd>,
    bridge_fd: OwnedFd,
    app_fd: Option<OwnedFd>,
    bridge_argv: Vec<String>,
    bridge_boot: BridgeBoot,
    scratch: Scratch,
    numbers: Cell<u64>,
    connections: Cell<usize>,
}

impl Init {
    fn next_number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    fn with_scratch<T>(&self, use_it: impl FnOnce(&mut [u8]) -> T) -> T {
        self.scratch.with(use_it)
    }

    fn known(&self, id: &str) -> Result<Rc<Exec>, Refusal> {
        self.table.get(id).ok_or_else(|| {
            let shown: String = id.chars().take(128).collect();
            Refusal::new("not_found", format!("no program has the id `{shown}`; list them first"))
        })
    }

    /// Ends everything but init.
    async fn stop(&self, grace: Duration) {
        self.bridge.let_be_the_last();
        let target = if std::process::id() == 1 { Target::Machine } else { Target::Work };
        // First the bridge: it must not take what we end for what has ended by itself, and go on from there.
        self.bridge.end(self).await;
        if let Err(refusal) = end(self, target, grace).await {
            tracing::warn!("not everything ended: {}", refusal.message);
        }
    }
}

/// Runs init until it is told to stop. `boot_fd` is readable until its end and holds an
/// [`InitBoot`] as JSON; every descriptor that it names was inherited under that number. Must be
/// called on the main thread before any other thread is started.
pub fn main(boot_fd: RawFd) -> Result<(), InitFailed> {
    let step = |what| move |source| InitFailed::Step { what, source };
    close_to_others().map_err(step("its own memory"))?;
    toft_jail::hand_on_nothing().map_err(step("its capabilities"))?;
    let boot = read_boot(boot_fd).map_err(|source| InitFailed::Boot { fd: boot_fd, source })?;
    let init_fd = inherited(boot.init_fd).map_err(step("its control socket"))?;
    let bridge_fd = inherited(boot.bridge_fd).map_err(step("the bridge's socket"))?;
    let app_fd = boot.app_fd.map(inherited).transpose().map_err(step("the app's socket"))?;
    let gateway_fds = boot.gateway_fds.iter().map(|fd| inherited(*fd)).collect::<Result<_, _>>();
    let gateway_fds = gateway_fds.map_err(step("the gateway's sockets"))?;
    let log_fd = boot.log_fd.map(inherited).transpose().map_err(step("its log folder"))?;
    let read_only = boot.read_only_fd.map(inherited).transpose().unwrap_or_else(|error| {
        // The kernel could when the host was tried, and could not this time.
        tracing::warn!(%error, "there are no read-only mounts: plan mode will run no programs");
        None
    });
    mark_close_on_exec_from(3).map_err(step("its descriptors"))?;
    let log = LogFolder::new(&boot.bridge.log_dir, boot.exec_dir, log_fd);
    let exec_dir = log.exec_dir();
    if let Err(error) = std::fs::create_dir_all(&exec_dir) {
        // Its disk may be full: then somebody has to get in and delete something.
        tracing::warn!(%error, "there is no folder for output: it is kept in memory only");
    }
    remove_old_output(&exec_dir);
    let groups = Groups::open(&boot.work_cgroup_procs).map_err(step("the control group"))?;
    if std::process::id() != 1 {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|err| step("the orphans of its children")(err.into()))?;
    }
    let init = Rc::new(Init {
        table: Table::default(),
        reaper: Reaper::default(),
        bridge: Bridge::default(),
        stopped: Notify::new(),
        mark: random_hex(8),
        life: random_hex(8),
        work_env: boot.work_env,
        environment: Held::new(!boot.awaits_environment),
        cwd: PathBuf::from(&boot.bridge.cwd),
        receipts: Receipts::open(&log.dir),
        trees: Trees::default(),
        log,
        groups,
        gateway_fds,
        read_only,
        bridge_fd,
        app_fd,
        bridge_argv: boot.bridge_argv,
        bridge_boot: boot.bridge,
        scratch: Scratch::new(),
        numbers: Cell::new(0),
        connections: Cell::new(0),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(step("its event loop"))?;
    LocalSet::new().block_on(&runtime, run(init, init_fd))
}

/// What runs in the machine may neither trace init and bridge nor take their descriptors or read
/// their memory: the kernel asks for a capability then that a machine does not have. What they
/// start is open again from its `exec` on. Also gives them their own name, where they were started
/// through their loader and have its.
pub(crate) fn close_to_others() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    rustix::thread::set_name(c"toft")?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Makes a process that now mostly waits small: of the code that its start needed, little is needed
/// again.
pub(crate) async fn drop_code_of_start() {
    sleep(STARTED_AFTER).await;
    if let Err(error) = toft_jail::pages::drop_code() {
        tracing::debug!(%error, "pages of code stay");
    }
}

async fn run(init: Rc<Init>, init_fd: OwnedFd) -> Result<(), InitFailed> {
    let step = |what| move |source| InitFailed::Step { what, source };
    let child_ended = Reaper::listen().map_err(step("the end of its children"))?;
    let mut told_to_end = signal(SignalKind::terminate()).map_err(step("its signals"))?;
    set_nonblocking(&init_fd).map_err(step("its control socket"))?;
    let listener = UnixListener::from_std(init_fd.into()).map_err(step("its control socket"))?;
    let reaping = Rc::clone(&init);
    spawn_local(async move { reaping.reaper.run(child_ended).await });
    spawn_local(bridge_child::keep(Rc::clone(&init)));
    spawn_local(accept(Rc::clone(&init), listener));
    spawn_local(drop_code_of_start());
    tokio::select! {
        () = init.stopped.notified() => {}
        _ = told_to_end.recv() => init.stop(SIGNAL_GRACE).await,
    }
    Ok(())
}

async fn accept(init: Rc<Init>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if init.connections.get() < CONNECTIONS_MAX => {
                init.connections.set(init.connections.get() + 1);
                let init = Rc::clone(&init);
                spawn_local(async move {
                    conn::serve(Rc::clone(&init), stream).await;
                    init.connections.set(init.connections.get() - 1);
                });
            }
            Ok(_) => tracing::warn!("a connection was refused: {CONNECTIONS_MAX} are open"),
            Err(err) => {
                tracing::warn!(error = %err, "accepting a connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn read_boot(fd: RawFd) -> io::Result<InitBoot> {
    let mut text = Vec::new();
    File::from(inherited(fd)?).take(BOOT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Output of an earlier life of the machine is kept for a while, since conversations name its
/// files; as much as one life keeps.
fn remove_old_output(dir: &Path) {
    let mut files: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            let ours = path.extension().is_some_and(|ext| ext == "out");
            ours.then_some((entry.metadata().ok()?.modified().ok()?, path))
        })
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    for (_, path) in files.iter().skip(ENDED_MAX) {
        let _ = std::fs::remove_file(path);
    }
}
