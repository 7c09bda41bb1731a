//! The power goes at any moment while runs are accepted: of what was not yet asked to be on disk some is there, some is
//! not, and some in part. What remains opens, is whole, and holds every run whose acceptance was answered.
//!
//! A process of its own works on a database with a library before its libc (`power.c`) that writes down what is written
//! and what is synced. From that the disks are made that a cut could have left, thousands if need be, of one go.

use super::{Place, event, new_project, runs::new};
use crate::chaos::Chance;
use rustix::time::{ClockId, clock_gettime};
use sqlx::{Connection as _, SqliteConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};
use toft_store::{Events as _, Projects as _, Runs as _, SqliteStore, Store as _};

/// Where the process works.
const FOLDER: &str = "TOFT_POWER_FOLDER";
const LOG: &str = "TOFT_POWER_LOG";
/// Runs that it accepts: enough for the log of the database to be emptied some times.
const RUNS: u64 = 900;
/// Events beside, whose commits do not wait for the disk.
const EVENTS: u64 = 600;
/// The smallest piece that a disk writes whole.
const SECTOR: usize = 512;

fn cuts() -> usize {
    if toft_lane::deep() { 2_000 } else { 60 }
}

/// Works until it is done, and ends without closing anything: the test below starts it, and nobody else.
#[tokio::test]
#[ignore = "the other test of this module runs it"]
async fn process() {
    let folder = PathBuf::from(env::var_os(FOLDER).expect("it is told where it works"));
    let store = SqliteStore::open(&folder.join("toft.db")).await.unwrap();
    let project = store.create_project(&new_project(Some("power"), "Power"), 1).await.unwrap();
    let id = project.project.id;
    let mut answered = File::create(folder.join("answered")).unwrap();
    let accepts = async {
        for n in 0..RUNS {
            let key = format!("run-{n}");
            let long = "a long prompt ".repeat(usize::try_from(n % 50).unwrap());
            let run = toft_store::NewRun { prompt: long + "x", ..new(&id, &key) };
            store.accept_runs(&[run], n).await.unwrap();
            // One write, and in one order with those of the database.
            answered.write_all(format!("{key}\n").as_bytes()).unwrap();
        }
    };
    let events = async {
        for seq in 1..=EVENTS {
            let long =
                format!("{{\"text\":\"{}\"}}", "y".repeat(usize::try_from(seq * 7).unwrap()));
            store.append_events(&id, &[event(seq, "notify", &long)]).await.unwrap();
        }
    };
    futures_util::join!(accepts, events);
    std::process::exit(0);
}

#[derive(Debug)]
enum Deed {
    Write { at: usize, bytes: Vec<u8> },
    Sync,
    Cut(usize),
}

/// What was done to which file, in order.
type Done = Vec<(String, Deed)>;

fn read(log: &[u8]) -> Done {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let (mut done, mut at) = (Vec::new(), 0);
    while at + 32 <= log.len() {
        let number =
            |n: usize| u64::from_le_bytes(log[at + n * 8..at + n * 8 + 8].try_into().unwrap());
        let (deed, file, offset, length) = (number(0), number(1), number(2), number(3));
        let (offset, length) = (usize::try_from(offset).unwrap(), usize::try_from(length).unwrap());
        at += 32;
        let name = || names.get(&file).expect("it was opened").clone();
        match deed {
            1 => {
                let path = Path::new(std::str::from_utf8(&log[at..at + length]).unwrap());
                names.insert(file, path.file_name().unwrap().to_string_lossy().into_owned());
                at += length;
            }
            2 => {
                let bytes = log[at..at + length].to_vec();
                done.push((name(), Deed::Write { at: offset, bytes }));
                at += length;
            }
            3 => done.push((name(), Deed::Sync)),
            4 => done.push((name(), Deed::Cut(offset))),
            other => panic!("deed {other}"),
        }
    }
    done
}

/// A file as it is on disk, and what was done to it since it was last synced.
#[derive(Default)]
struct OnDisk {
    bytes: Vec<u8>,
    loose: Vec<usize>,
}

fn apply(bytes: &mut Vec<u8>, deed: &Deed, up_to: usize) {
    match deed {
        Deed::Write { at, bytes: new } => {
            let new = &new[..up_to.min(new.len())];
            if bytes.len() < at + new.len() {
                bytes.resize(at + new.len(), 0);
            }
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        Deed::Cut(length) => bytes.resize(*length, 0),
        Deed::Sync => {}
    }
}

/// What the disk may hold of a file if the power goes now.
fn left(file: &OnDisk, done: &Done, chance: &mut Chance) -> Vec<u8> {
    let mut bytes = file.bytes.clone();
    // All of it, nothing, or what the disk happened to have written.
    let of_ten = [0, 10, 5, 9][usize::try_from(chance.below(4)).unwrap()];
    for which in &file.loose {
        let deed = &done[*which].1;
        if chance.below(10) >= of_ten {
            continue;
        }
        let up_to = match deed {
            Deed::Write { bytes, .. } if chance.below(8) == 0 => {
                let sectors = bytes.len() / SECTOR;
                usize::try_from(chance.below(sectors as u64 + 1)).unwrap() * SECTOR
            }
            _ => usize::MAX,
        };
        apply(&mut bytes, deed, up_to);
    }
    bytes
}

/// The library, from its source.
fn library(folder: &Path) -> Option<PathBuf> {
    let to = folder.join("power.so");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/story/power.c");
    let mut made = Command::new("cc");
    made.args(["-shared", "-fPIC", "-O1", "-w", "-o"])
        .arg(&to)
        .arg(from)
        .args(["-ldl", "-lpthread"]);
    let made = made.status();
    made.is_ok_and(|made| made.success()).then_some(to)
}

#[tokio::test]
async fn whatever_a_power_cut_leaves_opens_and_has_what_was_answered() {
    let place = Place::sqlite();
    let folder = place.file().parent().unwrap().to_owned();
    let Some(library) = library(&folder) else {
        toft_lane::skip("power cuts", "there is no C compiler here");
        return;
    };
    let (data, log) = (folder.join("data"), folder.join("log"));
    fs::create_dir(&data).unwrap();
    let ended = Command::new(env::current_exe().unwrap())
        .args(["power::process", "--exact", "--ignored"])
        .envs([(FOLDER, &data), (LOG, &log)])
        .env("LD_PRELOAD", library)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(ended.success(), "{ended}");
    let done = read(&fs::read(&log).unwrap());
    let of = |name: &str, what: fn(&Deed) -> bool| {
        done.iter().filter(|(file, deed)| file == name && what(deed)).count()
    };
    let is_sync = |deed: &Deed| matches!(deed, Deed::Sync);
    assert!(of("toft.db-wal", is_sync) as u64 >= RUNS, "each answer waits for the disk");
    assert!(of("toft.db", is_sync) > 1, "the log was emptied on the way");

    let nanos = clock_gettime(ClockId::Monotonic).tv_nsec;
    let mut chance = Chance::new(u64::try_from(nanos).unwrap() + 1);
    eprintln!("chance begins with {chance:?}");
    // From the first answer on; half of the cuts around the moments at which the log is emptied.
    let first = done.iter().position(|(file, _)| file == "answered").unwrap();
    let emptied: Vec<usize> = (first..done.len())
        .filter(|n| {
            done[*n].0 == "toft.db" && matches!(done[*n].1, Deed::Sync | Deed::Write { .. })
        })
        .collect();
    let mut moments = BTreeSet::new();
    while moments.len() < cuts().min(done.len() - first) {
        let any =
            |chance: &mut Chance, len: usize| usize::try_from(chance.below(len as u64)).unwrap();
        let at = if chance.below(2) == 0 {
            first + any(&mut chance, done.len() - first)
        } else {
            let around = emptied[any(&mut chance, emptied.len())];
            (around + any(&mut chance, 6)).saturating_sub(3).clamp(first, done.len() - 1)
        };
        moments.insert(at);
    }

    let mut files: BTreeMap<String, OnDisk> = BTreeMap::new();
    let mut answered = Vec::new();
    for (n, (name, deed)) in done.iter().enumerate() {
        if moments.contains(&n) {
            // Each in a folder of its own: who closes a database removes its log by name.
            let cut = folder.join(format!("cut-{n}"));
            fs::create_dir(&cut).unwrap();
            for name in ["toft.db", "toft.db-wal"] {
                if let Some(file) = files.get(name) {
                    fs::write(cut.join(name), left(file, &done, &mut chance)).unwrap();
                }
            }
            holds(&cut.join("toft.db"), &String::from_utf8(answered.clone()).unwrap(), n).await;
            fs::remove_dir_all(&cut).unwrap();
        }
        if name == "answered" {
            apply(&mut answered, deed, usize::MAX);
            continue;
        }
        let file = files.entry(name.clone()).or_default();
        if matches!(deed, Deed::Sync) {
            for which in std::mem::take(&mut file.loose) {
                apply(&mut file.bytes, &done[which].1, usize::MAX);
            }
        } else {
            file.loose.push(n);
        }
    }
}

async fn holds(file: &Path, answered: &str, moment: usize) {
    let store = SqliteStore::open(file).await.unwrap_or_else(|e| panic!("cut at {moment}: {e}"));
    let project = store.project("power").await.unwrap().expect("the project was answered for");
    let runs = store.runs(&project.id, u32::MAX, 0, usize::MAX).await.unwrap();
    let keys: BTreeSet<&str> = runs.iter().map(|run| run.key.as_str()).collect();
    let lost: Vec<&str> = answered.lines().filter(|key| !keys.contains(key)).collect();
    assert!(lost.is_empty(), "cut at {moment}: {lost:?} were answered");
    assert!(keys.len() <= answered.lines().count() + 1, "and none that was not asked for");
    assert_eq!(store.verify_events(&project.id).await.unwrap(), None, "cut at {moment}");
    store.close().await;
    let mut db = SqliteConnection::connect(&file.display().to_string()).await.unwrap();
    let whole: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.unwrap();
    assert_eq!(whole, "ok", "cut at {moment}");
    db.close().await.unwrap();
}
