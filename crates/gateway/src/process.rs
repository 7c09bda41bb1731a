//! The gateway as a process: `toft gateway --data DIR`. Makes itself independent of whoever started
//! it, makes sure it is the only one of its data folder, serves until it is told to end.

use crate::{
    folder, listen,
    model_thread::ModelThread,
    models::follow_local,
    outside,
    records::journal::now_ms,
    records::usage::Started,
    resolve::{Resolver, SystemResolver},
    state::State,
};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, Rlimit},
};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::UnixListener,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

/// Threads for everything asynchronous but model calls: it waits more than it computes.
const WORKERS: usize = 2;

/// Threads for name lookups, disk syncs and reading certificates.
const BLOCKING_THREADS_MAX: usize = 40;

/// Connections need two descriptors each; the host's hard limit decides above this.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// How long connections may take to notice the end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two tries to write records down that found no room on the disk.
const LATE_PAUSE: Duration = Duration::from_secs(5);

/// How long an earlier gateway may take to let go of the lock after it closed its socket.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two tries for the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a gateway could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The arguments are not `--data DIR`.
    #[error("toft gateway takes `--data DIR` and nothing else")]
    Arguments,
    /// A step failed.
    #[error("the gateway could not {step} in {}: {source}", data_dir.display())]
    Step {
        /// What was being done.
        step: &'static str,
        /// Where.
        data_dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Runs the gateway; `args` are those after `gateway`. Sets up logging to standard error when
/// nobody did. Exit code 0 also when another gateway of the same folder already runs.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Fails when the caller has set one up: then that one is used.
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::INFO)
        .try_init();
    match data_dir(args).and_then(|data_dir| run(&data_dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn data_dir(args: impl IntoIterator<Item = OsString>) -> Result<PathBuf, RunError> {
    let mut args = args.into_iter();
    match (args.next(), args.next(), args.next()) {
        (Some(flag), Some(dir), None) if flag == "--data" => Ok(dir.into()),
        _ => Err(RunError::Arguments),
    }
}

/// Runs the gateway of a data folder until it is told to end. Call it first in its process, from
/// one thread: it changes the process (session, umask, limits).
pub fn run(data_dir: &Path) -> Result<(), RunError> {
    let failed = |step| {
        let data_dir = data_dir.to_owned();
        move |source| RunError::Step { step, data_dir, source }
    };
    stand_alone();
    folder::prepare(data_dir).map_err(failed("make its folders"))?;
    let Some(_lock) = lock(data_dir).map_err(failed("take its lock"))? else {
        tracing::info!("another gateway already serves this data folder");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("toft-gateway")
        .enable_all()
        .build()
        .map_err(failed("start its threads"))?;
    let models = ModelThread::start(BLOCKING_THREADS_MAX).map_err(failed("start its threads"))?;
    let resolver = Arc::new(SystemResolver);
    let served = runtime.block_on(serve(data_dir, resolver, models.handle()));
    // What still runs then is a name lookup at most.
    runtime.shutdown_background();
    served.map_err(failed("serve"))
}

/// Leaves the session of whoever started it, keeps its memory to itself, raises its limits. What
/// fails here leaves the gateway usable, so it is no error.
fn stand_alone() {
    let refused = |what: &str, e: rustix::io::Errno| {
        tracing::warn!(error = %e, "could not {what}");
    };
    // A process that leads a group (started by hand in a shell) has no session to leave.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // No core file and no debugger of the same user may show the keys.
    if let Err(e) = toft_vault::keep_to_itself() {
        refused("keep its memory to itself", e);
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_WANTED, |max| max.min(DESCRIPTORS_WANTED));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(e) = rustix::process::setrlimit(Resource::Nofile, raised) {
            refused("raise its limit of open files", e);
        }
    }
}

/// The lock of the data folder; `None` when a living gateway has it.
fn lock(data_dir: &Path) -> io::Result<Option<File>> {
    let path = folder::lock_path(data_dir);
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(e) => return Err(e.into()),
        }
        if folder::answers(data_dir) {
            return Ok(None);
        }
        // It is just beginning, or just ending.
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds it"));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    file.set_len(0)?;
    (&file).write_all(format!("{}\n", std::process::id()).as_bytes())?;
    Ok(Some(file))
}

/// Serves a data folder. Ends on SIGTERM, SIGINT, or when asked over the control socket.
async fn serve(data_dir: &Path, resolver: Arc<dyn Resolver>, models: Handle) -> io::Result<()> {
    let state = Arc::new(State::new(data_dir, resolver, models)?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = folder::bind(data_dir)?;
    tracing::info!(pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "serving");
    let ending = state.ending.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        ending.cancel();
    });
    serve_state(&state, data_dir, listener).await;
    tracing::info!("ended");
    Ok(())
}

/// Serves until the state is to end; then waits for what runs and syncs the journal of calls.
pub(crate) async fn serve_state(state: &Arc<State>, data_dir: &Path, listener: UnixListener) {
    state.usage.append(&Started { started: now_ms() });
    state.tasks.spawn(Arc::clone(&state.usage).keep_synced(state.cancel.clone()));
    let late = Arc::clone(state);
    state.tasks.spawn(async move {
        while late.cancel.run_until_cancelled(tokio::time::sleep(LATE_PAUSE)).await.is_some() {
            late.ledger.catch_up(&late.usage);
        }
    });
    let warm = Arc::clone(state);
    state.tasks.spawn(async move {
        // Its failure is told to the first call.
        let _ = warm.upstream.client().await;
    });
    state.tasks.spawn(follow_local(Arc::clone(state)));
    if let Err(error) = outside::open(state, data_dir) {
        tracing::error!(%error, "programs outside cannot call models");
    }
    listen::serve(state, listener).await;
    // Nobody finds us any more. Only now do the control connections end with everything else:
    // whoever waits for that may start another gateway at once.
    folder::unbind(data_dir);
    state.cancel.cancel();
    state.machines().clear();
    state.tasks.close();
    if tokio::time::timeout(END_TIMEOUT, state.tasks.wait()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    state.ledger.catch_up(&state.usage);
    state.usage.sync();
}
