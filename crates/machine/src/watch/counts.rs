//! Looks now and then how many processes a machine has and what its disk takes: the kernel rings no
//! bell for these. A few small files per look; frozen machines are not looked at.

use super::{
    Watched,
    episode::{Episode, reached},
    processes::{Sample, WRITE_RATE_MAX, Writer, Written},
    told::{self, Told},
};
use crate::blocking::blocking;
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use toft_jail::quota::{Group, Quotas};
use toft_model::event::{LimitHit, LimitKind};
use tokio::time::sleep;

/// Between two looks: what a person takes for "at once", and nothing for a processor.
const LOOK: Duration = Duration::from_secs(2);
/// Between two glances in the meantime, at a number or two: what takes the last of something may live
/// for less than a second, and cannot be named when it is gone.
const GLANCE: Duration = Duration::from_millis(250);
/// The same, and between two looks, where fast writers could take all the rest before the next one.
const GLANCE_MIN: Duration = Duration::from_millis(50);
/// Between two looks while a machine has half of the processes that it may, or seven eighths of the bytes: who
/// takes the last of them may not live long.
const LOOK_NEAR: Duration = Duration::from_millis(200);
/// A disk is full when less than this is left below its bound: writes of ordinary size fail then.
/// A 128th of the bound, within these.
const LEFT_MIN: u64 = 1 << 20;
const LEFT_MAX: u64 = 32 << 20;
/// A disk that has grown by less stands still.
const MOVE_BYTES_MIN: u64 = 1 << 20;

/// Until the machine ends.
pub(super) async fn watch(watched: Arc<Watched>) {
    loop {
        let looked = Arc::clone(&watched);
        let Some(pace) = blocking(move || looked.look()).await else { return };
        if pace.is_near {
            sleep(pace.glance.min(LOOK_NEAR)).await;
            continue;
        }
        let next = Instant::now() + LOOK;
        while Instant::now() < next && !watched.glance() {
            sleep(pace.glance).await;
        }
    }
}

/// How soon to look again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Without glances in between.
    is_near: bool,
    glance: Duration,
}

impl Pace {
    pub(super) fn of(pids: &Pids, disk: &Disk) -> Self {
        Self { is_near: pids.is_near || disk.is_near, glance: disk.glance.max(GLANCE_MIN) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Pids {
    /// That at the last look.
    limit: Option<u64>,
    /// The limit at which it was said, unless there was room since.
    said: Option<u64>,
    /// Whether it has half of what it may.
    pub(super) is_near: bool,
    /// What there was when it came close to its limit: who takes the last may be gone at the next look.
    sample: Option<Sample>,
    episode: Episode,
}

impl Pids {
    /// Whether it has half of what it may.
    pub(super) fn glance(&self, watched: &Watched) -> bool {
        let current = watched.pids.as_ref().and_then(|work| number(work.join("pids.current")));
        current.zip(self.limit).is_some_and(|(current, limit)| current * 2 >= limit)
    }

    pub(super) fn look(&mut self, watched: &Watched, told: &mut Told) -> Option<LimitHit> {
        let work = watched.pids.as_ref()?;
        let current = number(work.join("pids.current"))?;
        let limit = number(work.join("pids.max"));
        let before = std::mem::replace(&mut self.limit, limit);
        self.is_near = limit.is_some_and(|limit| current * 2 >= limit);
        if limit.is_none_or(|limit| current * 8 < limit * 7) {
            self.said = None;
            self.sample = None;
        }
        if told::more(&mut told.refused, refused(work).ok()?) == 0 {
            let is_close =
                limit.is_some_and(|limit| self.said.is_none() && current * 8 >= limit * 7);
            if is_close && self.sample.as_ref().is_none_or(|s| s.at.elapsed() > LOOK) {
                self.sample = Some(Sample::take(&watched.procs));
            }
            return None;
        }
        // Kernels before 6.10 keep no peak in v1.
        let peak = number(work.join("pids.peak"));
        let (now, limit) = (limit, reached(limit, before, peak, 0));
        if !self.episode.begins(Instant::now(), limit) || (limit.is_some() && self.said == limit) {
            return None;
        }
        self.said = limit;
        let seen = Sample::take(&watched.procs);
        let sample = match self.sample.take() {
            Some(before) if before.seen.len() > seen.seen.len() => before,
            _ => seen,
        };
        // Who is refused one has all that it may, or more: what it had when the limit was lowered.
        let peak = limit.map(|at| if now == limit { at.max(current) } else { at });
        Some(hit(limit, peak, &sample))
    }
}

fn hit(limit: Option<u64>, peak: Option<u64>, sample: &Sample) -> LimitHit {
    let most = sample.most();
    let who = most.map_or_else(String::new, |(command, count)| {
        format!(" {count} of {} are `{command}`.", sample.seen.len())
    });
    let of = limit.map_or_else(String::new, |limit| format!(" of {limit} processes and threads"));
    LimitHit {
        kind: LimitKind::Pids,
        command: most.map(|(command, _)| command.to_owned()),
        pid: None,
        peak,
        limit,
        message: format!(
            "No more processes: new ones were refused, because the machine had its limit{of}.{who} \
             End some, or raise the project's limit."
        ),
    }
}

/// The kernel counts a refusal where the process that asked lives.
fn refused(group: &Path) -> io::Result<u64> {
    let text = match fs::read_to_string(group.join("pids.events")) {
        // A group that goes just now takes its refusals along.
        Err(e) if is_gone(&e) => return Ok(0),
        text => text?,
    };
    let mut all = text.lines().find_map(|l| l.strip_prefix("max ")?.parse().ok()).unwrap_or(0u64);
    let entries = match fs::read_dir(group) {
        Err(e) if is_gone(&e) => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            // v2 adds up itself since 6.11: more than once does no harm, it is only compared.
            all = all.saturating_add(refused(&entry.path())?);
        }
    }
    Ok(all)
}

fn is_gone(e: &io::Error) -> bool {
    let no_device = rustix::io::Errno::NODEV.raw_os_error();
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(no_device)
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    /// That at the last look.
    bound: Option<u64>,
    /// What was taken then.
    used: u64,
    /// Whether little is left, or what is left is being taken.
    is_near: bool,
    /// Between two glances.
    glance: Duration,
    /// Who writes, while what is left may be taken within a second.
    near: Option<Near>,
}

/// See [`Disk::near`].
#[derive(Debug)]
struct Near {
    /// What was taken when it began.
    used: u64,
    last: Written,
    /// By pid on the host: also of programs that have ended since.
    writers: HashMap<u32, Writer>,
}

impl Near {
    fn new(used: u64, procs: &Path) -> Self {
        Self { used, last: Written::take(procs), writers: HashMap::new() }
    }

    fn look(&mut self, procs: &Path) {
        let now = Written::take(procs);
        for new in now.since(&self.last) {
            let bytes = self.writers.get(&new.pid).map_or(0, |writer| writer.bytes);
            let all = Writer { bytes: bytes.saturating_add(new.bytes), ..new };
            self.writers.insert(all.pid, all);
        }
        self.last = now;
    }

    /// Who wrote at least half of what was written, as far as it was seen; of that much of what the
    /// disk has grown by. Somebody else may have come and gone between two looks.
    fn main(&self, used: u64) -> Option<&Writer> {
        let mut writers: Vec<&Writer> = self.writers.values().collect();
        writers.sort_by_key(|writer| std::cmp::Reverse(writer.bytes));
        let all: u64 = writers.iter().map(|writer| writer.bytes).sum();
        let grown = used.saturating_sub(self.used);
        writers.first().copied().filter(|first| first.bytes * 2 >= all.max(grown))
    }
}

impl Disk {
    /// Whether little is left of late, or what is left is being taken.
    pub(super) fn glance(&self, watched: &Watched, told: &Told) -> bool {
        let Some((quotas, group)) = watched.quota.as_ref() else { return false };
        let Some(bound) = self.bound.filter(|bound| told.disk != Some(*bound)) else {
            return false;
        };
        let is_moving = |used: u64| self.near.is_some() && used > self.used + MOVE_BYTES_MIN;
        taken(quotas, *group)
            .is_some_and(|used| bound.saturating_sub(used) <= bound / 8 || is_moving(used))
    }

    pub(super) fn look(&mut self, watched: &Watched, told: &mut Told) -> Option<LimitHit> {
        let (quotas, group) = watched.quota.as_ref()?;
        self.bound = quotas.bound(*group).ok().flatten();
        (self.is_near, self.glance) = (false, GLANCE);
        let Some(limit) = self.bound else {
            self.near = None;
            told.disk = None;
            return None;
        };
        let used = taken(quotas, *group)?;
        let before = std::mem::replace(&mut self.used, used);
        let margin = (limit / 128).clamp(LEFT_MIN.min(limit / 8), LEFT_MAX);
        let left = limit.saturating_sub(used);
        if left > 2 * margin {
            // There is room again when there is twice as much as counts for none.
            told.disk = None;
        }
        if (left > limit / 8 && left > WRITE_RATE_MAX) || told.disk == Some(limit) {
            self.near = None;
            return None;
        }
        self.glance = Duration::from_micros(left.saturating_mul(1_000_000) / WRITE_RATE_MAX)
            .clamp(GLANCE_MIN, GLANCE);
        self.is_near = left <= limit / 8 || used > before + MOVE_BYTES_MIN;
        if !self.is_near {
            // Nobody fills it just now: who wrote long ago is not who takes the last of it. Of
            // programs that begin from here on, all that they write counts.
            self.near = None;
        }
        let near = self.near.get_or_insert_with(|| Near::new(used, &watched.procs));
        near.look(&watched.procs);
        if left > margin {
            return None;
        }
        told.disk = Some(limit);
        self.is_near = false;
        let near = self.near.take()?;
        let writer = near.main(used);
        let who =
            writer.map_or_else(String::new, |w| format!(" Most was written by `{}`.", w.command));
        Some(LimitHit {
            kind: LimitKind::Disk,
            command: writer.map(|w| w.command.clone()),
            pid: writer.and_then(Writer::inner),
            peak: Some(used),
            limit: Some(limit),
            message: format!(
                "The project's disk is full: it and its checkpoints take its limit of {} MiB, and \
                 writes are refused.{who} Delete files or checkpoints, or raise the limit.",
                limit >> 20
            ),
        })
    }
}

/// What is taken, and what writes on their way to the disk will take.
fn taken(quotas: &Quotas, group: Group) -> Option<u64> {
    Some(quotas.used(group).ok()? + quotas.reserved(group).unwrap_or(0))
}

fn number(file: PathBuf) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
