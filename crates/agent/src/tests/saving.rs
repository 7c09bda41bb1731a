//! Answers on their way to the disk.

use super::bench::Bench;
use crate::session::{Session, TestDisk};
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use toft_llm::testing::{Prepared, call};

/// A disk that holds the first answer with calls until it is let go, or fails.
struct Slow {
    held: Mutex<Option<io::Result<()>>>,
    was_there: AtomicBool,
    changed: Condvar,
}

impl Slow {
    fn below(bench: &Bench) -> Arc<Self> {
        let slow = Arc::new(Self {
            held: Mutex::default(),
            was_there: AtomicBool::default(),
            changed: Condvar::new(),
        });
        let (disk, path) = (Arc::clone(&slow), session_path(bench));
        let asked = move || {
            let there = std::fs::read_to_string(&path)?.contains(r#""toolCall""#);
            let now = there && !disk.was_there.swap(true, Ordering::SeqCst);
            if now { disk.wait() } else { Ok(()) }
        };
        bench.handle.conversation().session().set_disk_for_test(TestDisk(Arc::new(asked)));
        slow
    }

    fn wait(&self) -> io::Result<()> {
        let held = self.held.lock().unwrap();
        let mut held = self.changed.wait_while(held, |held| held.is_none()).unwrap();
        held.take().unwrap()
    }

    fn end(&self, with: io::Result<()>) {
        *self.held.lock().unwrap() = Some(with);
        self.changed.notify_all();
    }
}

fn session_path(bench: &Bench) -> std::path::PathBuf {
    bench.handle.conversation().session().path().to_owned()
}

fn reads() -> [Prepared; 2] {
    let both = vec![call("c1", "read", "{}"), call("c2", "read", "{}")];
    [Prepared::Says(both), Prepared::text("Both read.")]
}

/// Until the model was asked so often.
async fn asked(bench: &Bench, times: usize) {
    let all = async {
        while bench.model.asked().len() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(10), all).await.expect("the model is asked");
}

#[tokio::test]
async fn calls_that_only_read_do_not_wait_for_the_disk_and_people_do() {
    let plain = Bench::new(reads());
    plain.run("look").await;
    let bench = Bench::new(reads());
    let disk = Slow::below(&bench);
    bench.prompt("look").await;
    asked(&bench, 2).await;
    let told = bench.story();
    assert!(told.ends_with("turn_start message_start"), "{told}");
    disk.end(Ok(()));
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.story(), plain.story());
    assert_eq!(bench.transcript(), plain.transcript());
}

#[tokio::test]
async fn a_call_that_may_change_something_waits_for_the_disk() {
    let both = vec![call("c1", "read", "{}"), call("c2", "read", "{}"), call("c3", "step", "{}")];
    let bench = Bench::new([Prepared::Says(both), Prepared::text("Done.")]);
    let disk = Slow::below(&bench);
    bench.prompt("do it").await;
    bench.hear("message_start", 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let readers = bench.tools.readers.load(Ordering::SeqCst);
    assert_eq!((readers, bench.model.asked().len()), (0, 1));
    disk.end(Ok(()));
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: Done.");
}

#[tokio::test]
async fn a_disk_that_fails_meanwhile_ends_the_work_and_says_so() {
    let bench = Bench::new(reads());
    let disk = Slow::below(&bench);
    bench.prompt("look").await;
    asked(&bench, 2).await;
    disk.end(Err(io::Error::other("the disk is gone")));
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "error");
    let kinds = bench.kinds();
    let place = |kind: &str| kinds.iter().rposition(|k| k == kind);
    assert!(place("tool_end") < place("error"), "{kinds:?}");
    // The next answer was not taken.
    assert_eq!(bench.transcript().len(), 4);
}

#[tokio::test]
async fn what_waited_when_the_process_ended_is_told_by_the_next() {
    let [answer, rest] = reads();
    let mut bench = Bench::new([answer, Prepared::Hangs(vec![]), rest]);
    let disk = Slow::below(&bench);
    bench.prompt("look").await;
    asked(&bench, 2).await;
    let open = Session::open(&session_path(&bench)).unwrap();
    assert_eq!(super::bench::transcript(&open).len(), 4);
    // The power stays: what was written is there, and nothing of it was told but the prompt.
    let told = |bench: &Bench| bench.kinds().iter().filter(|kind| *kind == "message_end").count();
    assert_eq!(told(&bench), 1);
    bench.restart().await;
    bench.hear("agent_end", 1).await;
    // The prompt, the answer, two results, the last answer.
    assert_eq!(told(&bench), 5, "{:?}", bench.kinds());
    // A process that has ended would not tell it any more.
    disk.end(Ok(()));
}

#[tokio::test]
async fn a_waiting_message_that_the_disk_refuses_to_sync_is_said_once() {
    let bench = Bench::new([
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("first"),
        Prepared::text("heard"),
    ]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    bench.prompt("two").await;
    let (path, failed) = (session_path(&bench), AtomicBool::default());
    let asked = move || {
        let there = std::fs::read_to_string(&path)?.contains(r#""two""#);
        let now = there && !failed.swap(true, Ordering::SeqCst);
        if now { Err(io::Error::other("full")) } else { Ok(()) }
    };
    bench.handle.conversation().session().set_disk_for_test(TestDisk(Arc::new(asked)));
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "error");
    assert!(bench.handle.conversation().waiting().await.follow_up.is_empty());
    bench.prompt("three").await;
    bench.hear("agent_end", 2).await;
    let lines = bench.transcript();
    assert_eq!(
        lines[3..],
        ["assistant Stop: first", "user: two", "user: three", "assistant Stop: heard"]
    );
    let session = bench.handle.conversation().session();
    let leaf = session.leaf().map(|leaf| leaf.id.clone());
    let _ = session.branch_to(leaf.as_deref());
}

#[tokio::test]
async fn a_message_that_begins_and_cannot_be_kept_is_ended_for_people() {
    let bench = Bench::new([Prepared::call("c1", "gate", "{}"), Prepared::text("never kept")]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    bench.handle.conversation().session().replace_file_for_test(full);
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    let story = bench.story();
    assert!(story.ends_with("tool_start tool_end error agent_end"), "{story}");
    assert!(bench.handle.conversation().open.lock().unwrap().is_empty());
}
