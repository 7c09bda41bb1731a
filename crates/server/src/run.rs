//! A server from start to end: folder, port, database, machines, gateway, and back.

use crate::{
    auth::{Auth, token},
    backup,
    bridge_client::BridgeClient,
    checkpoints::{self, Checkpoints},
    comparisons::{self, turns::Comparisons},
    config::{Ready, ServerConfig},
    error::ServerError,
    folder::DataFolder,
    gate,
    gateway_link::{GatewayLink, supervise},
    hosts::Hosts,
    images::{Images, settle},
    keyring::Keyring,
    listen,
    machines::{Machines, adopt, echoes, idle, life, machine::Machine, observed},
    mcp::{self, Mcp},
    preview::{listeners, ports::Ports, sign::Signer},
    providers::{Given, Providers, again, models_file::ModelsFile},
    routes,
    runs::{
        self, Runs,
        artifacts::{ArtifactPlace, Artifacts},
    },
    schedules::{self, Schedules},
    servers,
    state::{App, Inner},
    stop::Stop,
    traces::{
        Traces,
        send::{self, Means},
    },
    usage::Intake,
};
use futures_util::future::BoxFuture;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_gateway::SpawnConfig;
use toft_machine::backend::Backend;
use toft_model::id::ProjectId;
use toft_store::{PostgresStore, SqliteStore, Store, StoreError};
use toft_vault::Secret;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long everything may take to finish when the server ends.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all machines together may take to end.
const STOP_ALL_TIMEOUT: Duration = Duration::from_mins(1);
/// What the vault's key is derived for by which servers compare what they share.
const SERVERS_KEY: &str = "toft servers, version 1";
/// What the vault's key for preview links is derived for.
const PREVIEW_KEY: &str = "toft preview links, version 1";

/// Opens the database: the one that servers share, or the file of this one.
fn open_store(
    database: Option<Secret>,
    file: PathBuf,
) -> BoxFuture<'static, Result<Arc<dyn Store>, StoreError>> {
    Box::pin(async move {
        let store: Arc<dyn Store> = match database {
            Some(url) => Arc::new(PostgresStore::open(url.expose()).await?),
            None => Arc::new(SqliteStore::open(&file).await?),
        };
        Ok(store)
    })
}

/// Where a database is not whole, which backup there is.
fn told_of_backups(error: StoreError, data: &Path) -> ServerError {
    match error {
        StoreError::Open { .. } | StoreError::Damaged { .. } | StoreError::Gone { .. } => {
            ServerError::DatabaseLost { source: error, way_back: backup::way_back(data) }
        }
        error => error.into(),
    }
}

/// Whether a project's disk lies here.
async fn has_disk(app: &App, project: &ProjectId) -> bool {
    matches!(app.backend.files(project).await, Ok(Some(_)))
}

/// Runs a server until `shutdown` is cancelled or [`Stop::stop`] is called. `ready` is called once,
/// when it serves. Machines and gateway go on unless the stop says otherwise.
pub async fn run(
    config: ServerConfig,
    backend: Arc<dyn Backend>,
    shutdown: CancellationToken,
    ready: impl FnOnce(Ready) + Send,
) -> Result<(), ServerError> {
    let folder = DataFolder::open(&config.data_dir)?;
    let listener = listen::bind(config.listen).await?;
    let addr = listener
        .local_addr()
        .map_err(|source| ServerError::Listen { addr: config.listen, source })?;
    let hosts = Hosts::new(addr, config.domain.as_deref(), config.preview_domain.as_deref())?;
    let opened = open_store(config.database.clone(), config.data_dir.join("toft.db")).await;
    let store = opened.map_err(|error| told_of_backups(error, &config.data_dir))?;
    let keyring = Keyring::open(config.data_dir.join("master.key"), &*store).await?;
    let server_id = folder.server_id()?;
    let me = servers::me(
        server_id.clone(),
        &config.data_dir,
        config.advertise.unwrap_or_else(|| hosts.control_url()),
        config.version.clone(),
        keyring.vault().await.derive_key(SERVERS_KEY).as_slice(),
        config.agent_api_key.as_ref().map(toft_vault::Secret::expose),
    );
    let servers = servers::join(&*store, me, &config.data_dir, config.clock.now_ms()).await?;
    let signer = Signer::new(keyring.vault().await.derive_key(PREVIEW_KEY));
    let cli_token = token::random();
    let auth = Auth::new(
        config.agent_api_key.as_ref().map(toft_vault::Secret::expose),
        &cli_token,
        store.api_keys().await?,
        config.clock.clone(),
    );
    let place = config.artifacts;
    let place = place.unwrap_or_else(|| ArtifactPlace::Folder(config.data_dir.join("artifacts")));
    let artifacts = Artifacts::open(&place)?;
    artifacts.check().await?;
    let mut models_file = ModelsFile::new(&config.data_dir);
    let overlay = models_file.read();
    let app: App = Arc::new(Inner {
        version: config.version.clone(),
        data_dir: config.data_dir.clone(),
        limits: config.limits,
        idle: config.idle,
        egress: config.egress,
        egress_ceiling: config.egress_ceiling,
        clock: config.clock.clone(),
        hosts,
        store,
        bridge: BridgeClient::new(Arc::clone(&backend)),
        backend,
        machines: Machines::default(),
        checkpoints: Checkpoints::default(),
        images: Images::default(),
        gateway: GatewayLink::default(),
        providers: Providers::new(
            Given {
                env: config.provider_env,
                file: config.keys_file,
                variables: config.variables,
                overlay,
                local_models: config.local_models,
            },
            config.fallbacks,
            Arc::clone(&keyring),
        ),
        auth,
        keyring,
        signer,
        ports: Ports::new(config.preview_ports),
        mcp_servers: config.mcp_servers,
        runs: Runs::new(config.runs, server_id.clone(), artifacts),
        servers,
        comparisons: Comparisons::default(),
        schedules: Schedules::default(),
        usage: Intake::default(),
        mcp: Mcp::default(),
        traces: Traces::new(config.traces.as_ref()),
        backup: Arc::default(),
        stop: Stop::new(shutdown),
        tasks: TaskTracker::new(),
    });

    if let Some(settings) = config.traces {
        let names: Vec<&str> = app.traces.lines().iter().map(|line| line.name()).collect();
        app.store.use_trace_sinks(&names, config.clock.now_ms()).await?;
        for line in app.traces.lines() {
            let means = Means {
                settings: settings.clone(),
                store: Arc::clone(&app.store),
                clock: config.clock.clone(),
                version: config.version.clone(),
                server: server_id.clone(),
            };
            let ends = app.stop.token().clone();
            app.tasks.spawn(send::follow(Arc::clone(line), means, ends));
        }
    }
    let mut unsettled = Vec::new();
    let first = config.first_backend.unwrap_or_else(|| app.backend.name().to_owned());
    app.store.name_backends(&first).await?;
    servers::prepare(&app).await?;
    for mut project in app.store.projects(u32::MAX, 0).await? {
        if project.host.is_none() && has_disk(&app, &project.id).await {
            // Of a version that did not write it down.
            project.host = app.store.bind_project(&project.id, &first).await?;
            project.backend.get_or_insert_with(|| first.clone());
        }
        if project.host.as_deref() != Some(server_id.as_str()) {
            continue;
        }
        if let Some(backend) = &project.backend
            && let Err(error) = app.backend.assign(&project.id, backend).await
        {
            // Its state says so, until it can be had.
            tracing::warn!(project.id = %project.id, %error, "its backend cannot be had");
        }
        let (machine, life) = Machine::unsettled(project.id.clone());
        machine.set_bound();
        let machine = app.machines.put(machine);
        unsettled.push((project, machine, life));
    }
    for (id, rule) in app.store.idle_rules().await? {
        if let Some(machine) = app.machines.get(&id) {
            machine.view().idle = Some(rule);
        }
    }
    app.tasks.spawn(observed::watch_limits(app.clone(), app.backend.limit_hits()));
    app.tasks.spawn(echoes::watch(app.clone()));
    app.tasks.spawn(mcp::renew::run(app.clone()));
    app.tasks.spawn(adopt::adopt_all(app.clone(), unsettled));
    app.tasks.spawn(servers::run(app.clone()));
    app.tasks.spawn(runs::accept::run(app.clone()));
    app.tasks.spawn(runs::worker::run(app.clone()));
    let (settling, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(comparisons::run(settling)));
    let (telling, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(runs::webhooks::run(telling)));
    app.tasks.spawn(schedules::worker::run(app.clone()));
    app.tasks.spawn(idle::put_away(app.clone()));
    let (reading, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        reading.usage.follow(&reading.data_dir, &*reading.store).await;
    }));
    if let Some(look) = config.keys_again {
        let (app, ends) = (app.clone(), app.stop.token().clone());
        app.tasks.clone().spawn(ends.run_until_cancelled_owned(again::follow(app, look)));
    }
    let (watching, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(again::follow_models(watching, models_file)));
    let settling = app.clone();
    app.tasks.spawn(async move { settle::settled(&settling).await });
    let (yielding, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(checkpoints::room::watch(yielding)));
    let (looking, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(checkpoints::reconcile::all(looking)));
    let spawn = SpawnConfig { exe: config.exe, data_dir: config.data_dir, env: config.gateway_env };
    app.tasks.spawn(supervise::keep_running(app.clone(), spawn));
    let (sign_in_url, _) = routes::auth::make_link(&app, true).await.map_err(|e| {
        // The only thing that can fail in there is the database.
        ServerError::DataDir {
            path: app.data_dir.clone(),
            source: std::io::Error::other(e.message),
        }
    })?;
    folder.announce(addr, &cli_token)?;
    listeners::reopen(&app).await?;
    let control = routes::router(app.clone());
    let answering = app.clone();
    let answer = move |req| {
        let (app, control) = (answering.clone(), control.clone());
        async move { gate::answer(&app, control, req).await }
    };
    let ends = app.stop.token().clone();
    let connections_max = listen::connections(config.open_files);
    let serving =
        tokio::spawn(listen::serve(app.tasks.clone(), listener, connections_max, ends, answer));
    ready(Ready { addr, url: app.hosts.control_url(), sign_in_url, stop: app.stop.clone() });

    app.stop.token().cancelled().await;
    // From here on nobody new gets in; whoever is in may finish.
    let _ = serving.await;
    if app.stop.wants_machines_stopped() {
        if timeout(STOP_ALL_TIMEOUT, life::stop_all(&app)).await.is_err() {
            tracing::warn!("not every machine ended in time");
        }
        app.gateway.shutdown().await;
    }
    app.tasks.close();
    if timeout(END_TIMEOUT, app.tasks.wait()).await.is_err() {
        tracing::warn!("some work was cut off at the end");
    }
    app.store.close().await;
    folder.retract();
    Ok(())
}
