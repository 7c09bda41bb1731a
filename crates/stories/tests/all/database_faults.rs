//! What goes wrong with the database under a real server: another program that keeps it locked, damage, a log that is
//! gone, a newer one, a crash at any moment. What was promised is there; what cannot be promised is refused with a word.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use toft_store::{Projects as _, Runs as _, SqliteStore, Store as _};
use toft_stories::{
    lane,
    provider::Provider,
    runs::{ask, ask_once, builder, completed, follow, place, times},
    servers::sqlite,
    toft::{STEP_TIMEOUT, Start, Toft, binary},
};

/// How long another program has the database locked.
fn locked() -> Duration {
    if lane::deep() { Duration::from_secs(30) } else { Duration::from_secs(12) }
}

/// Takes the lock that writers need, and holds it until it is told to go.
const HOLDS: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.readline()
db.execute('ROLLBACK')
db.close()
print('gone', flush=True)
";

struct Holder {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Holder {
    fn begin(database: &Path) -> Result<Self> {
        let mut child = Command::new("python3")
            .args(["-c", HOLDS])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut holder = Self { child, said };
        holder.says("held")?;
        Ok(holder)
    }

    fn says(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        ensure!(line.trim() == word, "it says {line:?}");
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        writeln!(self.child.stdin.as_mut().context("it is piped")?, "go")?;
        self.says("gone")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_program_has_it_locked_everything_is_shown_and_nothing_is_lost() -> Result<()>
{
    let patient = "until test -e go; do sleep 0.1; done; echo a line >> made";
    let provider = Provider::start(Duration::ZERO, builder(move |_| patient.into())).await?;
    let toft = Toft::start(Start { env: provider.env("sk-d"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let run = ask(&toft, &project, "one", "a line").await?;
    toft.until(&run, |run| run["phase"] == "build").await?;
    let holder = Holder::begin(&toft.data.join("toft.db"))?;
    let until = Instant::now() + locked();
    let ends = AtomicBool::new(false);
    // Reads go on, one after the other, and are right.
    let reads = async {
        let mut count = 0;
        while !ends.load(Ordering::SeqCst) {
            for path in [
                run.clone(),
                format!("/v1/projects/{project}/runs"),
                "/v1/projects".to_owned(),
                "/health".to_owned(),
            ] {
                let (status, said) = toft.request("GET", &path, None).await?;
                ensure!(status == 200, "{path}: {said}");
                count += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>(count)
    };
    // Writes wait for a while and are told to come again; twenty at a time, as if everybody tried.
    let writes = async {
        let mut refused = 0;
        while Instant::now() < until {
            let asks = (0..20).map(async |n| {
                let url = format!("{}/v1/projects/{project}/runs", toft.base);
                let asked = toft.http().post(url).bearer_auth(&toft.token).timeout(STEP_TIMEOUT);
                let asked = asked.header("idempotency-key", format!("late-{n}"));
                let answer = asked.json(&json!({"prompt": "a line"})).send().await?;
                let status = answer.status().as_u16();
                let again = answer.headers().get("retry-after").cloned();
                let said: Value = answer.json().await?;
                ensure!(
                    (status, &said["error"]["code"]) == (503, &json!("database_unavailable")),
                    "{said}"
                );
                ensure!(again.is_some_and(|again| again == "1"), "it says when to come again");
                Ok(())
            });
            for one in futures_util::future::join_all(asks).await {
                one?;
                refused += 1;
            }
        }
        ends.store(true, Ordering::SeqCst);
        Ok::<_, anyhow::Error>(refused)
    };
    let (reads, refused) = tokio::join!(reads, writes);
    let (reads, refused) = (reads?, refused?);
    eprintln!("{reads} reads, {refused} writes refused");
    ensure!(reads > 50 && refused >= 20, "{reads} reads, {refused} writes refused");
    holder.end()?;
    // The same requests are taken now, once each; the run that went on meanwhile is told whole.
    let (status, said) = ask_once(&toft, &project, "late-0", "a line").await?;
    ensure!(status == 200 && said["data"]["created"] == true, "{said}");
    toft.exec(&project, "touch go").await?;
    completed(&toft, &run).await?;
    let all = follow(&toft, &run).await?;
    for once in ["running", "plan_ready", "git_commit"] {
        assert_eq!(times(&all, once), 1, "{once} of {all:?}");
    }
    let late =
        format!("/v1/projects/{project}/runs/{}", said["data"]["id"].as_str().context("an id")?);
    completed(&toft, &late).await?;
    let made = toft.exec(&project, "wc -l < made").await?;
    assert_eq!(made["stdout"], "2\n");
    let log = toft.log();
    ensure!(!log.contains("517") && !log.contains("SNAPSHOT"), "a write began as a read");
    toft.down()
}

const PASSPHRASE: &str = "a passphrase of this story";

fn toft_cli(data: &Path, args: &[&str]) -> Result<String> {
    let out = Command::new(binary())
        .args(["--data", &data.display().to_string()])
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TOFT_BACKUP_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::null())
        .output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "{args:?}: {said}");
    Ok(said)
}

/// What a server says that does not start.
async fn refused(toft: &mut Toft) -> Result<String> {
    let before = toft.log().len();
    ensure!(toft.up().await.is_err(), "it starts");
    toft.await_end()?;
    Ok(toft.log()[before..].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_whole_is_refused_with_the_backup_that_is_there() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    for n in 0..30 {
        toft.call("POST", "/v1/projects", Some(json!({"name": format!("P{n}"), "start": false})))
            .await?;
    }
    let folder = tempfile::tempdir()?;
    let backup = folder.path().join("kept.toft.age");
    toft_cli(&toft.data, &["backup", &backup.display().to_string()])?;
    toft.call("POST", "/v1/projects", Some(json!({"name": "After", "start": false}))).await?;
    toft.kill_server();
    let database = toft.data.join("toft.db");
    let (log, aside) = (toft.data.join("toft.db-wal"), folder.path().join("wal"));

    fs::rename(&log, &aside)?;
    let said = refused(&mut toft).await?;
    ensure!(
        said.contains("toft.db-wal is gone") && said.contains(&backup.display().to_string()),
        "{said}"
    );
    ensure!(said.contains("restore-backup"), "{said}");
    ensure!(!log.exists(), "nothing was made in its place");
    fs::rename(&aside, &log)?;
    toft.up().await?;
    let all = toft.call("GET", "/v1/projects?limit=100", None).await?;
    assert_eq!(all.as_array().map(Vec::len), Some(31), "with the log it is whole");
    let stopped =
        toft.server_pid().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it runs")?;
    kill_process(stopped, Signal::TERM)?;
    toft.await_end()?;
    ensure!(
        !log.exists() && !toft.data.join("toft.db-open").exists(),
        "ended in order, it is one file"
    );

    // A newer version has used it.
    sqlite(
        &database,
        "INSERT INTO _sqlx_migrations VALUES (9999, 'later', '2026-01-01', 1, X'00', 1)",
    )?;
    let said = refused(&mut toft).await?;
    ensure!(said.contains("newer Toft"), "{said}");
    sqlite(&database, "DELETE FROM _sqlx_migrations WHERE version = 9999")?;
    toft.up().await?;
    let stopped =
        toft.server_pid().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it runs")?;
    kill_process(stopped, Signal::TERM)?;
    toft.await_end()?;

    let whole = fs::read(&database)?;
    for at in [0, 100, 3 * 4096, 20 * 4096] {
        let mut damaged = whole.clone();
        damaged[at..at + 16].fill(0x5a);
        fs::write(&database, &damaged)?;
        let said = refused(&mut toft).await?;
        ensure!(
            said.contains("toft.db") && said.contains(&backup.display().to_string()),
            "{at}: {said}"
        );
        ensure!(fs::read(&database)? == damaged, "{at}: nothing was written to it");
    }
    // What it says works.
    let again = folder.path().join("again");
    toft_cli(&again, &["restore-backup", &backup.display().to_string()])?;
    let second = Toft::start(Start { data: Some(again), ..Start::default() }).await?;
    let all = second.call("GET", "/v1/projects?limit=100", None).await?;
    assert_eq!(all.as_array().map(Vec::len), Some(30));
    second.down()?;
    fs::write(&database, &whole)?;
    toft.up().await?;
    toft.down()
}

fn copies() -> usize {
    if lane::deep() { 200 } else { 15 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_any_instant_opens_and_has_what_was_answered() -> Result<()> {
    let env = vec![("TOFT_RUNS_AT_ONCE".to_owned(), "0".to_owned())];
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project =
        toft.call("POST", "/v1/projects", Some(json!({"name": "Load", "start": false}))).await?;
    let project = project["id"].as_str().context("an id")?.to_owned();
    let answered: Mutex<Vec<String>> = Mutex::default();
    let ends = AtomicBool::new(false);
    let load = (0..16).map(async |client| {
        let mut n = 0;
        while !ends.load(Ordering::SeqCst) {
            let key = format!("{client}-{n}");
            let (status, said) = ask_once(&toft, &project, &key, "a line").await?;
            ensure!(status == 200, "{said}");
            answered.lock().expect("no holder panics").push(key);
            n += 1;
        }
        Ok::<_, anyhow::Error>(())
    });
    let folder = tempfile::tempdir()?;
    let pid =
        toft.server_pid().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it runs")?;
    let copy = async {
        let mut held = Vec::new();
        for n in 0..copies() {
            tokio::time::sleep(Duration::from_millis(37 + (n as u64 * 53) % 190)).await;
            // What was answered by now has to be there; the instant is one for both files.
            let answered = answered.lock().expect("no holder panics").clone();
            kill_process(pid, Signal::STOP)?;
            let to = folder.path().join(n.to_string());
            fs::create_dir(&to)?;
            let copied = ["toft.db", "toft.db-wal"]
                .iter()
                .try_for_each(|name| fs::copy(toft.data.join(name), to.join(name)).map(drop));
            kill_process(pid, Signal::CONT)?;
            copied?;
            held.push((to, answered));
        }
        ends.store(true, Ordering::SeqCst);
        Ok::<_, anyhow::Error>(held)
    };
    let (loaded, held) = tokio::join!(futures_util::future::join_all(load), copy);
    for one in loaded {
        one?;
    }
    let id = project.parse()?;
    let mut most = 0;
    for (to, answered) in held? {
        let store = SqliteStore::open(&to.join("toft.db")).await?;
        ensure!(store.project(&project).await?.is_some(), "the project");
        let runs = store.runs(&id, u32::MAX, 0, usize::MAX).await?;
        let keys: std::collections::BTreeSet<&str> =
            runs.iter().map(|run| run.key.as_str()).collect();
        let lost: Vec<&String> =
            answered.iter().filter(|key| !keys.contains(key.as_str())).collect();
        ensure!(lost.is_empty(), "{}: {lost:?} were answered", to.display());
        most = most.max(answered.len());
        store.close().await;
    }
    eprintln!("{most} runs in the last copy");
    ensure!(most > 50, "too little went on");
    toft.down()
}
