//! Rows about runs on their way in: accepted, and handed to a worker. On both databases, which are what differs.

use super::{
    Row,
    clients::{Accepted, Act, Clients, PROCESSES, run_request},
    lab::Lab,
    postgres::Postgres,
    provider::{Play, Provider, Tool},
    socket::At,
};
use crate::output;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

/// Connections of all processes together.
const CONNECTIONS: usize = 64;
/// Requests over each in a round.
const REQUESTS: usize = 100;
/// Rounds that count, and one before them.
const ROUNDS_MAX: usize = 5;
/// Projects that runs are asked for.
const PROJECTS: usize = 64;
/// Waits for the disk that are measured.
const SYNCS: usize = 50;
/// What a commit writes at least.
const SYNC_BYTES: usize = 4 << 10;
/// Longest silence of a stream.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Where runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Sqlite,
    Postgres,
}

impl Kept {
    pub(super) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A server on one of the databases.
pub(super) struct Place {
    pub(super) lab: Lab,
    /// Ended after its server.
    _postgres: Option<Postgres>,
}

impl Place {
    /// `None`: the database is not installed here, which is said.
    pub(super) async fn open(kept: Kept, env: &[(String, String)]) -> Result<Option<Self>> {
        let mut env = env.to_vec();
        let postgres = match kept {
            Kept::Sqlite => None,
            Kept::Postgres => {
                let Some(postgres) = Postgres::start().await? else {
                    output::remark("rows on PostgreSQL are left out (apt-get install postgresql)");
                    return Ok(None);
                };
                Some(postgres)
            }
        };
        env.extend(postgres.as_ref().map(|server| ("DATABASE_URL".to_owned(), server.url())));
        Ok(Some(Self { lab: Lab::open(&env).await?, _postgres: postgres }))
    }
}

/// A server that accepts runs and leaves the work to others.
pub(super) fn idle() -> Vec<(String, String)> {
    vec![("TOFT_RUNS_AT_ONCE".into(), "0".into())]
}

/// Runs that are accepted in a second, each durable before its answer, and how long one takes; beside it, how long the
/// disk takes for one such wait.
pub(super) async fn accept(kept: Kept, rounds: usize) -> Result<Vec<Row>> {
    let row = match kept {
        Kept::Sqlite => "accept_runs_sqlite",
        Kept::Postgres => "accept_runs_postgres",
    };
    let Some(place) = Place::open(kept, &idle()).await? else { return Ok(Vec::new()) };
    let lab = place.lab;
    let mut projects = Vec::new();
    for _ in 0..PROJECTS {
        projects.push(lab.project().await?);
    }
    let (mut rates, mut took) = (Vec::new(), Vec::new());
    for round in 0..=rounds.min(ROUNDS_MAX) {
        let done = accepted(&lab, &projects, REQUESTS).await?;
        if round > 0 {
            rates.push(done.0);
            took.extend(done.1);
        }
    }
    let disk = syncs(&lab.data())?;
    lab.close().await?;
    Ok(vec![
        Row::new(row, "1/s", rates),
        Row::new(&format!("{row} (one)"), "ms", took),
        Row::new(&format!("{row} (one wait for the disk)"), "ms", disk),
    ])
}

/// Many runs of these projects: how many in a second, and the milliseconds of each.
pub(super) async fn accepted(
    lab: &Lab,
    projects: &[String],
    requests: usize,
) -> Result<(f64, Vec<f64>)> {
    let connections = CONNECTIONS / PROCESSES;
    let mut all = Vec::new();
    for n in 0..PROCESSES {
        // Each begins elsewhere.
        let mut projects = projects.to_vec();
        let first = n * connections % projects.len().max(1);
        projects.rotate_left(first);
        all.push(Clients::start(lab, Act::Accept { connections, requests, projects }).await?);
    }
    let mut done: Vec<Accepted> = Vec::new();
    for clients in all {
        done.push(clients.done().await?);
    }
    let began = done.iter().map(|one| one.began_ns).min().context("clients")?;
    let ended = done.iter().map(|one| one.ended_ns).max().context("clients")?;
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests, seconds of nanoseconds")]
    let (took, seconds): (Vec<f64>, f64) = (
        done.iter().flat_map(|one| &one.took_us).map(|us| *us as f64 / 1e3).collect(),
        (ended - began) as f64 / 1e9,
    );
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    let rate = took.len() as f64 / seconds;
    Ok((rate, took))
}

/// Milliseconds of one wait for the disk of a folder.
fn syncs(folder: &Path) -> Result<Vec<f64>> {
    let path = folder.join("bench-sync");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; SYNC_BYTES])?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(super::lab::ms(began));
    }
    fs::remove_file(path)?;
    Ok(took)
}

/// From a run that is durable, as its stream says, to the worker that has it, as the same stream says.
pub(super) async fn handover(rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kept in Kept::ALL {
        let provider = Provider::start(Play::Tools(0, Tool::Read)).await?;
        let Some(place) = Place::open(kept, &provider.env()).await? else { continue };
        let lab = place.lab;
        let project = lab.project().await?;
        let command = json!({"command": "true"});
        lab.client.post(&format!("/v1/projects/{project}/exec"), &command).await?;
        let mut samples = Vec::new();
        for round in 0..=rounds {
            let (at, project) = (At::of(&lab.data())?, project.clone());
            let took = tokio::task::spawn_blocking(move || handed(&at, &project)).await??;
            if round > 0 {
                samples.push(took);
            }
        }
        lab.close().await?;
        let name = match kept {
            Kept::Sqlite => "handover".to_owned(),
            Kept::Postgres => format!("handover ({})", kept.name()),
        };
        rows.push(Row::new(&name, "ms", samples));
    }
    Ok(rows)
}

/// Milliseconds from "queued" to "running" of a run that is asked for and followed to its end.
pub(super) fn handed(at: &At, project: &str) -> Result<f64> {
    let mut stream = TcpStream::connect(at.addr).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(&run_request(project, &at.token, ",\"stream\":true"))?;
    let (mut heard, mut queued, mut running) = (Vec::new(), None, None);
    let mut piece = [0; 16 << 10];
    loop {
        let read = stream.read(&mut piece).context("reading a run's stream")?;
        let now = Instant::now();
        heard.extend_from_slice(&piece[..read]);
        let has = |word: &[u8]| heard.windows(word.len()).any(|window| window == word);
        if queued.is_none() && has(b"\"status\":\"queued\"") {
            queued = Some(now);
        }
        if running.is_none() && has(b"\"status\":\"running\"") {
            running = Some(now);
        }
        // The next run of a project begins when this one is over.
        if read == 0 || heard.ends_with(b"\r\n0\r\n\r\n") {
            break;
        }
    }
    let told = String::from_utf8_lossy(&heard);
    ensure!(told.contains("event: done\n"), "the run did not end well: {told}");
    let (queued, running) = queued.zip(running).context("the stream says both")?;
    Ok(running.duration_since(queued).as_secs_f64() * 1e3)
}
