//! `toft up`: puts the parts together and serves until it is told to stop. Ctrl-C ends the machines
//! too; SIGTERM leaves them to the next server.

use crate::{
    args::{At, BackendName, Up},
    config,
    machines::open,
    output, parts,
};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::{
    fs::DirBuilder,
    io::IsTerminal as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    time::Duration,
};
use toft_machine::backend::MachineError;
use toft_server::{Ready, ServerConfig, ServerError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// After standard input, output and error.
const FIRST_OTHER_FD: i32 = 3;
/// Nobody is told of it.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long a server that is told to stop while it opens its backend waits for that.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The data folder holds keys: its owner only.
const FOLDER_MODE: u32 = 0o700;
/// For ten thousand who follow a run, and all the rest.
const OPEN_FILES_WANTED: u64 = 20_000;
/// What is logged when `TOFT_LOG` says nothing: what a person should act on.
const LOG_DEFAULT: &str = "warn";

pub(crate) async fn run(at: &At, up: &Up, as_json: bool) -> Result<()> {
    log_to_stderr();
    // A descriptor that the caller's shell left open is no business of machines and gateway.
    toft_jail::child::mark_close_on_exec_from(FIRST_OTHER_FD).context("closing descriptors")?;
    if let Some(step) = config::kill_at()
        && !toft_store::commits::arm(&step)
    {
        toft_machine::steps::arm(&step).context("TOFT_KILL_AT")?;
    }
    let resolved = config::resolve(at, up)?;
    let traces = config::traces()?;
    let runs = config::runs()?;
    let mcp_servers = config::mcp_servers()?;
    for remark in config::variables::remarks(&resolved.backends) {
        tracing::warn!("{remark}");
    }
    usable(&resolved.data)?;
    let mut signals = StopSignals::listen()?;
    let opened = {
        let opening = open(&resolved);
        tokio::pin!(opening);
        tokio::select! {
            opened = &mut opening => opened,
            _ = signals.received() => {
                // What it has mounted or made by then is let go of; one that hangs is not waited for.
                if let Ok(Ok(opened)) = tokio::time::timeout(OPEN_TIMEOUT, opening).await {
                    opened.close().await;
                }
                bail!("told to stop before it served");
            }
        }
    };
    let opened = opened.map_err(|e| explain(resolved.backend, &e))?;
    // `WORKSPACE_ROOT` may not be set for the next verb.
    let told = Up {
        allow_host: resolved.allow_host.clone(),
        backends: resolved.backends.clone(),
        ..up.clone()
    };
    config::remember(&resolved.data, resolved.backend, &told)
        .context("writing to the data folder")?;
    keep_to_itself();
    let mut server = ServerConfig::new(
        resolved.listen,
        resolved.data.clone(),
        parts::exe()?,
        env!("CARGO_PKG_VERSION").to_owned(),
    );
    server.idle = resolved.idle;
    server.egress.clone_from(&resolved.egress);
    server.egress_ceiling = resolved.egress_ceiling;
    server.domain.clone_from(&resolved.domain);
    server.preview_domain.clone_from(&resolved.preview_domain);
    if let Some(ports) = &resolved.preview_ports {
        server.preview_ports = ports.clone();
    }
    server.agent_api_key = config::agent_api_key().map(toft_vault::Secret::new);
    server.keys_file.clone_from(&resolved.keys);
    let mut watched = resolved.watched;
    server.keys_again = Some(Box::new(move || watched.again()));
    server.fallbacks.clone_from(&resolved.fallbacks);
    server.traces = Some(traces);
    server.local_models = resolved.local_models;
    server.database = resolved.database.map(|database| database.0);
    server.advertise = resolved.advertise;
    server.artifacts = resolved.artifacts;
    server.runs = runs;
    server.open_files = toft_jail::open_files::raise(OPEN_FILES_WANTED);
    server.first_backend = Some(resolved.first.to_string());
    server.mcp_servers = mcp_servers.map(toft_vault::Secret::new);
    server.variables = std::sync::Arc::new(|name| std::env::var(name).ok());
    server.provider_env = config::provider_env(toft_server::provider_env_names());
    server.gateway_env = config::gateway_env();
    let (serves, ready) = tokio::sync::oneshot::channel();
    let token = CancellationToken::new();
    let backend = opened.backend();
    let serving = toft_server::run(server, backend, token, move |ready: Ready| {
        let _ = serves.send(ready);
    });
    tokio::pin!(serving);
    let ready = tokio::select! {
        ended = &mut serving => {
            // What another server on this data folder uses is not ours to close.
            if !matches!(ended, Err(ServerError::Running { .. })) {
                opened.close().await;
            }
            return Ok(ended?);
        }
        ready = ready => ready.context("the server ended before it served")?,
    };
    announce(&ready, as_json);
    loop {
        tokio::select! {
            ended = &mut serving => {
                opened.close().await;
                return Ok(ended?);
            }
            machines_too = signals.received() => {
                if machines_too {
                    output::remark("Stopping the machines; `kill` would have left them running.");
                }
                ready.stop.stop(machines_too);
            }
        }
    }
}

/// The signals that end a server.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl StopSignals {
    /// From here on they wait until they are asked for.
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            hang_up: signal(SignalKind::hangup()).context("listening for SIGHUP")?,
        })
    }

    /// The next one: whether it ends the machines, too. A terminal that is closed ends the server as SIGTERM does: nobody
    /// said to end the machines.
    async fn received(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => false,
            _ = self.hang_up.recv() => false,
        }
    }
}

/// Before the vault is opened. A server that cannot do it is of use all the same.
fn keep_to_itself() {
    if let Err(error) = toft_vault::keep_to_itself() {
        tracing::warn!(%error, "the server could not keep its memory to itself");
    }
}

fn announce(ready: &Ready, as_json: bool) {
    if as_json {
        let addr = ready.addr.to_string();
        let said = json!({"addr": addr, "url": ready.url, "signInUrl": ready.sign_in_url});
        output::json(&said);
    } else {
        output::line(&format!("Toft serves. Sign in: {}", ready.sign_in_url));
    }
}

/// Makes the data folder, and says what is wrong with it before anything else is blamed.
fn usable(data: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(data);
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    made.and_then(|()| Ok(rustix::fs::access(data, access)?)).map_err(|e| {
        anyhow!(
            "the data folder {} cannot be used: {e}. Make it a folder that you may write to, or \
             choose another with --data DIR",
            data.display()
        )
    })
}

/// Ends what a server left running when it was killed, or ended alone: a server finds it all, and
/// is told to stop with everything.
pub(super) async fn end_leftovers(at: &At) -> Result<()> {
    let resolved = config::resolve(at, &config::last(at))?;
    let opened = open(&resolved).await.map_err(|e| explain(resolved.backend, &e))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    keep_to_itself();
    let mut server = ServerConfig::new(ANY_PORT, resolved.data.clone(), parts::exe()?, version);
    server.first_backend = Some(resolved.first.to_string());
    let backend = opened.backend();
    let token = CancellationToken::new();
    let ended = toft_server::run(server, backend, token, |ready| ready.stop.stop(true)).await;
    if !matches!(ended, Err(ServerError::Running { .. })) {
        opened.close().await;
    }
    Ok(ended?)
}

fn explain(backend: BackendName, error: &MachineError) -> anyhow::Error {
    match error {
        MachineError::Unsupported { .. }
            if matches!(backend, BackendName::Oci | BackendName::E2b) =>
        {
            anyhow::anyhow!("{error}")
        }
        MachineError::Unsupported { .. } => anyhow::anyhow!(
            "{error}\nWithout it, projects can still run straight in a folder, with no sandbox at \
             all: toft up --backend host --allow-host DIR"
        ),
        MachineError::NotRunning(_)
        | MachineError::NoCheckpoint { .. }
        | MachineError::BaseChanged { .. }
        | MachineError::Unable { .. }
        | MachineError::DiskFull { .. }
        | MachineError::NoRoom { .. }
        | MachineError::Superseded(_)
        | MachineError::Step { .. }
        | MachineError::DidNotStart { .. } => anyhow::anyhow!("{error}"),
    }
}

/// What this host could enforce, asked without a server.
pub(super) async fn probe(at: &At) -> Result<Value> {
    let resolved = config::resolve(at, &config::last(at))?;
    let opened = open(&resolved).await.map_err(|e| explain(resolved.backend, &e))?;
    let backend = opened.backend();
    let mut backends = Vec::new();
    for name in backend.choices() {
        backends.push(match backend.look_at(name).await {
            Ok(found) => json!({
                "name": name,
                "abilities": found.abilities,
                "storage": found.storage,
                "problem": null,
            }),
            Err(error) => json!({
                "name": name,
                "abilities": [],
                "storage": null,
                "problem": error.to_string(),
            }),
        });
    }
    opened.close().await;
    Ok(json!({
        "abilities": backends[0]["abilities"],
        "storage": backends[0]["storage"],
        "backends": backends,
        "version": env!("CARGO_PKG_VERSION"),
        "dataDir": resolved.data,
    }))
}

fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_env("TOFT_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && config::wants_colour())
        .with_target(false)
        .init();
}
