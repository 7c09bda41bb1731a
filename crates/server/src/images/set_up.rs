//! Runs a set-up script, once, in a machine that belongs to no project, and keeps its disk. The
//! machine is like any other: the same walls and limits, the same way out through the gateway.

use super::{Making, of_backend};
use crate::{
    api_error::{ApiError, Code},
    machines::{life, log_room},
    state::App,
};
use std::{collections::VecDeque, time::Duration};
use toft_machine::{
    backend::StartSpec,
    images::ImageKey,
    init_client::{self, ExecEvent, InitError},
    steps,
};
use toft_model::{id::ProjectId, init::ExecSpec};
use tokio::time::timeout;

/// Installing a whole tool set over a slow line.
const SETUP_TIMEOUT: Duration = Duration::from_hours(1);
/// Between TERM and KILL for what the script has left running: it must write what it has.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Of the script's last output, quoted when it fails.
const TAIL_BYTES: usize = 2 << 10;
/// Puts the script where nothing of it stays, and becomes it.
const TAKE_SCRIPT: &str = "cat > /run/toft-setup && chmod 700 /run/toft-setup && ";

/// Makes `key` of `base` (`None`: of `host`); answers its bytes.
pub(super) async fn run(
    app: &App,
    key: &ImageKey,
    base: Option<&ImageKey>,
    script: &str,
    making: &Making,
) -> Result<u64, ApiError> {
    let builder = ProjectId::random();
    app.images.build_in(&builder);
    app.store.set_image_builder(key.as_str(), Some(&builder)).await?;
    steps::reached("setup.named");
    making.progress.begin("set-up", 0);
    let made = build(app, &builder, key, base, script, making).await;
    app.gateway.remove_machine(&builder).await;
    life::forget_egress_log(app, &builder);
    // One that stays is destroyed by the next server: its name is written down.
    match app.backend.destroy(&builder).await {
        Ok(()) => {
            steps::reached("setup.destroyed");
            app.store.set_image_builder(key.as_str(), None).await?;
            steps::reached("setup.forgotten");
        }
        Err(error) => tracing::warn!(project.id = %builder, %error, "a set-up's machine stays"),
    }
    app.images.built_in(&builder);
    made
}

async fn build(
    app: &App,
    builder: &ProjectId,
    key: &ImageKey,
    base: Option<&ImageKey>,
    script: &str,
    making: &Making,
) -> Result<u64, ApiError> {
    let backend = of_backend(&*app.backend)?;
    match base {
        Some(base) => backend.create_from(builder, base).await?,
        None => app.backend.create(builder).await?,
    }
    steps::reached("setup.created");
    let spec = StartSpec {
        project: builder.clone(),
        name: "set-up".to_owned(),
        limits: app.limits.clone(),
        app_url: app.hosts.preview_origin(builder.as_str()),
        env: vec![("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())],
        awaits_environment: false,
    };
    let running = app.backend.start(spec).await?;
    let level = app.egress.in_force(app.egress_ceiling);
    app.gateway.add_machine(&*app.backend, level, builder, running).await;
    steps::reached("setup.started");
    let work = timeout(SETUP_TIMEOUT, execute(app, builder, script));
    let filling = log_room::until_past(app, builder, || app.limits.log_bytes);
    let ended = tokio::select! {
        ended = work => ended,
        _ = filling => return Err(gave_up("the set-up's machine filled its log folder")),
        // Leaving the connection ends the script.
        () = making.cancel.cancelled() => return Err(gave_up("it was deleted while it was made")),
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        Err(_) => {
            return Err(gave_up(&format!(
                "the set-up script took longer than {} minutes",
                SETUP_TIMEOUT.as_secs() / 60
            )));
        }
    }
    steps::reached("setup.ran");
    app.backend.stop(builder, STOP_GRACE).await?;
    steps::reached("setup.stopped");
    let bytes = backend.keep(builder, None, key).await?;
    steps::reached("setup.kept");
    Ok(bytes)
}

async fn execute(app: &App, builder: &ProjectId, script: &str) -> Result<(), ApiError> {
    let lost = |e: InitError| gave_up(&format!("the set-up's machine was lost: {e}"));
    let run = if script.starts_with("#!") {
        "exec /run/toft-setup"
    } else {
        "exec /bin/sh /run/toft-setup"
    };
    let spec = ExecSpec {
        argv: vec!["/bin/sh".into(), "-c".into(), format!("{TAKE_SCRIPT}{run}")],
        cwd: Some("/root".to_owned()),
        merge_stderr: true,
        stdin: true,
        label: Some("set-up".to_owned()),
        ..ExecSpec::default()
    };
    let stream = app.backend.connect_init(builder).await?;
    let mut program = init_client::exec(stream, spec).await.map_err(lost)?;
    let input = program.input();
    input.stdin(script.as_bytes()).await.map_err(lost)?;
    input.close_stdin().await.map_err(lost)?;
    let mut tail = VecDeque::new();
    while let Some(event) = program.next().await.map_err(lost)? {
        match event {
            ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => {
                tail.extend(bytes);
                let over = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..over);
            }
            ExecEvent::Gap(_) => tail.clear(),
            ExecEvent::Exit(exit) if exit.code == Some(0) => return Ok(()),
            ExecEvent::Exit(exit) => {
                let how = match (exit.code, exit.signal) {
                    (Some(code), _) => format!("ended with exit code {code}"),
                    (None, Some(signal)) => format!("was ended by signal {signal}"),
                    (None, None) => "ended".to_owned(),
                };
                let said = String::from_utf8_lossy(tail.make_contiguous()).trim().to_owned();
                let last = if said.is_empty() {
                    String::new()
                } else {
                    format!(" Its last words: {said}")
                };
                return Err(gave_up(&format!(
                    "the set-up script {how}: mend it, then add the image again.{last}"
                )));
            }
        }
    }
    Err(gave_up("the set-up script ended without a word"))
}

fn gave_up(why: &str) -> ApiError {
    ApiError::new(Code::MachineError, why)
}
