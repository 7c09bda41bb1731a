//! Rows about much of something: events that are told again, clients that follow one run, runs of a project, and how
//! all of that grows.

use super::{
    Row,
    clients::{Act, Clients, Heard, PROCESSES, now_ns},
    lab::{Lab, id_of, ms},
    memory,
    provider::{Play, Provider, Tool},
    runs::{self, Kept, Place, accepted, idle},
    socket::{self, At},
};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    io::Read as _,
    net::TcpStream,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use toft_model::{id::ProjectId, run::JobId};
use toft_store::{
    Accepted, Claim, Durable, Left, NewRun, NewRunEvent, Runs as _, SqliteStore, Store as _,
};

/// Events that are told again.
const EVENTS: u64 = 10_000;
/// Clients that follow.
const FOLLOWERS: usize = 10_000;
/// What they are told, one after the other.
const DELTAS: usize = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);
/// Runs of the list.
const RUNS: usize = 10_000;
/// The first page.
const PAGE: usize = 50;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Runs and events of each step of growth.
const STEPS: [u64; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Rows written at once while growing.
const TOGETHER: u64 = 1_000;
/// How often a run is tried to be had before the server has it.
const TALKERS: usize = 10;
/// Events that are told again at each step.
const TAIL: u64 = 100;

/// Asks for a run, and waits until it has come to this.
async fn run(lab: &Lab, project: &str, more: &Value, is: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut body = json!({"prompt": "go"});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let path = format!("/v1/projects/{project}/runs");
    let asked = lab.client.say(&path, &body, &toft_model::id::random_hex(12)).await?;
    let path = format!("{path}/{}", asked["id"].as_str().context("a run has an id")?);
    let began = Instant::now();
    loop {
        let run = lab.client.get(&path).await?;
        if is(&run) {
            return Ok(run);
        }
        if run["status"] == "error" || began.elapsed() > PATIENCE {
            bail!("the run did not come to it: {run}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ten thousand events of a run that is over, to one client.
pub(super) async fn replay(rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kept in Kept::ALL {
        let count = usize::try_from(EVENTS)?;
        let provider = Provider::start(Play::Flood(count)).await?;
        let Some(place) = Place::open(kept, &provider.env()).await? else { continue };
        let lab = place.lab;
        let project = lab.project().await?;
        let over = |run: &Value| run["status"] == "completed";
        let run = run(&lab, &project, &json!({}), over).await?;
        let id = run["id"].as_str().context("an id")?.to_owned();
        let path = format!("/v1/projects/{project}/runs/{id}/stream");
        let told = heard(&lab, &path).await?.1;
        ensure!(told > EVENTS, "the run has told {told} events");
        let path = format!("{path}?after={}", told - EVENTS);
        let mut samples = Vec::new();
        for round in 0..=rounds {
            let (took, told) = heard(&lab, &path).await?;
            ensure!(told == EVENTS, "{told} events were told again");
            if round > 0 {
                samples.push(took);
            }
        }
        lab.close().await?;
        let name = match kept {
            Kept::Sqlite => "replay_10k".to_owned(),
            Kept::Postgres => format!("replay_10k ({})", kept.name()),
        };
        rows.push(Row::new(&name, "ms", samples));
    }
    Ok(rows)
}

/// Reads the stream of a run that is over: milliseconds, and events.
async fn heard(lab: &Lab, path: &str) -> Result<(f64, u64)> {
    let (at, path) = (At::of(&lab.data())?, path.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(at.addr).context("connecting")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let credential = format!("Bearer {}", at.token);
        let began = Instant::now();
        socket::ask(
            &mut stream,
            &path,
            &[("authorization", &credential), ("connection", "close")],
        )?;
        let mut bytes = Vec::with_capacity(4 << 20);
        stream.read_to_end(&mut bytes).context("reading a stream")?;
        let took = ms(began);
        let told = String::from_utf8_lossy(&bytes).matches("\nevent: ").count();
        Ok((took, u64::try_from(told)?))
    })
    .await?
}

/// One event to ten thousand clients that follow its run, from the provider's socket to each of theirs, and the server's
/// memory with all of them.
pub(super) async fn fanout(names: &[&str]) -> Result<Vec<Row>> {
    let provider = Provider::start(Play::Deltas(DELTAS, PAUSE)).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = lab.project().await?;
    let waits = |run: &Value| run["waitsFor"] == "approval";
    let run = run(&lab, &project, &json!({"approval": true}), waits).await?;
    let id = run["id"].as_str().context("an id")?;
    let path = format!("/v1/projects/{project}/runs/{id}/stream");
    let before = run["lastEventId"].as_u64().unwrap_or(0);
    let path = format!("{path}?after={before}");
    let mut all = Vec::new();
    for _ in 0..PROCESSES {
        let act =
            Act::Follow { connections: FOLLOWERS / PROCESSES, path: path.clone(), deltas: DELTAS };
        let mut clients = Clients::start(&lab, act).await?;
        clients.ready().await?;
        all.push(clients);
    }
    provider.forget();
    let approve = format!("/v1/projects/{project}/toft/runs/{id}/approve");
    lab.client.post(&approve, &json!({})).await?;
    let mut heard: Vec<Heard> = Vec::new();
    // The clocks of notes and clients are one; only their zero differs.
    let (here, there) = (Instant::now(), now_ns());
    for clients in all {
        heard.push(clients.done().await?);
    }
    let mib = memory::resident_mib(lab.pid()?)?;
    let sent: Vec<Instant> = provider.notes.lock().expect("no holder panics").deltas.clone();
    ensure!(sent.len() >= DELTAS, "the provider was not asked to the end");
    let mut samples = Vec::new();
    for (number, sent) in sent.iter().take(DELTAS).enumerate() {
        let (after, before) = (sent.duration_since(here), here.duration_since(*sent));
        let sent = there + u64::try_from(after.as_nanos())? - u64::try_from(before.as_nanos())?;
        for at in heard.iter().flat_map(|one| &one.at_ns[number]) {
            #[expect(clippy::cast_precision_loss, reason = "below a minute")]
            samples.push(at.saturating_sub(sent) as f64 / 1e6);
        }
    }
    ensure!(samples.len() == FOLLOWERS * DELTAS, "{} deltas came", samples.len());
    lab.close().await?;
    let mut rows =
        vec![Row::new("fanout_10k", "ms", samples), Row::new("fanout_10k_rss", "MiB", vec![mib])];
    rows.retain(|row| names.contains(&row.name.as_str()));
    Ok(rows)
}

/// The first page of a project with ten thousand runs.
pub(super) async fn list(rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kept in Kept::ALL {
        let Some(place) = Place::open(kept, &idle()).await? else { continue };
        let lab = place.lab;
        let project = lab.project().await?;
        accepted(&lab, std::slice::from_ref(&project), RUNS / 64 + 1).await?;
        let mut samples = Vec::new();
        for round in 0..=rounds {
            let took = page(&lab, &project).await?;
            if round > 0 {
                samples.push(took);
            }
        }
        lab.close().await?;
        let name = match kept {
            Kept::Sqlite => "list_10k_runs".to_owned(),
            Kept::Postgres => format!("list_10k_runs ({})", kept.name()),
        };
        rows.push(Row::new(&name, "ms", samples));
    }
    Ok(rows)
}

async fn page(lab: &Lab, project: &str) -> Result<f64> {
    let began = Instant::now();
    let page = lab.client.get(&format!("/v1/projects/{project}/runs?limit={PAGE}")).await?;
    let took = ms(began);
    ensure!(page.as_array().is_some_and(|all| all.len() == PAGE), "the page is not whole");
    Ok(took)
}

/// Accepting a run, its hand-over, the first page, the last events of a run and all of them, with a hundred to a million
/// runs of a project and events of a run. They are written by the store itself, and asked for as anywhere.
pub(super) async fn growth(rounds: usize) -> Result<Vec<Row>> {
    let provider = Provider::start(Play::Tools(0, Tool::Read)).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = lab.project().await?;
    // What follows in its project waits for it.
    let waits = |run: &Value| run["waitsFor"] == "approval";
    run(&lab, &project, &json!({"approval": true}), waits).await?;
    let handed_in = lab.project().await?;
    run(&lab, &handed_in, &json!({}), |run| run["status"] == "completed").await?;
    let store = SqliteStore::open(&lab.data().join("toft.db")).await?;
    let (other, mut told) = talker(&lab, &store).await?;
    let stream = format!("/v1/projects/{other}/runs/{}/stream", told.id);
    let (mut there, mut rows) = (0, Vec::new());
    for step in STEPS {
        while there < step {
            let count = TOGETHER.min(step - there);
            fill(&store, &project, count).await?;
            told = tell(&store, told, count).await?;
            there += count;
        }
        let after = told.last_seq - TAIL;
        let mut accept = Vec::new();
        let (mut handovers, mut lists, mut tails) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let path = format!("/v1/projects/{project}/runs");
            let began = Instant::now();
            let key = toft_model::id::random_hex(12);
            lab.client.say(&path, &json!({"prompt": "go"}), &key).await?;
            accept.push(ms(began));
            let (at, handed_in) = (At::of(&lab.data())?, handed_in.clone());
            handovers
                .push(tokio::task::spawn_blocking(move || runs::handed(&at, &handed_in)).await??);
            lists.push(page(&lab, &project).await?);
            tails.push(some(&lab, &format!("{stream}?after={after}"), TAIL).await?);
        }
        let all = vec![some(&lab, &stream, told.last_seq).await?];
        for (name, samples) in [
            ("accept", accept),
            ("handover", handovers),
            ("list", lists),
            ("last 100 events", tails),
            ("replay of all", all),
        ] {
            let name = format!("growth_runs: {name} ({step} runs and events)");
            rows.push(Row::new(&name, "ms", samples));
        }
    }
    store.close().await;
    lab.close().await?;
    Ok(rows)
}

/// The next events of a stream, so many.
async fn some(lab: &Lab, path: &str, count: u64) -> Result<f64> {
    let began = Instant::now();
    let mut events = lab.client.stream(http::Method::GET, path, None).await?;
    for _ in 0..count {
        events.next().await?.context("an event")?;
    }
    Ok(ms(began))
}

fn new_run(project: &ProjectId) -> NewRun {
    NewRun {
        id: JobId::random(),
        project: project.clone(),
        key: toft_model::id::random_hex(12),
        digest: String::new(),
        prompt: "Add a dark mode toggle".into(),
        continues: false,
        input: None,
        provider: None,
        model: None,
        backend: None,
        approval: false,
        priority: 0,
        attempts_max: 3,
    }
}

async fn fill(store: &SqliteStore, project: &str, count: u64) -> Result<()> {
    let project: ProjectId = project.parse()?;
    let new: Vec<NewRun> = (0..count).map(|_| new_run(&project)).collect();
    let done = store.accept_runs(&new, 1).await?;
    ensure!(done.iter().all(|one| matches!(one, Accepted::New(_))), "runs are not accepted");
    Ok(())
}

fn unix_ms() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// A run that the bench itself works on, and its project. The server may be the first to take it.
async fn talker(lab: &Lab, store: &SqliteStore) -> Result<(String, toft_store::Run)> {
    for _ in 0..TALKERS {
        // Without a machine: whose machine is a server's, that server alone works on its runs.
        let made = json!({"name": "bench", "start": false});
        let project = id_of(&lab.client.post("/v1/projects", &made).await?)?;
        fill(store, &project, 1).await?;
        let claim = Claim {
            owner: "bench",
            lease_ms: 1 << 40,
            limit: 1,
            per_project: 1,
            per_team: u32::MAX,
        };
        if let Some(run) = store.claim_runs(&claim, unix_ms()?).await?.pop() {
            ensure!(run.project.as_str() == project, "another run waits");
            return Ok((project, run));
        }
    }
    bail!("the server takes each run before the bench")
}

async fn tell(store: &SqliteStore, run: toft_store::Run, count: u64) -> Result<toft_store::Run> {
    let one =
        |n| NewRunEvent { ts: n, kind: "token".into(), data: format!("{{\"token\":\"w{n} \"}}") };
    let events: Vec<NewRunEvent> = (0..count).map(one).collect();
    let left = Left::default();
    match store.write_run(&run, &events, &left, Durable::Soon, 1).await? {
        toft_store::Wrote::Done(last_seq) => Ok(toft_store::Run { last_seq, ..run }),
        wrote => bail!("the run was taken away: {wrote:?}"),
    }
}
