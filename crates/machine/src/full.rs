//! Room on disk that all projects share. While machines run it is looked at; when it gets short, that
//! is said, so that checkpoints can yield; before it ends, programs that write are paused, and go on
//! when there is room again. What they have written stays whole: a machine's disk is an image on the
//! host's, and a host without room would lose what was not synced.

use crate::{
    backend::{Room, RoomState},
    blocking::blocking,
    cgroup::Groups,
    disks::{Disks, short_bytes},
    state::State,
    storage::{Bound, Space},
    watch::{WRITE_RATE_MAX, Writer, Written},
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use toft_model::{
    event::{LimitHit, LimitKind},
    id::ProjectId,
};
use tokio::{sync::watch, time::sleep};

/// Less than this is none: what fast writers write within a look, what the host's own programs need to
/// go on, and what a file system keeps for itself of the last it has. On small disks an eighth.
const FULL_BYTES: u64 = 256 << 20;
const FULL_PART: u64 = 8;
/// Between two looks, however much room there is and however little.
const LOOK: Duration = Duration::from_secs(2);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// Between two looks while there is little room and it gets no less. Also how long what was written is
/// kept to be compared with.
const LOOK_NEAR: Duration = Duration::from_secs(1);
/// Room that has changed by less stays as it is.
const MOVE_BYTES_MIN: u64 = 1 << 20;
/// Who wrote less in that time is not paused: a shell's history, a log line.
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
    let short = short_bytes(total);
    let state = match free {
        _ if free < full => RoomState::Full,
        _ if free < short => RoomState::Short,
        _ => RoomState::Ample,
    };
    Room { state, free_bytes: Some(free), wanted_bytes: short }
}

/// Looks until the backend is dropped.
pub(crate) fn begin(disks: &Arc<Disks>) {
    let disks = Arc::downgrade(disks);
    tokio::spawn(async move {
        let mut looker = Looker::default();
        while let Some(mut next) = look(&disks, looker, Looker::look).await {
            let (step, until) = next.pauses();
            let until = Instant::now() + until;
            loop {
                sleep(step).await;
                let Some(glanced) = look(&disks, next, Looker::glance).await else { return };
                next = glanced;
                if next.is_moving || Instant::now() >= until {
                    break;
                }
            }
            looker = next;
        }
    });
}

async fn look(
    disks: &Weak<Disks>,
    mut looker: Looker,
    how: impl FnOnce(&mut Looker, &Arc<Disks>) + Send + 'static,
) -> Option<Looker> {
    let disks = disks.upgrade()?;
    blocking(move || {
        how(&mut looker, &disks);
        Some(looker)
    })
    .await
}

#[derive(Debug, Default)]
struct Looker {
    state: RoomState,
    /// Free bytes, and all, at the last look.
    space: Option<(u64, u64)>,
    /// Whether there is less free than at the last look.
    is_moving: bool,
    /// What each machine's programs had written, and when that was.
    written: HashMap<ProjectId, (Instant, Written)>,
    /// Who was paused at the last look: told when that was not for data which only waits to be written.
    unsaid: HashMap<ProjectId, LimitHit>,
    /// Writes down what waits in memory.
    committing: Option<(Instant, JoinHandle<()>)>,
    /// Machines in which some are paused.
    held: HashSet<ProjectId>,
    /// Of which program that was told last, and when.
    told: HashMap<ProjectId, (String, Instant)>,
    /// Machines that were looked at before: a killed server may have paused something in others.
    known: HashSet<ProjectId>,
}

impl Looker {
    /// How long to sleep before each glance, and until the next look at the latest.
    fn pauses(&self) -> (Duration, Duration) {
        let Some((free, total)) = self.space else { return (LOOK, LOOK) };
        let left = free.saturating_sub(full_bytes(total));
        let micros = left.saturating_mul(1_000_000) / WRITE_RATE_MAX;
        let step = Duration::from_micros(micros).clamp(LOOK_MIN, LOOK);
        match self.state {
            RoomState::Ample => (step, step),
            RoomState::Short | RoomState::Full => (step.min(LOOK_NEAR), LOOK_NEAR),
        }
    }

    /// Only whether room gets less.
    fn glance(&mut self, disks: &Arc<Disks>) {
        let was = self.space.map(|(free, _)| free);
        let now = was.and_then(|_| disks.pool.space_now()).map(|space| space.free);
        self.is_moving = was.zip(now).is_some_and(|(was, now)| was > now + MOVE_BYTES_MIN);
    }

    fn look(&mut self, disks: &Arc<Disks>) {
        let machines = disks.watches.all();
        if machines.is_empty() && self.known.is_empty() {
            self.space = None;
            return;
        }
        let unsaid = std::mem::take(&mut self.unsaid);
        self.known.retain(|project| machines.contains_key(project));
        self.held.retain(|project| machines.contains_key(project));
        self.told.retain(|project, _| machines.contains_key(project));
        self.written.retain(|project, _| machines.contains_key(project));
        for project in machines.keys() {
            if self.known.insert(project.clone()) && of_groups(disks, project, Groups::is_holding) {
                self.held.insert(project.clone());
            }
        }
        if self.state != RoomState::Ample {
            self.commit(disks);
        }
        let space = disks.pool.space_now();
        self.space = space.map(|space| (space.free, space.total));
        let Some(Space { free, total, by }) = space else { return };
        let room = judge(free, total);
        self.state = room.state;
        tell(&disks.room, room);
        match room.state {
            // Full within a second: what has been written until now is known then.
            RoomState::Ample if free < full_bytes(total).saturating_add(WRITE_RATE_MAX) => {
                for (project, procs) in &machines {
                    self.since(project, procs);
                }
                self.release(disks);
            }
            RoomState::Ample => {
                self.written.clear();
                self.release(disks);
            }
            RoomState::Short | RoomState::Full => {
                for (project, procs) in &machines {
                    let mut writers = self.since(project, procs);
                    writers.retain(|writer| writer.bytes >= WRITER_BYTES_MIN);
                    if room.state == RoomState::Full {
                        self.hold(disks, project, &writers, (total.saturating_sub(free), by));
                    }
                }
                if free >= ROOM_AGAIN * full_bytes(total) {
                    self.release(disks);
                }
            }
        }
        for (project, hit) in unsaid {
            if self.held.contains(&project) {
                // Paused at this look once more, for what it had written before it was.
                if self.unsaid.get(&project).is_some_and(|again| again.command == hit.command) {
                    self.unsaid.remove(&project);
                }
                let command = hit.command.clone().unwrap_or_default();
                self.told.insert(project.clone(), (command, Instant::now()));
                disks.watches.tell(&project, hit);
            }
        }
    }

    /// What the programs of a machine have written of late, most first.
    fn since(&mut self, project: &ProjectId, procs: &Path) -> Vec<Writer> {
        let now = Written::take(procs);
        let writers = self.written.get(project).map(|(_, before)| now.since(before));
        let is_old = |(at, _): &(Instant, Written)| at.elapsed() >= LOOK_NEAR;
        if self.written.get(project).is_none_or(is_old) {
            self.written.insert(project.clone(), (Instant::now(), now));
        }
        writers.unwrap_or_default()
    }

    /// Has what waits in memory written, so that only what really takes room counts; meanwhile looks
    /// go on.
    fn commit(&mut self, disks: &Arc<Disks>) {
        let is_due = self
            .committing
            .as_ref()
            .is_none_or(|(at, thread)| at.elapsed() >= LOOK_NEAR && thread.is_finished());
        if is_due {
            let disks = Arc::clone(disks);
            let thread = thread::spawn(move || disks.pool.commit());
            self.committing = Some((Instant::now(), thread));
        }
    }

    /// Pauses writers, most bytes first, of which there is at least one; `used`: bytes that are taken, of
    /// what.
    fn hold(&mut self, disks: &Disks, project: &ProjectId, writers: &[Writer], used: (u64, Bound)) {
        let Some(first) = writers.first() else { return };
        let pids: Vec<u32> = writers.iter().map(|writer| writer.pid).collect();
        let held = of_groups(disks, project, |groups| Some(groups.hold(&pids)));
        let is_paused = match held {
            Some(Ok(paused)) => paused,
            Some(Err(e)) => {
                tracing::warn!(project.id = %project, "programs that write go on: {e}");
                false
            }
            None => return,
        };
        self.held.insert(project.clone());
        let is_news = self.told.get(project).is_none_or(|(command, told)| {
            // Who is paused next is another one, and not known to be by what was said of the first.
            *command != first.command || told.elapsed() > TOLD_AGAIN
        });
        if is_news {
            self.unsaid.insert(project.clone(), hit(first, writers.len() - 1, is_paused, used));
        }
    }

    fn release(&mut self, disks: &Disks) {
        let held: Vec<ProjectId> = self.held.drain().collect();
        for project in held {
            let released = of_groups(disks, &project, |groups| Some(groups.release()));
            if let Some(Err(e)) = released {
                tracing::warn!(project.id = %project, "programs stay paused: {e}");
                self.held.insert(project);
            }
        }
    }
}

fn hit(writer: &Writer, others: usize, is_paused: bool, (used, by): (u64, Bound)) -> LimitHit {
    let who = match others {
        0 => format!("`{}`", writer.command),
        1 => format!("`{}` and another program", writer.command),
        _ => format!("`{}` and {others} other programs", writer.command),
    };
    let what = match (is_paused, others) {
        (true, 0) => "was paused and goes on by itself when there is room",
        (true, _) => "were paused and go on by themselves when there is room",
        (false, 0) => "goes on writing, since this host cannot pause it",
        (false, _) => "go on writing, since this host cannot pause them",
    };
    LimitHit {
        kind: LimitKind::Disk,
        command: Some(writer.command.clone()),
        pid: writer.inner(),
        peak: Some(used),
        limit: None,
        message: format!(
            "The server's disk is full ({} is used up): {who} {what}. {}",
            by.what(),
            by.remedy()
        ),
    }
}

/// Why programs of a machine that write are paused, and what helps; nothing when none are.
pub(crate) fn why_paused(disks: &Disks, project: &ProjectId) -> Option<String> {
    let by = disks.pool.space().filter(|_| of_groups(disks, project, Groups::is_holding))?.by;
    Some(format!(
        "programs of this project that write are paused, and go on by themselves when there is room: \
         the server's disk is full ({} is used up). {}",
        by.what(),
        by.remedy()
    ))
}

/// What the groups of a machine say or do; nothing of one that does not run.
fn of_groups<T: Default>(disks: &Disks, project: &ProjectId, what: impl FnOnce(&Groups) -> T) -> T {
    let state = State::read(&disks.folders.run(project));
    state.map(|state| what(&state.groups)).unwrap_or_default()
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
    fn who_writes_as_fast_as_memory_takes_it_is_looked_at_before_there_is_no_room() {
        for (free, total) in [(100 << 30, 200 << 30), (3 << 30, 200 << 30), (3 << 30, 4 << 30)] {
            let mut looker = Looker::default();
            let (mut free, mut looks): (u64, u32) = (free, 0);
            while judge(free, total).state != RoomState::Full {
                looker.state = judge(free, total).state;
                looker.space = Some((free, total));
                let micros = u64::try_from(looker.pauses().0.as_micros()).unwrap();
                let written = micros * WRITE_RATE_MAX / 1_000_000;
                assert!(free > written, "{free} of {total}: {micros} us");
                free -= written;
                looks += 1;
            }
            assert!(looks > 1, "{total}");
        }
        assert_eq!(Looker::default().pauses(), (LOOK, LOOK));
    }

    #[test]
    fn what_is_told_names_who_wrote_and_what_ended() {
        let writer = Writer { pid: 1, command: "dd".to_owned(), bytes: 9 };
        let capped = hit(&writer, 0, true, (7, Bound::Cap(300 << 20)));
        assert_eq!((capped.command.as_deref(), capped.peak), (Some("dd"), Some(7)));
        for words in ["`dd` was paused", "300 MiB that --disk-max", "a larger --disk-max", "Delete"]
        {
            assert!(capped.message.contains(words), "{}", capped.message);
        }
        let of_host = hit(&writer, 0, true, (7, Bound::Host)).message;
        assert!(
            of_host.contains("room on the host") && !of_host.contains("--disk-max"),
            "{of_host}"
        );
    }

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
            (GIB / 16, GIB / 4, Ample),
            (GIB / 16 - 1, GIB / 4, Short),
            (GIB / 32 - 1, GIB / 4, Full),
        ] {
            assert_eq!(judge(free, total).state, state, "{free} of {total}");
        }
    }
}
