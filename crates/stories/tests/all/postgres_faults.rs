//! PostgreSQL under servers that work: it stands still, or packets to it are lost, and nobody says so. Requests are
//! answered all the same, and when it is back everything goes on by itself, once.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};
use toft_stories::{
    internet::{HOSTS, Internet},
    lane,
    provider::Provider,
    runs::{adds_a_line, ask, ask_once, completed, follow, follow_for, place},
    servers::{Kept, Server},
    session::{self, Follow, Seen},
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// How long it is away.
fn away() -> Duration {
    if lane::deep() { Duration::from_mins(1) } else { Duration::from_secs(8) }
}

fn start(kept: &Server, provider: &Provider) -> Start {
    let mut env = provider.env("sk-p");
    env.push(("TOFT_DATABASE".into(), kept.database("postgres")));
    Start { env, ..Start::default() }
}

async fn beside(first: &Toft, start: Start, data: &Path) -> Result<Toft> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    fs::copy(first.data.join("master.key"), data.join("master.key"))?;
    fs::set_permissions(data.join("master.key"), fs::Permissions::from_mode(0o600))?;
    Toft::start(Start { data: Some(data.to_owned()), ..start }).await
}

/// Runs are asked for at one server and worked on by another while the database is away and back.
async fn away_under_load(server: &Server, gone: impl Fn(bool) -> Result<()>) -> Result<()> {
    const RUNS: usize = 4;
    let provider = Provider::start(Duration::from_millis(10), adds_a_line()).await?;
    let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
    let a = Toft::start(start(server, &provider)).await?;
    let b = beside(&a, start(server, &provider), &folder.path().join("b/data")).await?;
    let project = place(&a).await?;
    let pids = (a.server_pid(), b.server_pid());
    let mut runs = Vec::new();
    for n in 0..RUNS / 2 {
        runs.push(ask(&b, &project, &format!("before-{n}"), "a line").await?);
    }
    let following = join_followers(&b, &runs);
    let away = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        gone(true)?;
        let until = tokio::time::Instant::now() + away();
        let mut refused = 0;
        let mut asked = 0;
        let shown = format!("/v1/projects/{project}");
        while tokio::time::Instant::now() < until {
            // Reads and writes, at both: answered, with a word that says to come again.
            for toft in [&a, &b] {
                let (read, write) = tokio::join!(
                    toft.request("GET", &shown, None),
                    ask_once(toft, &project, "meanwhile", "a line"),
                );
                for (status, said) in [read?, write?] {
                    let is_told = status == 503 && said["error"]["code"] == "database_unavailable";
                    ensure!(is_told, "{status}: {said}");
                    refused += 1;
                }
                let health = toft.http().get(format!("{}/health", toft.base)).send().await?;
                ensure!(
                    health.status().is_success() || health.status() == 503,
                    "{}",
                    health.status()
                );
            }
            asked += 1;
        }
        gone(false)?;
        ensure!(asked > 0 && refused >= 4, "nothing was asked meanwhile");
        Ok::<_, anyhow::Error>(())
    };
    let (told, away) = tokio::join!(following, away);
    away?;
    told?;
    // The same request that was refused is one run now, at whichever server it is asked again.
    runs.push(ask(&a, &project, "meanwhile", "a line").await?);
    ensure!(ask(&b, &project, "meanwhile", "a line").await? == runs[RUNS / 2], "it is one run");
    runs.push(ask(&b, &project, "after", "a line").await?);
    for run in &runs {
        let over = completed(&b, run).await?;
        ensure!(over["meta"]["attempt"] == 1, "a database that was away costs no try: {over}");
        // Told at the server that has nothing to do with it.
        let all = follow(&b, run).await?;
        ensure!(all.last().is_some_and(|told| told.kind == "done"), "{all:?}");
    }
    let made = a.exec(&project, "wc -l < made").await?;
    assert_eq!(made["stdout"], format!("{RUNS}\n"), "each was worked on once");
    assert_eq!(pids, (a.server_pid(), b.server_pid()), "no server was started again");
    b.down()?;
    a.down()
}

/// Follows them while the database goes away and comes back.
async fn join_followers(toft: &Toft, runs: &[String]) -> Result<()> {
    let followed = runs.iter().map(|run| follow_for(toft, run, away() + STEP_TIMEOUT));
    for all in futures_util::future::join_all(followed).await {
        ensure!(all?.last().is_some_and(|told| told.kind == "done"), "it is told to its end");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_is_told_at_once_and_nothing_is_done_twice() -> Result<()> {
    let Some(kept) = Kept::postgres("a database that stands still")? else { return Ok(()) };
    let server = kept.postgres.as_ref().context("it is PostgreSQL")?;
    away_under_load(server, |is_gone| server.stand_still(is_gone)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_it_when_packets_are_lost_on_their_way() -> Result<()> {
    let story = "postgres_faults::nor_is_it_when_packets_are_lost_on_their_way";
    let Some(internet) = Internet::enter(story)? else { return Ok(()) };
    let address = SocketAddr::from((HOSTS[0], 5432));
    let Some(server) = Server::postgres_behind(&internet.before(), address)? else {
        lane::skip("packets that are lost", "there is no PostgreSQL here");
        return Ok(());
    };
    away_under_load(&server, |is_gone| internet.lose(is_gone)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_loses_in_a_crash_is_read_again_though_nothing_follows() -> Result<()> {
    let Some(mut kept) = Kept::postgres("a database that loses its last commits")? else {
        return Ok(());
    };
    let mut server = kept.postgres.take().context("it is PostgreSQL")?;
    // Commits that nobody waits for are on its disk much later.
    server.sql("ALTER SYSTEM SET wal_writer_delay = '10s'")?;
    server.sql("ALTER SYSTEM SET wal_writer_flush_after = '1GB'")?;
    server.sql("SELECT pg_reload_conf()")?;
    let provider = Provider::start(Duration::ZERO, adds_a_line()).await?;
    let mut env = provider.env("sk-p");
    env.push(("TOFT_DATABASE".into(), server.database("postgres")));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project = toft.new_project("Tail").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    for n in 1..=3 {
        session::prompt(&toft, &project, "a line").await?;
        follow.until_agent_end().await?;
        let last = follow.last;
        server.crash()?;
        server.begin()?;
        // The project says nothing more by itself.
        let until = tokio::time::Instant::now() + STEP_TIMEOUT;
        let mut again = loop {
            match Follow::from(&toft, &project, 0).await {
                Ok(again) => break again,
                Err(_) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(away) => return Err(away),
            }
        };
        let ends = |seen: &Seen| seen.kind == "agent_end";
        let mut ended = 0;
        again
            .until(|seen| {
                ended += usize::from(ends(seen));
                ended == n
            })
            .await
            .with_context(|| format!("{ended} of {n} ends are there, of {last} events"))?;
        assert_eq!(again.last, last, "each has the number that it had");
        follow = again;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_share_a_database_that_a_newer_one_has_changed_until_they_start_again() -> Result<()>
{
    let Some(kept) = Kept::postgres("a database that a newer version has changed")? else {
        return Ok(());
    };
    let server = kept.postgres.as_ref().context("it is PostgreSQL")?;
    let provider = Provider::start(Duration::ZERO, adds_a_line()).await?;
    let mut toft = Toft::start(start(server, &provider)).await?;
    let project = place(&toft).await?;
    completed(&toft, &ask(&toft, &project, "before", "a line").await?).await?;
    // What a newer version does at its start, by the database's own client.
    let changes = "ALTER TABLE run ADD COLUMN later TEXT; ALTER TABLE project ADD COLUMN later TEXT; \
        ALTER TABLE artifact ADD COLUMN later TEXT; INSERT INTO _sqlx_migrations \
        (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '\\x00', 1)";
    server.sql(changes)?;
    let run = ask(&toft, &project, "after", "a line").await?;
    completed(&toft, &run).await?;
    let made =
        toft.call("POST", "/v1/projects", Some(json!({"name": "New", "start": false}))).await?;
    ensure!(made["id"].is_string(), "{made}");
    toft.kill_server();
    let before = toft.log().len();
    ensure!(toft.up().await.is_err(), "it starts on what it does not know");
    toft.await_end()?;
    let said = toft.log()[before..].to_owned();
    ensure!(said.contains("newer Toft"), "{said}");
    server.sql("DELETE FROM _sqlx_migrations WHERE version = 9999")?;
    toft.up().await?;
    toft.down()
}
