//! Programs that take all they can get: only their own machine suffers, its init and bridge are what
//! they were, and afterwards it is as before. Bounded in time and number, so that the host does not.

use super::lab::{Lab, spec};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use toft_lane::skip;
use toft_machine::backend::Backend as _;
use toft_model::{id::ProjectId, machine::Limits};

const MIB: u64 = 1 << 20;
/// What a bomb has to go off in; after that it is ended by its own `timeout`.
const BOMB_S: u32 = 3;

/// A machine with a bomb in it, another beside it, and what must not change.
struct Blast {
    lab: Lab,
    project: ProjectId,
    other: ProjectId,
    init_pid: u32,
}

impl Blast {
    async fn prepare(needs: &[&str]) -> Option<Self> {
        let lab = Lab::open().await?;
        let can = lab.native.can().limits;
        if let Some(missing) = needs.iter().find(|need| !can.iter().any(|c| c == *need)) {
            skip("a bomb", format!("no limit of {missing} here"));
            lab.close(&[]).await;
            return None;
        }
        let project = ProjectId::random();
        lab.native.create(&project).await.unwrap();
        let mut small = spec(&project);
        small.limits = Limits {
            memory_bytes: Some(128 * MIB),
            pids: Some(100),
            cpus: None,
            disk_bytes: needs.contains(&"disk").then_some(64 * MIB),
            log_bytes: None,
        };
        let init_pid = lab.native.start(small).await.unwrap().init_pid;
        let (other, _) = lab.machine().await;
        Some(Self { lab, project, other, init_pid })
    }

    /// Sets it off; meanwhile the neighbour is asked for something again and again.
    async fn off(&self, bomb: &str) -> String {
        let command = format!("timeout -k 1 {BOMB_S} sh -c '{bomb}' 2>&1; true");
        let ended = Cell::new(false);
        let bomb = async {
            let (out, _) = self.lab.shell(&self.project, &command).await;
            ended.set(true);
            out
        };
        let neighbour = async {
            let deadline = Instant::now() + Duration::from_mins(1);
            while !ended.get() {
                assert_eq!(self.lab.says(&self.other, "echo fine > f; cat f").await, "fine");
                assert!(Instant::now() < deadline, "the bomb does not end");
            }
        };
        tokio::join!(bomb, neighbour).0
    }

    /// Everything of it is gone, and the machine works as before.
    async fn after(self) {
        let lab = &self.lab;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            // Programs that outlived the bomb are ended, as a person would.
            lab.shell(&self.project, "kill -9 -1").await;
            let pids = lab.native.stats(&self.project).await.unwrap().pids.unwrap();
            if pids <= 2 {
                break;
            }
            assert!(Instant::now() < deadline, "{pids} processes stay");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(lab.says(&self.project, "echo fine").await, "fine");
        let found = lab.native.adopt(&self.project).await.unwrap().unwrap();
        assert_eq!(found.init_pid, self.init_pid);
        let (project, other) = (self.project.clone(), self.other.clone());
        self.lab.close(&[&project, &other]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_in_its_machine() {
    let Some(blast) = Blast::prepare(&["pids"]).await else { return };
    let out = blast.off("b() { b | b & }; b; sleep 2").await;
    assert!(out.to_lowercase().contains("fork"), "{out}");
    blast.after().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_stays_in_its_machine() {
    let Some(blast) = Blast::prepare(&["memory"]).await else { return };
    let out = blast.off("for n in 1 2 3 4; do tail /dev/zero & done; wait; echo survived").await;
    assert!(out.contains("survived"), "{out}");
    // In files that live in memory, too: they stay when who wrote them is killed, and more room
    // is enough to take them away.
    blast.off("head -c 400000000 /dev/zero > /dev/shm/big").await;
    let more = Limits { memory_bytes: Some(1024 * MIB), ..Limits::default() };
    blast.lab.native.set_limits(&blast.project, &more).await.unwrap();
    blast.lab.says(&blast.project, "rm -f /dev/shm/big").await;
    blast.after().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_bomb_stays_in_its_machine() {
    let Some(blast) = Blast::prepare(&[]).await else { return };
    let open = "import os\nfds = []\ntry:\n    while len(fds) < 2000000: fds.append(os.dup(0))\n\
                except OSError as e: print(len(fds), e.strerror)\n";
    blast.lab.says(&blast.project, &format!("cat > open.py <<'E'\n{open}E\n")).await;
    let out = blast.off("python3 open.py & python3 open.py & wait; ls /proc/self/fd | wc -l").await;
    assert!(out.contains("Too many open files") || out.contains("Killed"), "{out}");
    blast.after().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inodes_and_holes_fill_nothing_but_their_own_disk() {
    let Some(blast) = Blast::prepare(&["disk"]).await else { return };
    let lab = &blast.lab;
    let free = lab.native.disk(&blast.other).await.unwrap().free_bytes.unwrap();
    let make = "import os\nos.mkdir('many')\nn = 0\ntry:\n    while n < 400000:\n        \
                os.close(os.open('many/%d' % n, os.O_CREAT)); n += 1\n\
                except OSError as e: print(n, e.strerror)\nprint(n)\n";
    lab.says(&blast.project, &format!("cat > make.py <<'E'\n{make}E\n")).await;
    println!("{}", blast.off("python3 make.py").await);
    // A file of a terabyte that holds nothing.
    let out = blast.off("truncate -s 1T holes; stat -c %b holes; sync -f .").await;
    assert!(out.contains('0'), "{out}");
    let disk = lab.native.disk(&blast.project).await.unwrap();
    println!("{disk:?}");
    assert!(disk.exclusive_bytes.unwrap() <= 66 * MIB, "{disk:?}");
    let left = lab.native.disk(&blast.other).await.unwrap().free_bytes.unwrap();
    // Other tests write to the same host meanwhile: what this one may take is what it is bounded by.
    println!("{} MiB less are free", free.saturating_sub(left) / MIB);
    lab.shell(&blast.project, "rm -rf many holes").await;
    blast.after().await;
}
