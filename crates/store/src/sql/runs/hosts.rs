//! What a run that is not over tells when the server with its machine is gone, and when that is back. It may be worked on
//! meanwhile: its owner's next write stands behind it.

use super::{
    super::{SqlStore, ms, unsigned},
    cancel::{cancelled_at, tell_cancelled},
    events,
};
use crate::{error::StoreError, runs::NewRunEvent, servers::GONE_MS};
use serde_json::{Value, json};
use toft_model::run::JobId;

/// Runs that are told in one transaction.
const TOLD_MAX: i64 = 200;

/// What a run tells when its host goes, and when it is back.
const AWAY: &str = "waiting_host";
const BACK: &str = "host_back";

/// Whether a project's host was not seen for longer than it may be silent.
macro_rules! is_gone {
    ($now:literal, $silence:literal) => {
        concat!("COALESCE(s.seen_at, 0) <= ", clock!($now), " - ", $silence)
    };
}

/// Of the runs that are not over: those whose host is as in `$hosts`, and which were told otherwise last. `$1` what they
/// are told now, `$2` the time, `$3` how long a host may be silent, `$4` how many.
macro_rules! tell_of {
    ($told:literal, $hosts:expr) => {
        concat!(
            // Its owner has told nothing by that: it may have died over the run all the same.
            "UPDATE run SET host_away = $1, last_seq = last_seq + 1, claimed_seq = claimed_seq + 1, updated_at = $2 \
             WHERE host_away = ",
            $told,
            " AND id IN (SELECT r.id FROM run r JOIN project p ON p.id = r.project_id \
             LEFT JOIN server s ON s.id = p.host WHERE r.host_away = ",
            $told,
            " AND r.status IN ('queued', 'running') AND p.deleted_at IS NULL AND p.host IS NOT NULL AND ",
            $hosts,
            // Said again of the row itself: another server may have told it, or its owner ended it, a moment before.
            " ORDER BY r.id LIMIT $4) AND status IN ('queued', 'running') RETURNING id, public_id, last_seq, \
             (SELECT s.url FROM project p JOIN server s ON s.id = p.host WHERE p.id = run.project_id)"
        )
    };
}

const TELL_AWAY: &str = tell_of!("0", is_gone!("$2", "$3"));
const TELL_BACK: &str = tell_of!("1", concat!("NOT (", is_gone!("$2", "$3"), ")"));

/// Of those that work: who wants one ended was told that it is, and nobody is there any more who would.
const END_UNWANTED: &str = concat!(
    "UPDATE run SET ",
    cancelled_at!("$1"),
    " WHERE id IN (SELECT r.id FROM run r JOIN project p ON p.id = r.project_id \
     LEFT JOIN server s ON s.id = p.host WHERE r.status = 'running' AND r.cancel_requested = 1 \
     AND p.deleted_at IS NULL AND p.host IS NOT NULL AND ",
    is_gone!("$1", "$2"),
    " ORDER BY r.id LIMIT $3) AND status = 'running' AND cancel_requested = 1 RETURNING id, public_id, last_seq"
);

/// Most of the time no host is gone, and no run waits for one: no turn of a writer is taken for that.
const ANY_AWAY: &str = concat!(
    "SELECT 1 FROM project p LEFT JOIN server s ON s.id = p.host \
     WHERE p.deleted_at IS NULL AND p.host IS NOT NULL AND ",
    is_gone!("$1", "$2"),
    " LIMIT 1"
);

const ANY_BACK: &str = "SELECT 1 FROM run WHERE host_away = 1 LIMIT 1";

/// Whether an event is one of these.
pub(super) fn is_of_host(event: &NewRunEvent) -> bool {
    let said = || serde_json::from_str::<Value>(&event.data).ok();
    event.kind == "status"
        && said().is_some_and(|said| said["status"] == AWAY || said["status"] == BACK)
}

async fn tell(store: &SqlStore, is_away: bool, now_ms: u64) -> Result<Vec<JobId>, StoreError> {
    let any = if is_away {
        sqlx::query(ANY_AWAY).bind(ms(now_ms)).bind(ms(GONE_MS))
    } else {
        sqlx::query(ANY_BACK)
    };
    if any.fetch_optional(&store.read).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin_relaxed().await?;
    let mut ids = Vec::new();
    if is_away {
        let ended: Vec<(i64, String, i64)> = sqlx::query_as(END_UNWANTED)
            .bind(ms(now_ms))
            .bind(ms(GONE_MS))
            .bind(TOLD_MAX)
            .fetch_all(tx.on())
            .await?;
        for (key, id, seq) in ended {
            tell_cancelled(&mut tx, key, seq, now_ms).await?;
            ids.extend(id.parse());
        }
    }
    let told: Vec<(i64, String, i64, Option<String>)> =
        sqlx::query_as(if is_away { TELL_AWAY } else { TELL_BACK })
            .bind(i64::from(is_away))
            .bind(ms(now_ms))
            .bind(ms(GONE_MS))
            .bind(TOLD_MAX)
            .fetch_all(tx.on())
            .await?;
    for (key, id, seq, url) in told {
        let status = if is_away { AWAY } else { BACK };
        let data = json!({ "status": status, "hostUrl": url }).to_string();
        let event = NewRunEvent { ts: now_ms, kind: "status".into(), data };
        events::add(&mut tx, key, unsigned(seq) - 1, &[event]).await?;
        // Only ids that were parsed once are ever written.
        ids.extend(id.parse());
    }
    tx.commit_as("runs.told_of_hosts").await?;
    Ok(ids)
}

/// Those that are back; where it is sure that this server is not the one that was away, also those that are gone.
pub(in super::super) async fn tell_of(
    store: &SqlStore,
    is_sure: bool,
    now_ms: u64,
) -> Result<Vec<JobId>, StoreError> {
    let mut told = tell(store, false, now_ms).await?;
    if is_sure {
        told.extend(tell(store, true, now_ms).await?);
    }
    Ok(told)
}
