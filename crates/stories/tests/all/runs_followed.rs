//! Clients of a run's stream as they are: they go away at any moment and come back with the last number that they had, with
//! numbers that are none, by the hundred, and some of them read nothing.

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use toft_stories::{
    lane,
    provider::{Provider, Say, Script},
    runs::{PLAN, Told, adds_a_line, ask, completed, follow, place, read},
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Says so many words before its plan.
fn wordy(words: usize) -> Script {
    let text = (0..words).map(|n| format!("word-{n}")).collect::<Vec<_>>().join(" ");
    let adds = adds_a_line();
    Arc::new(move |user, turn| {
        if !user.contains("[Plan mode is over") && user.contains("wordy") {
            return Say { text: format!("{text}\n\n{PLAN}"), tools: vec![] };
        }
        adds(user, turn)
    })
}

/// Numbers without a pattern.
fn chance(seed: &AtomicU64, below: u64) -> u64 {
    let mut x = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % below
}

const RECONNECTS: usize = 1_000;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_a_thousand_times_has_every_event_once_and_in_order() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(1), wordy(4_000)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-f"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let run = ask(&toft, &project, "one", "be wordy").await?;
    // They come and go while it talks, not while its machine starts.
    toft.until(&run, |run| run["lastEventId"].as_u64() > Some(10)).await?;
    let union: Mutex<BTreeMap<u64, Told>> = Mutex::default();
    let (left, seed) =
        (AtomicUsize::new(RECONNECTS), AtomicU64::new(u64::from(std::process::id())));
    eprintln!("chance begins with {}", std::process::id());
    let known =
        || union.lock().expect("no holder panics").last_key_value().map_or(0, |(id, _)| *id);
    let clients = (0..CLIENTS).map(async |_| {
        while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            // Where it was, or anywhere that it may have been.
            let last = known();
            let after = if chance(&seed, 3) == 0 { chance(&seed, last + 1) } else { last };
            let url = format!("{}{run}/stream", toft.base);
            let asked = toft.http().get(url).bearer_auth(&toft.token);
            let answer = asked.header("last-event-id", after).send().await?.error_for_status()?;
            let (mut body, mut text) = (answer.bytes_stream(), String::new());
            let (mut next, enough) = (after + 1, 1 + chance(&seed, 60));
            let stays = Instant::now() + Duration::from_millis(chance(&seed, 40));
            while next <= after + enough && Instant::now() < stays {
                let wait = stays.saturating_duration_since(Instant::now());
                let Ok(Some(bytes)) = timeout(wait, body.next()).await else { break };
                text.push_str(std::str::from_utf8(&bytes?)?);
                for told in read(&mut text)? {
                    ensure!(told.id == next, "{} follows {}", told.id, next - 1);
                    next += 1;
                    let mut union = union.lock().expect("no holder panics");
                    let before = union.insert(told.id, told.clone());
                    ensure!(
                        before.is_none_or(|before| before == told),
                        "{told:?} was told otherwise"
                    );
                }
            }
        }
        Ok::<_, anyhow::Error>(())
    });
    let all = join_all(clients).await;
    for one in all {
        one?;
    }
    completed(&toft, &run).await?;
    let whole = follow(&toft, &run).await?;
    ensure!(whole.len() > 1_000, "{} events", whole.len());
    let union = union.into_inner()?;
    let at = union.len();
    ensure!(at > 100, "they heard {at} events");
    let had: Vec<Told> = union.into_values().collect();
    assert_eq!(had, whole[..at], "what they had is how it stays, without a gap");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_none_of_the_run_is_refused_and_leads_to_no_other_one() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, wordy(200)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-f"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let (long, short) = (
        ask(&toft, &project, "long", "be wordy").await?,
        ask(&toft, &project, "short", "x").await?,
    );
    let (of_long, of_short) = (follow(&toft, &long).await?, follow(&toft, &short).await?);
    ensure!(of_long.len() > of_short.len() + 10, "one has told more than the other");
    let get = async |path: &str, header: Option<&str>| {
        let url = format!("{}{path}", toft.base);
        let mut asked = toft.http().get(url).bearer_auth(&toft.token).timeout(STEP_TIMEOUT);
        if let Some(last) = header {
            asked = asked.header("last-event-id", last);
        }
        let answer = asked.send().await?;
        Ok::<_, anyhow::Error>((answer.status().as_u16(), answer.text().await?))
    };
    let stream = format!("{short}/stream");
    let future = (of_short.len() + 1).to_string();
    let of_the_other = of_long.len().to_string();
    for none in [
        future.as_str(),
        of_the_other.as_str(),
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "1.0",
        "0x1",
        "1e3",
        "x",
        "1,2",
        "'; DROP TABLE run; --",
    ] {
        for (path, header) in
            [(stream.clone(), Some(none)), (format!("{stream}?after={none}"), None)]
        {
            let (status, said) = get(&path.replace(' ', "%20"), header).await?;
            let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
            assert_eq!(
                (status, &said["error"]["code"]),
                (400, &json!("invalid_argument")),
                "{none}: {said}"
            );
        }
    }
    // Each number that is one gets the rest of this run, whoever else has that number.
    for after in 0..=of_short.len() {
        let (status, text) = get(&stream, Some(&after.to_string())).await?;
        assert_eq!((status, read(&mut text.clone())?), (200, of_short[after..].to_vec()));
    }
    // The header wins over the address, which a browser repeats.
    let (_, text) =
        get(&format!("{stream}?after=0"), Some(&(of_short.len() - 1).to_string())).await?;
    assert_eq!(read(&mut text.clone())?, of_short[of_short.len() - 1..]);
    // Another project's way leads to none of it, and what is deleted is gone.
    let other = toft.new_project("Other").await?;
    let id = short.rsplit('/').next().context("an id")?;
    let foreign = format!("/v1/projects/{other}/runs/{id}/stream");
    assert_eq!(get(&foreign, Some("1")).await?.0, 404);
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    assert_eq!(get(&stream, Some("1")).await?.0, 404);
    toft.down()
}

/// Clients that follow at once, and how many of them read nothing.
fn crowd() -> (usize, usize) {
    if lane::deep() { (10_000, 100) } else { (600, 6) }
}

/// Words of the burst: more than all that lies between a server and a client that does not read.
const BURST_WORDS: usize = 40_000;
/// Kibibytes that a server may have in memory then.
const RESIDENT_KIB_MAX: u64 = 400 << 10;
/// Of what a client that reads nothing takes all the same.
const RECEIVE_BYTES: u32 = 4 << 10;

async fn connect(toft: &Toft, path: &str, after: u64, receive: Option<u32>) -> Result<TcpStream> {
    let address: SocketAddr = toft.base.trim_start_matches("http://").parse()?;
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut stream = socket.connect(address).await?;
    let request = format!(
        "GET {path}/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nlast-event-id: {after}\r\n\r\n",
        toft.token
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// The number of the last event that is whole, and whether the run's last one came.
fn heard(bytes: &[u8]) -> (u64, bool) {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let last = whole.rfind("\nid: ").or_else(|| whole.rfind("id: "));
    let number = last.and_then(|at| {
        whole[at..].trim_start().strip_prefix("id: ")?.lines().next()?.trim().parse().ok()
    });
    (number.unwrap_or(0), text.contains("event: done"))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_follow_those_that_read_nothing_are_let_go_and_miss_nothing() -> Result<()> {
    let (many, slow) = crowd();
    let wanted = u64::try_from(many + 512)?;
    let limit = rustix::process::Resource::Nofile;
    let mut files = rustix::process::getrlimit(limit);
    if files.current.is_some_and(|now| now < wanted) {
        files.current = Some(wanted.min(files.maximum.unwrap_or(u64::MAX)));
        rustix::process::setrlimit(limit, files)?;
    }
    if files.current.is_some_and(|now| now < wanted) {
        lane::skip(
            "a crowd of clients",
            format!("a process may have only {:?} files open", files.current),
        );
        return Ok(());
    }
    let provider = Provider::start(Duration::ZERO, wordy(BURST_WORDS)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-f"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let body = json!({"prompt": "be wordy", "approval": true});
    let asked = toft.http().post(format!("{}/v1/projects/{project}/runs", toft.base));
    let asked = asked.bearer_auth(&toft.token).header("idempotency-key", "one").json(&body).send();
    let asked: Value = asked.await?.json().await?;
    let id = asked["data"]["id"].as_str().context("an id")?.to_owned();
    let run = format!("/v1/projects/{project}/runs/{id}");
    let waiting = toft.until(&run, |run| run["waitsFor"] == "approval").await?;
    let told = waiting["lastEventId"].as_u64().context("it has told something")?;
    ensure!(told > u64::try_from(BURST_WORDS / 2)?, "{told} events are no burst");

    // Some ask for all of it and read nothing; the others have it, and wait for what comes.
    let mut still = Vec::new();
    for _ in 0..slow {
        still.push(connect(&toft, &run, 0, Some(RECEIVE_BYTES)).await?);
    }
    let mut follow_all = Vec::new();
    for _ in 0..many - slow {
        follow_all.push(connect(&toft, &run, told, None).await?);
    }
    let approve = format!("/v1/projects/{project}/toft/runs/{id}/approve");
    toft.call("POST", &approve, Some(json!({}))).await?;
    completed(&toft, &run).await?;
    let whole = toft.call("GET", &run, None).await?["lastEventId"].as_u64().context("a number")?;
    let listens = follow_all.into_iter().map(async |mut stream| {
        let mut bytes = Vec::new();
        while !heard(&bytes).1 {
            let read = timeout(STEP_TIMEOUT, stream.read_buf(&mut bytes)).await??;
            ensure!(read > 0, "a stream ended before the run");
        }
        ensure!(heard(&bytes).0 == whole, "{:?} of {whole}", heard(&bytes));
        Ok::<_, anyhow::Error>(())
    });
    for one in join_all(listens).await {
        one?;
    }
    let server = toft.server_pid().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{server}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let resident: u64 = resident.context("memory")?.trim().trim_end_matches(" kB").parse()?;
    eprintln!("{many} clients, {slow} of them still: {resident} KiB at most");
    ensure!(resident < RESIDENT_KIB_MAX, "the server had {resident} KiB");

    // The server lets go of those that take nothing; what they had tells where they go on.
    let mut cut = Vec::new();
    for mut stream in still {
        let end = toft_stories::processes::remote_end(stream.local_addr()?, stream.peer_addr()?);
        let until = Instant::now() + STEP_TIMEOUT;
        while end()? {
            ensure!(Instant::now() < until, "a client that reads nothing is kept");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut bytes = Vec::new();
        // Its end is a reset, or just the end.
        let _ = timeout(STEP_TIMEOUT, stream.read_to_end(&mut bytes)).await?;
        let (last, is_whole) = heard(&bytes);
        ensure!(!is_whole && last > 0 && last < whole, "{last} of {whole} while it read nothing");
        cut.push(last);
    }
    for last in cut {
        let mut stream = connect(&toft, &run, last, None).await?;
        let mut bytes = Vec::new();
        while !heard(&bytes).1 {
            ensure!(
                timeout(STEP_TIMEOUT, stream.read_buf(&mut bytes)).await?? > 0,
                "it ends early"
            );
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let first = text
            .find("\nid: ")
            .map(|at| text[at + 5..].lines().next().unwrap_or_default().to_owned());
        assert_eq!(first.as_deref(), Some((last + 1).to_string().as_str()));
    }
    toft.down()
}
