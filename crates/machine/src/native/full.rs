//! Room on disk that all projects share. While machines run it is looked at; when it gets short, that
//! is said, so that checkpoints can yield; before it ends, programs that write are paused, and go on
//! when there is room again. What they have written stays whole: a machine's disk is an image on the
//! host's, and a host without room would lose what was not synced.

use super::Inner;
use crate::{
    backend::{Room, RoomState},
    cgroup::Groups,
    running::blocking,
    state::State,
    watch::{Writer, Written},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use toft_model::{
    event::{LimitHit, LimitKind},
    id::ProjectId,
};
use tokio::{sync::watch, time::sleep};

/// Less than this is short: some large builds. On small disks an eighth.
const SHORT_BYTES: u64 = 2 << 30;
const SHORT_PART: u64 = 8;
/// Less than this is none: what fast writers write within a look, and what the host's own programs
/// need to go on. On small disks a sixteenth.
const FULL_BYTES: u64 = 256 << 20;
const FULL_PART: u64 = 16;
/// Between two looks: a fast disk takes four times as long from short to full.
const LOOK: Duration = Duration::from_secs(2);
/// The same while there is little room.
const LOOK_NEAR: Duration = Duration::from_secs(1);
/// Who wrote less between two looks is not paused: a shell's history, a log line.
const WRITER_BYTES_MIN: u64 = 256 << 10;

/// With so many times as much as counts for none, paused programs go on: not at the first byte, it
/// would be full again at once.
const ROOM_AGAIN: u64 = 2;
/// A program that fills what is freed again and again is told so often.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

fn full_bytes(total: u64) -> u64 {
    FULL_BYTES.min(total / FULL_PART)
}

/// What room there is of `free` and `total` bytes.
fn judge(free: u64, total: u64) -> Room {
    let full = full_bytes(total);
    let short = SHORT_BYTES.min(total / SHORT_PART);
    let state = match free {
        _ if free < full => RoomState::Full,
        _ if free < short => RoomState::Short,
        _ => RoomState::Ample,
    };
    Room { state, free_bytes: Some(free), wanted_bytes: short }
}

/// Looks until the backend is dropped.
pub(super) fn begin(inner: &Arc<Inner>) {
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        let mut looker = Looker::default();
        while let Some(next) = look(&inner, looker).await {
            looker = next;
            let is_near = looker.state != RoomState::Ample || !looker.held.is_empty();
            sleep(if is_near { LOOK_NEAR } else { LOOK }).await;
        }
    });
}

async fn look(inner: &Weak<Inner>, mut looker: Looker) -> Option<Looker> {
    let inner = inner.upgrade()?;
    blocking(move || {
        looker.look(&inner);
        Some(looker)
    })
    .await
}

#[derive(Debug, Default)]
struct Looker {
    state: RoomState,
    /// What each machine's programs had written at the last look.
    written: HashMap<ProjectId, Written>,
    /// Machines in which some are paused.
    held: HashSet<ProjectId>,
    /// When that was told last.
    told: HashMap<ProjectId, Instant>,
    /// Machines that were looked at before: a killed server may have paused something in others.
    known: HashSet<ProjectId>,
}

impl Looker {
    fn look(&mut self, inner: &Inner) {
        let machines = inner.watches.all();
        if machines.is_empty() && self.known.is_empty() {
            return;
        }
        self.known.retain(|project| machines.contains_key(project));
        self.held.retain(|project| machines.contains_key(project));
        self.told.retain(|project, _| machines.contains_key(project));
        for project in machines.keys() {
            if self.known.insert(project.clone()) && of_groups(inner, project, Groups::is_holding) {
                self.held.insert(project.clone());
            }
        }
        if self.state != RoomState::Ample {
            inner.pool.commit();
        }
        let Some((free, total)) = inner.pool.space() else { return };
        let room = judge(free, total);
        self.state = room.state;
        tell(&inner.room, room);
        match room.state {
            RoomState::Ample => {
                self.written.clear();
                self.release(inner);
            }
            RoomState::Short | RoomState::Full => {
                let is_full = room.state == RoomState::Full;
                for (project, procs) in machines {
                    let now = Written::take(&procs);
                    let before = self.written.insert(project.clone(), now.clone());
                    if let Some(before) = before.filter(|_| is_full) {
                        let mut writers = now.since(&before);
                        writers.retain(|writer| writer.bytes >= WRITER_BYTES_MIN);
                        self.hold(inner, &project, &writers);
                    }
                }
                if free >= ROOM_AGAIN * full_bytes(total) {
                    self.release(inner);
                }
            }
        }
    }

    fn hold(&mut self, inner: &Inner, project: &ProjectId, writers: &[Writer]) {
        if writers.is_empty() {
            return;
        }
        let main = Writer::main(writers);
        let (command, pid) = (main.map(|w| w.command.clone()), main.and_then(Writer::inner));
        let pids: Vec<u32> = writers.iter().map(|writer| writer.pid).collect();
        let held = of_groups(inner, project, |groups| Some(groups.hold(&pids)));
        let is_paused = match held {
            Some(Ok(paused)) => paused,
            Some(Err(e)) => {
                tracing::warn!(project.id = %project, "programs that write go on: {e}");
                false
            }
            None => return,
        };
        self.held.insert(project.clone());
        let is_news = self.told.get(project).is_none_or(|told| told.elapsed() > TOLD_AGAIN);
        if is_news {
            self.told.insert(project.clone(), Instant::now());
            let who =
                command.as_deref().map_or_else(|| "Programs".to_owned(), |c| format!("`{c}`"));
            let what = if is_paused {
                "was paused and goes on by itself when there is room"
            } else {
                "goes on writing, since this host cannot pause it"
            };
            let message = format!(
                "The server's disk is full: {who} {what}. Delete files, checkpoints or projects, or \
                 make room on the host."
            );
            let kind = LimitKind::Disk;
            let hit = LimitHit { kind, command, pid, peak: None, limit: None, message };
            inner.watches.tell(project, hit);
        }
    }

    fn release(&mut self, inner: &Inner) {
        let held: Vec<ProjectId> = self.held.drain().collect();
        for project in held {
            let released = of_groups(inner, &project, |groups| Some(groups.release()));
            if let Some(Err(e)) = released {
                tracing::warn!(project.id = %project, "programs stay paused: {e}");
                self.held.insert(project);
            }
        }
    }
}

/// What the groups of a machine say or do; nothing of one that does not run.
fn of_groups<T: Default>(inner: &Inner, project: &ProjectId, what: impl FnOnce(&Groups) -> T) -> T {
    State::read(&inner.folders.run(project)).map(|state| what(&state.groups)).unwrap_or_default()
}

fn tell(sender: &watch::Sender<Room>, room: Room) {
    sender.send_if_modified(|last| {
        // While it is short each look counts: somebody may be making room step by step.
        let is_news = last.state != room.state || room.state != RoomState::Ample;
        *last = room;
        is_news
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged_by_bytes_on_large_disks_and_by_parts_on_small_ones() {
        use RoomState::{Ample, Full, Short};
        const GIB: u64 = 1 << 30;
        for (free, total, state) in [
            (100 * GIB, 200 * GIB, Ample),
            (2 * GIB, 200 * GIB, Ample),
            (2 * GIB - 1, 200 * GIB, Short),
            (FULL_BYTES, 200 * GIB, Short),
            (FULL_BYTES - 1, 200 * GIB, Full),
            (GIB / 32, GIB / 4, Ample),
            (GIB / 32 - 1, GIB / 4, Short),
            (GIB / 64 - 1, GIB / 4, Full),
        ] {
            assert_eq!(judge(free, total).state, state, "{free} of {total}");
        }
    }
}
