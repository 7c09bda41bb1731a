//! What the host saw and the bridge numbers: limits that were reached, schedules that were due. Only
//! the server can say so (`POST observed` is not among the routes of the machine's own port). The
//! same id twice is one event, also when the bridge died in between.

use crate::{
    answer::{Failure, Refused},
    body::{BODY_BYTES_MAX, body},
    log::EventLog,
    shell::LimitHits,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    routing::post,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::event::{EventBody, Observed, Told};

/// Beside the event log.
const FILE: &str = "observed.json";

/// Ids that are remembered. The server repeats what was not answered, which is the newest few.
const IDS_MAX: usize = 512;

/// Bytes of an id: a UUID, or a schedule and its slot.
const ID_BYTES_MAX: usize = 128;

/// An id that was taken, and the last event before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    id: String,
    after: u64,
    /// Whether the event was appended by this process: then nobody has to look.
    #[serde(skip)]
    told: bool,
}

/// See the module.
pub(crate) struct Observations {
    path: PathBuf,
    log: EventLog,
    hits: Arc<LimitHits>,
    taken: tokio::sync::Mutex<Option<Vec<Taken>>>,
}

impl Observations {
    pub(crate) fn new(log_dir: &Path, log: EventLog, hits: Arc<LimitHits>) -> Arc<Self> {
        let path = log_dir.join(FILE);
        Arc::new(Self { path, log, hits, taken: tokio::sync::Mutex::default() })
    }

    /// Appends the event, unless that was done under this id.
    async fn take(&self, told: Told) -> io::Result<()> {
        let mut guard = self.taken.lock().await;
        let path = self.path.clone();
        let mut taken = match guard.take() {
            Some(taken) => taken,
            None => blocking(move || Ok(read(&path))).await?,
        };
        let event = match told.what.clone() {
            Observed::Limit(hit) => EventBody::Limit(hit),
            Observed::Schedule(fired) => EventBody::Schedule(fired),
            Observed::Error { code, message } => EventBody::Error { code, message },
        };
        let known = taken.iter().position(|one| one.id == told.id);
        let append = match known {
            Some(at) if taken[at].told => false,
            Some(at) => {
                // The bridge before this one took it; whether it lived to append it, the log says.
                let (log, after, wanted) = (self.log.clone(), taken[at].after, event.clone());
                let mut there = false;
                let looked = blocking(move || {
                    log.visit(after, |event| there |= event.body == wanted)?;
                    Ok(there)
                });
                let there = looked.await;
                if let Ok(there) = there {
                    taken[at].told = true;
                    !there
                } else {
                    *guard = Some(taken);
                    return there.map(|_| ());
                }
            }
            None => {
                let after = self.log.last_seq();
                taken.push(Taken { id: told.id, after, told: false });
                let over = taken.len().saturating_sub(IDS_MAX);
                taken.drain(..over);
                let (path, bytes) = (self.path.clone(), serde_json::to_vec(&taken)?);
                let written = blocking(move || replace(&path, &bytes)).await;
                if let Err(error) = written {
                    taken.pop();
                    *guard = Some(taken);
                    return Err(error);
                }
                if let Some(last) = taken.last_mut() {
                    last.told = true;
                }
                true
            }
        };
        *guard = Some(taken);
        if append {
            if let EventBody::Limit(hit) = &event {
                self.hits.add(hit.clone());
            }
            self.log.append(None, event);
            self.log.sync().await;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Vec<Taken> {
    let bytes = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(beside, path)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The route below `/toft`, for the server's socket only.
pub(crate) fn router(observations: Arc<Observations>) -> Router {
    Router::new()
        .route("/observed", post(observed))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(observations)
}

async fn observed(
    State(observations): State<Arc<Observations>>,
    request: Request,
) -> Result<StatusCode, Refused> {
    let command = "observed";
    let told: Told = body(request).await.map_err(|failure| failure.of(command))?;
    if told.id.is_empty() || told.id.len() > ID_BYTES_MAX {
        let message = format!("id must have 1 to {ID_BYTES_MAX} bytes");
        return Err(Failure::invalid(message).of(command));
    }
    let taken = observations.take(told).await;
    taken.map_err(|err| Failure::io("taking what was observed", &err).of(command))?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_model::event::{Event, LimitHit, LimitKind};

    fn hit(pid: u32) -> LimitHit {
        LimitHit {
            kind: LimitKind::Memory,
            command: Some("python3 eat.py".into()),
            pid: Some(pid),
            peak: Some(64 << 20),
            limit: Some(64 << 20),
            message: "out of memory".into(),
        }
    }

    fn told(id: &str, pid: u32) -> Told {
        Told { id: id.into(), what: Observed::Limit(hit(pid)) }
    }

    fn pids(log: &EventLog) -> Vec<u32> {
        let text = std::fs::read_to_string(log.path()).unwrap();
        let pid = |line| match serde_json::from_str::<Event>(line).unwrap().body {
            EventBody::Limit(hit) => hit.pid,
            _ => None,
        };
        text.lines().filter_map(pid).collect()
    }

    #[tokio::test]
    async fn the_same_id_is_one_event_over_lives_of_the_bridge() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path(), crate::clock::now_ms).await.unwrap();
        let hits = Arc::new(LimitHits::default());
        let open = || Observations::new(dir.path(), log.clone(), Arc::clone(&hits));
        let first = open();
        for id in ["a", "a", "b", "a"] {
            first.take(told(id, 7)).await.unwrap();
        }
        assert_eq!(pids(&log), [7, 7]);
        let second = open();
        second.take(told("b", 7)).await.unwrap();
        assert_eq!(pids(&log), [7, 7]);
        // Died after it took the id, before it appended.
        let taken = r#"[{"id":"c","after":2}]"#;
        std::fs::write(dir.path().join(FILE), taken).unwrap();
        let third = open();
        third.take(told("c", 9)).await.unwrap();
        third.take(told("c", 9)).await.unwrap();
        assert_eq!(pids(&log), [7, 7, 9]);
        // Died after it appended, before it answered.
        std::fs::write(dir.path().join(FILE), taken).unwrap();
        open().take(told("c", 9)).await.unwrap();
        assert_eq!(pids(&log), [7, 7, 9]);
    }

    #[tokio::test]
    async fn many_ids_are_forgotten_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path(), crate::clock::now_ms).await.unwrap();
        let seen = Observations::new(dir.path(), log.clone(), Arc::default());
        let many: Vec<Taken> =
            (0..IDS_MAX).map(|n| Taken { id: n.to_string(), after: 0, told: false }).collect();
        std::fs::write(dir.path().join(FILE), serde_json::to_vec(&many).unwrap()).unwrap();
        seen.take(told("new", 1)).await.unwrap();
        let kept = read(&dir.path().join(FILE));
        assert_eq!((kept.len(), kept[0].id.as_str()), (IDS_MAX, "1"));
    }
}
