//! `toft bridge`: puts the parts together and serves them on the server's socket and on the
//! machine's own port. Everything that must outlive it lives in init or on disk.

use crate::{
    activity, agent_routes,
    answer::Failure,
    app_port::AppPort,
    body::BODY_BYTES_MAX,
    clock::now_ms,
    files, in_time,
    init::{close_to_others, drop_code_of_start},
    init_link::InitLink,
    inspect::{self, InspectDb},
    log::EventLog,
    observed::{self, Observations},
    open_streams, processes,
    proxy::{self, Origin, proxy},
    receipts,
    runtime::{AgentRuntime, RuntimeError, RuntimeParts},
    secrets::KnownSecrets,
    serve_boot::ServeBoot,
    services::{self, Services, ServicesParts},
    shell::InitShell,
    terminals::{self, Terminals},
};
use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::any,
    serve::ListenerExt as _,
};
use http::header;
use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::RawFd,
    path::Path,
    sync::Arc,
    time::Duration,
};
use toft_jail::child::{inherited, mark_close_on_exec_from, set_nonblocking};
use toft_model::boot::BridgeBoot;
use toft_tools::host::Shell;
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Largest boot description.
const BOOT_BYTES_MAX: u64 = 4 << 20;

/// Threads that serve: the agent may compute on one while the other answers.
const WORKERS: usize = 2;

/// Threads for what blocks on a disk; more would only queue there.
const BLOCKING_MAX: usize = 8;

/// Such a thread goes when it has nothing to do, with its memory.
const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// What requests may still take when the bridge is told to end.
const LAST_REQUESTS: Duration = Duration::from_millis(200);

/// What threads may still take after that.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
/// For a body that no route reads: the server passes it on at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The bridge could not begin its work.
#[derive(Debug, thiserror::Error)]
pub enum ServeFailed {
    /// The boot description could not be read.
    #[error("descriptor {fd} holds no boot description for the bridge: {source}")]
    Boot {
        /// Which descriptor.
        fd: RawFd,
        /// Why.
        source: io::Error,
    },
    /// Something that was passed or named could not be used.
    #[error("the bridge could not take over {what}: {source}")]
    Step {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The agent could not be started.
    #[error("the agent could not be started: {0}")]
    Agent(#[from] RuntimeError),
}

/// Serves until it is told to end. `boot_fd` (standard input when init starts it) is readable
/// until its end and holds a [`ServeBoot`] as JSON; every descriptor that it names was inherited
/// under that number. Must be called before any other thread is started.
pub fn main(boot_fd: RawFd) -> Result<(), ServeFailed> {
    let step = |what| move |source| ServeFailed::Step { what, source };
    close_to_others().map_err(step("its own memory"))?;
    if let Err(error) = toft_jail::no_more_code() {
        // Only where there are no walls at all does a machine start on a kernel without such filters.
        tracing::warn!(%error, "libraries of the machine's own may be loaded");
    }
    let boot = read_boot(boot_fd).map_err(|source| ServeFailed::Boot { fd: boot_fd, source })?;
    let http_fd = inherited(boot.http_fd).map_err(step("its socket"))?;
    let app_fd = boot.app_fd.map(inherited).transpose().map_err(step("the machine's port"))?;
    let init_fd = inherited(boot.init_fd).map_err(step("the link to init"))?;
    // Open as long as this process lives: it is the way to its log.
    let _log = boot.log_fd.map(inherited).transpose().map_err(step("its log folder"))?;
    mark_close_on_exec_from(3).map_err(step("its descriptors"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_keep_alive(BLOCKING_IDLE)
        .enable_all()
        .build()
        .map_err(step("its event loop"))?;
    let served = runtime.block_on(async {
        set_nonblocking(&http_fd).map_err(step("its socket"))?;
        let http = UnixListener::from_std(http_fd.into()).map_err(step("its socket"))?;
        let tcp = match app_fd {
            Some(fd) => {
                set_nonblocking(&fd).map_err(step("the machine's port"))?;
                Some(TcpListener::from_std(fd.into()).map_err(step("the machine's port"))?)
            }
            None => None,
        };
        let link = InitLink::new(init_fd).map_err(step("the link to init"))?;
        serve(boot.boot, http, tcp, InitShell::new(link, &boot.life)).await
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    served
}

async fn serve(
    boot: BridgeBoot,
    http: UnixListener,
    tcp: Option<TcpListener>,
    shell: InitShell,
) -> Result<(), ServeFailed> {
    let step = |what| move |source| ServeFailed::Step { what, source };
    let mut told_to_end = signal(SignalKind::terminate()).map_err(step("its signals"))?;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let home = Path::new(&boot.home).to_owned();
    std::fs::create_dir_all(&home).map_err(step("its home"))?;
    let log =
        EventLog::open(Path::new(&boot.log_dir), now_ms).await.map_err(step("the event log"))?;
    let own_port = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()).map(|at| at.port());
    let app_port = AppPort::open(&home, boot.app_port, own_port, log.clone());
    let secrets = KnownSecrets::follow(shell.clone(), stop.clone()).await;
    let agent = AgentRuntime::start(RuntimeParts {
        boot: boot.clone(),
        log: log.clone(),
        shell: Arc::new(shell.clone()) as Arc<dyn Shell>,
        secrets: Arc::clone(&secrets) as _,
        app_port: Arc::clone(&app_port),
        clock: now_ms,
    });
    let inspect = InspectDb::open(&home, Arc::clone(&app_port), log.clone());
    let (runtime, inspect) = tokio::join!(agent, inspect);
    let runtime = runtime?;
    inspect.watch(stop.clone());
    let log_dir = Path::new(&boot.log_dir).to_owned();
    let observations = Observations::new(&log_dir, log.clone(), shell.limit_hits());
    let services = ServicesParts {
        shell: shell.clone(),
        log: log.clone(),
        db: Arc::clone(&inspect),
        app_port: Arc::clone(&app_port),
        secrets,
        log_dir,
        clock: now_ms,
    };
    let services = Services::start(services, stop.clone());
    let board = Arc::clone(inspect.board());
    let terminals = Terminals::new(shell.clone(), log.clone());
    let told_of = shell.clone();
    let api = agent_routes::router(Arc::clone(&runtime))
        .merge(terminals::router(Arc::clone(&terminals)))
        .merge(activity::router(Arc::clone(&runtime), shell.clone()))
        .merge(services::router(services))
        .merge(processes::router(shell))
        .merge(files::router(Path::new(&boot.cwd)))
        .merge(inspect::router(inspect))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method);
    tokio::spawn(async move { terminals.adopt().await });
    tokio::spawn(receipts::tell(told_of, log.clone(), stop.clone()));
    tokio::spawn(drop_code_of_start());
    let token: Arc<str> = boot.token.into();
    let streams = from_fn_with_state(stop.clone(), open_streams::end_with);
    let trusted = api.clone().merge(observed::router(observations));
    let trusted = routes(trusted, Arc::clone(&app_port))
        .layer(from_fn(in_time::only_in_time))
        .layer(streams.clone())
        .layer(Extension(board))
        .layer(Extension(Origin::Server));
    let inside = api.layer(from_fn_with_state(token, only_with_token));
    let inside = routes(inside, app_port).layer(streams).layer(Extension(Origin::Machine));
    let ended = stop.clone();
    let mut serving = tokio::spawn(async move {
        axum::serve(http, trusted).with_graceful_shutdown(ended.cancelled_owned()).await
    });
    if let Some(tcp) = tcp {
        let tcp = tcp.tap_io(|stream| {
            // Without it small frames wait for each other.
            let _ = stream.set_nodelay(true);
        });
        let ended = stop.clone();
        tokio::spawn(async move {
            axum::serve(tcp, inside).with_graceful_shutdown(ended.cancelled_owned()).await
        });
    }
    tracing::info!(project.id = %boot.project, "the bridge serves");
    tokio::select! {
        _ = told_to_end.recv() => {
            // What comes now waits for the next bridge; what was taken gets a moment, but for
            // streams of events.
            stop.cancel();
            let _ = timeout(LAST_REQUESTS, &mut serving).await;
        }
        _ = &mut serving => {}
    }
    runtime.stop();
    log.sync().await;
    Ok(())
}

/// Toft's routes under both names, the app for everything else.
fn routes(api: Router, app: Arc<AppPort>) -> Router {
    Router::new()
        .nest("/toft", api.clone())
        .nest("/starter", api)
        .fallback_service(any(proxy).with_state(app))
}

async fn no_such_route(request: Request) -> Response {
    let message = format!("Toft has no route {}", request.uri().path());
    drain(request).await;
    Failure::not_found(message).of("unknown").into_response()
}

async fn no_such_method(request: Request) -> Response {
    let message =
        format!("{} is not for this path: the header Allow says what is", request.method());
    drain(request).await;
    Failure::no_such_method(message).of("unknown").into_response()
}

/// Takes a body that no route reads: the server, which still sends it, would find the line closed before it has
/// the answer.
async fn drain(request: Request) {
    // Who sends more than a command, or slowly, has a closed line for an answer.
    let all = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
    let _ = timeout(DRAIN_TIMEOUT, all).await;
}

/// Lets only holders of the project token through.
async fn only_with_token(
    State(token): State<Arc<str>>,
    mut request: Request,
    next: Next,
) -> Response {
    // What only the server may say is not said by anything inside.
    request.headers_mut().remove(proxy::PORT_HEADER);
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, given)| given.trim());
    if given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
        next.run(request).await
    } else {
        Failure::unauthenticated().of("authenticate").into_response()
    }
}

/// Compares in a time that tells nothing about where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

fn read_boot(fd: RawFd) -> io::Result<ServeBoot> {
    let mut text = Vec::new();
    File::from(inherited(fd)?).take(BOOT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
