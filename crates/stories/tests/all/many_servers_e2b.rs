//! Two servers on one PostgreSQL, with machines at E2B: when the one that drives a run is gone, the other goes on with
//! it in the same sandbox, and the first one, back again, does nothing to it any more.

use super::{
    many_servers::{GONE, House, ask, follow, follow_with, gapless, until_within, words},
    schedules,
};
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use toft_stories::{
    e2b::E2b,
    processes,
    runs::is_over,
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// A client that follows a run to its end: numbers and kinds of its events.
type Followed = tokio::task::JoinHandle<Result<Vec<(u64, String)>>>;

/// What a server of these stories is started with.
fn start(house: &House, e2b: &E2b) -> Start {
    // A lease that ends with the server, so that a story is not about waiting.
    let mut start = house.start(&[("WORKER_REQUEUE_RUNNING_AFTER_S", "15")]);
    start.env.extend(e2b.env());
    start.args = vec!["--backend".to_owned(), "e2b".to_owned()];
    start
}

/// A run that waits in its sandbox for a file `go`, asked for and worked on at the first of two servers.
struct Scene {
    b: Toft,
    a: Toft,
    project: String,
    run: String,
    sandbox: String,
    // After the servers, which need them until they have ended.
    e2b: E2b,
    house: House,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn set(story: &str) -> Result<Option<Self>> {
        let Some(house) = House::build(story).await? else { return Ok(None) };
        let e2b = E2b::start().await?;
        let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
        let a = Toft::start(start(&house, &e2b)).await?;
        let b = House::joins(&a, start(&house, &e2b), &folder.path().join("b/data")).await?;
        let project = a.new_project("Far").await?;
        ensure!(a.exec(&project, "true").await?["exitCode"] == 0);
        let all = e2b.sandboxes();
        let [(sandbox, true)] = all.as_slice() else { anyhow::bail!("not one sandbox: {all:?}") };
        let sandbox = sandbox.clone();
        let run = ask(&b, &project, "one", "patiently").await?;
        b.until(&format!("/v1/projects/{project}/runs/{run}"), |run| run["phase"] == "build")
            .await?;
        Ok(Some(Self { b, a, project, run, sandbox, e2b, house, folder }))
    }

    fn at(&self) -> String {
        format!("/v1/projects/{}", self.project)
    }

    fn path(&self) -> String {
        format!("{}/runs/{}", self.at(), self.run)
    }

    async fn exec_at(&self, toft: &Toft, command: &str) -> Result<(u16, Value)> {
        let body = json!({"command": command});
        let asked = toft.request("POST", &format!("{}/exec", self.at()), Some(body)).await;
        let (status, mut said) = asked?;
        let data = said.get_mut("data").map(Value::take);
        Ok((status, data.unwrap_or(said)))
    }

    /// Waits until the second server has the run; what it says until then is what it says of a host that is gone.
    async fn taken_over(&self) -> Result<()> {
        let until = Instant::now() + GONE;
        loop {
            let (status, said) = self.exec_at(&self.b, "true").await?;
            if status == 200 {
                return Ok(());
            }
            let code = said["error"]["code"].as_str().unwrap_or_default();
            ensure!(["other_host", "waiting_host"].contains(&code), "{status} {said}");
            ensure!(Instant::now() < until, "it is not taken over: {said}\n{}", self.b.log());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The first server's answer names the second.
    async fn first_refuses(&self) -> Result<()> {
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            let (status, said) = self.exec_at(&self.a, "echo twice >> made").await?;
            ensure!(
                (status, &said["error"]["code"]) == (421, &json!("other_host")),
                "{status} {said}"
            );
            let message = said["error"]["message"].as_str().unwrap_or_default();
            if message.contains(&format!(":{}", self.b.port)) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lets the run end; its events are whole, each told once.
    async fn ends(&self, followed: Followed) -> Result<()> {
        let (status, said) = self.exec_at(&self.b, "touch go").await?;
        ensure!(status == 200 && said["exitCode"] == 0, "{status} {said}");
        let run = until_within(&self.b, &self.path(), GONE, is_over).await?;
        assert_eq!(
            (&run["status"], &run["error"], &run["statusDetail"]),
            (&json!("completed"), &Value::Null, &Value::Null),
            "{run}"
        );
        assert_eq!(run["meta"]["sandboxId"], json!(self.sandbox));
        let events = followed.await??;
        gapless(&events)?;
        for once in ["queued", "running", "plan_ready", "sandbox_created", "done"] {
            assert_eq!(words(&events, once), 1, "{once} of {events:?}");
        }
        assert_eq!(words(&events, "waiting_host"), words(&events, "host_back"), "{events:?}");
        // Whoever asks later, anywhere, is told the same.
        for toft in [&self.a, &self.b] {
            assert_eq!(follow(toft, &self.path(), GONE).await?, events);
        }
        let (_, made) = self.exec_at(&self.b, "cat made").await?;
        assert_eq!(made["stdout"], "a line\n", "it was worked on once");
        assert_eq!(self.house.provider.faults(), Vec::<String>::new());
        assert_eq!(self.e2b.faults(), Vec::<String>::new());
        let sandboxes = self.e2b.sandboxes();
        assert_eq!(sandboxes, [(self.sandbox.clone(), true)], "there is one, the same");
        Ok(())
    }

    /// Follows the run at the second server, whatever becomes of the connection, and of that server.
    async fn followed(&self) -> Result<Followed> {
        let asked = json!({"name": "follower", "scopes": ["read"]});
        let made = self.b.call("POST", "/v1/keys", Some(asked)).await?;
        let key = made["key"].as_str().context("a key")?.to_owned();
        let (http, base, path) = (self.b.http().clone(), self.b.base.clone(), self.path());
        Ok(tokio::spawn(async move { follow_with(&http, &base, &key, &path, GONE * 2).await }))
    }

    /// What the first one keeps of the project on its disk.
    fn kept_by_first(&self) -> Vec<String> {
        let below = ["run/m", "logs"].map(|below| self.a.data.join(below).join(&self.project));
        below.into_iter().filter(|at| at.exists()).map(|at| at.display().to_string()).collect()
    }

    /// Two schedules of the project: one with a slot every other second, and a command that waits for `go`, as the run
    /// does.
    async fn scheduled(&self) -> Result<(String, String)> {
        let body = json!({"name": "second", "when": {"everyS": 2},
            "do": {"command": schedules::MARK}});
        let every = schedules::add(&self.a, &self.project, body).await?;
        let command = "echo a line >> waited; until test -e go; do sleep 0.1; done; echo whole";
        let body = json!({"name": "waits", "when": {"everyS": 86400}, "do": {"command": command}});
        let waits = schedules::add(&self.a, &self.project, body).await?;
        let at = format!("{}/schedules/{waits}/run", self.at());
        self.a.call("POST", &at, None).await?;
        let began = "until test -e waited; do sleep 0.1; done";
        ensure!(self.a.exec(&self.project, began).await?["exitCode"] == 0);
        schedules::until(&self.a, &self.project, &every, |all| {
            all.iter().any(|firing| firing["outcome"] == "fired")
        })
        .await?;
        Ok((every, waits))
    }

    /// What the first server began ended with the second, and every slot has its record; none was run twice.
    async fn schedules_went_on(&self, every: &str, waits: &str, taken_at: u64) -> Result<()> {
        let over = |all: &[Value]| all.iter().all(schedules::is_over);
        let all = schedules::until(&self.b, &self.project, waits, over).await?;
        let [firing] = all.as_slice() else { anyhow::bail!("not one: {all:?}") };
        assert_eq!(
            (&firing["outcome"], &firing["output"], &firing["reason"]),
            (&json!("fired"), &json!("whole\n"), &Value::Null),
            "{firing}"
        );
        let (_, waited) = self.exec_at(&self.b, "cat waited").await?;
        assert_eq!(waited["stdout"], "a line\n");
        schedules::until(&self.b, &self.project, every, |all| {
            let since = |firing: &Value| firing["slot"].as_u64() > Some(taken_at);
            all.iter().any(|firing| since(firing) && firing["outcome"] == "fired")
        })
        .await?;
        schedules::ended_whole(&self.b, &self.project, every, 2_000).await?;
        Ok(())
    }

    fn down(self) -> Result<()> {
        self.b.down()?;
        self.a.down()?;
        drop(self.folder);
        Ok(())
    }
}

/// Numbers of the tunnels that a sandbox has now.
fn tunnels(e2b: &E2b, sandbox: &str) -> Vec<String> {
    let all = e2b.pids(sandbox).into_iter().filter_map(processes::one);
    let tunnels = all.filter(|process| process.argv.get(1).is_some_and(|arg| arg == "tunnel"));
    tunnels.filter_map(|process| process.argv.get(3).cloned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_at_e2b_goes_on_with_another_server_when_its_own_is_killed() -> Result<()> {
    let Some(mut scene) = Scene::set("many_servers_e2b").await? else { return Ok(()) };
    let followed = scene.followed().await?;
    let metadata = scene.e2b.metadata(&scene.sandbox).context("it says whose it is")?;
    ensure!(metadata["toft_installation"].is_string(), "{metadata}");
    assert_eq!(tunnels(&scene.e2b, &scene.sandbox), ["1"]);
    let (every, waits) = scene.scheduled().await?;
    scene.a.kill_server();
    scene.taken_over().await?;
    let taken_at = schedules::now_ms();
    assert_eq!(tunnels(&scene.e2b, &scene.sandbox), ["2"], "one, and the new server's");
    // All that takes the machine is answered there now.
    let listed = scene.b.call("GET", &format!("{}/toft/sessions", scene.at()), None).await?;
    ensure!(listed["sessions"].as_array().is_some_and(|all| !all.is_empty()), "{listed}");

    // The one that is back has nothing of it, and takes nothing away.
    scene.a.up().await?;
    let until = Instant::now() + STEP_TIMEOUT;
    while !scene.kept_by_first().is_empty() {
        ensure!(Instant::now() < until, "it keeps {:?}", scene.kept_by_first());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.first_refuses().await?;
    // The new one is killed, too, and is back before anybody takes it for gone: it is the same one still.
    scene.b.kill_server();
    scene.b.up().await?;
    scene.taken_over().await?;
    assert_eq!(tunnels(&scene.e2b, &scene.sandbox), ["2"]);
    scene.ends(followed).await?;
    scene.schedules_went_on(&every, &waits, taken_at).await?;

    // From now on it is the other one's, whoever is asked.
    let run = ask(&scene.a, &scene.project, "two", "go").await?;
    let path = format!("{}/runs/{run}", scene.at());
    let ended = until_within(&scene.a, &path, GONE, is_over).await?;
    assert_eq!(ended["status"], "completed", "{ended}");
    gapless(&follow(&scene.a, &path, GONE).await?)?;
    let (_, made) = scene.exec_at(&scene.b, "cat made").await?;
    assert_eq!(made["stdout"], "a line\na line\n");
    scene.a.call("DELETE", &scene.at(), None).await?;
    let until = Instant::now() + STEP_TIMEOUT;
    while !scene.e2b.sandboxes().is_empty() {
        ensure!(Instant::now() < until, "left there: {:?}", scene.e2b.sandboxes());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.down()
}

fn signal(toft: &Toft, signal: Signal) -> Result<()> {
    let pid = toft.server_pid().context("it runs")?;
    Ok(kill_process(Pid::from_raw(pid.cast_signed()).context("a process")?, signal)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stood_still_does_nothing_to_a_sandbox_that_another_went_on_with()
-> Result<()> {
    let Some(scene) = Scene::set("many_servers_e2b").await? else { return Ok(()) };
    let followed = scene.followed().await?;
    signal(&scene.a, Signal::STOP)?;
    let taken = scene.taken_over().await;
    let asked = scene.e2b.requests().len();
    signal(&scene.a, Signal::CONT)?;
    taken?;

    // It wants its tunnel back, and what it was asked for before is refused, too.
    scene.first_refuses().await?;
    let until = Instant::now() + STEP_TIMEOUT;
    while !scene.kept_by_first().is_empty() {
        ensure!(Instant::now() < until, "it keeps {:?}", scene.kept_by_first());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // As long as it would try again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(tunnels(&scene.e2b, &scene.sandbox), ["2"], "the other server's stays");
    let since: Vec<String> = scene.e2b.requests().split_off(asked);
    let harmful = |place: &&String| {
        place.ends_with("/pause") || place.starts_with("DELETE") || place.ends_with("/v2/sandboxes")
    };
    let harm: Vec<_> =
        since.iter().filter(harmful).filter(|place| !place.starts_with("GET")).collect();
    ensure!(harm.is_empty(), "it was asked for {harm:?}");
    let log = fs::read_to_string(log_of(&scene.a))?;
    ensure!(log.contains("another server went on with this machine"), "{log}");
    scene.ends(followed).await?;
    scene.down()
}

fn log_of(toft: &Toft) -> std::path::PathBuf {
    let parent = toft.data.parent().unwrap_or(Path::new("/tmp"));
    parent.join(format!("server-{}.log", toft.port))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sandbox_wakes_when_something_is_asked_of_it_with_what_ran_in_it() -> Result<()> {
    let Some(mut scene) = Scene::set("many_servers_e2b").await? else { return Ok(()) };
    ensure!(scene.exec_at(&scene.a, "touch go").await?.0 == 200);
    until_within(&scene.b, &scene.path(), GONE, is_over).await?;
    let began = scene.exec_at(&scene.a, "setsid sleep 3004 >/dev/null 2>&1 & sleep 0.1").await?;
    ensure!(began.0 == 200, "{began:?}");
    scene.a.call("POST", &format!("{}/freeze", scene.at()), Some(json!({}))).await?;
    scene.b.until(&scene.at(), |project| project["state"] == "frozen").await?;
    let asleep = [(scene.sandbox.clone(), false)];
    assert_eq!(scene.e2b.sandboxes(), asleep);
    scene.a.kill_server();
    // Nothing waits for it: it stays where it is, until somebody asks.
    let files = format!("{}/machine", scene.at());
    let until = Instant::now() + GONE;
    let machine = loop {
        let (status, said) = scene.b.request("GET", &files, None).await?;
        if status == 200 {
            break said;
        }
        // 503: on a host with much to do the database may seem to be away.
        let is_asked_again = [409, 421, 503].contains(&status);
        ensure!(is_asked_again && Instant::now() < until, "{status} {said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert_eq!(machine["data"]["state"], "cold", "{machine}");
    assert_eq!(scene.e2b.sandboxes(), asleep, "a look wakes nothing");
    let (status, made) = scene.exec_at(&scene.b, "cat made; pgrep -fc '^sleep 3004$'").await?;
    assert_eq!((status, &made["stdout"]), (200, &json!("a line\n1\n")), "{made}");
    assert_eq!(scene.e2b.sandboxes(), [(scene.sandbox.clone(), true)]);
    assert_eq!(scene.e2b.faults(), Vec::<String>::new());
    scene.a.up().await?;
    scene.down()
}
