//! What was said in a project, with what it has from the one that it was forked from. Reads and hands
//! down; new events are in `events`.

use super::{SqliteStore, ms, unsigned};
use crate::{checkpoints::ConversationStep, error::StoreError, events::NewEvent};
use sqlx::{FromRow as _, Row as _, SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;
use toft_model::checkpoint::Place;

/// Forks of forks that are followed: more than anybody makes, and an end to a damaged file's circle.
const ORIGINS_MAX: usize = 64;
/// Steps of one conversation in one project: as many as messages are given out.
const STEPS_MAX: u32 = 20_000;

/// A stretch of what was said, by the internal key of its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// Of its own events up to a number.
    Own { key: i64, until: u64 },
    /// What was handed down to it when its origin was deleted.
    Inherited { key: i64 },
}

/// The stretches of a project up to an event, oldest first; the last one is its own.
pub(super) async fn stretches(
    conn: &mut SqliteConnection,
    key: i64,
    until: u64,
) -> Result<Vec<Stretch>, StoreError> {
    let mut out = vec![Stretch::Own { key, until }];
    let mut at = key;
    for _ in 0..ORIGINS_MAX {
        let origin: Option<(i64, i64)> =
            sqlx::query_as("SELECT origin_id, seq FROM fork_origin WHERE project_id = ?")
                .bind(at)
                .fetch_optional(&mut *conn)
                .await?;
        let Some((origin, seq)) = origin else { break };
        out.push(Stretch::Own { key: origin, until: unsigned(seq) });
        at = origin;
    }
    out.push(Stretch::Inherited { key: at });
    out.reverse();
    Ok(out)
}

impl Stretch {
    /// Where conversations stand at its end, as far as it says anything of them.
    async fn places(
        self,
        conn: &mut SqliteConnection,
        places: &mut BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        let (said, moved) = match self {
            Self::Own { .. } => (
                // The plus keeps it off the primary key, by which it would walk every delta.
                sqlx::query(
                    "SELECT e.session, e.seq, CAST(json_extract(e.data, '$.entryId') AS TEXT) \
                     FROM (SELECT max(seq) AS last FROM bridge_event WHERE project_id = ?1 \
                     AND kind = 'message_end' AND session IS NOT NULL AND +seq <= ?2 \
                     GROUP BY session) m \
                     JOIN bridge_event e ON e.project_id = ?1 AND e.seq = m.last",
                ),
                sqlx::query(
                    "SELECT CAST(json_extract(j.value, '$.sessionId') AS TEXT), e.seq, \
                     CAST(json_extract(j.value, '$.toEntryId') AS TEXT) \
                     FROM bridge_event e, json_each(e.data, '$.sessions') j \
                     WHERE e.project_id = ?1 AND e.kind IN ('restored', 'navigated') AND e.seq <= ?2 \
                     ORDER BY e.seq",
                ),
            ),
            Self::Inherited { .. } => (
                sqlx::query(
                    "SELECT e.session, e.id, CAST(json_extract(e.data, '$.entryId') AS TEXT) \
                     FROM (SELECT max(id) AS last FROM inherited_event WHERE project_id = ?1 \
                     AND kind = 'message_end' AND session IS NOT NULL AND ?2 > 0 \
                     GROUP BY session) m JOIN inherited_event e ON e.id = m.last",
                ),
                sqlx::query(
                    "SELECT CAST(json_extract(j.value, '$.sessionId') AS TEXT), e.id, \
                     CAST(json_extract(j.value, '$.toEntryId') AS TEXT) \
                     FROM inherited_event e, json_each(e.data, '$.sessions') j \
                     WHERE e.project_id = ?1 AND e.kind IN ('restored', 'navigated') AND ?2 > 0 ORDER BY e.id",
                ),
            ),
        };
        let (key, until) = self.parts();
        let said = said.bind(key).bind(ms(until)).fetch_all(&mut *conn).await?;
        let moved = moved.bind(key).bind(ms(until)).fetch_all(&mut *conn).await?;
        let mut last = BTreeMap::new();
        for row in said.iter().chain(&moved) {
            let Some(session) = row.try_get::<Option<String>, _>(0)? else { continue };
            let at: i64 = row.try_get(1)?;
            if last.get(&session).is_none_or(|known| *known < at) {
                last.insert(session.clone(), at);
                places.insert(session, row.try_get(2)?);
            }
        }
        Ok(())
    }

    async fn steps(
        self,
        conn: &mut SqliteConnection,
        session: &str,
        out: &mut Vec<ConversationStep>,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let query = match self {
            Self::Own { .. } => sqlx::query(
                "SELECT seq, kind, CAST(json_extract(data, '$.ts') AS INTEGER), \
                 CAST(json_extract(data, '$.entryId') AS TEXT), \
                 CAST(json_extract(data, '$.parentId') AS TEXT), \
                 json_extract(data, '$.message.role') = 'user', NULL, NULL FROM bridge_event \
                 WHERE project_id = ?1 AND session = ?3 AND kind = 'message_end' AND seq <= ?2 \
                 UNION ALL \
                 SELECT e.seq, e.kind, CAST(json_extract(e.data, '$.takenAt') AS INTEGER), \
                 CAST(json_extract(j.value, CASE e.kind WHEN 'navigated' THEN '$.toMessageId' \
                 ELSE '$.toEntryId' END) AS TEXT), \
                 CAST(json_extract(e.data, '$.checkpointId') AS TEXT), NULL, \
                 CAST(json_extract(e.data, '$.label') AS TEXT), \
                 CAST(json_extract(e.data, '$.ts') AS INTEGER) \
                 FROM bridge_event e, json_each(e.data, '$.sessions') j \
                 WHERE e.project_id = ?1 AND e.kind IN ('restored', 'navigated') AND e.seq <= ?2 \
                 AND json_extract(j.value, '$.sessionId') = ?3 ORDER BY 1 LIMIT ?4",
            ),
            Self::Inherited { .. } => sqlx::query(
                "SELECT id, kind, CAST(json_extract(data, '$.ts') AS INTEGER), \
                 CAST(json_extract(data, '$.entryId') AS TEXT), \
                 CAST(json_extract(data, '$.parentId') AS TEXT), \
                 json_extract(data, '$.message.role') = 'user', NULL, NULL FROM inherited_event \
                 WHERE project_id = ?1 AND session = ?3 AND kind = 'message_end' AND ?2 > 0 \
                 UNION ALL \
                 SELECT e.id, e.kind, CAST(json_extract(e.data, '$.takenAt') AS INTEGER), \
                 CAST(json_extract(j.value, CASE e.kind WHEN 'navigated' THEN '$.toMessageId' \
                 ELSE '$.toEntryId' END) AS TEXT), \
                 CAST(json_extract(e.data, '$.checkpointId') AS TEXT), NULL, \
                 CAST(json_extract(e.data, '$.label') AS TEXT), \
                 CAST(json_extract(e.data, '$.ts') AS INTEGER) \
                 FROM inherited_event e, json_each(e.data, '$.sessions') j \
                 WHERE e.project_id = ?1 AND e.kind IN ('restored', 'navigated') \
                 AND json_extract(j.value, '$.sessionId') = ?3 ORDER BY 1 LIMIT ?4",
            ),
        };
        let (key, until) = self.parts();
        let rows = query
            .bind(key)
            .bind(ms(until))
            .bind(session)
            .bind(STEPS_MAX)
            .fetch_all(&mut *conn)
            .await?;
        for row in &rows {
            out.extend(step(row, is_last)?);
        }
        Ok(())
    }

    /// `message_end` events of a conversation, with number 0: they are of another project.
    async fn messages(
        self,
        conn: &mut SqliteConnection,
        session: &str,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let query = match self {
            Self::Own { .. } => sqlx::query(
                "SELECT 0 AS seq, ts, session, kind, data FROM bridge_event WHERE project_id = ? \
                 AND seq <= ? AND session = ? AND kind = 'message_end' \
                 ORDER BY bridge_event.seq LIMIT ?",
            ),
            Self::Inherited { .. } => sqlx::query(
                "SELECT 0 AS seq, ts, session, kind, data FROM inherited_event \
                 WHERE project_id = ? AND ? > 0 AND session = ? AND kind = 'message_end' \
                 ORDER BY id LIMIT ?",
            ),
        };
        let (key, until) = self.parts();
        let rows =
            query.bind(key).bind(ms(until)).bind(session).bind(STEPS_MAX).fetch_all(conn).await?;
        Ok(rows.iter().map(NewEvent::from_row).collect::<Result<_, _>>()?)
    }

    /// Gives a copy to a fork.
    async fn hand_down(self, conn: &mut SqliteConnection, heir: i64) -> Result<(), StoreError> {
        let query = match self {
            Self::Own { .. } => sqlx::query(
                "INSERT INTO inherited_event (project_id, ts, session, kind, data) \
                 SELECT ?3, ts, session, kind, data FROM bridge_event WHERE project_id = ?1 \
                 AND seq <= ?2 AND kind IN ('message_end', 'restored', 'navigated') ORDER BY seq",
            ),
            Self::Inherited { .. } => sqlx::query(
                "INSERT INTO inherited_event (project_id, ts, session, kind, data) \
                 SELECT ?3, ts, session, kind, data FROM inherited_event WHERE project_id = ?1 \
                 AND ?2 > 0 ORDER BY id",
            ),
        };
        let (key, until) = self.parts();
        query.bind(key).bind(ms(until)).bind(heir).execute(conn).await?;
        Ok(())
    }

    fn parts(self) -> (i64, u64) {
        match self {
            Self::Own { key, until } => (key, until),
            Self::Inherited { key } => (key, u64::MAX),
        }
    }
}

/// A row of [`Stretch::steps`]; none for a message that early versions or a broken machine told
/// without its entry.
fn step(row: &SqliteRow, is_own: bool) -> Result<Option<ConversationStep>, StoreError> {
    let seq = if is_own { unsigned(row.try_get(0)?) } else { 0 };
    let time = row.try_get::<Option<i64>, _>(2)?.map(unsigned);
    let entry: Option<String> = row.try_get(3)?;
    if row.try_get::<&str, _>(1)? != "message_end" {
        return Ok(Some(ConversationStep::Moved {
            seq,
            to: entry,
            checkpoint_id: row.try_get(4)?,
            label: row.try_get(6)?,
            taken_at: time,
            at: unsigned(row.try_get::<Option<i64>, _>(7)?.unwrap_or(0)),
        }));
    }
    let Some(entry_id) = entry else { return Ok(None) };
    let by_user = row.try_get::<Option<bool>, _>(5)?.unwrap_or(false);
    Ok(Some(ConversationStep::Said {
        seq,
        ts: time.unwrap_or(0),
        entry_id,
        parent_id: row.try_get(4)?,
        by_user,
    }))
}

/// Gives what was said in a project to those that were forked from it. To be done before its events
/// go.
pub(super) async fn hand_down(conn: &mut SqliteConnection, key: i64) -> Result<(), StoreError> {
    let heirs: Vec<(i64, i64)> =
        sqlx::query_as("SELECT project_id, seq FROM fork_origin WHERE origin_id = ?")
            .bind(key)
            .fetch_all(&mut *conn)
            .await?;
    for (heir, seq) in heirs {
        for stretch in stretches(conn, key, unsigned(seq)).await? {
            stretch.hand_down(conn, heir).await?;
        }
        sqlx::query("DELETE FROM fork_origin WHERE project_id = ?")
            .bind(heir)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

impl SqliteStore {
    pub(super) async fn read_places(&self, key: i64) -> Result<Vec<Place>, StoreError> {
        let mut conn = self.read.acquire().await?;
        let mut places = BTreeMap::new();
        for stretch in stretches(&mut conn, key, u64::MAX).await? {
            stretch.places(&mut conn, &mut places).await?;
        }
        // What is no session's id came from a broken machine.
        let place = |(session, leaf): (String, Option<String>)| {
            Some(Place { session_id: session.parse().ok()?, leaf_entry_id: leaf })
        };
        Ok(places.into_iter().filter_map(place).collect())
    }

    pub(super) async fn read_steps(
        &self,
        key: i64,
        session: &str,
    ) -> Result<Vec<ConversationStep>, StoreError> {
        let mut conn = self.read.acquire().await?;
        let mut out = Vec::new();
        for stretch in stretches(&mut conn, key, u64::MAX).await? {
            let is_last = stretch == Stretch::Own { key, until: u64::MAX };
            stretch.steps(&mut conn, session, &mut out, is_last).await?;
        }
        Ok(out)
    }

    /// Messages of a conversation that were said before the project was forked.
    pub(super) async fn messages_before(
        &self,
        key: i64,
        session: &str,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let mut conn = self.read.acquire().await?;
        let mut out = Vec::new();
        let mut all = stretches(&mut conn, key, u64::MAX).await?;
        all.pop();
        for stretch in all {
            out.extend(stretch.messages(&mut conn, session).await?);
        }
        Ok(out)
    }
}
