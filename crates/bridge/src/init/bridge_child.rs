//! The bridge as init's child: started, told what it needs by descriptor, started again whenever
//! it ends. Init never gives up on it.

use super::{Init, conn, places, stderr};
use crate::serve_boot::ServeBoot;
use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::{Pid, Signal, WaitStatus, kill_process},
};
use std::{
    cell::Cell,
    fs::File,
    io::{self, Seek as _, Write as _},
    os::fd::{AsFd as _, AsRawFd},
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};
use toft_jail::child::{ChildSpec, spawn};
use toft_model::boot::BridgeBoot;
use tokio::{
    net::UnixStream,
    sync::Notify,
    task::spawn_local,
    time::{sleep, timeout},
};

/// A bridge that lived longer is started again at once.
const LIVED: Duration = Duration::from_secs(1);

/// Waits before the next start when bridges die at once, by the number of such deaths in a row:
/// one crash costs nothing, a broken binary costs no processor.
const BACKOFF: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
    Duration::from_secs(5),
];

/// A bridge that was asked to end writes its log and goes; then it is killed.
const BRIDGE_GRACE: Duration = Duration::from_secs(2);

/// What of the work environment the bridge gets too: where programs and certificates lie. No keys.
const BRIDGE_ENV: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// After a connection that could not be taken (no descriptors left) the next try waits this long.
const LOST_PAUSE: Duration = Duration::from_millis(50);

/// What is known of the bridge.
#[derive(Default)]
pub(super) struct Bridge {
    pid: Cell<Option<Pid>>,
    starts: Cell<u32>,
    /// One has ended.
    ended: Notify,
    /// No other one is to be started.
    last: Cell<bool>,
}

impl Bridge {
    /// Its pid, when it runs.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.pid.get()
    }

    /// How often one was started.
    pub(super) fn starts(&self) -> u32 {
        self.starts.get()
    }

    /// Ends the one that runs and returns when it is gone.
    pub(super) async fn end(&self, init: &Init) {
        let Some(pid) = self.pid.get() else { return };
        let _ = kill_process(pid, Signal::TERM);
        if timeout(BRIDGE_GRACE, init.bridge.gone(pid)).await.is_err() {
            let _ = kill_process(pid, Signal::KILL);
            // A process that cannot even be killed is not waited for.
            let _ = timeout(BRIDGE_GRACE, init.bridge.gone(pid)).await;
        }
    }

    /// Starts none after this one.
    pub(super) fn let_be_the_last(&self) {
        self.last.set(true);
    }

    async fn gone(&self, pid: Pid) {
        loop {
            let ended = self.ended.notified();
            if self.pid.get() != Some(pid) {
                return;
            }
            ended.await;
        }
    }
}

/// Keeps a bridge running for ever.
pub(super) async fn keep(init: Rc<Init>) {
    init.environment.told().await;
    let mut deaths = 0usize;
    while !init.bridge.last.get() {
        let started = Instant::now();
        match start(&init) {
            Ok((pid, link)) => {
                let ended = init.reaper.expect(pid);
                init.bridge.pid.set(Some(pid));
                init.bridge.starts.set(init.bridge.starts.get() + 1);
                let link = spawn_local(serve_link(Rc::clone(&init), link));
                let status = ended.await;
                link.abort();
                init.bridge.pid.set(None);
                init.bridge.ended.notify_waiters();
                let status = status.ok();
                tracing::warn!(
                    code = status.and_then(WaitStatus::exit_status),
                    signal = status.and_then(WaitStatus::terminating_signal),
                    "the bridge ended"
                );
            }
            Err(err) => tracing::error!(error = %err, "the bridge could not be started"),
        }
        deaths = if started.elapsed() >= LIVED { 0 } else { deaths + 1 };
        let wait = BACKOFF[deaths.saturating_sub(1).min(BACKOFF.len() - 1)];
        sleep(wait).await;
    }
}

/// Starts a bridge; returns its pid and init's end of the link over which it connects to init.
fn start(init: &Init) -> io::Result<(Pid, UnixStream)> {
    for place in [&init.bridge_boot.home, &init.bridge_boot.cwd] {
        places::make(place.as_ref());
    }
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    toft_jail::child::set_nonblocking(&ours)?;
    let ours = UnixStream::from_std(ours.into())?;
    let boot = ServeBoot {
        boot: BridgeBoot {
            // It gets the folder under the same number.
            log_dir: init.log.dir.to_string_lossy().into_owned(),
            ..init.bridge_boot.clone()
        },
        log_fd: init.log.fd.as_ref().map(AsRawFd::as_raw_fd),
        http_fd: init.bridge_fd.as_raw_fd(),
        app_fd: init.app_fd.as_ref().map(AsRawFd::as_raw_fd),
        init_fd: theirs.as_raw_fd(),
        life: init.life.clone(),
    };
    let mut text = File::from(memfd_create("bridge-boot", MemfdFlags::CLOEXEC)?);
    text.write_all(&serde_json::to_vec(&boot)?)?;
    text.rewind()?;
    let env: Vec<_> = init
        .work_env
        .iter()
        .filter(|(name, _)| BRIDGE_ENV.contains(&name.as_str()))
        .cloned()
        .collect();
    let mut keep = vec![init.bridge_fd.as_fd(), theirs.as_fd()];
    keep.extend(init.app_fd.as_ref().map(|fd| fd.as_fd()));
    keep.extend(init.log.fd.as_ref().map(|fd| fd.as_fd()));
    let (stdout, stderr) = (stderr::own()?, stderr::own()?);
    let pid = spawn(ChildSpec {
        argv: &init.bridge_argv,
        env: &env,
        cwd: Path::new("/"),
        stdin: text.into(),
        stdout,
        stderr,
        controlling_terminal: false,
        join: Vec::new(),
        keep,
        die_with_parent: true,
        own: true,
        read_only: None,
    })?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid is above zero");
    Ok((pid, ours))
}

/// Serves every connection that the bridge hands over as one end of a socket pair. The link is
/// this bridge's alone: nothing that the agent runs can reach init.
async fn serve_link(init: Rc<Init>, link: UnixStream) {
    loop {
        match crate::init_link::take(&link).await {
            Ok(Some(stream)) => {
                spawn_local(conn::serve(Rc::clone(&init), stream));
            }
            Ok(None) => return,
            Err(err) => {
                tracing::warn!(error = %err, "a connection of the bridge was lost");
                sleep(LOST_PAUSE).await;
            }
        }
    }
}
