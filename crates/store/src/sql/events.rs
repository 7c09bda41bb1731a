//! [`Events`]. One event is one autocommitted insert; a batch is one transaction of few statements.

use super::{
    ALONE, Db, DbConnection, DbRow, Durable, SqlStore, append_next, ms, raw, raw_at, takeover,
    unsigned, words,
};
use crate::{
    chain,
    error::StoreError,
    events::{Appended, Conversation, EventRow, Events, Head, NewEvent, SnapshotKind, Tamper},
};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{FromRow, Row as _};
use std::{fmt::Write as _, sync::LazyLock};
use toft_model::id::ProjectId;

/// Recorded tampering per project: enough to see what is going on, too little to fill a disk.
const TAMPER_ROWS_MAX: i64 = 100;
/// Bytes of each that are kept.
const TAMPER_BYTES_MAX: usize = 4096;
/// Messages of one conversation that are given out at once.
const MESSAGES_MAX: i64 = 20_000;
/// Conversations of one project that are given out; a person looks at the newest.
const CONVERSATIONS_MAX: i64 = 1_000;

impl FromRow<'_, DbRow> for NewEvent {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self {
            seq: unsigned(row.try_get("seq")?),
            ts: unsigned(row.try_get("ts")?),
            session: row.try_get("session")?,
            kind: row.try_get("kind")?,
            data: raw_at(row, "data")?,
        })
    }
}

impl FromRow<'_, DbRow> for EventRow {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self { event: NewEvent::from_row(row)?, hash: hash_of(row)? })
    }
}

fn hash_of(row: &DbRow) -> sqlx::Result<[u8; 32]> {
    let bytes: &[u8] = row.try_get("hash")?;
    bytes.try_into().map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

async fn read_head(
    conn: impl sqlx::Executor<'_, Database = Db>,
    key: i64,
) -> Result<Head, StoreError> {
    let row = sqlx::query(
        "SELECT seq, hash FROM bridge_event WHERE project_id = $1 ORDER BY seq DESC LIMIT 1",
    )
    .bind(key)
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        Some(row) => Head { seq: unsigned(row.try_get("seq")?), hash: hash_of(&row)? },
        None => Head::default(),
    })
}

/// A row with its hash.
type Linked<'a> = (&'a NewEvent, [u8; 32]);

/// Rows of one statement: what a statement costs beside its rows is shared by so many. Few sizes, so that each is
/// prepared once.
const ROWS: [usize; 3] = [64, 8, 1];

static INSERTS: LazyLock<[String; ROWS.len()]> = LazyLock::new(|| ROWS.map(statement));

fn statement(rows: usize) -> String {
    let mut sql = String::from(
        "INSERT INTO bridge_event (project_id, seq, ts, session, kind, data, hash) VALUES ",
    );
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        // The first is the project of all.
        let _ = write!(sql, "{comma}($1");
        for field in 0..FIELDS {
            let _ = write!(sql, ", ${}", 2 + row * FIELDS + field);
        }
        sql.push(')');
    }
    sql
}

/// Fields of a row beside its project.
const FIELDS: usize = 6;

async fn insert(
    conn: &mut DbConnection,
    key: i64,
    mut events: &[Linked<'_>],
) -> Result<(), StoreError> {
    let statements: &'static [String; ROWS.len()] = &INSERTS;
    for (rows, sql) in ROWS.into_iter().zip(statements) {
        while let Some((now, later)) = events.split_at_checked(rows) {
            let mut query = sqlx::query(sql.as_str()).bind(key);
            for (event, hash) in now {
                query = query
                    .bind(ms(event.seq))
                    .bind(ms(event.ts))
                    .bind(event.session.as_deref())
                    .bind(event.kind.as_str())
                    .bind(raw(&event.data))
                    .bind(hash.as_slice());
            }
            // The number is taken: another server was faster.
            query.execute(&mut *conn).await.map_err(StoreError::or_conflict)?;
            events = later;
        }
    }
    Ok(())
}

/// Whether the known event of that number is another one; if so it is recorded.
async fn check_known(
    conn: &mut DbConnection,
    key: i64,
    came: &NewEvent,
) -> Result<bool, StoreError> {
    let kept: Option<NewEvent> = sqlx::query_as(
        "SELECT seq, ts, session, kind, data FROM bridge_event WHERE project_id = $1 AND seq = $2",
    )
    .bind(key)
    .bind(ms(came.seq))
    .fetch_optional(&mut *conn)
    .await?;
    if kept.is_some_and(|kept| chain::same(&kept, came)) {
        return Ok(false);
    }
    let cut = came.data.floor_char_boundary(TAMPER_BYTES_MAX);
    sqlx::query(
        "INSERT INTO bridge_tamper (project_id, seq, ts, kind, data, digest) \
         SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM bridge_tamper WHERE project_id = $1) \
         < $7 ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .bind(ms(came.seq))
    .bind(ms(came.ts))
    .bind(&came.kind)
    .bind(raw(&came.data[..cut]))
    .bind(chain::digest(&came.kind, &came.data).as_slice())
    .bind(TAMPER_ROWS_MAX)
    .execute(conn)
    .await?;
    Ok(true)
}

/// Appends in a transaction, to `known` or else to the head that the database has.
async fn append(
    store: &SqlStore,
    project: &ProjectId,
    events: &[NewEvent],
    known: Option<Head>,
) -> Result<(Appended, Head), StoreError> {
    let (mut tx, key) = store.begin_in(project, Durable::Soon).await?;
    takeover::still_ours(store, &mut tx, key).await?;
    let mut head = match known {
        Some(head) => head,
        None => read_head(tx.on(), key).await?,
    };
    let mut out = Appended { before: head.seq, head: head.seq, ..Appended::default() };
    let mut new: Vec<Linked<'_>> = Vec::with_capacity(events.len());
    for event in events {
        if event.seq <= head.seq {
            // It may be one of those that came with it.
            insert(tx.on(), key, &std::mem::take(&mut new)).await?;
            if check_known(tx.on(), key, event).await? {
                out.tampered.push(event.seq);
            }
        } else if event.seq == head.seq + 1 {
            let hash = chain::link(&head.hash, event);
            new.push((event, hash));
            head = Head { seq: event.seq, hash };
        } else {
            out.gap = Some(event.seq);
            break;
        }
    }
    insert(tx.on(), key, &new).await?;
    tx.commit().await?;
    out.head = head.seq;
    Ok((out, head))
}

#[async_trait]
impl Events for SqlStore {
    async fn append_events(
        &self,
        project: &ProjectId,
        events: &[NewEvent],
    ) -> Result<Appended, StoreError> {
        let known = self.heads.take(project);
        // The common case: one new event, one statement, no transaction of our own.
        if let (Some(head), [event]) = (known, events)
            && event.seq == head.seq + 1
        {
            let hash = chain::link(&head.hash, event);
            if append_next(self, project, &head, event, &hash).await? {
                self.heads.put(project, Head { seq: event.seq, hash });
                return Ok(Appended { before: head.seq, head: event.seq, ..Appended::default() });
            }
        }
        let known = known.filter(|_| ALONE);
        let (out, head) = retried!(append(self, project, events, known).await)?;
        self.heads.put(project, head);
        Ok(out)
    }

    async fn head(&self, project: &ProjectId) -> Result<Head, StoreError> {
        let key = self.key(project).await?;
        match self.heads.get(project).filter(|_| ALONE) {
            Some(head) => Ok(head),
            None => read_head(&self.read, key).await,
        }
    }

    async fn events_after(
        &self,
        project: &ProjectId,
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let key = self.key(project).await?;
        let mut rows = sqlx::query_as::<_, NewEvent>(
            "SELECT seq, ts, session, kind, data FROM bridge_event \
             WHERE project_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        )
        .bind(key)
        .bind(ms(after))
        .bind(i64::from(rows_max))
        .fetch(&self.read);
        let mut out = Vec::new();
        let mut bytes = 0;
        while let Some(event) = rows.try_next().await? {
            bytes += event.data.len();
            out.push(event);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(out)
    }

    async fn messages(
        &self,
        project: &ProjectId,
        session: &str,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let key = self.key(project).await?;
        let mut out = self.messages_before(key, session).await?;
        let own: Vec<NewEvent> = sqlx::query_as(
            "SELECT seq, ts, session, kind, data FROM bridge_event \
             WHERE project_id = $1 AND session = $2 AND kind = 'message_end' ORDER BY seq LIMIT $3",
        )
        .bind(key)
        .bind(session)
        .bind(MESSAGES_MAX)
        .fetch_all(&self.read)
        .await?;
        out.extend(own);
        Ok(out)
    }

    async fn message(
        &self,
        project: &ProjectId,
        session: &str,
        entry: &str,
    ) -> Result<Option<NewEvent>, StoreError> {
        let key = self.key(project).await?;
        // As the index `bridge_event_entry` has it; not the one by number, which is longer.
        Ok(sqlx::query_as(concat!(
            "SELECT seq, ts, session, kind, data FROM bridge_event WHERE +project_id = $1 \
             AND session = $2 AND kind = 'message_end' AND ",
            indexed_text_in!("data", "entryId"),
            " = $3 LIMIT 1"
        ))
        .bind(key)
        .bind(session)
        .bind(entry)
        .fetch_optional(&self.read)
        .await?)
    }

    async fn conversations(&self, project: &ProjectId) -> Result<Vec<Conversation>, StoreError> {
        let key = self.key(project).await?;
        let rows = sqlx::query(concat!(
            "SELECT session, count(*), min(seq), max(seq) FROM bridge_event \
             WHERE project_id = $1 AND kind = 'message_end' AND session IS NOT NULL \
             AND session NOT IN (SELECT ",
            indexed_text_in!("data", "childSession"),
            " FROM bridge_event WHERE project_id = $1 AND kind = 'tool_start' AND ",
            indexed_text_in!("data", "childSession"),
            " IS NOT NULL) GROUP BY session ORDER BY max(seq) DESC LIMIT $2"
        ))
        .bind(key)
        .bind(CONVERSATIONS_MAX)
        .fetch_all(&self.read)
        .await?;
        let conversation = |row: &DbRow| -> sqlx::Result<Conversation> {
            Ok(Conversation {
                session: row.try_get(0)?,
                messages: unsigned(row.try_get(1)?),
                first_seq: unsigned(row.try_get(2)?),
                last_seq: unsigned(row.try_get(3)?),
            })
        };
        Ok(rows.iter().map(conversation).collect::<Result<_, _>>()?)
    }

    async fn last_mark(
        &self,
        project: &ProjectId,
        kinds: &[&str],
    ) -> Result<Option<NewEvent>, StoreError> {
        let key = self.key(project).await?;
        Ok(sqlx::query_as(concat!(
            "SELECT seq, ts, session, kind, data FROM bridge_event WHERE project_id = $1 \
             AND kind IN ('agent_start', 'agent_end', 'question', 'session_created', \
             'session_switched') AND ",
            among!("kind", "$2"),
            " ORDER BY seq DESC LIMIT 1"
        ))
        .bind(key)
        .bind(words(kinds))
        .fetch_optional(&self.read)
        .await?)
    }

    async fn last_of(
        &self,
        project: &ProjectId,
        kinds: &[&str],
        until: u64,
    ) -> Result<Option<NewEvent>, StoreError> {
        let key = self.key(project).await?;
        Ok(sqlx::query_as(concat!(
            "SELECT seq, ts, session, kind, data FROM bridge_event WHERE project_id = $1 \
             AND seq <= $2 AND ",
            among!("kind", "$3"),
            " ORDER BY seq DESC LIMIT 1"
        ))
        .bind(key)
        .bind(ms(until))
        .bind(words(kinds))
        .fetch_optional(&self.read)
        .await?)
    }

    async fn verify_events(&self, project: &ProjectId) -> Result<Option<u64>, StoreError> {
        let key = self.key(project).await?;
        let mut rows = sqlx::query_as::<_, EventRow>(
            "SELECT seq, ts, session, kind, data, hash FROM bridge_event \
             WHERE project_id = $1 ORDER BY seq",
        )
        .bind(key)
        .fetch(&self.read);
        let mut head = Head::default();
        while let Some(row) = rows.try_next().await? {
            if row.event.seq != head.seq + 1 || row.hash != chain::link(&head.hash, &row.event) {
                return Ok(Some(head.seq + 1));
            }
            head = Head { seq: row.event.seq, hash: row.hash };
        }
        Ok(None)
    }

    async fn tampering(&self, project: &ProjectId) -> Result<Vec<Tamper>, StoreError> {
        let key = self.key(project).await?;
        let rows = sqlx::query(
            "SELECT seq, ts, kind, data FROM bridge_tamper WHERE project_id = $1 ORDER BY id",
        )
        .bind(key)
        .fetch_all(&self.read)
        .await?;
        let tamper = |row: &DbRow| -> sqlx::Result<Tamper> {
            Ok(Tamper {
                seq: unsigned(row.try_get("seq")?),
                ts: unsigned(row.try_get("ts")?),
                kind: row.try_get("kind")?,
                data: raw_at(row, "data")?,
            })
        };
        Ok(rows.iter().map(tamper).collect::<Result<_, _>>()?)
    }

    async fn put_snapshot(
        &self,
        project: &ProjectId,
        kind: SnapshotKind,
        json: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Soon).await?;
        sqlx::query(
            "INSERT INTO bridge_snapshot (project_id, kind, json, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project_id, kind) DO UPDATE SET json = excluded.json, \
             updated_at = excluded.updated_at",
        )
        .bind(key)
        .bind(kind.as_str())
        .bind(raw(json))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn snapshot(
        &self,
        project: &ProjectId,
        kind: SnapshotKind,
    ) -> Result<Option<String>, StoreError> {
        let key = self.key(project).await?;
        let row =
            sqlx::query("SELECT json FROM bridge_snapshot WHERE project_id = $1 AND kind = $2")
                .bind(key)
                .bind(kind.as_str())
                .fetch_optional(&self.read)
                .await?;
        Ok(row.map(|row| raw_at(&row, "json")).transpose()?)
    }
}
