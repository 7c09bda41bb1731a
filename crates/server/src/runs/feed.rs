//! What runs tell, on its way to those who follow one here: read from the store, framed once for all of them.

use super::told::CANCELLED;
use crate::machines::feed::Feed;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use toft_model::{id::ProjectId, run::JobId, time::rfc3339};
use toft_store::{NewEvent, NewRunEvent, RunEvent, Store};
use tokio::time::{Instant, sleep};

/// Events read from the store at once.
pub(super) const PAGE_ROWS: u32 = 1_024;
/// About as many bytes at once.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// A run's events on their way to those who follow it here.
#[derive(Debug)]
pub(crate) struct RunFeed {
    pub(super) id: JobId,
    pub(super) feed: Feed,
    /// The last number that went out. `None`: nobody has said yet where to begin.
    pub(super) last: tokio::sync::Mutex<Option<u64>>,
    /// When somebody has looked whether the run is there still.
    pub(super) looked: tokio::sync::Mutex<Option<Instant>>,
    pub(super) pace: Mutex<Pace>,
}

/// When a feed goes on. While thousands are sent one burst after the other, those whose turn comes late would get the
/// first one only after the earlier ones had all: what comes meanwhile goes out together.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Not before.
    at: Option<Instant>,
    /// Somebody waits for that already.
    is_awaited: bool,
}

/// When what a run has told now may go out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// Whoever is told this sees to it.
    At(Instant),
    /// Somebody else does.
    Awaited,
}

/// What one follower takes of the turn of all, at most: who stands still holds nobody up for longer.
const SHARE: Duration = Duration::from_micros(20);
/// How often it is looked whether all had their turn.
const LOOK: Duration = Duration::from_millis(2);

impl RunFeed {
    /// Somebody follows who knows all up to this number, or reads that elsewhere. Others who follow already may know
    /// less: they are told what they were going to be told.
    pub(super) async fn begins_at(&self, seq: u64) {
        self.last.lock().await.get_or_insert(seq);
    }

    /// When to go on.
    pub(super) fn turn(&self) -> Turn {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        match pace.at {
            _ if pace.is_awaited => Turn::Awaited,
            Some(at) if Instant::now() < at && !self.feed.is_taken() => {
                pace.is_awaited = true;
                Turn::At(at)
            }
            _ => Turn::Now,
        }
    }

    /// Until then, or until all had their turn; who has more to tell from now on sees to it anew.
    pub(super) async fn await_turn(&self, at: Instant) {
        while Instant::now() < at && !self.feed.is_taken() {
            sleep(LOOK).await;
        }
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = Pace::default();
    }

    /// Whether its run was deleted. One of those who follow it asks the store for all of them, once in `every`.
    pub(super) async fn is_gone(
        &self,
        store: &dyn Store,
        project: &ProjectId,
        every: Duration,
    ) -> bool {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < every) {
            return false;
        }
        // A database that does not answer says nothing about the run.
        let is_gone = matches!(store.run_reached(project, &self.id).await, Ok(None));
        *looked = (!is_gone).then(Instant::now);
        is_gone
    }

    /// Sends on what the store has and this feed has not sent.
    pub(super) async fn catch_up(&self, store: &dyn Store) {
        let mut last = self.last.lock().await;
        while let Some(after) = *last {
            let events = match store.run_events(&self.id, after, PAGE_ROWS, PAGE_BYTES).await {
                Ok(events) => events,
                Err(error) => {
                    // Looked at again in a moment.
                    tracing::warn!(run.id = %self.id, %error, "what a run tells cannot be read");
                    return;
                }
            };
            let Some(end) = events.last() else { return };
            *last = Some(end.seq);
            let frames: Vec<NewEvent> = events.iter().map(frame).collect();
            let followers = self.feed.publish(&frames);
            let pace = SHARE.saturating_mul(u32::try_from(followers).unwrap_or(u32::MAX));
            self.pace.lock().unwrap_or_else(PoisonError::into_inner).at =
                Some(Instant::now() + pace);
        }
    }
}

/// Marks a run's last event on its way.
pub(super) const LAST: &str = "last";

/// Whether nothing comes after it.
pub(super) fn is_last(event: &NewRunEvent) -> bool {
    match event.kind.as_str() {
        "done" | "error" => true,
        "status" => event.data == CANCELLED,
        _ => false,
    }
}

/// An event as those who follow a run get it.
pub(super) fn frame(told: &RunEvent) -> NewEvent {
    let event = &told.event;
    NewEvent {
        seq: told.seq,
        ts: event.ts,
        session: is_last(event).then(|| LAST.to_owned()),
        kind: event.kind.clone(),
        data: format!(
            "{{\"id\":{},\"event\":\"{}\",\"data\":{},\"ts\":\"{}\"}}",
            told.seq,
            event.kind,
            event.data,
            rfc3339(event.ts)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::feed::Next;
    use toft_store::{
        Accepted, Claim, Durable, Left, MachineSettings, NewProject, NewRun, Projects as _, Run,
        Runs as _, SYSTEM_USER, SqliteStore, Wrote,
    };

    const NOW: u64 = 1_000;

    /// A run that is worked on, in a project of its own.
    async fn working(store: &SqliteStore) -> Run {
        let project = ProjectId::random();
        let new = NewProject {
            id: project.clone(),
            alias: None,
            name: "Notes".into(),
            owner: SYSTEM_USER.into(),
            backend: None,
            settings: MachineSettings::default(),
        };
        store.create_project(&new, NOW).await.unwrap();
        let new = NewRun {
            id: JobId::random(),
            project,
            key: "one".into(),
            digest: String::new(),
            prompt: "Add a dark mode toggle".into(),
            continues: false,
            input: None,
            provider: None,
            model: None,
            backend: None,
            approval: false,
            priority: 0,
            attempts_max: 3,
        };
        let accepted = store.accept_runs(&[new], NOW).await.unwrap();
        assert!(matches!(accepted[..], [Accepted::New(_)]));
        let claim =
            Claim { owner: "me", lease_ms: 9_000, limit: 1, per_project: 1, per_team: u32::MAX };
        store.claim_runs(&claim, NOW).await.unwrap().remove(0)
    }

    async fn tell(store: &SqliteStore, run: &mut Run) -> u64 {
        let event = NewRunEvent { ts: NOW, kind: "token".into(), data: "{}".into() };
        let wrote = store.write_run(run, &[event], &Left::default(), Durable::Soon, NOW).await;
        let Ok(Wrote::Done(last)) = wrote else { panic!("{wrote:?}") };
        run.last_seq = last;
        last
    }

    fn feed(run: &Run) -> RunFeed {
        RunFeed {
            id: run.id.clone(),
            feed: Feed::default(),
            last: tokio::sync::Mutex::default(),
            looked: tokio::sync::Mutex::default(),
            pace: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn who_follows_is_told_all_also_when_another_one_comes_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("toft.db")).await.unwrap();
        let mut run = working(&store).await;
        let feed = feed(&run);
        let mut first = feed.feed.subscribe();
        feed.begins_at(run.last_seq).await;
        // Told, and not sent on yet, when the next one comes: that one reads it from the store.
        let told = tell(&store, &mut run).await;
        let mut second = feed.feed.subscribe();
        feed.begins_at(told).await;
        feed.catch_up(&store).await;
        let burst = first.try_recv().expect("it was told");
        let Next::Send(pieces, last) = burst.after(told - 1, |_, _| true) else {
            panic!("it goes out as it is");
        };
        assert_eq!((pieces.len(), last), (1, told));
        let burst = second.try_recv().expect("the same burst");
        assert_eq!(burst.after(told, |_, _| true), Next::Send(Vec::new(), told), "which knows it");
    }

    #[tokio::test]
    async fn a_feed_goes_on_when_all_had_their_turn_and_one_sees_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("toft.db")).await.unwrap();
        let mut run = working(&store).await;
        let feed = feed(&run);
        let mut followers: Vec<_> = (0..20_000).map(|_| feed.feed.subscribe()).collect();
        feed.begins_at(run.last_seq).await;
        assert_eq!(feed.turn(), Turn::Now);
        tell(&store, &mut run).await;
        feed.catch_up(&store).await;
        let Turn::At(at) = feed.turn() else { panic!("nobody has taken it") };
        assert!(at > Instant::now());
        assert_eq!(feed.turn(), Turn::Awaited);
        for follower in &mut followers {
            follower.try_recv().unwrap();
        }
        feed.await_turn(at + Duration::from_hours(1)).await;
        assert_eq!(feed.turn(), Turn::Now, "all have taken it");
        tell(&store, &mut run).await;
        feed.catch_up(&store).await;
        let Turn::At(at) = feed.turn() else { panic!("nobody has taken it") };
        feed.await_turn(at).await;
        assert_eq!(feed.turn(), Turn::Now, "who stands still is not waited for");
        drop(followers);
        tell(&store, &mut run).await;
        feed.catch_up(&store).await;
        assert_eq!(feed.turn(), Turn::Now, "nobody is waited for");
    }

    #[tokio::test]
    async fn that_a_run_is_gone_is_asked_once_for_all_and_a_database_that_is_away_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("toft.db")).await.unwrap();
        let run = working(&store).await;
        let of_run = feed(&run);
        let long = Duration::from_hours(1);
        assert!(!of_run.is_gone(&store, &run.project, Duration::ZERO).await);
        store.delete_project(&run.project, NOW).await.unwrap();
        assert!(!of_run.is_gone(&store, &run.project, long).await, "somebody has just looked");
        assert!(of_run.is_gone(&store, &run.project, Duration::ZERO).await);
        assert!(of_run.is_gone(&store, &run.project, long).await, "and stays gone");
        store.close().await;
        assert!(!feed(&run).is_gone(&store, &run.project, Duration::ZERO).await);
    }
}
