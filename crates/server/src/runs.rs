//! Runs: how they are accepted (`accept`), who works on them (`worker`), how one goes from its claim to its end
//! (`work`), what events of its machine mean for it (`told`), and who follows it (`feed`, `follow`). What a row is, and what
//! is one transaction, is the store's; what happens inside the machine is the bridge's.

pub(crate) mod accept;
pub(crate) mod artifacts;
mod cost;
mod feed;
pub(crate) mod follow;
mod settings;
pub(crate) mod settle;
pub(crate) mod shown;
mod told;
pub(crate) mod webhooks;
mod work;
pub(crate) mod worker;

pub use artifacts::{ArtifactError, ArtifactPlace};
pub use settings::RunSettings;

use crate::{
    api_error::{ApiError, Code},
    clock::since_boot_ms,
    machines::feed::Feed,
};
use artifacts::Artifacts;
use feed::RunFeed;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_model::run::JobId;
use toft_store::{Accepted, NewRun, NewRunEvent, Store};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Name of the archive of what a run left.
pub(crate) const WORKSPACE: &str = "workspace";

/// Told to all servers when there may be something to claim.
const QUEUE_TOPIC: &str = "runs";
/// Before the id of a run that has told something.
const RUN_TOPIC: &str = "run:";
/// Before the id of a run that somebody wants ended.
const CANCEL_TOPIC: &str = "cancel:";

/// Requests that may wait for their turn.
const WAITING_MAX: usize = 1024;

/// What asks for a run that there is none of is told.
pub(crate) fn missing() -> ApiError {
    ApiError::new(Code::NotFound, "run not found: GET /v1/projects/{id}/runs lists them")
}

/// What all who work on runs share.
pub(crate) struct Runs {
    pub(crate) settings: RunSettings,
    /// Names this server among those on its database.
    owner: String,
    pub(crate) artifacts: Artifacts,
    asks: mpsc::Sender<Ask>,
    asked: Mutex<Option<mpsc::Receiver<Ask>>>,
    /// There may be something to claim.
    queued: Notify,
    /// Those that this server works on.
    held: Mutex<HashMap<JobId, Held>>,
    /// When those were last said to be this server's, in milliseconds since the host's start: also of those that it
    /// slept.
    kept_at: AtomicU64,
    /// Those that somebody follows here.
    feeds: Mutex<HashMap<JobId, Weak<RunFeed>>>,
}

/// A request, and where its answer goes.
struct Ask {
    new: NewRun,
    reply: oneshot::Sender<Result<Accepted, ApiError>>,
}

/// A run that this server works on.
#[derive(Debug, Clone)]
struct Held {
    fence: u64,
    /// Another owner has it, or this server ends.
    lost: CancellationToken,
    /// Somebody wants it ended.
    cancelled: CancellationToken,
    /// A person is waited for, and nothing works: others have its place meanwhile.
    rests: Arc<AtomicBool>,
}

/// So many runs for each that may work are held at most, with those that wait for people: each is a machine's.
const HELD_FOR_EACH: u32 = 16;

/// How many more runs a server may take that may work on so many. Those for whom a person is waited for are left out:
/// or some plans that nobody looks at would keep everybody else's runs waiting.
fn places(at_once: u32, held: impl Iterator<Item = bool>) -> u32 {
    let (mut all, mut working) = (0_u32, 0_u32);
    for rests in held {
        all += 1;
        working += u32::from(!rests);
    }
    at_once.saturating_sub(working).min(at_once.saturating_mul(HELD_FOR_EACH).saturating_sub(all))
}

impl Runs {
    pub(crate) fn new(settings: RunSettings, owner: String, artifacts: Artifacts) -> Self {
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        Self {
            settings,
            owner,
            artifacts,
            asks,
            asked: Mutex::new(Some(asked)),
            queued: Notify::new(),
            held: Mutex::default(),
            kept_at: AtomicU64::new(since_boot_ms()),
            feeds: Mutex::default(),
        }
    }

    /// Names this server among those on its database.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    fn held(&self) -> MutexGuard<'_, HashMap<JobId, Held>> {
        lock(&self.held)
    }

    /// What is held here has just been said to be.
    fn kept(&self) {
        self.kept_at.store(since_boot_ms(), Ordering::Relaxed);
    }

    /// Whether that is longer ago than it should be.
    fn is_overdue(&self) -> bool {
        let ms = since_boot_ms().saturating_sub(self.kept_at.load(Ordering::Relaxed));
        Duration::from_millis(ms) > self.settings.lease / 2
    }

    /// How many more this server may take.
    fn places(&self) -> u32 {
        let held = self.held();
        places(self.settings.at_once, held.values().map(|one| one.rests.load(Ordering::Relaxed)))
    }

    /// The feed of a run, made when nobody follows it yet.
    fn feed(&self, id: &JobId) -> Arc<RunFeed> {
        let mut feeds = lock(&self.feeds);
        if let Some(feed) = feeds.get(id).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(RunFeed {
            looked: tokio::sync::Mutex::default(),
            pace: Mutex::default(),
            id: id.clone(),
            feed: Feed::default(),
            last: tokio::sync::Mutex::default(),
        });
        feeds.insert(id.clone(), Arc::downgrade(&feed));
        feed
    }

    /// The feed of a run that somebody follows.
    fn followed(&self, id: &JobId) -> Option<Arc<RunFeed>> {
        lock(&self.feeds).get(id).and_then(Weak::upgrade)
    }

    fn all_followed(&self) -> Vec<Arc<RunFeed>> {
        lock(&self.feeds).values().filter_map(Weak::upgrade).collect()
    }

    /// Somebody wants a run ended that may be worked on here.
    pub(crate) fn cancel_here(&self, id: &JobId) {
        if let Some(held) = self.held().get(id) {
            held.cancelled.cancel();
        }
    }

    /// Tells all servers that a run is to end.
    pub(crate) async fn cancel(&self, store: &dyn Store, id: &JobId) {
        self.cancel_here(id);
        tell(store, &format!("{CANCEL_TOPIC}{id}")).await;
        self.changed(store, id).await;
    }

    /// A run has told something: those who follow it, here and elsewhere, get it.
    pub(crate) async fn changed(&self, store: &dyn Store, id: &JobId) {
        if let Some(feed) = self.followed(id) {
            feed.catch_up(store).await;
        }
        tell(store, &format!("{RUN_TOPIC}{id}")).await;
    }
}

/// The `status` of a workspace that could not be kept.
const UNKEPT: &str = "workspace_snapshot_store_failed";

/// The bridge's word for more than may be kept.
const TOO_LARGE: &str = "payload_too_large";

/// Whether it says that the workspace was too large to be kept.
pub(crate) fn is_too_large(event: &NewRunEvent) -> bool {
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap_or_default();
    data["status"] == UNKEPT && data["code"] == TOO_LARGE
}

/// Whoever misses it looks by itself a moment later.
async fn tell(store: &dyn Store, topic: &str) {
    if let Err(error) = store.notify(topic).await {
        tracing::debug!(%error, topic, "other servers are not told");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_person_takes_no_place_until_there_are_very_many() {
        let of = |resting: usize, working: usize| {
            let held =
                std::iter::repeat_n(true, resting).chain(std::iter::repeat_n(false, working));
            places(2, held)
        };
        assert_eq!([of(0, 0), of(0, 1), of(0, 2), of(0, 3)], [2, 1, 0, 0]);
        assert_eq!(
            [of(2, 0), of(9, 1), of(30, 2), of(31, 0), of(32, 0), of(99, 0)],
            [2, 1, 0, 1, 0, 0]
        );
        assert_eq!(places(0, std::iter::empty()), 0);
    }
}
