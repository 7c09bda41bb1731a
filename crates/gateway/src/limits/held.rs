//! Memory for requests that have to be read before they can be sent on, and who has it. A project may
//! hold as much as it leaves free: alone it has half of all, and however many take what they can, there is
//! room for one more. Not a limit of what one request may be.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use toft_model::id::ProjectId;
use tokio::sync::Notify;

/// Bytes of all together: the largest request that passes still fits when others hold as much as it, and of
/// those of agents (up to a million tokens of text are 4 MiB) there are some twenty.
pub(crate) const HELD_BYTES_MAX: usize = 96 << 20;

/// Programs outside of all machines count as one project.
type Who = Option<ProjectId>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Room {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug)]
struct Taken {
    free: usize,
    by: BTreeMap<Who, usize>,
}

/// Some of it, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    who: Who,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        let taken = Taken { free: HELD_BYTES_MAX, by: BTreeMap::new() };
        Self { taken: Mutex::new(taken), freed: Notify::new() }
    }
}

impl Room {
    /// Waits until there is so much for them.
    pub(crate) async fn take(self: &Arc<Self>, who: &Who, bytes: usize) -> Place {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on: what is given back after the look is heard of.
            freed.as_mut().enable();
            if let Some(place) = self.try_take(who, bytes) {
                return place;
            }
            freed.await;
        }
    }

    /// So much, if there is as much for them now.
    pub(crate) fn try_take(self: &Arc<Self>, who: &Who, bytes: usize) -> Option<Place> {
        let mut taken = self.taken();
        let held = taken.by.get(who).copied().unwrap_or(0) + bytes;
        let free = taken.free.checked_sub(bytes)?;
        if held > free {
            return None;
        }
        taken.free = free;
        taken.by.insert(who.clone(), held);
        Some(Place { room: Arc::clone(self), who: who.clone(), bytes })
    }

    /// Bytes that nobody has.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.taken().free
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// One place of both.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.free += self.bytes;
        let held = taken.by.get_mut(&self.who);
        let left = held.map_or(0, |held| {
            *held -= self.bytes;
            *held
        });
        if left == 0 {
            taken.by.remove(&self.who);
        }
        drop(taken);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn someone() -> ProjectId {
        ProjectId::random()
    }

    #[test]
    fn whoever_takes_all_that_it_can_leaves_room_for_one_more() {
        let room = Arc::new(Room::default());
        let mib = 1 << 20;
        let greedy = |who: &Who| std::iter::from_fn(|| room.try_take(who, mib)).collect::<Vec<_>>();
        let mut held = Vec::new();
        // A half, a third, a quarter, … each when its turn comes.
        for left in [48, 24, 12, 6, 3] {
            held.push(greedy(&Some(someone())));
            assert_eq!(room.free() / mib, left);
        }
        assert!(room.try_take(&Some(someone()), mib).is_some(), "there is still some for another");
        drop(held);
        assert_eq!(room.free(), HELD_BYTES_MAX);
        assert!(room.taken().by.is_empty(), "nobody is remembered who holds nothing");
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_there_is_room_and_not_before() {
        let room = Arc::new(Room::default());
        let (one, other) = (Some(someone()), Some(someone()));
        let half = HELD_BYTES_MAX / 2;
        let first = room.take(&one, half).await;
        let mut waits = Box::pin(room.take(&one, 1));
        assert!((&mut waits).now_or_never().is_none(), "it has its share");
        let theirs = room.take(&other, half / 2).await;
        drop(theirs);
        assert!((&mut waits).now_or_never().is_none(), "that was not theirs to have");
        drop(first);
        let mut small = waits.await;
        small.merge(room.take(&one, 9).await);
        assert_eq!(small.bytes(), 10);
        drop(small);
        assert_eq!(room.free(), HELD_BYTES_MAX);
    }
}
