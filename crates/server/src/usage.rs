//! The gateway's journal of model calls, read into the store: what was read and how far go there
//! together, so that a server that ends in the middle of it counts nothing twice and misses nothing.
//! Not what is asked of the store: that is `routes::usage`.

use crate::api_error::ApiError;
use std::{path::Path, time::Duration};
use toft_gateway::records::usage::{self, Granted, UsageLine, UsageRecord};
use toft_store::{Store, UsageEntry, UsageRow};
use tokio::{sync::Mutex, time::sleep};

/// Between two looks when nobody asks: it only keeps what there is to read short, because everybody
/// who asks looks first.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// Lines read in one go: some 100 ms of the database's one writer.
const LINES_MAX: usize = 5_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// One reader at a time: the position is read, then moved.
    turn: Mutex<()>,
}

impl Intake {
    /// Reads what the gateway has written until now.
    pub(crate) async fn catch_up(
        &self,
        data_dir: &Path,
        store: &dyn Store,
    ) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let mut position = store.usage_position().await?;
        loop {
            let dir = data_dir.to_owned();
            let read =
                tokio::task::spawn_blocking(move || usage::read(&dir, position, LINES_MAX)).await;
            let read = read.map_err(|e| ApiError::internal("usage could not be read", &e))?;
            let (lines, next) =
                read.map_err(|e| ApiError::internal("the usage journal could not be read", &e))?;
            if next < position {
                // Somebody took the journal away and a new one was begun. What is known stays.
                tracing::warn!(position, next, "the usage journal is shorter than it was");
                position = 0;
                continue;
            }
            if next == position {
                return Ok(());
            }
            let entries: Vec<UsageEntry> = lines.into_iter().map(entry).collect();
            store.add_usage(&entries, next).await?;
            position = next;
        }
    }

    /// Reads on until the server ends.
    pub(crate) async fn follow(&self, data_dir: &Path, store: &dyn Store) {
        loop {
            if let Err(error) = self.catch_up(data_dir, store).await {
                tracing::warn!(error = error.message, "usage waits in the gateway's journal");
            }
            sleep(LOOK_PAUSE).await;
        }
    }
}

fn entry(line: UsageLine) -> UsageEntry {
    match line {
        UsageLine::Started(_) => UsageEntry::Restarted,
        UsageLine::Granted(granted) => UsageEntry::Granted(granted_row(granted)),
        UsageLine::Ended(record) => UsageEntry::Ended(ended_row(record)),
    }
}

fn granted_row(granted: Granted) -> UsageRow {
    UsageRow {
        id: granted.granted,
        ts: granted.ts,
        project: granted.project.map(|id| id.as_str().to_owned()),
        session: granted.session.map(|id| id.as_str().to_owned()),
        run: granted.run.map(|id| id.as_str().to_owned()),
        provider: granted.provider,
        reserved: granted.reserved,
        ..UsageRow::default()
    }
}

fn ended_row(record: UsageRecord) -> UsageRow {
    UsageRow {
        id: record.id,
        ts: record.ts,
        project: record.project.map(|id| id.as_str().to_owned()),
        session: record.session.map(|id| id.as_str().to_owned()),
        run: record.run.map(|id| id.as_str().to_owned()),
        provider: record.provider,
        model: record.model,
        // What counts where the cost is not known.
        reserved: record.counted.or(record.reserved),
        status: Some(record.status),
        input: record.input,
        output: record.output,
        cache_read: record.cache_read,
        cache_write: record.cache_write,
        cost: record.cost,
        duration_ms: Some(record.duration_ms),
        first_byte_ms: record.first_byte_ms,
        error: record.error,
    }
}
