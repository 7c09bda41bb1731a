//! Connections on which nobody waits in vain: whatever is asked on them ends when the database is silent ([`Pulse`]), and
//! the connection with it. What it was asked last may have been done all the same.

use super::pulse::Pulse;
use async_stream::try_stream;
use futures_util::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::{
    fmt,
    io::{self, ErrorKind},
    pin::pin,
};
use tokio::runtime::Handle;

/// Some connections, taken from a pool for each statement or transaction.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pool: PgPool,
    pulse: Pulse,
}

impl Lines {
    pub(super) fn new(pool: PgPool, pulse: Pulse) -> Self {
        Self { pool, pulse }
    }

    /// One of them, when there is one.
    pub(super) async fn line(&self) -> sqlx::Result<Line> {
        let connection = tokio::select! {
            biased;
            connection = self.pool.acquire() => connection?,
            () = self.pulse.silent() => return Err(silent()),
        };
        let pulse = self.pulse.clone();
        Ok(Line { connection: Some(connection), pulse, waits: false, in_transaction: false })
    }

    /// One of them in a transaction.
    pub(super) async fn begin(&self, statement: &'static str) -> sqlx::Result<Line> {
        let mut line = self.line().await?;
        // Also where only the first part of the statement was done.
        line.in_transaction = true;
        line.execute(statement).await?;
        Ok(line)
    }

    /// Those that wait to be used.
    pub(super) fn num_idle(&self) -> usize {
        self.pool.num_idle()
    }

    pub(super) async fn close(&self) {
        tokio::select! {
            () = self.pool.close() => {}
            () = self.pulse.silent() => {}
        }
    }
}

/// A connection. A transaction that is open on it when it is dropped is rolled back.
pub(super) struct Line {
    connection: Option<PoolConnection<Postgres>>,
    pulse: Pulse,
    /// An answer was not waited for to its end.
    waits: bool,
    in_transaction: bool,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("waits", &self.waits).finish_non_exhaustive()
    }
}

fn silent() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(ErrorKind::TimedOut, "it says nothing"))
}

/// The connection is there until the line is dropped.
fn there(connection: &mut Option<PoolConnection<Postgres>>) -> &mut PgConnection {
    connection.as_mut().expect("it is taken away only at the end")
}

impl Line {
    /// For what is no statement. Whoever uses it waits for as long as it takes.
    pub(super) fn unbound(&mut self) -> &mut PgConnection {
        there(&mut self.connection)
    }

    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        self.execute("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }
}

/// What is asked on a connection, unless the database is silent.
async fn heard<T>(
    pulse: &Pulse,
    waits: &mut bool,
    asked: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    *waits = true;
    let asked = tokio::select! {
        biased;
        asked = asked => asked,
        () = pulse.silent() => return Err(silent()),
    };
    *waits = false;
    asked
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let (waits, in_transaction) = (self.waits, self.in_transaction);
        if !waits && !in_transaction {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            connection.close_on_drop();
            return;
        };
        let pulse = self.pulse.clone();
        runtime.spawn(async move {
            let settled = async {
                if in_transaction {
                    (*connection).execute("ROLLBACK").await.map(drop)
                } else {
                    connection.ping().await
                }
            };
            let is_settled = tokio::select! {
                biased;
                settled = settled => settled.is_ok(),
                () = pulse.silent() => false,
            };
            if !is_settled {
                connection.close_on_drop();
            }
        });
    }
}

type Rows<'e> = BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>;

impl<'c> Executor<'c> for &'c mut Line {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(try_stream! {
            let Line { connection, pulse, waits, .. } = self;
            *waits = true;
            let mut rows = there(connection).fetch_many(query);
            let mut is_silent = pin!(pulse.silent());
            loop {
                let next = tokio::select! {
                    biased;
                    next = rows.next() => next,
                    () = &mut is_silent => Some(Err(silent())),
                };
                match next {
                    Some(row) => yield row?,
                    None => break,
                }
            }
            drop(rows);
            *waits = false;
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let Line { connection, pulse, waits, .. } = self;
            heard(pulse, waits, there(connection).fetch_optional(query)).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let Line { connection, pulse, waits, .. } = self;
            heard(pulse, waits, there(connection).prepare_with(sql, parameters)).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let Line { connection, pulse, waits, .. } = self;
            heard(pulse, waits, there(connection).describe(sql)).await
        })
    }
}

impl<'p> Executor<'p> for &'p Lines {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(try_stream! {
            let mut line = self.line().await?;
            let mut rows = line.fetch_many(query);
            while let Some(row) = rows.next().await {
                yield row?;
            }
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { self.line().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.line().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.line().await?.describe(sql).await })
    }
}
