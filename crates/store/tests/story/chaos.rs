//! Twelve processes of sixteen workers each on one database, killed and stood still at random while runs are accepted,
//! cancelled and followed; PostgreSQL itself is stopped and started in order meanwhile, and stands still. What happens is
//! never the same twice; what must hold always does: every accepted run ends, its numbers have no gap, one owner writes,
//! and what is told to others goes with the end.

#![expect(
    clippy::print_stderr,
    reason = "what chance began with, and how much it did, is read where the story failed"
)]

mod checks;
mod worker;

use super::{
    databases::{Place, Server},
    new_project, postgres, runs,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashMap,
    env,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use toft_model::{
    id::ProjectId,
    run::{JobId, WebhookId},
};
use toft_store::{Accepted, NewServer, Run, Store, Webhook};
use tokio::time::sleep;

const PROCESSES: usize = 12;
const PROJECTS: u64 = 24;
/// Runs that wait or are worked on; no more are asked for until some are over.
const OPEN_MAX: usize = 300;
/// How long the rest may take once nobody is killed any more.
const CALM: Duration = Duration::from_mins(2);
/// Where a worker finds the database.
const PLACE: &str = "TOFT_CHAOS_PLACE";
/// How a process of workers names itself.
const OWNER: &str = "TOFT_CHAOS_OWNER";

/// Of each database.
fn lasts() -> Duration {
    if toft_lane::deep() { Duration::from_mins(10) } else { Duration::from_mins(1) }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Numbers without a pattern; where it began is printed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// From a number that is not 0.
    pub(crate) fn new(begin: u64) -> Self {
        Self(begin)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let place = Place::sqlite();
    let file = place.file().display().to_string();
    chaos(&place, &file, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let Some(server) = postgres::server() else { return };
    let place = server.place("chaos").await;
    let url = place.url().to_owned();
    chaos(&place, &url, Some(&server)).await;
}

/// A process of workers: the tests above start it, and nobody else.
#[tokio::test]
#[ignore = "the other tests of this module run it"]
async fn process() {
    let place = env::var(PLACE).expect("a process of workers is told where it works");
    worker::work(&place, &env::var(OWNER).unwrap()).await;
}

/// What the test itself has seen on its way.
#[derive(Default)]
struct Seen {
    /// The run of each key that was used.
    keys: Mutex<HashMap<(ProjectId, String), JobId>>,
    ends: AtomicBool,
}

async fn chaos(place: &Place, at: &str, server: Option<&Server>) {
    let store: Arc<dyn Store> = Arc::from(place.open().await);
    let mut projects = Vec::new();
    for n in 0..PROJECTS {
        let made = store.create_project(&new_project(None, "Chaos"), n).await.unwrap();
        projects.push(made.project.id);
    }
    let hook = Webhook {
        id: WebhookId::random(),
        project: None,
        url: "http://127.0.0.1:9/".into(),
        sealed: "sealed".into(),
        created_at: 1,
    };
    assert!(store.add_webhook(&hook, 9).await.unwrap());
    let seen = Arc::new(Seen::default());
    let mut all = Vec::new();
    for n in 0..4 {
        let (store, seen, projects) = (Arc::clone(&store), Arc::clone(&seen), projects.clone());
        all.push(tokio::spawn(async move { ask(&*store, &seen, &projects, n).await }));
    }
    let followers: Vec<_> = (0..24)
        .map(|n| {
            let (store, seen) = (Arc::clone(&store), Arc::clone(&seen));
            tokio::spawn(async move { checks::follow(&*store, &seen, n).await })
        })
        .collect();
    let watching = {
        let (store, seen, projects) = (Arc::clone(&store), Arc::clone(&seen), projects.clone());
        tokio::spawn(async move { checks::one_at_a_time(&*store, &seen, &projects).await })
    };
    let (one, two) = (place.open().await, place.open().await);
    let mut herd = Herd::start(at);
    let began = Instant::now();
    let mut chance = Chance(now_ms());
    eprintln!("chance begins with {}", chance.0);
    let harming = async {
        while began.elapsed() < lasts() {
            sleep(Duration::from_millis(50 + chance.below(250))).await;
            herd.harm(&mut chance);
            if let Some(server) = server.filter(|_| chance.below(30) == 0) {
                away(server, &mut chance).await;
            }
        }
        // From here on nobody is harmed, and one that stands still may hold the writers' lock: whatever was left must
        // end.
        herd.calm();
        seen.ends.store(true, Ordering::SeqCst);
    };
    let ((), gone) = tokio::join!(harming, hosts(place, [&*one, &*two], &seen, &projects));
    one.close().await;
    two.close().await;
    for one in all {
        one.await.unwrap();
    }
    let runs = ended(&*store, &projects).await;
    watching.await.unwrap();
    let mut heard = 0;
    for follower in followers {
        heard += checks::heard(&*store, follower.await.unwrap()).await;
    }
    herd.end();
    checks::all(&*store, &runs, &hook.id).await;
    let fences: u64 = runs.iter().map(|run| run.fence).sum();
    eprintln!(
        "{} runs, {fences} owners, {heard} events followed, {gone} told that their host is gone, \
         {} killed, {} stood still",
        runs.len(),
        herd.killed,
        herd.stopped
    );
    let much = runs.len() > 50 && gone > 5 && herd.killed > 5 && herd.stopped > 5;
    assert!(much, "too little happened");
    store.close().await;
}

/// The database itself is stopped and started in order, or stands still for longer than runs are anybody's.
async fn away(server: &Server, chance: &mut Chance) {
    if chance.below(2) == 0 {
        server.tell("again");
        drop(server.ready().await);
    } else {
        server.stand_still();
        sleep(Duration::from_millis(500 + chance.below(6_000))).await;
        server.go_on();
    }
}

/// The host of one project after the other seems gone for a while, and is back, whoever works on its runs. How many runs
/// were told so.
async fn hosts(
    place: &Place,
    [store, other]: [&dyn Store; 2],
    seen: &Seen,
    projects: &[ProjectId],
) -> usize {
    const HOST: &str = "UPDATE project SET host = ";
    let ghost = NewServer {
        id: "ghost".into(),
        place: "boot host /ghost".into(),
        url: "http://ghost:4000".into(),
        version: "1".into(),
        shares: "same".into(),
    };
    let (mut chance, mut told) = (Chance(now_ms()), 0);
    let mut is_there = store.join(&ghost, now_ms()).await.is_ok();
    while !seen.ends.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(100 + chance.below(300))).await;
        if !is_there {
            is_there = store.join(&ghost, now_ms()).await.is_ok();
            continue;
        }
        let project = &projects[usize::try_from(chance.below(PROJECTS)).unwrap()];
        let goes = format!(
            "{HOST}'ghost' WHERE public_id = '{project}'; UPDATE server SET seen_at = 0 WHERE id = 'ghost'"
        );
        // Now and then the database is away.
        let _ = place.try_sql(&goes).await;
        // Two who find it out at once.
        let now = now_ms();
        let both = tokio::join!(store.tell_of_hosts(true, now), other.tell_of_hosts(true, now));
        told += [both.0, both.1].into_iter().flatten().flatten().count();
        sleep(Duration::from_millis(chance.below(300))).await;
        let _ = store.beat(&ghost, now_ms()).await;
        let now = now_ms();
        let _ = tokio::join!(store.tell_of_hosts(true, now), other.tell_of_hosts(true, now));
        let _ = place.try_sql(&format!("{HOST}NULL")).await;
    }
    while let Err(error) = place.try_sql(&format!("{HOST}NULL")).await {
        eprintln!("hosts are let go again: {error}");
        sleep(Duration::from_millis(100)).await;
    }
    told
}

/// Asks for runs, some of them again, and has some ended.
async fn ask(store: &dyn Store, seen: &Seen, projects: &[ProjectId], number: u64) {
    let mut chance = Chance(now_ms() ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut count = 0_u64;
    while !seen.ends.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(20 + chance.below(60))).await;
        if checks::open(store).await > OPEN_MAX {
            continue;
        }
        let mut new = Vec::new();
        for _ in 0..=chance.below(4) {
            count += 1;
            // One in five was asked for before, maybe by a client that did not hear the answer.
            let again = if chance.below(5) == 0 { 1 + chance.below(count) } else { count };
            let project = &projects[usize::try_from(again % PROJECTS).unwrap()];
            new.push(runs::new(project, &format!("{number}-{again}")));
        }
        let Ok(accepted) = store.accept_runs(&new, now_ms()).await else { continue };
        for (new, one) in new.iter().zip(accepted) {
            let (Accepted::New(run) | Accepted::Known(run)) = one else { panic!("{one:?}") };
            let key = (new.project.clone(), new.key.clone());
            let known = seen.keys.lock().unwrap().entry(key).or_insert(run.id.clone()).clone();
            assert_eq!(known, run.id, "a key is one run");
            if chance.below(8) == 0 {
                // Refused or not: what came of it is seen at the end.
                let _ = store.cancel_run(&run.project, &run.id, now_ms()).await;
            }
        }
    }
}

/// All runs, once they are over.
async fn ended(store: &dyn Store, projects: &[ProjectId]) -> Vec<Run> {
    let until = Instant::now() + CALM;
    loop {
        let open = checks::open(store).await;
        if open == 0 {
            break;
        }
        assert!(Instant::now() < until, "{open} runs do not end");
        sleep(Duration::from_millis(100)).await;
    }
    let mut all = Vec::new();
    for project in projects {
        all.extend(store.runs(project, u32::MAX, 0, usize::MAX).await.unwrap());
    }
    all
}

/// The processes of workers.
struct Herd {
    at: String,
    all: Vec<Child>,
    /// Those that stand still, and until when.
    still: HashMap<usize, Instant>,
    begun: usize,
    killed: usize,
    stopped: usize,
}

impl Herd {
    fn start(at: &str) -> Self {
        let still = HashMap::new();
        let mut herd =
            Self { at: at.to_owned(), all: Vec::new(), still, begun: 0, killed: 0, stopped: 0 };
        for _ in 0..PROCESSES {
            let child = herd.spawn();
            herd.all.push(child);
        }
        herd
    }

    fn spawn(&mut self) -> Child {
        self.begun += 1;
        Command::new(env::current_exe().unwrap())
            .args(["chaos::process", "--exact", "--ignored"])
            .env(PLACE, &self.at)
            .env(OWNER, format!("worker-{}", self.begun))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn signal(&self, which: usize, signal: Signal) {
        let pid = i32::try_from(self.all[which].id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills one and starts another, or has one stand still for a while, longer than its runs are its own.
    fn harm(&mut self, chance: &mut Chance) {
        let over: Vec<usize> =
            self.still.iter().filter(|(_, at)| Instant::now() > **at).map(|(n, _)| *n).collect();
        for which in over {
            self.still.remove(&which);
            self.signal(which, Signal::CONT);
        }
        let which = usize::try_from(chance.below(PROCESSES as u64)).unwrap();
        let ended = self.all[which].try_wait().unwrap();
        assert!(ended.is_none(), "a process of workers ended by itself: {ended:?}");
        if chance.below(2) == 0 {
            self.still.remove(&which);
            self.signal(which, Signal::KILL);
            self.all[which].wait().unwrap();
            self.all[which] = self.spawn();
            self.killed += 1;
        } else if !self.still.contains_key(&which) {
            self.signal(which, Signal::STOP);
            let until = Instant::now() + Duration::from_millis(chance.below(4_000));
            self.still.insert(which, until);
            self.stopped += 1;
        }
    }

    fn calm(&mut self) {
        for which in std::mem::take(&mut self.still).into_keys() {
            self.signal(which, Signal::CONT);
        }
    }

    fn end(&mut self) {
        for child in &mut self.all {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        self.end();
    }
}
