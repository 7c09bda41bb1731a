//! Looks now and then how many processes a machine has and what its disk takes: the kernel rings no
//! bell for these. A few small files per look; frozen machines are not looked at.

use super::{
    Watched,
    episode::Episode,
    processes::{Sample, Writer, Written},
};
use crate::running::blocking;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use toft_jail::quota::{Group, Quotas};
use toft_model::event::{LimitHit, LimitKind};
use tokio::time::sleep;

/// Between two looks: what a person takes for "at once", and nothing for a processor.
const LOOK: Duration = Duration::from_secs(2);
/// The same while a machine has half of the processes that it may, or seven eighths of the bytes: who
/// takes the last of them may not live long.
const LOOK_NEAR: Duration = Duration::from_millis(200);
/// A disk is full when less than this is left below its bound: writes of ordinary size fail then.
/// A 128th of the bound, within these.
const LEFT_MIN: u64 = 1 << 20;
const LEFT_MAX: u64 = 32 << 20;

/// Until the machine ends.
pub(super) async fn watch(watched: Arc<Watched>) {
    let mut state = Some((Pids::default(), Disk::default()));
    while let Some((mut pids, mut disk)) = state.take() {
        let watched = Arc::clone(&watched);
        state = blocking(move || {
            if !watched.procs.is_dir() {
                return None;
            }
            let hits = [pids.look(&watched), disk.look(&watched)];
            hits.into_iter().flatten().for_each(|hit| watched.tell(hit));
            Some((pids, disk))
        })
        .await;
        let is_near =
            state.as_ref().is_some_and(|(pids, disk)| pids.is_near || disk.near.is_some());
        sleep(if is_near { LOOK_NEAR } else { LOOK }).await;
    }
}

#[derive(Debug, Default)]
struct Pids {
    /// Forks that were refused so far; `None` before the first look.
    refused: Option<u64>,
    /// Whether it was said, and there was no room since.
    said: bool,
    /// Whether it has half of what it may.
    is_near: bool,
    episode: Episode,
}

impl Pids {
    fn look(&mut self, watched: &Watched) -> Option<LimitHit> {
        let work = watched.pids.as_ref()?;
        let current = number(work.join("pids.current"))?;
        let limit = number(work.join("pids.max"));
        self.is_near = limit.is_some_and(|limit| current * 2 >= limit);
        let limit = limit?;
        if current * 8 < limit * 7 {
            self.said = false;
        }
        // Kernels before 6.10 keep no peak in v1.
        let peak = number(work.join("pids.peak"));
        if self.refused.is_some() && peak.unwrap_or(limit) < limit {
            return None;
        }
        let refused = refused(work);
        let more = self.refused.replace(refused).is_some_and(|before| refused > before);
        if !more || !self.episode.begins(Instant::now()) || self.said {
            return None;
        }
        self.said = true;
        let sample = Sample::take(&watched.procs);
        let most = sample.most();
        let who = most.map_or_else(String::new, |(command, count)| {
            format!(" {count} of {} are `{command}`.", sample.seen.len())
        });
        Some(LimitHit {
            kind: LimitKind::Pids,
            command: most.map(|(command, _)| command.to_owned()),
            pid: None,
            peak: Some(peak.unwrap_or(current).min(limit)),
            limit: Some(limit),
            message: format!(
                "No more processes: new ones were refused, because the machine had its limit of \
                 {limit} processes and threads.{who} End some, or raise the project's limit."
            ),
        })
    }
}

/// The kernel counts a refusal where the process that asked lives.
fn refused(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("pids.events")).unwrap_or_default();
    let here = text.lines().find_map(|l| l.strip_prefix("max ")?.parse().ok()).unwrap_or(0u64);
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    let below = below.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    // v2 adds up itself since 6.11: more than once does no harm, it is only compared.
    here + below.map(|e| refused(&e.path())).sum::<u64>()
}

#[derive(Debug, Default)]
struct Disk {
    /// The bound at which it was said, unless there was room since.
    said: Option<u64>,
    /// Who writes, while there is little left.
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
    fn look(&mut self, watched: &Watched) -> Option<LimitHit> {
        let (quotas, group) = watched.quota.as_ref()?;
        let Some(limit) = quotas.bound(*group).ok().flatten() else {
            self.near = None;
            return None;
        };
        let used = taken(quotas, *group)?;
        let margin = (limit / 128).clamp(LEFT_MIN.min(limit / 8), LEFT_MAX);
        let left = limit.saturating_sub(used);
        if left > 2 * margin {
            // There is room again when there is twice as much as counts for none.
            self.said = None;
        }
        if left > limit / 8 || self.said == Some(limit) {
            self.near = None;
            return None;
        }
        let near = self.near.get_or_insert_with(|| Near::new(used, &watched.procs));
        near.look(&watched.procs);
        if left > margin {
            return None;
        }
        self.said = Some(limit);
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
