//! Hears that the kernel killed a process of a machine for want of memory. Nothing is done until it
//! does: v1 rings a bell before it looks for a victim, v2 when its counters have changed.

use super::{
    Watched,
    episode::{Episode, reached},
    processes::Sample,
    told::{self, Told},
};
use crate::{blocking::blocking, cgroup::Way};
use rustix::event::{EventfdFlags, eventfd};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use toft_model::event::{LimitHit, LimitKind};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

/// From the bell to the end of the victim, and to the kernel's word about it.
const KILL_TIME: Duration = Duration::from_millis(50);
/// While kill follows kill nobody needs to look at each.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How v1 shows that nothing is limited: as many bytes as it can count, in whole pages.
const NO_LIMIT: u64 = 1 << 62;
/// The kernel takes memory in steps, so a peak stays a little below the limit that was reached.
const SLACK: u64 = 4 << 20;

/// Rings when memory runs out.
enum Bell {
    V1(AsyncFd<OwnedFd>),
    V2(AsyncFd<File>),
}

impl Bell {
    #[expect(
        deprecated,
        reason = "the new call is `unsafe` for the sake of types that give their descriptor away; \
                  these two do not"
    )]
    fn hang(way: Way, work: &Path) -> io::Result<Self> {
        match way {
            Way::V1 => {
                let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
                let control = File::open(work.join("memory.oom_control"))?;
                let order = format!("{} {}", bell.as_raw_fd(), control.as_raw_fd());
                fs::write(work.join("cgroup.event_control"), order)?;
                Ok(Self::V1(AsyncFd::with_interest(bell, Interest::READABLE)?))
            }
            Way::V2 => {
                let mut events = File::open(work.join("memory.events"))?;
                // Only what has been read can change.
                events.read_to_string(&mut String::new())?;
                Ok(Self::V2(AsyncFd::with_interest(events, Interest::PRIORITY)?))
            }
        }
    }

    async fn rings(&mut self) -> io::Result<()> {
        match self {
            Self::V1(bell) => {
                let mut ready = bell.readable().await?;
                let mut count = [0u8; 8];
                let _ = rustix::io::read(ready.get_inner(), &mut count);
                ready.clear_ready();
            }
            Self::V2(events) => {
                events.ready(Interest::PRIORITY).await?.clear_ready();
                events.get_mut().seek(SeekFrom::Start(0))?;
                events.get_mut().read_to_string(&mut String::new())?;
            }
        }
        Ok(())
    }
}

/// How often the kernel killed in a group. `None`: the group is gone.
fn kills(way: Way, work: &Path) -> Option<u64> {
    let file = match way {
        Way::V1 => "memory.oom_control",
        Way::V2 => "memory.events",
    };
    let text = fs::read_to_string(work.join(file)).ok()?;
    Some(text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0))
}

fn number(file: PathBuf) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// What the bell has led to.
#[derive(Debug, Default)]
pub(super) struct Heard {
    episode: Episode,
    /// The processes just before a kill.
    sample: Option<Sample>,
}

/// What earlier looks have found.
#[derive(Debug, Default)]
pub(super) struct Memory {
    limit: Option<u64>,
}

/// Until the machine ends.
pub(super) async fn watch(watched: Arc<Watched>) {
    let Some((way, work)) = watched.memory.clone() else { return };
    let mut bell = match Bell::hang(way, &work) {
        Ok(bell) => bell,
        Err(e) => {
            tracing::info!(project.id = %watched.project, "memory is only looked at: {e}");
            return;
        }
    };
    loop {
        if bell.rings().await.is_err() {
            return;
        }
        let (is_on, is_fresh) = {
            let heard = watched.heard.lock().expect("no holder panics");
            let is_fresh = heard.sample.as_ref().is_some_and(|s| s.at.elapsed() < LOOK_PAUSE);
            (heard.episode.is_on(Instant::now()), is_fresh)
        };
        if is_on {
            sleep(LOOK_PAUSE).await;
        } else if way == Way::V1 || !is_fresh {
            let work = work.clone();
            let sample = blocking(move || Sample::take(&work)).await;
            watched.heard.lock().expect("no holder panics").sample = Some(sample);
            sleep(KILL_TIME).await;
        }
        let looked = Arc::clone(&watched);
        if blocking(move || looked.look()).await.is_none() {
            return;
        }
    }
}

impl Memory {
    /// Also finds kills for which no bell rang: v1 has none for the host's own want of memory.
    pub(super) fn look(&mut self, watched: &Watched, told: &mut Told) -> Option<LimitHit> {
        let (way, work) = watched.memory.as_ref()?;
        let (way, work) = (*way, work.as_path());
        let (limit, peak) = match way {
            Way::V1 => ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            Way::V2 => ("memory.max", "memory.peak"),
        };
        let limit = number(work.join(limit)).filter(|bytes| *bytes < NO_LIMIT);
        let before = std::mem::replace(&mut self.limit, limit);
        if told::more(&mut told.killed, kills(way, work)?) == 0 {
            return None;
        }
        let peak = number(work.join(peak));
        let limit = reached(limit, before, peak, SLACK);
        let mut heard = watched.heard.lock().expect("no holder panics");
        let begins = heard.episode.begins(Instant::now(), limit);
        let sample = heard.sample.take();
        drop(heard);
        if !begins {
            return None;
        }
        let sample = sample.or_else(|| {
            // The kernel counts first and says whom it killed after that.
            thread::sleep(KILL_TIME);
            watched.heard.lock().expect("no holder panics").sample.take()
        });
        // It was reached: kernels that keep no peak are known to have been there.
        Some(hit(watched, limit, peak.or(limit), sample.as_ref()))
    }
}

fn hit(
    watched: &Watched,
    limit: Option<u64>,
    peak: Option<u64>,
    sample: Option<&Sample>,
) -> LimitHit {
    let seen = |pid: u32| sample.and_then(|s| s.seen.get(&pid));
    let killed = watched.log.victim(watched.project.as_str(), |pid| seen(pid).is_some());
    let limit = limit.filter(|_| !killed.as_ref().is_some_and(|kill| kill.by_host));
    let held = killed.as_ref().and_then(|kill| kill.bytes);
    let (command, pid) = match (killed, sample.and_then(Sample::ended)) {
        (Some(kill), _) => match seen(kill.pid) {
            Some(seen) => (Some(seen.command.clone()), seen.inner),
            None => (Some(kill.name), None),
        },
        (None, Some((_, seen))) => (Some(seen.command.clone()), seen.inner),
        (None, None) => (None, None),
    };
    let who = command.as_deref().map_or_else(|| "a process".to_owned(), |c| format!("`{c}`"));
    let held = held.map_or_else(String::new, |bytes| format!(", which held {} MiB,", bytes >> 20));
    let message = match limit {
        Some(bytes) => format!(
            "Out of memory: {who}{held} was killed, because the machine's processes had used up \
             their limit of {} MiB. Let them use less, or raise the project's memory limit.",
            bytes >> 20
        ),
        None => format!(
            "Out of memory: {who}{held} was killed, because the host had no more for it. Stop \
             something on the host, or give the host more memory."
        ),
    };
    LimitHit { kind: LimitKind::Memory, command, pid, peak, limit, message }
}
