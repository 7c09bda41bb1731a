//! Hears that the kernel killed a process of a machine for want of memory. Nothing is done until it
//! does: v1 rings a bell before it looks for a victim, v2 when its counters have changed.

use super::{Watched, episode::Episode, processes::Sample};
use crate::{cgroup::Way, running::blocking};
use rustix::event::{EventfdFlags, eventfd};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
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

/// Until the machine ends.
pub(super) async fn watch(watched: Arc<Watched>) {
    let Some((way, work)) = watched.memory.clone() else { return };
    let Some(mut before) = kills(way, &work) else { return };
    let mut bell = match Bell::hang(way, &work) {
        Ok(bell) => bell,
        Err(e) => {
            tracing::info!(project.id = %watched.project, "memory is not watched: {e}");
            return;
        }
    };
    let mut episode = Episode::default();
    let mut sample: Option<Sample> = None;
    loop {
        if bell.rings().await.is_err() {
            return;
        }
        if episode.is_on(Instant::now()) {
            sleep(LOOK_PAUSE).await;
        } else if way == Way::V1 || sample.as_ref().is_none_or(|s| s.at.elapsed() > LOOK_PAUSE) {
            let work = work.clone();
            sample = Some(blocking(move || Sample::take(&work)).await);
            sleep(KILL_TIME).await;
        }
        let Some(now) = kills(way, &work) else { return };
        if now <= before {
            continue;
        }
        before = now;
        if episode.begins(Instant::now()) {
            let (watched, work) = (Arc::clone(&watched), work.clone());
            let last = sample.take();
            blocking(move || watched.tell(hit(&watched, way, &work, last.as_ref()))).await;
        }
    }
}

fn hit(watched: &Watched, way: Way, work: &Path, sample: Option<&Sample>) -> LimitHit {
    let seen = |pid: u32| sample.and_then(|s| s.seen.get(&pid));
    let killed = watched.log.victim(watched.project.as_str(), |pid| seen(pid).is_some());
    let (command, pid) = match (killed, sample.and_then(Sample::ended)) {
        (Some(kill), _) => match seen(kill.pid) {
            Some(seen) => (Some(seen.command.clone()), seen.inner),
            None => (Some(kill.name), None),
        },
        (None, Some((_, seen))) => (Some(seen.command.clone()), seen.inner),
        (None, None) => (None, None),
    };
    let (limit, peak) = match way {
        Way::V1 => ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        Way::V2 => ("memory.max", "memory.peak"),
    };
    let limit = number(work.join(limit));
    // It was reached: kernels that keep no peak are known to have been there.
    let peak = number(work.join(peak)).or(limit);
    let who = command.as_deref().map_or_else(|| "a process".to_owned(), |c| format!("`{c}`"));
    let held = limit.map_or_else(String::new, |bytes| format!(" of {} MiB", bytes >> 20));
    LimitHit {
        kind: LimitKind::Memory,
        command,
        pid,
        peak,
        limit,
        message: format!(
            "Out of memory: {who} was killed, because the machine's processes had used up their \
             limit{held}. Let them use less, or raise the project's memory limit."
        ),
    }
}
