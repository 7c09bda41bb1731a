//! PostgreSQL 15 or newer behind the store: opening it with errors that say what to do, writes side by side, other
//! servers on the same database. Statements are in `sql`.

mod copies;
#[macro_use]
mod dialect;
mod far;
mod lines;
mod pulse;
mod sizes;
#[path = "sql/families.rs"]
#[expect(clippy::duplicate_mod, reason = "one text, compiled for each database with its types")]
mod sql;

use crate::{
    checkpoints::Durable,
    error::StoreError,
    heads::Heads,
    signals::{Listener, Near, Signals},
    store::Store,
};
use async_trait::async_trait;
use far::Far;
use lines::{Line, Lines};
use pulse::Pulse;
use sizes::Sizes;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, Postgres,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    marker::PhantomData,
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};
use toft_model::id::ProjectId;

/// First version that is tested.
const VERSION_MIN: u32 = 15;
/// Connections whose commits wait for the disk, and readers. As many commits share one sync; five servers stay below
/// PostgreSQL's own default of 100 connections for all.
const CONNECTIONS_MAX: u32 = 12;
/// Connections whose commits do not wait.
const RELAXED_MAX: u32 = 4;
/// How long an answer to a new connection may take, and how long one waits for a free one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for so long is asked whether it still lives before it is used; so is one from before the
/// database was seen to go away.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);
/// How long a row may be held by another server before a call fails with `Busy`; and how long a server may stand
/// still within a transaction (stopped, or its host gone) before the database takes it back.
/// No statement of a request takes as long as the last of these; one that does holds a connection that others wait for.
/// What no memory holds is taken to be as quick to find as on today's disks, so that an index is used from the first rows
/// on, and nothing is compiled.
const SESSION: &str = "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; \
    SET statement_timeout = '60s'; SET random_page_cost = 1.1; SET jit = off";
/// The same for those whose commits may be lost with the power.
const SESSION_RELAXED: &str = "SET synchronous_commit = off; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '60s'; SET random_page_cost = 1.1; \
    SET jit = off";
const BEGIN: &str = "BEGIN";
/// One claim after the other, of all servers, or two of them would give a team more than it may have. Who is stopped in
/// the middle of it loses its turn soon. Making the plan of a claim takes longer than the claim: it is made once.
const BEGIN_CLAIM: &str = "BEGIN; SELECT pg_advisory_xact_lock(x'746f6674'::int), \
    set_config('idle_in_transaction_session_timeout', '2s', true), \
    set_config('plan_cache_mode', 'force_generic_plan', true)";
/// One moment for all statements.
const BEGIN_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// What may stand behind the `?` of an address; all else would be ignored in silence.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The steps to this version's shape.
static MIGRATIONS: Migrator = sqlx::migrate!("src/postgres/migrations");

type Db = Postgres;
type DbConnection = Line;
type DbRow = sqlx::postgres::PgRow;
type DbArguments = sqlx::postgres::PgArguments;
type SqlStore = PostgresStore;

/// The store on a PostgreSQL database, which any number of servers share.
///
/// What others may have changed is never taken from memory: each write to what belongs to a project holds the
/// project's row first, so that two of them come one after the other and none outlives its project.
pub struct PostgresStore {
    full: Lines,
    relaxed: Lines,
    read: Lines,
    /// One connection: claims wait for each other, and their statements are planned where they are.
    claims: Lines,
    heads: Heads,
    near: Near,
    far: Far,
    sizes: Sizes,
    lost: Lost,
    version: String,
    /// Id of the server that uses it, once that has said which it is.
    me: OnceLock<String>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("version", &self.version).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the database at `postgres://…` and brings it to this version's shape; several servers may do so at once.
    /// Never backwards. No error has the password in it.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = parse(url)?.disable_statement_logging();
        let mut first = connect(&options).await?;
        let version = check(&mut first).await?;
        // Not on a connection of the pools: who waits for another server's steps may wait for long.
        // `run` takes anything from which a connection can be had, and its future is none that may go to another thread.
        MIGRATIONS.run_direct(None, &mut first, false).await.map_err(StoreError::Migrate)?;
        let _ = first.close().await;
        let (near, lost) = (Near::new(), Lost::never());
        let pulse = Pulse::start(options.clone(), lost.clone());
        let lines = |size, session| {
            let pool = pool(size, session, lost.clone()).connect_lazy_with(options.clone());
            Lines::new(pool, pulse.clone())
        };
        let full = lines(CONNECTIONS_MAX, SESSION);
        let relaxed = lines(RELAXED_MAX, SESSION_RELAXED);
        let claims = lines(1, SESSION);
        let listening = far::Listening::new(options, near.clone(), lost.clone(), pulse);
        let far = Far::start(listening, relaxed.clone());
        let read = full.clone();
        let sizes = Sizes::start(relaxed.clone());
        Ok(Self {
            full,
            relaxed,
            read,
            claims,
            sizes,
            heads: Heads::default(),
            near,
            far,
            lost,
            version,
            me: OnceLock::new(),
        })
    }

    /// A write transaction that is on disk when it is committed.
    async fn begin(&self) -> Result<Write<'_>, StoreError> {
        self.begin_on(&self.full, BEGIN).await
    }

    /// The same, for one claim at a time.
    async fn begin_claim(&self) -> Result<Write<'_>, StoreError> {
        self.begin_on(&self.claims, BEGIN_CLAIM).await
    }

    /// A write transaction that may be lost with the database's power, not with this process.
    async fn begin_relaxed(&self) -> Result<Write<'_>, StoreError> {
        self.begin_on(&self.relaxed, BEGIN).await
    }

    async fn begin_on(
        &self,
        lines: &Lines,
        statement: &'static str,
    ) -> Result<Write<'_>, StoreError> {
        // The database may have been away: each connection of before says so once, and nothing was done yet.
        let begun = Instant::now();
        for _ in 0..lines.num_idle() {
            match lines.begin(statement).await.map_err(StoreError::from) {
                Err(StoreError::Unreachable { .. }) if begun.elapsed() < pulse::GRACE => {
                    self.lost.now();
                }
                begun => return Ok(Write { line: begun?, of: PhantomData }),
            }
        }
        Ok(Write { line: lines.begin(statement).await?, of: PhantomData })
    }

    /// A write transaction on what belongs to a project that is not deleted, and its internal key. It holds the
    /// project until it ends.
    async fn begin_in(
        &self,
        id: &ProjectId,
        durable: Durable,
    ) -> Result<(Write<'_>, i64), StoreError> {
        let mut write = match durable {
            Durable::Now => self.begin().await?,
            Durable::Soon => self.begin_relaxed().await?,
        };
        let key: Option<i64> = sqlx::query_scalar(concat!(
            "SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL",
            held!()
        ))
        .bind(id.as_str())
        .fetch_optional(write.on())
        .await?;
        Ok((write, key.ok_or(StoreError::Missing { what: "project" })?))
    }

    /// A transaction that reads one moment.
    async fn moment(&self) -> Result<Moment, StoreError> {
        Ok(Moment(self.read.begin(BEGIN_MOMENT).await?))
    }

    /// The internal key of a project that is not deleted. Asked for each time: another server may have deleted it.
    async fn key(&self, id: &ProjectId) -> Result<i64, StoreError> {
        let key: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL",
        )
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        key.ok_or(StoreError::Missing { what: "project" })
    }

    /// A deleted project has no head.
    fn forget(&self, id: &ProjectId) {
        self.heads.take(id);
    }
}

/// A write transaction; dropped without commit it is rolled back.
struct Write<'a> {
    line: Line,
    /// SQLite's has its turn, which is the store's.
    of: PhantomData<&'a ()>,
}

impl Write<'_> {
    fn on(&mut self) -> &mut Line {
        &mut self.line
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.line.commit().await.map_err(StoreError::from)
    }
}

/// A transaction that reads one moment, until it is dropped.
struct Moment(Line);

impl Deref for Moment {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.0
    }
}

impl DerefMut for Moment {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.0
    }
}

/// When the database was last seen to go away.
#[derive(Clone)]
struct Lost(Arc<Mutex<Option<Instant>>>);

impl Lost {
    fn never() -> Self {
        Self(Arc::default())
    }

    fn now(&self) {
        *self.0.lock().expect("never poisoned") = Some(Instant::now());
    }

    /// Whether a connection may be of before.
    fn since(&self, idle_for: Duration) -> bool {
        let lost = *self.0.lock().expect("never poisoned");
        lost.is_some_and(|lost| lost.elapsed() <= idle_for)
    }
}

/// Before a write is tried again that met another one: a little, and never as long as the other.
async fn pause(tries: u32) {
    let by_chance = RandomState::new().build_hasher().finish() % 8;
    tokio::time::sleep(Duration::from_millis((2 << tries.min(6)) + by_chance)).await;
}

fn pool(size: u32, session: &'static str, lost: Lost) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |conn, meta| {
            let doubtful = meta.idle_for > IDLE_TRUSTED || lost.since(meta.idle_for);
            Box::pin(async move {
                if doubtful {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |conn, _| {
            Box::pin(async move { conn.execute(session).await.map(|_| ()) })
        })
}

/// The address, which must say who and what.
fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let cannot = |reason: String| StoreError::Address { reason };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(cannot("it does not begin with postgres://".into()));
    }
    let (_, parameters) = url.split_once('?').unwrap_or_default();
    for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&name) {
            return Err(cannot(format!(
                "it sets what is unknown behind its `?`; known are {}",
                PARAMETERS.join(", ")
            )));
        }
    }
    let options: PgConnectOptions = url.parse().map_err(|error| match error {
        // The parser tells what is wrong, never the address.
        sqlx::Error::Configuration(reason) => cannot(reason.to_string()),
        _ => cannot("it is no URL".into()),
    })?;
    match options.get_application_name() {
        Some(_) => Ok(options),
        None => Ok(options.application_name("toft")),
    }
}

/// Where it is, for people.
fn place(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("{host}/{}", options.get_database().unwrap_or_else(|| options.get_username()))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let at = place(options);
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await;
    let error = match connected {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error,
        Err(_) => {
            let reason = format!("{at} said nothing for {} s", CONNECT_TIMEOUT.as_secs());
            return Err(StoreError::Unreachable { reason });
        }
    };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // invalid_authorization_specification, invalid_password, invalid_catalog_name
    if let Some("28000" | "28P01" | "3D000" | "42501") = code.as_deref() {
        let told = error.as_database_error().map(|told| told.message().to_owned());
        return Err(StoreError::Refused { at, reason: told.unwrap_or_default() });
    }
    Err(match StoreError::from(error) {
        StoreError::Unreachable { reason } => {
            StoreError::Unreachable { reason: format!("{at}: {reason}") }
        }
        // What is no answer of PostgreSQL's, or one that nobody expects at this point.
        StoreError::Query(error) => StoreError::Unreachable { reason: format!("{at}: {error}") },
        told => told,
    })
}

/// Its version, when this store can use it.
async fn check(first: &mut PgConnection) -> Result<String, StoreError> {
    let (number, version, encoding): (i32, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
         current_setting('server_encoding')",
    )
    .fetch_one(first)
    .await?;
    // "15.18 (Debian 15.18-0+deb12u1)": the first word.
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    if u32::try_from(number).unwrap_or(0) / 10_000 < VERSION_MIN {
        return Err(StoreError::ServerTooOld { found: version });
    }
    if encoding != "UTF8" {
        let reason = format!("the database is kept in {encoding}: make one with ENCODING 'UTF8'");
        return Err(StoreError::Address { reason });
    }
    Ok(version)
}

#[async_trait]
impl Store for PostgresStore {
    async fn close(&self) {
        self.far.end();
        self.sizes.end();
        self.claims.close().await;
        self.relaxed.close().await;
        self.full.close().await;
    }

    async fn copy_to(&self, folder: &Path) -> Result<(), StoreError> {
        self.copy_rows(folder).await
    }

    fn describe(&self) -> String {
        format!("PostgreSQL {}", self.version)
    }
}

#[async_trait]
impl Signals for PostgresStore {
    async fn notify(&self, topic: &str) -> Result<(), StoreError> {
        self.near.tell(crate::signals::Signal::Topic(topic.to_owned()));
        self.far.tell(topic);
        Ok(())
    }

    fn listen(&self) -> Listener {
        self.near.listen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_with_what_is_wrong_and_without_its_password() {
        let refused = |url: &str| parse(url).unwrap_err().to_string();
        for (url, says) in [
            ("mysql://ada:hunter2@db/toft", "postgres://"),
            ("postgres://ada:hunter2@db/toft?pasword=hunter2", "unknown"),
            ("postgres://ada:hunter2@db:99999/toft", "port"),
        ] {
            let said = refused(url);
            assert!(said.contains(says), "{url}: {said}");
            assert!(!said.contains("hunter2"), "{url}: {said}");
        }
        let options = parse("postgres://ada:hunter2@db:6432/toft").unwrap();
        assert_eq!(place(&options), "db:6432/toft");
    }
}
