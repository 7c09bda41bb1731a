//! Signals to and from other servers on the same database: `NOTIFY` and `LISTEN` on one channel. Sent beside the
//! transactions that they are about, some at a time: within them, all commits of the database would go one by one.

use super::{CONNECT_TIMEOUT, Lines, Lost, Pulse};
use crate::signals::{Near, Signal, TOPIC_BYTES_MAX};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};

/// The channel of all of them.
const CHANNEL: &str = "toft";
/// Topics that wait while the database does not answer; who listens looks by itself then.
const WAITING_MAX: usize = 1024;
/// Topics that are sent at once.
const TOGETHER_MAX: usize = 128;
/// How long until it is listened again after the connection was lost.
const PAUSE: Duration = Duration::from_millis(250);

/// Both directions; they end when it is dropped.
pub(super) struct Far {
    topics: Sender<String>,
    tasks: [JoinHandle<()>; 2],
}

/// What hearing takes.
pub(super) struct Listening {
    options: PgConnectOptions,
    near: Near,
    lost: Lost,
    pulse: Pulse,
}

impl Listening {
    pub(super) fn new(options: PgConnectOptions, near: Near, lost: Lost, pulse: Pulse) -> Self {
        Self { options, near, lost, pulse }
    }
}

impl Far {
    pub(super) fn start(listening: Listening, lines: Lines) -> Self {
        let own = format!("{:016x}", RandomState::new().build_hasher().finish());
        let (topics, waiting) = mpsc::channel(WAITING_MAX);
        let tasks =
            [tokio::spawn(send(lines, own.clone(), waiting)), tokio::spawn(hear(listening, own))];
        Self { topics, tasks }
    }

    /// Tells other servers, soon.
    pub(super) fn tell(&self, topic: &str) {
        let cut = topic.floor_char_boundary(TOPIC_BYTES_MAX);
        // Too many wait: it is lost, as any may be.
        let _ = self.topics.try_send(topic[..cut].to_owned());
    }

    pub(super) fn end(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.end();
    }
}

async fn send(lines: Lines, own: String, mut topics: Receiver<String>) {
    while let Some(topic) = topics.recv().await {
        let mut together = BTreeSet::from([topic]);
        while together.len() < TOGETHER_MAX
            && let Ok(topic) = topics.try_recv()
        {
            together.insert(topic);
        }
        let payloads: Vec<String> =
            together.into_iter().map(|topic| format!("{own}:{topic}")).collect();
        // What is lost is found by those who look by themselves.
        let _ = sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2) AS payload")
            .bind(CHANNEL)
            .bind(payloads)
            .execute(&lines)
            .await;
    }
}

async fn hear(listening: Listening, own: String) {
    let Listening { options, near, lost, pulse } = listening;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    loop {
        // It ends only with the connection. One to a database that is silent says nothing of its end.
        tokio::select! {
            _ = hear_until_lost(&pool, &own, &near) => {}
            () = pulse.silent() => {}
        }
        lost.now();
        near.tell(Signal::Missed);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_until_lost(pool: &PgPool, own: &str, near: &Near) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // Whatever was told before this moment.
    near.tell(Signal::Missed);
    while let Some(told) = listener.try_recv().await? {
        // Those of this server were told near by.
        if let Some((whose, topic)) = told.payload().split_once(':')
            && whose != own
        {
            near.tell(Signal::Topic(topic.to_owned()));
        }
    }
    Ok(())
}
