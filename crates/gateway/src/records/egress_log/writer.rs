//! The one writer of a project's log. A program that asks for the same thing over and over, or for something else
//! each time, fills neither the disk nor the eyes of those who look: the first of a kind is written at once,
//! equal ones that follow soon become one line, and lines have a rate. Nothing is left uncounted.

use super::{EgressRecord, Outcome, SEVERAL, Via};
use crate::{
    limits::bucket::Bucket,
    records::journal::{Journal, Name},
};
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// For so long after a line equal ones wait to become one: below what somebody who looks takes for late.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// It doubles as long as they come, up to this: then a day of them is two MiB, half of what is kept.
const WINDOW_MAX: Duration = Duration::from_secs(10);
/// Between two looks at what is due.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Kinds of lines that are told apart at a time: some hundred KiB of memory.
const KINDS_MAX: usize = 256;
/// Lines per second in the long run, and at once: the oldest that is kept is never younger than ten minutes.
/// What was allowed has its own, so that refusals, which cost a program nothing, cannot hide it.
const ALLOWED: (u32, u32) = (20, 500);
const DENIED: (u32, u32) = (2, 100);

/// See the module.
#[derive(Debug)]
pub(crate) struct EgressLog {
    journal: Arc<Journal>,
    folding: Mutex<Folding>,
    /// There is something that will be due.
    begun: Notify,
}

#[derive(Debug)]
struct Folding {
    kinds: HashMap<Kind, Fold>,
    allowed: Bucket,
    denied: Bucket,
    /// Who will look at what is due. Without anybody nothing waits that need not.
    keepers: usize,
}

/// What makes lines equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    via: Via,
    verdict: Outcome,
    /// None: one of many, more than are told apart.
    of: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    host: String,
    port: u16,
    rule: String,
    error: Option<String>,
    secrets: Vec<String>,
}

/// Lines of one kind.
#[derive(Debug)]
struct Fold {
    window: Duration,
    until: Instant,
    waiting: Option<EgressRecord>,
}

impl EgressLog {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let folding = Folding {
            kinds: HashMap::new(),
            allowed: Bucket::new(ALLOWED.0, ALLOWED.1),
            denied: Bucket::new(DENIED.0, DENIED.1),
            keepers: 0,
        };
        Ok(Self {
            journal: Arc::new(Journal::open(dir, Name::Egress)?),
            folding: Mutex::new(folding),
            begun: Notify::new(),
        })
    }

    /// Takes what happened.
    pub(crate) fn add(&self, record: EgressRecord) {
        let mut folding = self.folding();
        let folding = &mut *folding;
        let (via, verdict) = (record.via, record.verdict);
        let place = Place {
            host: record.host.clone(),
            port: record.port,
            rule: record.rule.clone(),
            error: record.error.clone(),
            secrets: record.secrets.clone(),
        };
        let kind = Kind { via, verdict, of: Some(place) };
        if let Some(fold) = folding.kinds.get_mut(&kind) {
            return fold.take(record);
        }
        if folding.kinds.len() < KINDS_MAX && folding.bucket(verdict).take() {
            if folding.keepers > 0 {
                folding.kinds.insert(kind, Fold::new(None));
                self.begun.notify_one();
            }
            return self.journal.append(&record);
        }
        let fold =
            folding.kinds.entry(Kind { of: None, ..kind }).or_insert_with(|| Fold::new(None));
        fold.take(record.one_of_several());
        self.begun.notify_one();
    }

    /// Writes what is due, and makes the disk keep it, until the machine is no longer served.
    pub(crate) async fn keep(self: Arc<Self>, cancel: CancellationToken) {
        self.folding().keepers += 1;
        let synced = Arc::clone(&self.journal).keep_synced(cancel.clone());
        let folded = async {
            let look = async {
                loop {
                    if self.write_due(Instant::now()) {
                        sleep(LOOK_AGAIN).await;
                    } else {
                        self.begun.notified().await;
                    }
                }
            };
            cancel.run_until_cancelled(look).await;
        };
        tokio::join!(synced, folded);
        // Connections that end now write for themselves.
        self.folding().keepers -= 1;
        self.write_all();
        self.journal.sync();
    }

    /// Writes what waits, whether it is due or not.
    fn write_all(&self) {
        let mut folding = self.folding();
        if folding.keepers > 0 {
            return;
        }
        let mut waiting: Vec<_> = folding.kinds.drain().filter_map(|(_, f)| f.waiting).collect();
        waiting.sort_by_key(|record| record.ts);
        for record in &waiting {
            self.journal.append(record);
        }
    }

    /// Writes what is due by then; whether something else will be.
    fn write_due(&self, now: Instant) -> bool {
        let mut folding = self.folding();
        let mut due = Vec::new();
        let Folding { kinds, allowed, denied, .. } = &mut *folding;
        kinds.retain(|kind, fold| {
            if fold.until > now {
                return true;
            }
            let Some(record) = fold.waiting.take() else { return false };
            let bucket = match kind.verdict {
                Outcome::Allow => &mut *allowed,
                Outcome::Deny => &mut *denied,
            };
            fold.window = WINDOW_MAX.min(fold.window * 2);
            fold.until = now + fold.window;
            if bucket.take() {
                due.push(record);
            } else {
                fold.waiting = Some(record);
            }
            true
        });
        due.sort_by_key(|record| record.ts);
        for record in &due {
            self.journal.append(record);
        }
        !kinds.is_empty()
    }

    fn folding(&self) -> MutexGuard<'_, Folding> {
        self.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EgressLog {
    fn drop(&mut self) {
        self.folding().keepers = 0;
        self.write_all();
    }
}

impl Folding {
    fn bucket(&mut self, verdict: Outcome) -> &mut Bucket {
        match verdict {
            Outcome::Allow => &mut self.allowed,
            Outcome::Deny => &mut self.denied,
        }
    }
}

impl Fold {
    fn new(waiting: Option<EgressRecord>) -> Self {
        Self { window: WINDOW_MIN, until: Instant::now() + WINDOW_MIN, waiting }
    }

    fn take(&mut self, record: EgressRecord) {
        match &mut self.waiting {
            Some(waiting) => waiting.add(record),
            None => self.waiting = Some(record),
        }
    }
}

impl EgressRecord {
    /// One of a line of several hosts.
    fn one_of_several(self) -> Self {
        let reason = "more came at once than the log tells apart".to_owned();
        Self {
            host: String::new(),
            port: 0,
            rule: SEVERAL.to_owned(),
            reason: Some(reason),
            error: None,
            ..self
        }
    }

    /// One more of the same kind.
    fn add(&mut self, other: Self) {
        let newest = |one: &Self| one.last_ts.unwrap_or(one.ts);
        self.last_ts = Some(newest(self).max(newest(&other)));
        self.ts = self.ts.min(other.ts);
        self.count += other.count;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.duration_ms += other.duration_ms;
        self.reason = other.reason;
        for name in other.secrets {
            if !self.secrets.contains(&name) {
                self.secrets.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
