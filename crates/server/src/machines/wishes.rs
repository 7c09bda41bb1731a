//! What people asked of a machine last: that it stands still, or that it goes on. Wishes are numbered as
//! they come; one that a later one made void, or an earlier one fulfilled, is settled and nothing is done
//! for it. What is done is in `asked`.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, MutexGuard, Notify};

/// The number of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish(u64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    last: AtomicU64,
    /// The last one that it goes on.
    go_on: AtomicU64,
    /// The last one that a pause was for.
    paused: AtomicU64,
    taken_back: Notify,
    turn: Mutex<()>,
}

impl Wishes {
    /// That it stands still.
    pub(super) fn pause(&self) -> Wish {
        Wish(self.last.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// That it goes on: takes back what came before.
    pub(super) fn go_on(&self) -> Wish {
        let wish = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        self.go_on.fetch_max(wish, Ordering::SeqCst);
        self.taken_back.notify_waiters();
        Wish(wish)
    }

    /// The last wish that a pause begun now is for; none: nothing is left to do for this one, because
    /// somebody took it back or a pause was for it already.
    pub(super) fn decide(&self, wish: Wish) -> Option<Wish> {
        // Read first: what comes after is not for this pause, or seen to take it back.
        let last = self.last.load(Ordering::SeqCst);
        (!self.is_settled(wish)).then_some(Wish(last))
    }

    /// It stands still, for all that wished so up to this one.
    pub(super) fn paused(&self, Wish(last): Wish) {
        self.paused.fetch_max(last, Ordering::SeqCst);
    }

    /// Whether nothing is left to do for it: it was taken back, or a pause was for it or for a later one.
    pub(super) fn is_settled(&self, Wish(wish): Wish) -> bool {
        self.go_on.load(Ordering::SeqCst) > wish || self.paused.load(Ordering::SeqCst) >= wish
    }

    /// Resolves when a pause is taken back.
    pub(super) async fn taken_back(&self, Wish(wish): Wish) {
        loop {
            let changed = self.taken_back.notified();
            tokio::pin!(changed);
            // Listen first: nothing is taken back in between unheard.
            changed.as_mut().enable();
            if self.go_on.load(Ordering::SeqCst) > wish {
                return;
            }
            changed.await;
        }
    }

    /// One wish is carried out at a time.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_once_share_a_pause_and_the_last_wish_counts() {
        let wishes = Wishes::default();
        let (one, two) = (wishes.pause(), wishes.pause());
        let last = wishes.decide(one).unwrap();
        // Came while it was being paused, and is carried out after that.
        let three = wishes.go_on();
        let four = wishes.pause();
        wishes.paused(last);
        assert!(wishes.is_settled(one) && wishes.is_settled(two));
        assert!(!wishes.is_settled(three) && !wishes.is_settled(four));
        // Found paused still by the later one: then it does not go on in between.
        wishes.paused(four);
        assert!(wishes.is_settled(three));
        let five = wishes.pause();
        assert!(wishes.decide(five).is_some(), "it may have gone on since");
        wishes.go_on();
        assert!(wishes.decide(five).is_none());
        wishes.taken_back(five).await;
        let six = wishes.pause();
        tokio::select! {
            biased;
            () = wishes.taken_back(six) => panic!("nobody took it back"),
            () = std::future::ready(()) => {}
        }
    }
}
