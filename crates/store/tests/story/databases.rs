//! The databases that stories are told on. SQLite is a file in a folder of its own. PostgreSQL is a real server of the
//! distribution's, one for all stories, each on a database of its own.

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, raw_sql};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, fs::chown, process::CommandExt as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use toft_store::{PostgresStore, SqliteStore, Store};

/// A database of a story.
pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres { url: String },
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn open(&self) -> Box<dyn Store> {
        match self {
            Self::Sqlite(_) => Box::new(SqliteStore::open(&self.file()).await.unwrap()),
            Self::Postgres { url } => Box::new(PostgresStore::open(url).await.unwrap()),
        }
    }

    /// The file of SQLite's.
    pub(crate) fn file(&self) -> PathBuf {
        let Self::Sqlite(folder) = self else { panic!("PostgreSQL has no file") };
        folder.path().join("toft.db")
    }

    /// The address of PostgreSQL's.
    pub(crate) fn url(&self) -> &str {
        let Self::Postgres { url } = self else { panic!("SQLite has no address") };
        url
    }

    /// What a process is told to find it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Sqlite(_) => self.file().display().to_string(),
            Self::Postgres { url } => url.clone(),
        }
    }

    /// What a person does with the database's own client.
    pub(crate) async fn sql(&self, statements: &str) {
        self.try_sql(statements).await.unwrap();
    }

    /// The same of a database that may be away.
    pub(crate) async fn try_sql(&self, statements: &str) -> sqlx::Result<()> {
        let statements = raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Self::Sqlite(_) => {
                let mut db = SqliteConnection::connect(&self.file().display().to_string()).await?;
                statements.execute(&mut db).await?;
                db.close().await
            }
            Self::Postgres { url } => {
                let mut db = PgConnection::connect(url).await?;
                statements.execute(&mut db).await?;
                db.close().await
            }
        }
    }
}

/// The user "nobody" of every distribution: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
/// How long the server may take to begin.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Makes and runs the server until its input ends, as it does with this process whichever way that ends; then nothing
/// of it is left. A line on its input stops the server as a crash would, or starts it again.
const KEEPER: &str = r#"
begin() { "$1/postgres" -D "$2/data" -k "$2" -h '' -c max_connections=200 -c recovery_init_sync_method=syncfs >>"$2/log" 2>&1 & child=$!; }
end() { kill -QUIT "$child" 2>/dev/null; wait "$child"; }
if "$1/initdb" --auth=trust --username=story --encoding=UTF8 --no-sync --pgdata "$2/data" >"$2/log" 2>&1; then
    printf 'local all guest scram-sha-256\nlocal all all trust\n' >"$2/data/pg_hba.conf"
    begin "$@"
    while read -r word; do
        case $word in
            end) end ;;
            begin) begin "$@" ;;
            again) kill -INT "$child"; wait "$child"; begin "$@" ;;
        esac
        echo "$word"
    done
    end
fi
rm -rf "$2"
"#;

/// A PostgreSQL server that runs until it is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    keeper: Child,
    said: Option<Mutex<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Server {
    /// `None`: there is none here.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("toft-postgres-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("sh");
        if toft_lane::root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        // Its keeper removes it.
        let folder = folder.keep();
        command.args(["-c", KEEPER, "sh"]).arg(programs).arg(&folder).current_dir(&folder);
        command.env("LC_ALL", "C.UTF-8").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = command.spawn().unwrap();
        let pipes = (keeper.stdin.take().unwrap(), keeper.stdout.take().unwrap());
        let said = Some(Mutex::new((pipes.0, BufReader::new(pipes.1))));
        Some(Self { folder, keeper, said })
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://story@localhost/{database}?host={}", self.folder.display())
    }

    /// Waits until it takes connections.
    pub(crate) async fn ready(&self) -> PgConnection {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            match PgConnection::connect(&self.address("postgres")).await {
                Ok(connection) => return connection,
                Err(error) if Instant::now() > until => {
                    let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    panic!("the server does not begin: {error}\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// A new database, of an order of texts that is not that of their bytes.
    pub(crate) async fn place(&self, name: &str) -> Place {
        let mut admin = self.ready().await;
        let made = format!(
            "CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"
        );
        raw_sql(AssertSqlSafe(made)).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        Place::Postgres { url: self.address(name) }
    }

    /// It and all who work for it stand still.
    pub(crate) fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// They go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let first: i32 = file.lines().next().unwrap().trim().parse().unwrap();
        // The one that would start others first.
        for pid in [first].into_iter().chain(children(first)) {
            // Some end while they are looked at.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// Stops it as a crash would (`end`), starts it again (`begin`), or does both in order (`again`).
    pub(crate) fn tell(&self, word: &str) {
        let mut said = self.said.as_ref().expect("it runs").lock().unwrap();
        writeln!(said.0, "{word}").unwrap();
        let mut done = String::new();
        said.1.read_line(&mut done).unwrap();
        assert_eq!(done.trim(), word);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test may have failed while it stood still.
        if self.folder.join("data/postmaster.pid").exists() {
            self.go_on();
        }
        // The end of its input is its end.
        self.said = None;
        let _ = self.keeper.wait();
    }
}

/// Processes that a process has started and that live.
fn children(of: i32) -> Vec<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat[stat.rfind(')')? + 2..].split(' ').nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

/// The folder of PostgreSQL's own programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|path| path.join("postgres").exists());
    found.sort();
    found.pop()
}
