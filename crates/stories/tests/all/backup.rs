//! A person keeps all of a server in one file while it works, loses the server, and goes on with the file.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use toft_stories::{
    lane,
    provider::{Provider, Say, Script},
    runs::{ask, is_over},
    servers::Server,
    toft::{STEP_TIMEOUT, Start, Toft, binary},
};

const PLAN: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it\"}]}\n```";
const PASSPHRASE: &str = "a long passphrase of canaries";
const SECRET: &str = "canary-of-the-backup";

/// Plans, and builds: at once, or when there is a file `go`.
fn script() -> Script {
    Arc::new(move |user, turn| {
        let say = |text: &str| Say { text: text.into(), tools: vec![] };
        let building = user.contains("[Plan mode is over");
        if turn > 0 || !building {
            return say(if building { "It is done." } else { PLAN });
        }
        let waits =
            if user.contains("patiently") { "until test -e go; do sleep 0.1; done; " } else { "" };
        let command = json!({"command": format!("{waits}echo a line >> made"), "timeout": 600});
        Say { text: "Now.".into(), tools: vec![("bash".into(), command)] }
    })
}

/// `toft` on a data folder where no server needs to run.
fn toft(data: &Path, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary());
    command.args(["--data", &data.display().to_string()]).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
    command.env("TOFT_BACKUP_PASSPHRASE", PASSPHRASE).stdin(Stdio::null());
    Ok(command.output()?)
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

async fn events(toft: &Toft, run: &str) -> Result<String> {
    let url = format!("{}{run}/stream", toft.base);
    let answer = toft.http().get(url).bearer_auth(&toft.token).timeout(STEP_TIMEOUT).send().await?;
    Ok(answer.text().await?)
}

/// The conversations of a project as a person sees them.
async fn transcript(toft: &Toft, project: &str, session: &str) -> Result<Value> {
    let path = format!("/v1/projects/{project}/toft/messages?sessionId={session}");
    toft.call("GET", &path, None).await
}

/// Makes one as soon as an earlier one was given up.
async fn made_once_nobody_else_does(toft1: &Toft, file: &Path) -> Result<()> {
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        let made = toft(&toft1.data, &["backup", &file.display().to_string()])?;
        if made.status.success() {
            return Ok(());
        }
        ensure!(said(&made).contains("just being made"), "{}", said(&made));
        ensure!(Instant::now() < until, "the one before is never given up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whoever takes long to read a backup keeps nobody waiting but who would change the key that is in it.
async fn while_it_is_read(toft1: &Toft, project: &str) -> Result<()> {
    let bulk = "head -c 56000000 /dev/urandom > bulk";
    ensure!(toft1.exec(project, bulk).await?["exitCode"] == 0, "more than waits on its way");
    let url = format!("{}/v1/backup", toft1.base);
    let body = json!({"passphrase": PASSPHRASE});
    let mut slow = toft1.http().post(url).bearer_auth(&toft1.token).json(&body).send().await?;
    ensure!(slow.status().is_success(), "{}", slow.text().await?);
    assert_eq!(slow.headers()["x-toft-left-out"], "[]");
    let mut read = 0;
    // All that is small comes before the disk.
    while read < 12_000_000 {
        read += slow.chunk().await?.context("it is longer")?.len();
    }
    let checkpoints = format!("/v1/projects/{project}/checkpoints");
    let taken = toft1.call("POST", &checkpoints, Some(json!({})));
    tokio::time::timeout(STEP_TIMEOUT, taken)
        .await
        .context("a checkpoint waits for a reader")??;
    let rotate = || toft1.request("POST", "/v1/vault/rotate", None);
    let (status, told) = rotate().await?;
    ensure!(status == 409 && told.to_string().contains("backup"), "{status} {told}");
    drop(slow);
    // Whoever goes lets the others come.
    let until = Instant::now() + STEP_TIMEOUT;
    while rotate().await?.0 != 200 {
        ensure!(Instant::now() < until, "the backup is never given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(toft1.exec(project, "rm bulk").await?["exitCode"] == 0, "the next are short");
    Ok(())
}

async fn kept_and_restored(start: Start, again: Start, database: Option<String>) -> Result<()> {
    let toft1 = Toft::start(start).await?;
    let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
    // A project with files, attributes of them, a secret, a run that is over, and one in work.
    let project = toft1.new_project("Kept").await?;
    let at = format!("/v1/projects/{project}");
    let filled = "git init -q -b main . && git config user.email a@b.c && git config user.name a && \
        head -c 9000000 /dev/urandom > big && printf 'x' > 'odd name\u{fc}' && ln -s big link && ln big twin && \
        mkdir -p deep/er && chmod 750 deep && echo own > /etc/of-this-machine && rm -f /etc/hostname-never; \
        sha256sum big twin | sort; stat -c '%a %U' deep";
    let before = toft1.exec(&project, filled).await?;
    ensure!(before["exitCode"] == 0, "{before}");
    toft1.call("PUT", &format!("{at}/secrets/CANARY"), Some(json!({"value": SECRET}))).await?;
    let done = ask(&toft1, &project, "one", "go").await?;
    let done_run = toft1.until(&done, is_over).await?;
    assert_eq!(done_run["status"], "completed", "{done_run}");
    let told = events(&toft1, &done).await?;
    let session = done_run["sessionId"].as_str().context("a conversation")?.to_owned();
    let written = transcript(&toft1, &project, &session).await?;
    let said_once = written["messages"].as_array().map_or(0, Vec::len);
    ensure!(said_once >= 4, "a plan, and what was built: {written}");
    let work = ask(&toft1, &project, "two", "patiently").await?;
    toft1.until(&work, |run| run["phase"] == "build").await?;
    let made =
        toft1.call("POST", "/v1/keys", Some(json!({"name": "k", "scopes": ["read"]}))).await?;
    let key = made["key"].as_str().context("a key")?.to_owned();

    while_it_is_read(&toft1, &project).await?;

    // While it works, to a name that is whole or not there.
    let file = folder.path().join("kept.age");
    let short = Command::new(binary())
        .args(["--data", &toft1.data.display().to_string(), "backup"])
        .arg(&file)
        .env_clear()
        .env("TOFT_BACKUP_PASSPHRASE", "short")
        .stdin(Stdio::null())
        .output()?;
    ensure!(!short.status.success() && said(&short).contains("12 characters"), "{}", said(&short));
    ensure!(!file.exists(), "nothing was made");
    let backup = toft(&toft1.data, &["backup", &file.display().to_string()])?;
    ensure!(backup.status.success(), "{}", said(&backup));
    let bytes = fs::read(&file)?;
    ensure!(
        bytes.starts_with(b"age-encryption.org/v1") && bytes.len() > 9_000_000,
        "{}",
        bytes.len()
    );
    for canary in [SECRET, PASSPHRASE, &key] {
        ensure!(memchr::memmem::find(&bytes, canary.as_bytes()).is_none(), "nothing lies open");
    }
    let twice = toft(&toft1.data, &["backup", &file.display().to_string()])?;
    ensure!(!twice.status.success() && said(&twice).contains("there already"), "{}", said(&twice));
    ensure!(!toft1.data.join("backup.part").exists(), "nothing is left of it");
    // No key of the API gets one: it holds the master key.
    let body = json!({"passphrase": PASSPHRASE});
    let url = format!("{}/v1/backup", toft1.base);
    let refused = toft1.http().post(url).bearer_auth(&key).json(&body).send().await?;
    assert_eq!(refused.status().as_u16(), 403);

    // One that is killed leaves nothing under the name, and keeps nobody from another try.
    let cut = folder.path().join("cut.age");
    let mut maker = Command::new(binary())
        .args(["--data", &toft1.data.display().to_string(), "backup"])
        .arg(&cut)
        .env_clear()
        .env("TOFT_BACKUP_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let until = Instant::now() + STEP_TIMEOUT;
    while !folder.path().join("cut.age.part").exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    maker.kill()?;
    maker.wait()?;
    ensure!(!cut.exists(), "a half one has no name");
    ensure!(folder.path().join("cut.age.part").exists(), "it was cut");
    made_once_nobody_else_does(&toft1, &cut).await?;
    ensure!(!folder.path().join("cut.age.part").exists(), "nothing is left of it");
    toft1.down()?;

    // What cannot be restored is refused before anything is written.
    let data = folder.path().join("new/data");
    fs::create_dir_all(folder.path().join("new"))?;
    let restore = |file: &Path, data: &Path| {
        let file = file.display().to_string();
        let mut args = vec!["restore-backup", &file];
        if let Some(url) = &database {
            args.extend(["--database", url]);
        }
        toft(data, &args)
    };
    let taken = folder.path().join("taken");
    fs::create_dir(&taken)?;
    fs::write(taken.join("mine"), "mine")?;
    let refused = restore(&file, &taken)?;
    ensure!(
        !refused.status.success() && said(&refused).contains("not empty"),
        "{}",
        said(&refused)
    );
    let half = folder.path().join("half.age");
    fs::write(&half, &bytes[..bytes.len() - 100_000])?;
    if database.is_none() {
        let broken = folder.path().join("broken");
        let refused = restore(&half, &broken)?;
        ensure!(
            !refused.status.success() && said(&refused).contains("whole file"),
            "{}",
            said(&refused)
        );
        let up = toft(&broken, &["up", "--listen", "127.0.0.1:0"])?;
        ensure!(!up.status.success() && said(&up).contains("restore"), "{}", said(&up));
    }

    let restored = restore(&file, &data)?;
    ensure!(restored.status.success(), "{}", said(&restored));
    let toft2 = Toft::start(Start { data: Some(data.clone()), ..again }).await?;
    let listed = toft2.call("GET", "/v1/projects", None).await?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&json!(project), &json!("Kept")));
    assert_eq!(events(&toft2, &done).await?, told, "what the run told");
    let same = toft2.call("GET", &done, None).await?;
    assert_eq!(
        (&same["output"], &same["commitSha"]),
        (&done_run["output"], &done_run["commitSha"])
    );
    let url = format!("{}{done}/download.zip", toft2.base);
    let zip = toft2.http().get(url).bearer_auth(&key).send().await?;
    ensure!(
        zip.status().is_success() && zip.bytes().await?.starts_with(b"PK"),
        "its workspace, by its key"
    );
    let after = toft2.exec(&project, "sha256sum big twin | sort; stat -c '%a %U' deep").await?;
    assert_eq!(after["stdout"], before["stdout"]);
    let more = "test \"$(readlink link)\" = big && test big -ef twin && cat 'odd name\u{fc}' /etc/of-this-machine && \
        git log --oneline | wc -l && printf %s \"$CANARY\" | sha256sum | cut -c1-12";
    let more = toft2.exec(&project, more).await?;
    ensure!(more["exitCode"] == 0, "{more}");
    let secret = {
        let out = Command::new("sh")
            .args(["-c", "printf %s \"$0\" | sha256sum | cut -c1-12", SECRET])
            .output()?;
        String::from_utf8(out.stdout)?
    };
    ensure!(
        more["stdout"]
            .as_str()
            .is_some_and(|out| out.starts_with("xown\n") && out.ends_with(&secret)),
        "{more}"
    );
    assert_eq!(transcript(&toft2, &project, &session).await?["messages"], written["messages"]);

    // The run that was in work goes on: what its tool may have done is asked about, or it is done again.
    toft2.exec(&project, "touch go").await?;
    let until = Instant::now() + STEP_TIMEOUT;
    let ended = loop {
        let run = toft2.call("GET", &work, None).await?;
        if is_over(&run) || run["waitsFor"] == "answer" {
            break run;
        }
        ensure!(Instant::now() < until, "it neither goes on nor says why: {run}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    ensure!(ended["status"] == "completed" || ended["waitsFor"] == "answer", "{ended}");
    toft2.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_server_goes_on_from_a_backup_that_was_made_while_it_worked() -> Result<()> {
    if !lane::root() {
        lane::skip("backup", "only root reads and makes files of machines");
        return Ok(());
    }
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let start =
        || Start { env: provider.env("sk-s"), before: vec!["env".into()], ..Start::default() };
    kept_and_restored(start(), start(), None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_on_postgresql() -> Result<()> {
    let postgres = if lane::root() { Server::postgres()? } else { None };
    let Some(postgres) = postgres else {
        lane::skip("backup of PostgreSQL", "no PostgreSQL, or no right to start one");
        return Ok(());
    };
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let with = |name: &str| {
        let mut env = provider.env("sk-s");
        env.push(("TOFT_DATABASE".into(), postgres.database(name)));
        Start { env, before: vec!["env".into()], ..Start::default() }
    };
    let made = Command::new(
        toft_stories::servers::postgres_programs().context("it was here")?.join("psql"),
    )
    .args([&postgres.database("postgres"), "-qc", "CREATE DATABASE other"])
    .output()?;
    ensure!(made.status.success(), "{}", said(&made));
    kept_and_restored(with("postgres"), with("other"), Some(postgres.database("other"))).await
}
