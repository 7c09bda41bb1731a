//! What was said in a project, with what it has from the one that it was forked from. Reads and hands
//! down; new events are in `events`.

use super::{DbConnection, DbRow, SqlStore, ms, unsigned};
use crate::{checkpoints::ConversationStep, error::StoreError, events::NewEvent};
use sqlx::{FromRow as _, Row as _};
use std::collections::BTreeMap;
use toft_model::checkpoint::Place;

/// Forks of forks that are followed: more than anybody makes, and an end to a damaged file's circle.
const ORIGINS_MAX: usize = 64;
/// Steps of one conversation in one project: as many as messages are given out.
const STEPS_MAX: i64 = 20_000;

/// Where conversations stand by what was last said in each: from a table, by its column of order, up to an end.
macro_rules! said {
    ($table:literal, $order:literal, $until:literal) => {
        concat!(
            "SELECT e.session, e.",
            $order,
            ", ",
            text_in!(doc!("e"), "entryId"),
            " \
             FROM (SELECT max(",
            $order,
            ") AS last FROM ",
            $table,
            " WHERE project_id = $1 \
             AND kind = 'message_end' AND session IS NOT NULL AND ",
            $until,
            " \
             GROUP BY session) m JOIN ",
            $table,
            " e ON e.project_id = $1 AND e.",
            $order,
            " = m.last",
            opened!("e")
        )
    };
}

/// The same by where restores and people moved them.
macro_rules! moved {
    ($table:literal, $order:literal, $until:literal) => {
        concat!(
            "SELECT ",
            text_in!("j.value", "sessionId"),
            ", e.",
            $order,
            ", ",
            text_in!("j.value", "toEntryId"),
            " FROM ",
            $table,
            " e",
            opened!("e"),
            ", ",
            items_in!(doc!("e"), "sessions"),
            " j WHERE e.project_id = $1 \
             AND e.kind IN ('restored', 'navigated') AND ",
            $until,
            " ORDER BY e.",
            $order
        )
    };
}

/// What was said in a conversation and where its place moved.
macro_rules! steps {
    ($table:literal, $order:literal, $until:literal) => {
        concat!(
            "SELECT ",
            $order,
            ", e.kind, ",
            int_in!(doc!("e"), "ts"),
            ", ",
            text_in!(doc!("e"), "entryId"),
            ", ",
            text_in!(doc!("e"), "parentId"),
            ", ",
            text_in!(doc!("e"), "message.role"),
            " = 'user', NULL, NULL FROM ",
            $table,
            " e",
            opened!("e"),
            " WHERE e.project_id = $1 AND e.session = $3 \
             AND e.kind = 'message_end' AND ",
            $until,
            " UNION ALL SELECT ",
            $order,
            ", e.kind, ",
            int_in!(doc!("e"), "takenAt"),
            ", CASE WHEN e.kind = 'navigated' THEN ",
            text_in!("j.value", "toMessageId"),
            " ELSE ",
            text_in!("j.value", "toEntryId"),
            " END, ",
            text_in!(doc!("e"), "checkpointId"),
            ", NULL, ",
            text_in!(doc!("e"), "label"),
            ", ",
            int_in!(doc!("e"), "ts"),
            " FROM ",
            $table,
            " e",
            opened!("e"),
            ", ",
            items_in!(doc!("e"), "sessions"),
            " j WHERE e.project_id = $1 \
             AND e.kind IN ('restored', 'navigated') AND ",
            $until,
            " AND ",
            text_in!("j.value", "sessionId"),
            " = $3 ORDER BY 1 LIMIT $4"
        )
    };
}

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
    conn: &mut DbConnection,
    key: i64,
    until: u64,
) -> Result<Vec<Stretch>, StoreError> {
    let mut out = vec![Stretch::Own { key, until }];
    let mut at = key;
    for _ in 0..ORIGINS_MAX {
        let origin: Option<(i64, i64)> =
            sqlx::query_as("SELECT origin_id, seq FROM fork_origin WHERE project_id = $1")
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
        conn: &mut DbConnection,
        places: &mut BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        let (said, moved) = match self {
            // The plus keeps it off the primary key, by which it would walk every delta.
            Self::Own { .. } => (
                said!("bridge_event", "seq", "+seq <= $2"),
                moved!("bridge_event", "seq", "e.seq <= $2"),
            ),
            Self::Inherited { .. } => (
                said!("inherited_event", "id", "$2 > 0"),
                moved!("inherited_event", "id", "$2 > 0"),
            ),
        };
        let (key, until) = self.parts();
        let said = sqlx::query(said).bind(key).bind(ms(until)).fetch_all(&mut *conn).await?;
        let moved = sqlx::query(moved).bind(key).bind(ms(until)).fetch_all(&mut *conn).await?;
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
        conn: &mut DbConnection,
        session: &str,
        out: &mut Vec<ConversationStep>,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let steps = match self {
            Self::Own { .. } => steps!("bridge_event", "e.seq", "e.seq <= $2"),
            Self::Inherited { .. } => steps!("inherited_event", "e.id", "$2 > 0"),
        };
        let (key, until) = self.parts();
        let rows = sqlx::query(steps)
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
        conn: &mut DbConnection,
        session: &str,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let query = match self {
            Self::Own { .. } => sqlx::query(
                "SELECT CAST(0 AS BIGINT) AS seq, ts, session, kind, data FROM bridge_event WHERE project_id = $1 \
                 AND seq <= $2 AND session = $3 AND kind = 'message_end' \
                 ORDER BY bridge_event.seq LIMIT $4",
            ),
            Self::Inherited { .. } => sqlx::query(
                "SELECT CAST(0 AS BIGINT) AS seq, ts, session, kind, data FROM inherited_event \
                 WHERE project_id = $1 AND $2 > 0 AND session = $3 AND kind = 'message_end' \
                 ORDER BY id LIMIT $4",
            ),
        };
        let (key, until) = self.parts();
        let rows =
            query.bind(key).bind(ms(until)).bind(session).bind(STEPS_MAX).fetch_all(conn).await?;
        Ok(rows.iter().map(NewEvent::from_row).collect::<Result<_, _>>()?)
    }

    /// Gives a copy to a fork.
    async fn hand_down(self, conn: &mut DbConnection, heir: i64) -> Result<(), StoreError> {
        let query = match self {
            Self::Own { .. } => sqlx::query(
                "INSERT INTO inherited_event (project_id, ts, session, kind, data) \
                 SELECT $3, ts, session, kind, data FROM bridge_event WHERE project_id = $1 \
                 AND seq <= $2 AND kind IN ('message_end', 'restored', 'navigated') ORDER BY seq",
            ),
            Self::Inherited { .. } => sqlx::query(
                "INSERT INTO inherited_event (project_id, ts, session, kind, data) \
                 SELECT $3, ts, session, kind, data FROM inherited_event WHERE project_id = $1 \
                 AND $2 > 0 ORDER BY id",
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
fn step(row: &DbRow, is_own: bool) -> Result<Option<ConversationStep>, StoreError> {
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
pub(super) async fn hand_down(conn: &mut DbConnection, key: i64) -> Result<(), StoreError> {
    let heirs: Vec<(i64, i64)> = sqlx::query_as(concat!(
        // Held with their projects: one that is deleted itself just now hands down what it had.
        "SELECT f.project_id, f.seq FROM fork_origin f JOIN project p ON p.id = f.project_id \
             WHERE f.origin_id = $1 ORDER BY f.project_id",
        held!()
    ))
    .bind(key)
    .fetch_all(&mut *conn)
    .await?;
    for (heir, seq) in heirs {
        for stretch in stretches(conn, key, unsigned(seq)).await? {
            stretch.hand_down(conn, heir).await?;
        }
        sqlx::query("DELETE FROM fork_origin WHERE project_id = $1")
            .bind(heir)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

impl SqlStore {
    pub(super) async fn read_places(&self, key: i64) -> Result<Vec<Place>, StoreError> {
        // One moment: an origin that goes meanwhile hands down what is looked for here.
        let mut conn = self.moment().await?;
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
        // One moment: an origin that goes meanwhile hands down what is looked for here.
        let mut conn = self.moment().await?;
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
        // One moment: an origin that goes meanwhile hands down what is looked for here.
        let mut conn = self.moment().await?;
        let mut out = Vec::new();
        let mut all = stretches(&mut conn, key, u64::MAX).await?;
        all.pop();
        for stretch in all {
            out.extend(stretch.messages(&mut conn, session).await?);
        }
        Ok(out)
    }
}
