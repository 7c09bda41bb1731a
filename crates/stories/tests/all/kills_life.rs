//! kill -9 while machines start and stop: the project is in the old state or in the new one, can be
//! used, and nothing of the half-done deed is left.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use toft_stories::{
    lane, processes,
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Create,
    Start,
    Stop,
    Sleep,
    Wake,
    Freeze,
    Thaw,
    Delete,
}

impl Deed {
    fn request(self, project: &str) -> (&'static str, String) {
        let of = |verb: &str| ("POST", format!("/v1/projects/{project}/{verb}"));
        match self {
            Self::Create => ("POST", "/v1/projects".into()),
            Self::Start => of("start"),
            Self::Stop => of("stop"),
            Self::Sleep => of("sleep"),
            Self::Wake => of("wake"),
            Self::Freeze => of("freeze"),
            Self::Thaw => of("thaw"),
            Self::Delete => ("DELETE", format!("/v1/projects/{project}")),
        }
    }

    /// Brings a project to where the deed begins; answers its id, which for a creation is the alias
    /// that it will have.
    async fn prepare(self, toft: &Toft, n: usize) -> Result<String> {
        if self == Self::Create {
            return Ok(format!("made-{n}"));
        }
        let project = toft.new_project("Life").await?;
        toft.exec(&project, "echo kept > kept.txt; sync kept.txt").await?;
        let before = match self {
            Self::Start => Some("stop"),
            Self::Wake => Some("sleep"),
            Self::Thaw => Some("freeze"),
            Self::Create | Self::Stop | Self::Sleep | Self::Freeze | Self::Delete => None,
        };
        if let Some(verb) = before {
            let path = format!("/v1/projects/{project}/{verb}");
            toft.call("POST", &path, Some(json!({}))).await?;
        }
        Ok(project)
    }

    /// States that are the old one or the new one.
    fn allowed(self) -> &'static [&'static str] {
        match self {
            Self::Create | Self::Wake | Self::Sleep | Self::Delete => &["running", "cold"],
            Self::Freeze | Self::Thaw => &["running", "frozen"],
            // The wish is written down before the deed.
            Self::Start => &["stopped", "cold", "running"],
            Self::Stop => &["running", "stopped"],
        }
    }
}

pub(crate) async fn project(toft: &Toft, id: &str) -> Result<Option<Value>> {
    let (status, body) = toft.request("GET", &format!("/v1/projects/{id}"), None).await?;
    match status {
        200 => Ok(Some(body["data"].clone())),
        404 => Ok(None),
        _ => anyhow::bail!("GET answered {status}: {body}"),
    }
}

pub(crate) fn inits(toft: &Toft, project: &str) -> Vec<processes::Process> {
    processes::all()
        .into_iter()
        .filter(|p| {
            p.argv.iter().any(|a| a == "init" || a == "__launch")
                && processes::confined_by(p.pid, &toft.data, project)
        })
        .collect()
}

/// Everything that may lie about of one project.
pub(crate) fn traces(toft: &Toft, project: &str) -> Vec<String> {
    let mut found: Vec<String> = inits(toft, project).iter().map(|p| format!("{p:?}")).collect();
    for place in ["run/m", "logs", "store/pool/p", "store/pool/ck"] {
        let path = toft.data.join(place).join(project);
        if std::fs::symlink_metadata(&path).is_ok() {
            found.push(path.display().to_string());
        }
    }
    found.extend(processes::named_below("/sys/fs/cgroup".as_ref(), project));
    let slots = std::fs::read_dir(toft.data.join("store/slots")).into_iter().flatten().flatten();
    found.extend(
        slots
            .filter(|e| std::fs::read_link(e.path()).is_ok_and(|to| to.ends_with(project)))
            .map(|e| e.path().display().to_string()),
    );
    found
}

/// Waits for something that a new server does by itself.
pub(crate) async fn soon(what: &str, mut missing: impl FnMut() -> Vec<String>) -> Result<()> {
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        let still = missing();
        if still.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{what}: {still:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn one(toft: &mut Toft, deed: Deed, n: usize, delay: Duration) -> Result<()> {
    let given = deed.prepare(toft, n).await?;
    let (method, path) = deed.request(&given);
    let body = match deed {
        Deed::Create => json!({"id": given, "name": "Life"}),
        Deed::Start
        | Deed::Stop
        | Deed::Sleep
        | Deed::Wake
        | Deed::Freeze
        | Deed::Thaw
        | Deed::Delete => json!({}),
    };
    let request = toft
        .http()
        .request(method.parse()?, format!("{}{path}", toft.base))
        .bearer_auth(&toft.token)
        .json(&body)
        .send();
    let asked = tokio::spawn(request);
    tokio::time::sleep(delay).await;
    toft.kill_server();
    asked.abort();
    toft.up().await?;

    let Some(found) = project(toft, &given).await? else {
        ensure!(matches!(deed, Deed::Create | Deed::Delete), "{deed:?}: the project is gone");
        if deed == Deed::Delete {
            soon("of a deleted project", || traces(toft, &given)).await?;
        }
        return Ok(());
    };
    let id = found["id"].as_str().context("a project has an id")?.to_owned();
    let state = found["state"].as_str().unwrap_or_default();
    ensure!(deed.allowed().contains(&state), "{deed:?} left the state {state}: {found}");
    if !["running", "frozen"].contains(&state) {
        soon("processes of a machine that is not running", || {
            inits(toft, &id).iter().map(|p| format!("{p:?}")).collect()
        })
        .await?;
    }
    let of = format!("/v1/projects/{id}");
    let started = toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    ensure!(started["state"] == "running", "{deed:?}: {started}");
    let ran = toft.exec(&id, "cat kept.txt; echo works").await?;
    let wanted = if deed == Deed::Create { "works\n" } else { "kept\nworks\n" };
    ensure!(ran["stdout"] == wanted, "{deed:?}, {state} after the kill: {ran}");
    soon("one init", || {
        let found = inits(toft, &id);
        if found.len() == 1 { Vec::new() } else { found.iter().map(|p| format!("{p:?}")).collect() }
    })
    .await?;
    toft.call("DELETE", &of, None).await?;
    let left = traces(toft, &id);
    ensure!(left.is_empty(), "{deed:?}: {left:#?}");
    Ok(())
}

async fn killed_during(deed: Deed) -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    // The first deed of a server also waits for the template.
    let first = toft.new_project("First").await?;
    let machine = toft.call("GET", &format!("/v1/projects/{first}/machine"), None).await?;
    if matches!(deed, Deed::Freeze | Deed::Thaw) && machine["can"]["freeze"] != true {
        lane::skip("kills around pausing", "this host cannot pause machines (no cgroup freezer)");
        return toft.down();
    }
    let given = deed.prepare(&toft, 999).await?;
    let (method, path) = deed.request(&given);
    let body = if deed == Deed::Create { json!({"id": given}) } else { json!({}) };
    let began = Instant::now();
    toft.call(method, &path, Some(body)).await?;
    let took = began.elapsed();
    let points = if lane::deep() { 20 } else { 6 };
    for n in 0..points {
        // A little beyond the end, so that the last points lie around it.
        let delay = took.mul_f64(1.2 * f64::from(n) / f64::from(points));
        one(&mut toft, deed, usize::try_from(n)?, delay)
            .await
            .with_context(|| format!("{deed:?}, killed after {delay:?} of {took:?}"))?;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_makes_a_project() -> Result<()> {
    killed_during(Deed::Create).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_starts_a_machine() -> Result<()> {
    killed_during(Deed::Start).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_stops_a_machine() -> Result<()> {
    killed_during(Deed::Stop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_a_machine_goes_to_sleep() -> Result<()> {
    killed_during(Deed::Sleep).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_wakes_a_machine() -> Result<()> {
    killed_during(Deed::Wake).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_pauses_a_machine() -> Result<()> {
    killed_during(Deed::Freeze).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_lets_a_machine_go_on() -> Result<()> {
    killed_during(Deed::Thaw).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_deletes_a_project() -> Result<()> {
    killed_during(Deed::Delete).await
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Gateway,
    Bridge,
}

impl Victim {
    fn pid(self, toft: &Toft, project: &str) -> Option<u32> {
        match self {
            Self::Gateway => toft.gateway_pid(),
            Self::Bridge => toft.bridge_pid(project),
        }
    }
}

/// Killed right after a start, and in the middle of a stop.
async fn killed_around(victim: Victim) -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Around").await?;
    let of = format!("/v1/projects/{project}");
    let points = if lane::deep() { 20 } else { 3 };
    let mut last = 0;
    for n in 0..points {
        let delay = Duration::from_millis(3 * n);
        toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
        toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
        tokio::time::sleep(delay).await;
        if let Some(pid) = victim.pid(&toft, &project) {
            processes::kill9(pid);
        }
        let mut follow = Follow::from(&toft, &project, last).await?;
        let text = format!("run `echo {n} >> ran.txt`");
        session::prompt(&toft, &project, &text).await.with_context(|| format!("{delay:?}"))?;
        let events = follow.until_agent_end().await.with_context(|| format!("{delay:?}"))?;
        ensure!(events.last().is_some_and(|e| e.data["reason"] == "done"), "{events:?}");

        let pid = victim.pid(&toft, &project).context("it is back")?;
        let stop = format!("{of}/stop");
        let stopping = toft.call("POST", &stop, Some(json!({})));
        let strike = async {
            tokio::time::sleep(delay).await;
            processes::kill9(pid);
        };
        let (stopped, ()) = tokio::join!(stopping, strike);
        ensure!(stopped?["state"] == "stopped", "killed {delay:?} into a stop");
        soon("of a stopped machine", || {
            inits(&toft, &project).iter().map(|p| format!("{p:?}")).collect()
        })
        .await?;
        toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
        let state = toft.call("GET", &format!("{of}/toft/state"), None).await?;
        ensure!(state["status"] == "idle", "{state}");
        last = state["seq"].as_u64().context("a number")?;
    }
    let wanted: Vec<String> = (0..points).map(|n| n.to_string()).collect();
    let ran = toft.exec(&project, "cat ran.txt").await?;
    let lines: Vec<&str> = ran["stdout"].as_str().unwrap_or_default().lines().collect();
    ensure!(lines == wanted, "each prompt ran once: {ran}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_killed_around_start_and_stop() -> Result<()> {
    killed_around(Victim::Bridge).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_around_start_and_stop() -> Result<()> {
    killed_around(Victim::Gateway).await
}
