//! The database as agents write it: well, badly, and at the same time.

use super::*;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::net::TcpListener;
use tempfile::TempDir;
use toft_model::event::Event;

struct Place {
    dir: TempDir,
    log: EventLog,
    db: Arc<InspectDb>,
}

async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), crate::clock::now_ms).await.unwrap();
    let app = AppPort::open(dir.path(), 3000, None, log.clone());
    let db = InspectDb::open(dir.path(), app, log.clone()).await;
    Place { dir, log, db }
}

impl Place {
    async fn writer(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join(DATABASE));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn sql(&self, text: &'static str) {
        let mut db = self.writer().await;
        sqlx::raw_sql(text).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    /// What the log's `inspect` events say.
    fn told(&self) -> Vec<Inspect> {
        let text = std::fs::read_to_string(self.log.path()).unwrap();
        text.lines()
            .filter_map(|line| match serde_json::from_str::<Event>(line).unwrap().body {
                EventBody::Inspect(inspect) => Some(inspect),
                _ => None,
            })
            .collect()
    }
}

#[tokio::test]
async fn the_tables_of_the_document_are_there_and_their_defaults_work() {
    let place = place().await;
    assert_eq!(place.db.now().await, Inspect::default());
    place
        .sql(
            "INSERT INTO integrations(id,name,status,secrets,description)
               VALUES('s','Stripe','connected','[\"A\",\"B\"]','pays');
             INSERT INTO services(id,name,type,schedule,status) VALUES('c','Sync','cron','1h','running');
             INSERT INTO assets(id,name,type,path) VALUES('r','Report','document','/home/project/r.md');",
        )
        .await;
    let now = place.db.now().await;
    assert_eq!(now.integrations[0].secrets, ["A", "B"]);
    assert_eq!(now.services[0].schedule.as_deref(), Some("1h"));
    assert_eq!(now.assets[0].path, "/home/project/r.md");
    assert!(now.assets[0].created_at.starts_with("20"));
}

#[tokio::test]
async fn newest_rows_come_first() {
    let place = place().await;
    place
        .sql(
            "INSERT INTO assets(id,name,type,path,created_at) VALUES
               ('new','n','data','/n','2026-02-01 00:00:00'),
               ('old','o','data','/o','2026-01-01 00:00:00'),
               ('newest','m','data','/m','2026-03-01 00:00:00');",
        )
        .await;
    let ids: Vec<String> = place.db.now().await.assets.into_iter().map(|a| a.id).collect();
    assert_eq!(ids, ["newest", "new", "old"]);
}

#[tokio::test]
async fn bad_values_do_no_harm() {
    let place = place().await;
    place
        .sql(
            "INSERT INTO integrations(id,name,status,secrets) VALUES
               ('1','broken','x','[\"A\"'),('2','mixed','x','[\"A\",7,null]'),
               ('3','list','x','A, B'),('4','words','x','ask me for it'),
               ('5','object','x','{\"a\":1}'),('6','blob','x',x'ff00fe');
             INSERT INTO services(id,name,type,port,status) VALUES
               ('a',5,x'80','eighty','running'),('b','b','app',99999,'running'),
               ('c','c','app',-1,'running'),('d','d','app','8123','running');",
        )
        .await;
    let now = place.db.now().await;
    let secrets = |id: &str| now.integrations.iter().find(|i| i.id == id).unwrap().secrets.clone();
    assert_eq!(secrets("1"), Vec::<String>::new());
    assert_eq!(secrets("2"), ["A"]);
    assert_eq!(secrets("3"), ["A", "B"]);
    assert_eq!(secrets("4"), Vec::<String>::new());
    assert_eq!(secrets("5"), Vec::<String>::new());
    assert_eq!(secrets("6"), Vec::<String>::new());
    let service = |id: &str| now.services.iter().find(|s| s.id == id).unwrap().clone();
    assert_eq!(
        (service("a").name, service("a").kind, service("a").port),
        ("5".into(), String::new(), None)
    );
    assert_eq!((service("b").port, service("c").port, service("d").port), (None, None, Some(8123)));
}

#[tokio::test]
async fn missing_tables_and_columns_are_empty_and_the_rest_is_told() {
    let place = place().await;
    place
        .sql(
            "DROP TABLE services; DROP TABLE integrations;
             CREATE TABLE integrations(name TEXT, extra TEXT) ;
             INSERT INTO integrations VALUES('Mail','x');
             INSERT INTO assets(id,name,type,path) VALUES('r','Report','document','/r');",
        )
        .await;
    let now = place.db.now().await;
    assert!(now.services.is_empty());
    assert_eq!(
        (now.integrations[0].id.as_str(), now.integrations[0].status.as_str()),
        ("Mail", "")
    );
    assert_eq!(now.assets.len(), 1);
}

#[tokio::test]
async fn a_table_that_never_ends_is_given_up() {
    let place = place().await;
    place
        .sql(
            "DROP TABLE services;
             CREATE VIEW services AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id+1 FROM n)
               SELECT max(id) AS id FROM n;
             INSERT INTO integrations(id,name,status) VALUES('1','one','x');",
        )
        .await;
    let now = place.db.now().await;
    assert!(now.services.is_empty());
    assert_eq!(now.integrations.len(), 1);
}

#[tokio::test]
async fn a_locked_database_shows_the_rows_of_before() {
    let place = place().await;
    place.sql("INSERT INTO integrations(id,name,status) VALUES('1','one','x');").await;
    assert_eq!(place.db.now().await.integrations.len(), 1);
    let mut writer = place.writer().await;
    let lock = "BEGIN EXCLUSIVE; INSERT INTO integrations(id,name,status) VALUES('2','two','x');";
    sqlx::raw_sql(lock).execute(&mut writer).await.unwrap();
    // Written to, but not committed: only the old row can be shown.
    let touched = std::fs::File::options().append(true).open(&place.db.path).unwrap();
    touched.set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(place.db.now().await.integrations.len(), 1);
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    assert_eq!(place.db.now().await.integrations.len(), 2);
}

#[tokio::test]
async fn what_is_no_database_is_empty_and_a_removed_one_is_made_again() {
    let place = place().await;
    std::fs::write(&place.db.path, "this is no database, but it is long enough to look").unwrap();
    assert_eq!(place.db.now().await, Inspect::default());
    std::fs::remove_file(&place.db.path).unwrap();
    assert_eq!(place.db.now().await, Inspect::default());
    place.sql("INSERT INTO integrations(id,name,status) VALUES('1','one','x');").await;
    assert_eq!(place.db.now().await.integrations.len(), 1);
}

#[tokio::test]
async fn rows_in_a_write_ahead_log_are_seen() {
    let place = place().await;
    let mut writer = place.writer().await;
    let sql = "PRAGMA journal_mode=WAL;
               INSERT INTO integrations(id,name,status) VALUES('1','one','x');";
    sqlx::raw_sql(sql).execute(&mut writer).await.unwrap();
    assert_eq!(place.db.now().await.integrations.len(), 1);
    let sql = "INSERT INTO integrations(id,name,status) VALUES('2','two','x');";
    sqlx::raw_sql(sql).execute(&mut writer).await.unwrap();
    assert_eq!(place.db.now().await.integrations.len(), 2);
}

#[tokio::test]
async fn a_service_runs_if_and_only_if_something_listens_on_its_port() {
    let place = place().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut writer = place.writer().await;
    let insert = "INSERT INTO services(id,name,type,port,status) VALUES(?,?,'app',?,?)";
    for (id, port, status) in [("up", port, "stopped"), ("down", 1, "running"), ("bad", 1, "error")]
    {
        sqlx::query(insert)
            .bind(id)
            .bind(id)
            .bind(port)
            .bind(status)
            .execute(&mut writer)
            .await
            .unwrap();
    }
    let status = |inspect: &Inspect, id: &str| {
        inspect.services.iter().find(|s| s.id == id).unwrap().status.clone()
    };
    let now = place.db.now().await;
    assert_eq!(status(&now, "up"), "running");
    assert_eq!(status(&now, "down"), "stopped");
    assert_eq!(status(&now, "bad"), "error");
    drop(listener);
    assert_eq!(status(&place.db.now().await, "up"), "stopped");
}

#[tokio::test]
async fn a_change_is_told_once_and_no_change_never() {
    let place = place().await;
    let stop = CancellationToken::new();
    place.db.watch(stop.clone());
    let told = async |n: usize| {
        while place.told().len() < n {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    told(1).await;
    place.sql("INSERT INTO integrations(id,name,status) VALUES('1','one','x');").await;
    told(2).await;
    // Something else in the folder, and a write that changes nothing to see.
    std::fs::write(place.dir.path().join("other"), "x").unwrap();
    place.sql("CREATE TABLE mine(a); UPDATE integrations SET name='one'").await;
    place.sql("DELETE FROM integrations").await;
    told(3).await;
    stop.cancel();
    let rows: Vec<usize> = place.told().iter().map(|i| i.integrations.len()).collect();
    assert_eq!(rows, [0, 1, 0]);
}

#[tokio::test]
async fn an_older_database_gets_the_new_columns_and_old_inserts_still_work() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        SqliteConnectOptions::new().filename(dir.path().join(DATABASE)).create_if_missing(true);
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE services (id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
           port INTEGER, schedule TEXT, status TEXT NOT NULL, description TEXT,
           created_at TEXT NOT NULL DEFAULT (datetime('now')),
           updated_at TEXT NOT NULL DEFAULT (datetime('now')));
         INSERT INTO services(id,name,type,status) VALUES('old','Old','app','running');",
    )
    .execute(&mut db)
    .await
    .unwrap();
    db.close().await.unwrap();
    let log = EventLog::open(dir.path(), crate::clock::now_ms).await.unwrap();
    let app = AppPort::open(dir.path(), 3000, None, log.clone());
    let place = Place { db: InspectDb::open(dir.path(), app, log.clone()).await, dir, log };
    place
        .sql(
            "INSERT INTO services(id,name,type,port,schedule,status,description)
               VALUES('named','N','cron',NULL,'1h','running','by the document');
             INSERT INTO services(id,name,type,status,command,cwd,env,restart) VALUES
               ('new','New','worker','running',' serve ','sub','{\"A\":\"b\",\"N\":5,\"L\":[1]}','on_failure'),
               ('odd','Odd','worker','running','  ','','not json','sometimes');",
        )
        .await;
    let now = place.db.now().await;
    let row = |id: &str| now.services.iter().find(|s| s.id == id).unwrap().clone();
    assert_eq!(
        (row("old").status.as_str(), row("named").schedule.as_deref()),
        ("running", Some("1h"))
    );
    let new = row("new");
    assert_eq!((new.command.as_deref(), new.cwd.as_deref()), (Some(" serve "), Some("sub")));
    let env = new.env.unwrap();
    assert_eq!(
        env.into_iter().collect::<Vec<_>>(),
        [("A".into(), "b".into()), ("N".into(), "5".into())]
    );
    assert_eq!(new.restart, Some(toft_model::inspect::Restart::OnFailure));
    let odd = row("odd");
    assert_eq!((odd.command, odd.cwd, odd.env, odd.restart), (None, None, None, None));
    assert!(place.db.set_status("new", "stopped").await);
    assert_eq!(
        place.db.now().await.services.iter().find(|s| s.id == "new").unwrap().status,
        "stopped"
    );
}

#[tokio::test]
async fn a_view_shows_what_is_in_the_file_and_nothing_of_the_process_that_reads_it() {
    let place = place().await;
    place
        .sql(
            "INSERT INTO services(id,name,type,status) VALUES('a','A','app','running');
             ALTER TABLE services RENAME TO kept;
             CREATE VIEW services AS SELECT rowid, * FROM kept;
             DROP TABLE assets;
             CREATE VIEW assets AS SELECT 1 AS rowid, name AS id, name, 'file' AS type, file AS path
               FROM pragma_database_list;",
        )
        .await;
    let now = place.db.now().await;
    assert_eq!((now.services.len(), now.assets.len()), (1, 0), "{now:?}");
}
