//! kill -9 of the server right before and right after each commit that is about runs. The next server goes on: what was
//! promised is there, what the run does is done once, and its numbers have no gap.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use toft_stories::{
    lane,
    provider::Provider,
    runs::builder,
    servers::{Asked, Kept, Server},
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// Seconds after which a run is another server's; it is renewed three times in that.
const LEASE_S: &str = "5";
/// Adds a line to a file, slowly enough for that.
const SLOWLY: &str = "sleep 2; echo a line >> made";

/// What brings a server to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A run, from its request to its end, with a receiver that is told of it.
    Run,
    /// The next server, after one that died in the middle of a run.
    Begin,
    /// A run that is cancelled while it waits.
    Cancel,
    /// A receiver that is added and removed.
    Hook,
    /// A project that is deleted.
    Delete,
    /// A run more than workspaces are kept.
    Keep,
    /// A candidate that is kept, so that its run is the project's.
    Choose,
    /// A run whose project gets a machine on another server while it begins here. Of a database that several share.
    Elsewhere,
    /// A run whose project is of a server that is gone. Of a database that several share.
    Away,
}

fn way(point: &str) -> Result<Way> {
    Ok(match point {
        "runs.accepted" | "runs.claimed" | "runs.renewed" | "runs.written" | "webhooks.claimed"
        | "webhooks.told" => Way::Run,
        "runs.let_go" | "runs.taken_over" => Way::Begin,
        "runs.cancelled" => Way::Cancel,
        "projects.deleted" | "runs.deleted" => Way::Delete,
        "artifacts.forgotten" => Way::Keep,
        "runs.kept" => Way::Choose,
        "runs.given_back" => Way::Elsewhere,
        "runs.told_of_hosts" => Way::Away,
        "webhooks.added" | "webhooks.removed" => Way::Hook,
        new => anyhow::bail!("nothing brings a server to {new}: it is new, say how"),
    })
}

struct House<'a> {
    toft: &'a mut Toft,
    project: String,
    of: String,
}

/// A server of this story's.
async fn server(provider: &Provider, kept: &Kept) -> Result<Toft> {
    let mut env = provider.env("sk-c");
    env.extend(kept.env());
    env.push(("WORKER_REQUEUE_RUNNING_AFTER_S".into(), LEASE_S.into()));
    env.push(("TOFT_WORKSPACES_KEPT".into(), "1".into()));
    Toft::start(Start { env, ..Start::default() }).await
}

impl House<'_> {
    async fn open(toft: &mut Toft) -> Result<House<'_>> {
        let project = toft.new_project("Commits").await?;
        toft.exec(&project, "git init -q -b main .").await?;
        let of = format!("/v1/projects/{project}");
        Ok(House { toft, project, of })
    }

    /// Asks again until somebody answers: the server may have died over it.
    async fn ask(&self, key: &str) -> Result<String> {
        self.ask_for(key, json!({"prompt": "a line"})).await
    }

    async fn ask_for(&self, key: &str, body: Value) -> Result<String> {
        let url = format!("{}{}/runs", self.toft.base, self.of);
        let asked = self.toft.http().post(url).timeout(STEP_TIMEOUT).bearer_auth(&self.toft.token);
        let asked = asked.header("idempotency-key", key).json(&body);
        let answer: Value = asked.send().await?.error_for_status()?.json().await?;
        Ok(answer["data"]["id"].as_str().context("a run has an id")?.to_owned())
    }

    async fn over(&self, run: &str) -> Result<Value> {
        let at = format!("{}/runs/{run}", self.of);
        let over =
            |run: &Value| ["completed", "error", "cancelled"].iter().any(|s| run["status"] == *s);
        self.toft.until(&at, over).await
    }

    /// All that a run has told.
    async fn told(&self, run: &str) -> Result<Vec<String>> {
        let url = format!("{}{}/runs/{run}/stream", self.toft.base, self.of);
        let asked = self.toft.http().get(url).timeout(STEP_TIMEOUT).bearer_auth(&self.toft.token);
        let text = asked.send().await?.error_for_status()?.text().await?;
        let mut kinds = Vec::new();
        for block in text.split("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(kind)) = (field("id: "), field("event: "))
                && kind != "ping"
            {
                kinds.push(kind.to_owned());
                ensure!(id == kinds.len().to_string(), "number {id} is the {}th", kinds.len());
            }
        }
        Ok(kinds)
    }

    /// A run that was cut is done once, and told once.
    async fn is_done_once(&self, run: &str, lines: usize) -> Result<()> {
        let now = self.over(run).await?;
        ensure!(now["status"] == "completed", "{now}");
        let kinds = self.told(run).await?;
        ensure!(kinds.iter().filter(|kind| *kind == "done").count() == 1, "{kinds:?}");
        ensure!(kinds.last().is_some_and(|kind| kind == "done"), "{kinds:?}");
        let made = self.toft.exec(&self.project, "wc -l < made").await?;
        ensure!(made["stdout"] == format!("{lines}\n"), "{made}");
        let runs = self.toft.call("GET", &format!("{}/runs", self.of), None).await?;
        ensure!(runs.as_array().is_some_and(|all| all.len() == lines), "{runs}");
        Ok(())
    }
}

/// The receiver need not be there: that it is tried is what is committed.
const NOWHERE: &str = "http://127.0.0.1:9/hook";

/// A server of which nothing is there but its row, seen so many seconds from now.
fn other_server(seen_s: i64) -> String {
    format!(
        "INSERT INTO server (id, place, url, version, shares, seen_at, created_at) \
         SELECT 'other', 'elsewhere', 'http://other.test', version, shares, \
         CAST(extract(epoch FROM clock_timestamp()) AS BIGINT) * 1000 + {seen_s}000, created_at FROM server"
    )
}

/// The other server goes, and its project is this one's.
const NO_OTHER: &str = "UPDATE project SET host = (SELECT id FROM server WHERE id <> 'other') WHERE host = 'other'; \
    DELETE FROM server WHERE id = 'other'";

/// A change that is not committed before somebody waits for it.
fn until_waited_for(change: &str) -> String {
    format!(
        "BEGIN; {change}; DO $$ BEGIN FOR n IN 1..600 LOOP PERFORM pg_sleep(0.1); \
         IF EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))) \
         THEN RETURN; END IF; END LOOP; RAISE EXCEPTION 'nobody waits for it'; END $$; COMMIT"
    )
}

/// A run that waits in the queue, of a project that another server has, or binds just when this one begins.
async fn cut_beside(toft: &mut Toft, postgres: &Server, way: Way, at: &str) -> Result<()> {
    let made = json!({"name": "Elsewhere", "start": false});
    let made = toft.call("POST", "/v1/projects", Some(made)).await?;
    let project = made["id"].as_str().context("a project has an id")?.to_owned();
    let house = House { of: format!("/v1/projects/{project}"), toft, project };
    house.toft.kill_server();
    house.toft.up_with("TOFT_KILL_AT", "runs.accepted.after:1").await?;
    drop(house.ask("first").await);
    house.toft.await_end().context("it ends with the run in the queue")?;
    let bind = format!("UPDATE project SET host = 'other' WHERE public_id = '{}'", house.project);
    let binding = if way == Way::Away {
        postgres.sql(&other_server(-3_600))?;
        postgres.sql(&bind)?;
        None
    } else {
        postgres.sql(&other_server(3_600))?;
        let binding = postgres.sql_meanwhile(&until_waited_for(&bind))?;
        // Who comes before it finds the project free.
        let held = format!(
            "SELECT 1 FROM project WHERE public_id = '{}' FOR UPDATE NOWAIT",
            house.project
        );
        let until = Instant::now() + STEP_TIMEOUT;
        while postgres.sql(&held).is_ok() {
            ensure!(Instant::now() < until, "the project is not held");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(binding)
    };
    house.toft.up_with("TOFT_KILL_AT", at).await?;
    house.toft.await_end().context("no server comes there")?;
    binding.map_or(Ok(()), Asked::done)?;
    postgres.sql(NO_OTHER)?;
    house.toft.up().await?;
    let run = house.ask("first").await?;
    house.is_done_once(&run, 1).await?;
    house.toft.call("DELETE", &house.of, None).await?;
    Ok(())
}

async fn cut(toft: &mut Toft, kept: &Kept, way: Way, at: &str) -> Result<()> {
    if let (Way::Elsewhere | Way::Away, Some(postgres)) = (way, &kept.postgres) {
        return cut_beside(toft, postgres, way, at).await;
    }
    let house = House::open(toft).await?;
    let hooks = format!("{}/webhooks", house.of);
    if way != Way::Hook {
        house.toft.call("POST", &hooks, Some(json!({"url": NOWHERE}))).await?;
    }
    let (mut run, mut several) = (String::new(), String::new());
    match way {
        Way::Begin | Way::Cancel => {
            run = house.ask("first").await?;
            let at = format!("{}/runs/{run}", house.of);
            house.toft.until(&at, |run| run["phase"] == "build").await?;
        }
        Way::Delete | Way::Keep => {
            run = house.ask("first").await?;
            house.over(&run).await?;
        }
        Way::Choose => {
            let body = json!({"prompt": "a line", "n": 2});
            several = format!("{}/comparisons/{}", house.of, house.ask_for("several", body).await?);
            let worked =
                |now: &Value| (0..2).all(|n| now["candidates"][n]["run"]["status"] == "completed");
            let several = house.toft.until(&several, worked).await?;
            several["candidates"][0]["runId"].as_str().context("its run")?.clone_into(&mut run);
        }
        Way::Run | Way::Hook | Way::Elsewhere | Way::Away => {}
    }
    house.toft.kill_server();
    let up = house.toft.up_with("TOFT_KILL_AT", at).await;
    // What is done at a start may end it before it says where it is.
    if way != Way::Begin {
        up?;
    }
    // What brings it there may fail with it, or be answered before.
    match way {
        Way::Run | Way::Keep => drop(house.ask("second").await),
        Way::Begin | Way::Away | Way::Elsewhere => {}
        Way::Cancel => {
            drop(house.ask("second").await);
            let runs = house.toft.call("GET", &format!("{}/runs", house.of), None).await?;
            let waits = runs[0]["id"].as_str().context("a run that waits")?.to_owned();
            let cancel = format!("{}/runs/{waits}/cancel", house.of);
            drop(house.toft.request("POST", &cancel, None).await);
        }
        Way::Hook => {
            if let Ok((200, made)) =
                house.toft.request("POST", &hooks, Some(json!({"url": NOWHERE}))).await
            {
                let made = format!("{hooks}/{}", made["data"]["id"].as_str().unwrap_or_default());
                drop(house.toft.request("DELETE", &made, None).await);
            }
        }
        Way::Delete => drop(house.toft.request("DELETE", &house.of, None).await),
        Way::Choose => {
            let keep = format!("{several}/keep");
            drop(house.toft.request("POST", &keep, Some(json!({"runId": run}))).await);
        }
    }
    house.toft.await_end().context("no server comes there")?;
    house.toft.up().await?;
    match way {
        Way::Run => {
            run = house.ask("second").await?;
            house.is_done_once(&run, 1).await?;
            let hook = house.toft.call("GET", &hooks, None).await?;
            let hook = format!("{hooks}/{}", hook[0]["id"].as_str().context("a receiver")?);
            let tried = |hook: &Value| hook["deliveries"][0]["attempts"].as_u64() >= Some(1);
            let told = house.toft.until(&hook, tried).await?;
            ensure!(told["deliveries"].as_array().is_some_and(|all| all.len() == 1), "{told}");
        }
        Way::Keep => {
            let second = house.ask("second").await?;
            house.is_done_once(&second, 2).await?;
        }
        Way::Choose => {
            house.toft.until(&several, |now| now["status"] == "kept").await?;
            house.is_done_once(&run, 1).await?;
        }
        Way::Begin => house.is_done_once(&run, 1).await?,
        Way::Elsewhere | Way::Away => {}
        Way::Cancel => {
            let second = house.ask("second").await?;
            house.toft.request("POST", &format!("{}/runs/{second}/cancel", house.of), None).await?;
            let ended = house.over(&second).await?;
            ensure!(ended["status"] == "cancelled", "{ended}");
            ensure!(house.told(&second).await?.len() == 2, "it is told once");
            ensure!(house.over(&run).await?["status"] == "completed", "the first one goes on");
        }
        Way::Hook => {
            let there = house.toft.call("GET", &hooks, None).await?;
            let count = there.as_array().map_or(0, Vec::len);
            // Removed, never added, or still there: then it can be removed.
            ensure!(count <= 1, "{there}");
            if count == 1 {
                let hook = format!("{hooks}/{}", there[0]["id"].as_str().context("an id")?);
                house.toft.call("DELETE", &hook, None).await?;
            }
        }
        Way::Delete => {
            drop(house.toft.request("DELETE", &house.of, None).await?);
            let until = Instant::now() + STEP_TIMEOUT;
            while house.toft.request("GET", &house.of, None).await?.0 != 404 {
                ensure!(Instant::now() < until, "the project stays");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Those of all ways before it, too.
            let none = |now: &Value| {
                now["runs"].as_array().is_some_and(|all| all.iter().all(|row| row["count"] == 0))
            };
            house.toft.until("/v1/metrics", none).await.context("rows of its runs stay")?;
        }
    }
    if way != Way::Delete {
        // What it left to be told would bring the next one to a moment.
        house.toft.call("DELETE", &house.of, None).await?;
    }
    Ok(())
}

/// Each moment of each commit on one of the two databases, where it can be on either; in the long lane on both.
async fn around_all(kept: &Kept, parity: usize) -> Result<()> {
    let provider = Provider::start(Duration::ZERO, builder(|_| SLOWLY.into())).await?;
    let mut toft = server(&provider, kept).await?;
    for (number, point) in toft_store::commits::ALL.iter().enumerate() {
        let way = way(point)?;
        let is_shared = matches!(way, Way::Elsewhere | Way::Away);
        if kept.postgres.is_none() && is_shared {
            continue;
        }
        let times: &[u32] = match *point {
            // All that a run tells.
            "runs.written" if lane::deep() => &[1, 2, 3, 4, 5, 6, 7, 8],
            "runs.written" => &[1, 3],
            _ => &[1],
        };
        for (side, name) in ["before", "after"].into_iter().enumerate() {
            if !lane::deep() && !is_shared && (number + side) % 2 != parity {
                continue;
            }
            for times in times {
                let at = format!("{point}.{name}:{times}");
                cut(&mut toft, kept, way, &at).await.context(at)?;
            }
        }
    }
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_around_any_commit_leaves_every_run_whole() -> Result<()> {
    around_all(&Kept::sqlite(), 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_on_postgres() -> Result<()> {
    let Some(kept) = Kept::postgres("commits about runs, on PostgreSQL")? else { return Ok(()) };
    around_all(&kept, 1).await
}
