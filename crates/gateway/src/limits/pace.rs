//! How often, and how many at once, the programs of each project may ask models, where a person has
//! set limits. A gateway that is started anew has forgotten the last minute.

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
    /// So many of one machine, or from outside, are under way, whatever a person has set.
    Full,
    /// So many are under way, which is the project's limit.
    AtOnce(u32),
    /// So many began within the last minute, which is the project's limit; the time until one may
    /// begin again.
    PerMinute(u32, Duration),
}

/// What is known of a project's calls.
#[derive(Debug, Default)]
struct Calls {
    /// How many have leave now, wherever they come from.
    under_way: usize,
    /// When those of the last minute began, oldest first; while they are limited.
    began: VecDeque<Instant>,
}

type Known = Mutex<BTreeMap<ProjectId, Calls>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    known: Arc<Known>,
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
    known: Arc<Known>,
    project: ProjectId,
    /// When it began, where minutes are counted.
    at: Option<Instant>,
    used: AtomicBool,
}

impl Leave {
    /// Where nobody counts: the call is no project's.
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
        let mut known = locked(&self.known);
        let Some(calls) = known.get_mut(&self.project) else { return };
        calls.under_way -= 1;
        if !*self.used.get_mut()
            && let Some(mine) = self.at
            && let Some(at) = calls.began.iter().rposition(|began| *began == mine)
        {
            calls.began.remove(at);
        }
        if calls.under_way == 0 && calls.began.is_empty() {
            known.remove(&self.project);
        }
    }
}

fn locked(known: &Known) -> MutexGuard<'_, BTreeMap<ProjectId, Calls>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Paces {
    /// Forgets the minutes of projects without limits.
    pub(crate) fn keep(&self, limits: &BTreeMap<ProjectId, ModelLimits>) {
        locked(&self.known).retain(|project, calls| {
            if !limits.contains_key(project) {
                calls.began.clear();
            }
            calls.under_way > 0 || !calls.began.is_empty()
        });
    }

    /// Leave to make one call of a project, which also needs a `place` of where it comes from.
    pub(crate) fn leave(
        &self,
        project: &ProjectId,
        limits: Option<ModelLimits>,
        place: impl FnOnce() -> Option<OwnedSemaphorePermit>,
    ) -> Result<Leave, Held> {
        // Held while looking and taking: of two calls that come at once, one gets the last place.
        let mut known = locked(&self.known);
        let calls = known.entry(project.clone()).or_default();
        let limits = limits.unwrap_or_default();
        let now = Instant::now();
        let judged = match (limits.calls_at_once, limits.calls_per_minute) {
            (Some(most), _) if calls.under_way >= most as usize => Err(Held::AtOnce(most)),
            (_, Some(most)) => wait(&mut calls.began, most, now)
                .map_or(Ok(()), |left| Err(Held::PerMinute(most, left))),
            (_, None) => {
                calls.began.clear();
                Ok(())
            }
        };
        let place = match judged.and_then(|()| place().ok_or(Held::Full)) {
            Ok(place) => place,
            Err(held) => {
                if calls.under_way == 0 && calls.began.is_empty() {
                    known.remove(project);
                }
                return Err(held);
            }
        };
        let at = limits.calls_per_minute.map(|_| now);
        calls.began.extend(at);
        calls.under_way += 1;
        let share = Share {
            known: Arc::clone(&self.known),
            project: project.clone(),
            at,
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
