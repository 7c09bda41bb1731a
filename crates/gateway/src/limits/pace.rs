//! How often, and how many at once, the programs of each project may ask models, where a person has
//! set limits. A gateway that is started anew has forgotten the last minute.

use crate::machine::Machine;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use toft_model::{id::ProjectId, machine::ModelLimits};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

const MINUTE: Duration = Duration::from_mins(1);

/// Why a call has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// So many of one machine are under way, whatever a person has set.
    Full,
    /// So many are under way, which is the project's limit.
    AtOnce(u32),
    /// So many began within the last minute, which is the project's limit; the time until one may
    /// begin again.
    PerMinute(u32, Duration),
}

/// When the calls of the last minute began, oldest first.
type Began = Mutex<BTreeMap<ProjectId, VecDeque<Instant>>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    began: Arc<Began>,
}

/// Leave to make one call, which is one also when several providers are asked in turn: its place among
/// those under way, and its share of the minute. The share of a call that never goes out is given back.
#[derive(Debug)]
pub(crate) struct Leave {
    _place: OwnedSemaphorePermit,
    share: Option<Share>,
}

#[derive(Debug)]
struct Share {
    began: Arc<Began>,
    project: ProjectId,
    at: Instant,
    used: AtomicBool,
}

impl Leave {
    /// Where nobody counts minutes.
    pub(crate) fn uncounted(place: OwnedSemaphorePermit) -> Self {
        Self { _place: place, share: None }
    }

    /// It was made.
    pub(crate) fn goes_out(&self) {
        if let Some(share) = &self.share {
            share.used.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if *self.used.get_mut() {
            return;
        }
        if let Some(times) = locked(&self.began).get_mut(&self.project)
            && let Some(at) = times.iter().rposition(|began| *began == self.at)
        {
            times.remove(at);
        }
    }
}

fn locked(began: &Began) -> MutexGuard<'_, BTreeMap<ProjectId, VecDeque<Instant>>> {
    began.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Paces {
    /// Forgets projects without limits.
    pub(crate) fn keep(&self, limits: &BTreeMap<ProjectId, ModelLimits>) {
        let mut began = locked(&self.began);
        began.retain(|project, _| limits.contains_key(project));
    }

    /// Leave to make one call.
    pub(crate) fn leave(
        &self,
        machine: &Machine,
        limits: Option<ModelLimits>,
    ) -> Result<Leave, Held> {
        // Held while looking and taking: of two calls that come at once, one gets the last place.
        let mut began = locked(&self.began);
        let Some(limits) = limits else {
            began.remove(&machine.project);
            return machine.model_call().map(Leave::uncounted).ok_or(Held::Full);
        };
        if let Some(most) = limits.calls_at_once
            && machine.model_calls_under_way() >= most as usize
        {
            return Err(Held::AtOnce(most));
        }
        let now = Instant::now();
        let times = began.entry(machine.project.clone()).or_default();
        if let Some(most) = limits.calls_per_minute {
            wait(times, most, now).map_or(Ok(()), |left| Err(Held::PerMinute(most, left)))?;
        }
        let place = machine.model_call().ok_or(Held::Full)?;
        if limits.calls_per_minute.is_none() {
            times.clear();
            return Ok(Leave::uncounted(place));
        }
        times.push_back(now);
        let share = Share {
            began: Arc::clone(&self.began),
            project: machine.project.clone(),
            at: now,
            used: AtomicBool::new(false),
        };
        Ok(Leave { _place: place, share: Some(share) })
    }
}

/// Forgets what is older than a minute; how long to wait when there were `most` since.
fn wait(times: &mut VecDeque<Instant>, most: u32, now: Instant) -> Option<Duration> {
    while times.front().is_some_and(|began| now.duration_since(*began) >= MINUTE) {
        times.pop_front();
    }
    // With a limit that was lowered, more than one has to leave the minute.
    let over = (times.len() + 1).checked_sub(most as usize).filter(|over| *over > 0)?;
    let leaves = times.get(over - 1)?;
    Some((*leaves + MINUTE).duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_minute_has_so_many_calls_and_no_more() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut times = VecDeque::new();
        let mut check = |seconds: u64, most: u32, want: Option<u64>| {
            let left = wait(&mut times, most, at(seconds));
            assert_eq!(left, want.map(Duration::from_secs), "at {seconds} with {most}");
            if left.is_none() {
                times.push_back(at(seconds));
            }
        };
        check(0, 2, None);
        check(20, 2, None);
        check(30, 2, Some(30));
        check(59, 2, Some(1));
        check(60, 2, None);
        check(61, 2, Some(19));
        // Lowered: both have to be gone.
        check(62, 1, Some(58));
        check(80, 1, Some(40));
        // Raised.
        check(81, 3, None);
        check(500, 1, None);
    }
}
