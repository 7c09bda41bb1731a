//! The gateway's side of the control socket. Requests that change something are done in the order
//! in which they come; those that ask a provider run beside them.

use crate::{
    accept::is_ours,
    config::GatewayConfig,
    control::protocol::{Answer, CONTROL_PROTOCOL, Call, Hello, Reach, Reply, Request},
    control::{fetch::Fetch, wire},
    doors, egress,
    models::{look_local, model_list, probe},
    state::State,
};
use std::{io, sync::Arc, time::Duration};
use toft_model::id::ProjectId;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Control connections at once: a server has one, tools come and go.
const CONNECTIONS_MAX: usize = 32;

/// Answers waiting to be written on one connection; who does not read them waits.
const ANSWERS_QUEUED_MAX: usize = 64;

/// Provider tests under way on one connection.
const TESTS_MAX: usize = 8;

/// Requests on projects' ways out that are under way on one connection.
const FETCHES_MAX: usize = 16;

/// Pause after `accept` failed: time for descriptors to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Answers = mpsc::Sender<Zeroizing<Vec<u8>>>;

/// Accepts until the gateway is to end, then lets go of the socket.
pub(crate) async fn serve(state: &Arc<State>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("nobody closes this semaphore");
            match listener.accept().await {
                Ok((stream, _)) if is_ours(&stream) => {
                    let state = Arc::clone(state);
                    state.tasks.clone().spawn(async move {
                        if let Err(e) = connection(&state, stream).await {
                            tracing::warn!(error = %e, "a control connection broke");
                        }
                        drop(place);
                    });
                }
                Ok(_) => tracing::warn!("a control connection of another user was refused"),
                Err(e) => {
                    tracing::warn!(error = %e, "a control connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    state.ending.run_until_cancelled(accept).await;
}

async fn connection(state: &Arc<State>, stream: UnixStream) -> io::Result<()> {
    let stream = Arc::new(stream);
    let (answers, mut queue) = mpsc::channel::<Zeroizing<Vec<u8>>>(ANSWERS_QUEUED_MAX);
    let writer = {
        let stream = Arc::clone(&stream);
        state.tasks.spawn(async move {
            while let Some(frame) = queue.recv().await {
                if wire::send(&stream, &frame, &[]).await.is_err() {
                    return;
                }
            }
        })
    };
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    let tests = Arc::new(Semaphore::new(TESTS_MAX));
    let fetches = Arc::new(Semaphore::new(FETCHES_MAX));
    let mut receiver = wire::Receiver::default();
    loop {
        let next = tokio::select! {
            next = receiver.next(&stream) => next?,
            () = state.cancel.cancelled() => None,
        };
        let Some(payload) = next else { return Ok(()) };
        let call: Call = serde_json::from_slice(&payload)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, position_of(&e)))?;
        drop(payload);
        let id = call.id;
        let reply = match call.request {
            Request::Shutdown => {
                tracing::info!("asked to end");
                tell(&answers, id, Reply::Done).await;
                drop(answers);
                // The answer is on its way before everything ends.
                let _ = writer.await;
                state.ending.cancel();
                // This connection stays until the socket is gone: its end tells that.
                state.cancel.cancelled().await;
                return Ok(());
            }
            Request::TestProvider { provider } => {
                let (state, answers) = (Arc::clone(state), answers.clone());
                let (tests, gone) = (Arc::clone(&tests), gone.clone());
                state.tasks.clone().spawn(async move {
                    let test = async {
                        let _place = tests.acquire().await;
                        test_provider(&state, &provider).await
                    };
                    if let Some(Some(reply)) =
                        gone.run_until_cancelled(state.cancel.run_until_cancelled(test)).await
                    {
                        tell(&answers, id, reply).await;
                    }
                });
                continue;
            }
            Request::Fetch { project, fetch } => {
                let (state, answers) = (Arc::clone(state), answers.clone());
                let (fetches, gone) = (Arc::clone(&fetches), gone.clone());
                state.tasks.clone().spawn(async move {
                    let fetched = async {
                        let _place = fetches.acquire().await;
                        fetched(&state, &project, fetch).await
                    };
                    if let Some(Some(reply)) =
                        gone.run_until_cancelled(state.cancel.run_until_cancelled(fetched)).await
                    {
                        tell(&answers, id, reply).await;
                    }
                });
                continue;
            }
            Request::SetConfig(config) => configure(state, *config).await,
            request => handle(state, request, &mut receiver),
        };
        tell(&answers, id, reply).await;
    }
}

/// Where a request is wrong, without what it says: it may hold a key.
fn position_of(error: &serde_json::Error) -> String {
    format!(
        "a control request is not understood (line {}, column {})",
        error.line(),
        error.column()
    )
}

async fn tell(answers: &Answers, id: u64, reply: Reply) {
    match wire::json_frame(&Answer { id, reply }) {
        // Nobody reads any more: nobody is told.
        Ok(frame) => drop(answers.send(frame).await),
        Err(e) => tracing::error!(error = %e, "an answer could not be written as JSON"),
    }
}

fn handle(state: &Arc<State>, request: Request, receiver: &mut wire::Receiver) -> Reply {
    match request {
        Request::Hello => Reply::Hello(Hello {
            protocol: CONTROL_PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            machines: state.machines().len(),
        }),
        Request::AddMachine { project, token, egress, brokered, listeners } => {
            let listeners = receiver.take_descriptors(listeners);
            match doors::open(state, &project, token, Reach { egress, brokered }, listeners) {
                Ok(()) => Reply::Done,
                Err(e) => failed("invalid_argument", &e),
            }
        }
        Request::RemoveMachine { project } => {
            doors::close(state, &project);
            Reply::Done
        }
        Request::SetEgress { project, egress } => {
            let machine = state.machines().get(&project).cloned();
            match machine.map(|machine| machine.set_egress(&state.config(), egress)) {
                Some(Ok(cut)) => Reply::EgressSet { cut },
                Some(Err(e)) => failed("invalid_argument", &e),
                None => failed("not_found", &format!("no machine of {project} is served")),
            }
        }
        Request::SetBrokered { project, brokered } => {
            let machine = state.machines().get(&project).cloned();
            match machine.map(|machine| machine.set_brokered(brokered)) {
                Some(()) => Reply::Done,
                None => failed("not_found", &format!("no machine of {project} is served")),
            }
        }
        Request::Machines => Reply::Machines(state.entries()),
        Request::OpenConnections { project } => {
            let machine = state.machines().get(&project).cloned();
            let open = machine.map(|machine| machine.open_connections());
            Reply::OpenConnections(open.unwrap_or_default())
        }
        Request::Models => Reply::Models(model_list(&state.config())),
        Request::UsagePosition => Reply::UsagePosition(state.usage.position()),
        Request::TestProvider { .. }
        | Request::Fetch { .. }
        | Request::SetConfig(_)
        | Request::Shutdown => {
            unreachable!("these are taken before")
        }
    }
}

/// One after the other, also over several connections: what was sent last counts.
async fn configure(state: &Arc<State>, config: GatewayConfig) -> Reply {
    let _turn = state.configuring.lock().await;
    let shared = Arc::clone(state);
    let set = tokio::task::spawn_blocking(move || shared.set_config(config));
    if set.await.is_err() {
        return failed("internal", &"the configuration was not taken up: see the gateway's log");
    }
    let ready = state.config().providers().filter(|p| p.is_usable()).count();
    tracing::info!(providers = ready, "configured");
    Reply::Done
}

async fn fetched(state: &Arc<State>, project: &ProjectId, fetch: Fetch) -> Reply {
    let machine = state.machines().get(project).cloned();
    let Some(machine) = machine else {
        return failed("not_found", &format!("no machine of {project} is served"));
    };
    let fetch = Box::pin(egress::fetch(state, &machine, fetch));
    match machine.cancel.run_until_cancelled(fetch).await {
        Some(Ok(fetched)) => Reply::Fetched(fetched),
        Some(Err(error)) => failed(error.code.as_str(), &error.message),
        None => failed("not_found", &format!("the machine of {project} has gone")),
    }
}

async fn test_provider(state: &State, id: &str) -> Reply {
    match state.config().provider_arc(id) {
        Some(provider) if provider.has_key() => {
            let tested = probe(&state.upstream, &provider).await;
            look_local(&state.upstream, &provider, true).await;
            Reply::Tested(tested)
        }
        Some(_) => failed("no_key", &format!("No key is set for {id}: add one, then test it.")),
        None if toft_llm::catalogue::provider(id).is_some() => {
            failed("no_key", &format!("No key is set for {id}: add one, then test it."))
        }
        None => failed("unknown_provider", &format!("There is no provider {id}.")),
    }
}

fn failed(code: &str, message: &impl ToString) -> Reply {
    Reply::Failed { code: code.to_owned(), message: message.to_string() }
}
