//! Who has an image's disk in hand: any number copy it at once, and who makes or removes it is alone
//! with it. Where copies are made file by file, one that goes on while its origin is removed would
//! end without an error and without some files. Nothing of this is kept: whoever copied has ended with
//! its server, and what it had copied lies in scratch.

use super::words::ImageKey;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<ImageKey, Arc<RwLock<()>>>>);

impl Uses {
    /// Waits until nobody makes or removes it; it stays until the answer is dropped.
    pub(crate) async fn to_copy(&self, key: &ImageKey) -> OwnedRwLockReadGuard<()> {
        self.of(key).read_owned().await
    }

    /// Waits until nobody has it in hand; nobody else has until the answer is dropped.
    pub(crate) async fn alone(&self, key: &ImageKey) -> OwnedRwLockWriteGuard<()> {
        self.of(key).write_owned().await
    }

    fn of(&self, key: &ImageKey) -> Arc<RwLock<()>> {
        let mut all = self.0.lock().expect("no holder panics");
        // Those that nobody has or waits for.
        all.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(all.entry(key.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn many_copy_and_who_removes_is_alone() {
        let uses = Uses::default();
        let [one, other] = ["a", "b"].map(|name| ImageKey::of(name, &[]));
        let first = uses.to_copy(&one).await;
        let second = uses.to_copy(&one).now_or_never().expect("many copy at once");
        let mut removing = Box::pin(uses.alone(&one));
        assert!(removing.as_mut().now_or_never().is_none());
        assert!(uses.alone(&other).now_or_never().is_some(), "another image is free");
        drop((first, second));
        let removing = removing.now_or_never().expect("nobody copies any more");
        assert!(uses.to_copy(&one).now_or_never().is_none());
        drop(removing);
        assert!(uses.to_copy(&one).now_or_never().is_some());
        drop(uses.to_copy(&other).await);
        assert_eq!(uses.0.lock().unwrap().len(), 1, "only the latest is remembered");
    }
}
