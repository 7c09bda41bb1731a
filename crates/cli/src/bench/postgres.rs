//! A PostgreSQL server of the bench's own, from the distribution's packages: an empty folder, a unix socket, its
//! defaults, so that a commit waits for the disk.

use super::child::Ends;
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::Command;

/// Where Debian puts its programs, below the number of a version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// It refuses to run as root.
const NOBODY: u32 = 65_534;
const START_TIMEOUT: Duration = Duration::from_mins(1);
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Runs until it is closed, or dropped.
pub(super) struct Postgres {
    folder: PathBuf,
    server: Option<Ends>,
}

impl Postgres {
    /// `None`: there is none here.
    pub(super) async fn start() -> Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(None) };
        let name = format!("toft-bench-pg-{}", toft_model::id::random_hex(6));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut postgres = Self { folder, server: None };
        let folder = &postgres.folder;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(folder, Some(NOBODY), Some(NOBODY))?;
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(folder).env("LC_ALL", "C.UTF-8");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if is_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let made = command("initdb")
            .args(["--auth=trust", "--username=bench", "--encoding=UTF8", "--pgdata"])
            .arg(folder.join("data"))
            .status()
            .await
            .context("making a database")?;
        if !made.success() {
            bail!("PostgreSQL's initdb ended with {made}");
        }
        let mut server = command("postgres");
        server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-h", ""]);
        let server = Ends(server.spawn().context("starting PostgreSQL")?);
        wait_for(&folder.join(".s.PGSQL.5432")).await?;
        postgres.server = Some(server);
        Ok(Some(postgres))
    }

    /// For `DATABASE_URL`.
    pub(super) fn url(&self) -> String {
        format!("postgres://bench@localhost/postgres?host={}", self.folder.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn wait_for(socket: &Path) -> Result<()> {
    let began = Instant::now();
    // The socket takes connections a moment after it is there: who connects tries again.
    while !socket.exists() {
        if began.elapsed() > START_TIMEOUT {
            bail!("PostgreSQL does not begin");
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(())
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?;
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|path| path.join("postgres").exists());
    found.sort();
    found.pop()
}
