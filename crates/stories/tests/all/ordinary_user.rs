//! The main story as an ordinary user that the test makes: weaker limits, all of the work.

use super::spine::builder;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use toft_stories::{
    lane,
    provider::Provider,
    session::{self, Follow},
    toft::{Start, Toft, binary},
};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A user of this host for the time of a test.
pub(crate) struct User {
    name: String,
    home: PathBuf,
}

impl User {
    pub(crate) fn make() -> Result<Self> {
        // Several stories may run in one process.
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("toft-{}-{count}", std::process::id());
        let home = std::env::temp_dir().join(&name);
        let out = Command::new("useradd")
            .args(["--create-home", "--shell", "/bin/bash", "--home-dir"])
            .arg(&home)
            .arg(&name)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .context("useradd")?;
        ensure!(out.status.success(), "useradd: {}", String::from_utf8_lossy(&out.stderr));
        Ok(Self { name, home })
    }
}

impl User {
    /// How a server starts as this user.
    pub(crate) fn start(&self, env: Vec<(String, String)>) -> Result<Start> {
        // The build folder may lie where that user cannot look.
        let exe = self.home.join("toft");
        fs::copy(binary(), &exe)?;
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o755))?;
        let name = self.name.as_str();
        let before = [
            "setpriv",
            "--reuid",
            name,
            "--regid",
            name,
            "--clear-groups",
            "--inh-caps=-all",
            "--",
        ];
        Ok(Start {
            env,
            before: before.map(str::to_owned).to_vec(),
            data: Some(self.home.join("data")),
            exe: Some(exe),
            ..Start::default()
        })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel")
            .args(["--remove", &self.name])
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output();
        let _ = fs::remove_dir_all(&self.home);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_gets_machines_too() -> Result<()> {
    if !lane::root() {
        lane::skip("ordinary user", "making a user needs root; all other stories run as one here");
        return Ok(());
    }
    let user = User::make()?;
    let provider = Provider::start(Duration::ZERO, builder()).await?;
    let toft = Toft::start(user.start(provider.env("sk-user"))?).await?;
    let project = toft.new_project("Rootless").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    let ran = toft.exec(&project, "id -u; cat hello.sh").await?;
    assert_eq!(ran["stdout"], "0\necho good morning from the machine\n");
    let (status, _) = toft.request("GET", "/v1/doctor", None).await?;
    assert_eq!(status, 200);
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let weaker: Vec<&Value> = doctor["abilities"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|a| a["enforced"] == false)
        .collect();
    assert!(!weaker.is_empty(), "what is weaker is said: {doctor}");

    let base = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{base}/stop"), Some(json!({}))).await?;
    toft.call("POST", &format!("{base}/start"), Some(json!({}))).await?;
    assert_eq!(
        toft.exec(&project, "cat hello.sh").await?["stdout"],
        "echo good morning from the machine\n"
    );
    // What programs closed to their owner, a package cache above all, is no hindrance to removal.
    toft.exec(&project, "mkdir -p c/a/b && touch c/a/f && chmod 000 c/a/b && chmod -R a-w c/a c")
        .await?;
    toft.call("DELETE", &base, None).await?;
    let pool = toft.data.join("store/pool");
    ensure!(!pool.join("p").join(&project).exists(), "its disk stays");
    let scratch: Vec<_> = fs::read_dir(pool.join("tmp"))?.flatten().map(|e| e.path()).collect();
    ensure!(scratch.is_empty(), "half-made disks stay: {scratch:?}");
    toft.down()
}
