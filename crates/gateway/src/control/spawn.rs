//! Starting the gateway as a process of its own, and finding the one that already runs.

use crate::{
    control::{ControlError, Gateway, end_any_version},
    folder,
};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// From start to answer: a loaded host with a cold disk, with a wide margin (normal is 20 ms).
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// First pause between two looks at a socket that is not there yet; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A log beyond this is put aside (as `gateway.log.1`) at the next start.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// How to start a gateway.
#[derive(Debug, Clone)]
pub struct SpawnConfig {
    /// The program; it is called as `<exe> gateway --data <data_dir>`.
    pub exe: PathBuf,
    /// The data folder, absolute.
    pub data_dir: PathBuf,
    /// Its whole environment (nothing is inherited). Useful: `SSL_CERT_FILE`, `SSL_CERT_DIR`.
    pub env: Vec<(String, String)>,
}

impl SpawnConfig {
    /// With an empty environment.
    pub fn new(exe: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self { exe: exe.into(), data_dir: data_dir.into(), env: Vec::new() }
    }
}

impl Gateway {
    /// Connects to the gateway of a data folder, and starts one when none answers. One that speaks
    /// another protocol version is ended and replaced.
    pub async fn connect_or_spawn(config: SpawnConfig) -> Result<Self, ControlError> {
        connect_or_spawn(&config).await
    }
}

async fn connect_or_spawn(config: &SpawnConfig) -> Result<Gateway, ControlError> {
    match Gateway::connect(&config.data_dir).await {
        Ok(gateway) => return Ok(gateway),
        Err(ControlError::Protocol { .. }) => end_any_version(&config.data_dir).await?,
        Err(ControlError::NotRunning { .. } | ControlError::Closed) => {}
        Err(e) => return Err(e),
    }
    let mut child = start(config)?;
    let deadline = Instant::now() + START_TIMEOUT;
    let mut pause = PAUSE_MIN;
    loop {
        // The child is looked at first: when it has ended, the look at the socket is a later one.
        let ended = child.try_wait().ok().flatten();
        let last = match Gateway::connect(&config.data_dir).await {
            Ok(gateway) => {
                let wanted = child.id() == Some(gateway.pid());
                reap_later(child, wanted);
                return Ok(gateway);
            }
            Err(e @ (ControlError::NotRunning { .. } | ControlError::Closed)) => e,
            Err(e) => return Err(e),
        };
        let log = folder::log_path(&config.data_dir);
        match ended {
            Some(status) if !status.success() => {
                let detail = format!("it ended with {status}");
                return Err(ControlError::DidNotStart { detail, log });
            }
            _ if Instant::now() >= deadline => {
                return Err(ControlError::DidNotStart { detail: last.to_string(), log });
            }
            // It met another one, which has ended since: ours is wanted after all.
            Some(_) => child = start(config)?,
            None => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn start(config: &SpawnConfig) -> Result<Child, ControlError> {
    let failed = |source| ControlError::Spawn { exe: config.exe.clone(), source };
    let log = open_log(config).map_err(failed)?;
    let stderr = log.try_clone().map_err(failed)?;
    // It leaves our session by itself (setsid), as its first deed.
    Command::new(&config.exe)
        .arg("gateway")
        .arg("--data")
        .arg(&config.data_dir)
        .env_clear()
        .envs(config.env.iter().map(|(k, v)| (k, v)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(stderr)
        .kill_on_drop(false)
        .spawn()
        .map_err(failed)
}

fn open_log(config: &SpawnConfig) -> io::Result<fs::File> {
    folder::prepare(&config.data_dir)?;
    let path = folder::log_path(&config.data_dir);
    if fs::metadata(&path).is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
        fs::rename(&path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Our child would stay a zombie for as long as this server lives, were it not waited for. One that
/// another gateway forestalled is ended: it must not begin when that one has ended.
fn reap_later(mut child: Child, wanted: bool) {
    if !wanted {
        // It may have ended by itself.
        let _ = child.start_kill();
    }
    // Ends with the process, or with the runtime.
    tokio::spawn(async move { child.wait().await });
}
