//! Databases of every version that was ever stored, each table of theirs with some rows of edge values, brought forward:
//! every value is there afterwards as it was. On both databases, with the same rows.

use super::databases::Place;
use crate::{postgres, sqlite};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection, migrate::Migrator,
    sqlite::SqliteConnectOptions,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Columns that are gone since others say the same.
const SAID_BY_OTHERS: &[(&str, &str)] = &[("run", "writable")];

/// What comes of others by triggers.
const DERIVED: [&str; 2] = ["spent_month", "spent_run"];
/// Whose rows there is one of.
const SINGLE: [&str; 4] = ["vault", "usage_position", "team", "installation"];
/// What a later step removes, and into what it goes.
const MOVED: [(&str, &str); 1] = [("usage_position", "usage_journal")];
/// Rows of each table.
const ROWS: usize = 3;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Whole(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: String,
    may_be_null: bool,
    /// Table and column that it names.
    of: Option<(String, String)>,
    allowed: Vec<String>,
}

/// The tables of a version, those that others name first.
type Tables = Vec<(String, Vec<Column>)>;

/// Values that a `CHECK (column IN (…))` allows.
fn allowed(sql: &str) -> HashMap<String, Vec<String>> {
    let mut all = HashMap::new();
    for check in sql.split("CHECK (").skip(1) {
        let Some((head, _)) = check.split_once(')') else { continue };
        let Some((column, list)) = head.split_once(" IN") else { continue };
        let list = list.trim_start().trim_start_matches('(');
        let values = list.split(',').map(|value| value.trim().trim_matches('\'').to_owned());
        all.insert(column.trim().trim_matches('"').to_owned(), values.collect());
    }
    all
}

async fn tables(db: &mut SqliteConnection) -> Tables {
    let named: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
         AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    let mut left: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for (table, sql) in named {
        let allowed = allowed(&sql);
        let keys: Vec<(String, String, Option<String>)> =
            sqlx::query_as(r#"SELECT "from", "table", "to" FROM pragma_foreign_key_list($1)"#)
                .bind(&table)
                .fetch_all(&mut *db)
                .await
                .unwrap();
        let of: HashMap<String, (String, String)> = keys
            .into_iter()
            .map(|(from, table, to)| (from, (table, to.unwrap_or_else(|| "id".into()))))
            .collect();
        // Those that are computed have 2 or 3 as `hidden`.
        let columns: Vec<(String, String, bool, i64)> = sqlx::query_as(
            r#"SELECT name, type, "notnull" = 0 AND pk = 0, hidden FROM pragma_table_xinfo($1)"#,
        )
        .bind(&table)
        .fetch_all(&mut *db)
        .await
        .unwrap();
        let column = |(name, kind, may_be_null, _): (String, String, bool, i64)| Column {
            of: of.get(&name).cloned(),
            allowed: allowed.get(&name).cloned().unwrap_or_default(),
            name,
            kind,
            may_be_null,
        };
        let columns = columns.into_iter().filter(|(.., hidden)| *hidden == 0).map(column);
        left.insert(table, columns.collect());
    }
    let mut ordered: Tables = Vec::new();
    while !left.is_empty() {
        let there: BTreeSet<String> = ordered.iter().map(|(name, _)| name.clone()).collect();
        let names = |column: &Column| column.of.as_ref().map(|(table, _)| table.clone());
        let next = left.iter().find(|(name, columns)| {
            let mut of = columns.iter().filter_map(names);
            of.all(|table| there.contains(&table) || table == **name)
        });
        let next = next.expect("no two tables name each other").0.clone();
        let columns = left.remove(&next).unwrap();
        ordered.push((next, columns));
    }
    ordered
}

/// The value of a column in the nth row. No text is there twice, so that no index objects.
fn value(
    table: &str,
    column: &Column,
    n: usize,
    rows: &HashMap<(String, String), Vec<Value>>,
) -> Value {
    if let Some(of) = &column.of {
        // A row of its own kind, or what is there of the other table.
        let there = rows.get(of);
        return match there.and_then(|there| there.get(n)) {
            Some(value) => value.clone(),
            None if column.may_be_null => Value::Null,
            None => panic!("{table}.{} has nothing to name: {of:?}", column.name),
        };
    }
    if !column.allowed.is_empty() {
        let value = &column.allowed[n % column.allowed.len()];
        return value.parse().map_or_else(|_| Value::Text(value.clone()), Value::Whole);
    }
    if column.may_be_null && n == 1 {
        return Value::Null;
    }
    match (column.kind.as_str(), column.name.as_str()) {
        // What numbers are given out for, behind the rows of the steps themselves.
        ("INTEGER", "id") => Value::Whole(10 + i64::try_from(n).unwrap()),
        // A month of this has to be one.
        ("INTEGER", "ts") => Value::Whole([0, 1_764_000_000_000, 253_402_300_799_999][n]),
        ("INTEGER", _) => Value::Whole([0, 1, i64::MAX][n]),
        ("REAL", _) => Value::Float([0.0, 1.5, 1e15][n]),
        ("BLOB", _) => Value::Bytes([vec![0xff; 32], vec![], (0..=255).collect()][n].clone()),
        (_, name) if name.ends_with("id") => Value::Text(["a", "b", "c"][n].repeat(12)),
        (_, "data" | "due" | "work" | "input" | "egress" | "egress_ceiling" | "binding") => {
            Value::Text(["{}", "{\"a\":[1,null,\"'\"]}", "{\"\\u00fc\":\"\\\\\"}"][n].to_owned())
        }
        _ => Value::Text(match n {
            // A step has put a row without a server there.
            0 if column.name == "server" => "here".to_owned(),
            0 => String::new(),
            1 => "\u{fc} \u{1f980} '\"\\ \t\n %s $1".to_owned(),
            _ => "long ".repeat(1_000),
        }),
    }
}

/// Statements that fill all tables, and what may be compared of each.
fn rows(tables: &Tables) -> Vec<(String, Vec<(String, Value)>)> {
    let mut known: HashMap<(String, String), Vec<Value>> = HashMap::new();
    let mut all = Vec::new();
    // By the first step itself.
    known.insert(("team".into(), "id".into()), vec![Value::Whole(1); ROWS]);
    known.insert(("usage_position".into(), "only".into()), Vec::new());
    for (table, columns) in tables {
        if DERIVED.contains(&table.as_str()) {
            continue;
        }
        let is_single = SINGLE.contains(&table.as_str());
        let is_there = ["team", "usage_position"].contains(&table.as_str());
        for n in 0..if is_there {
            0
        } else if is_single {
            1
        } else {
            ROWS
        } {
            let mut row = Vec::new();
            for column in columns {
                let mut value = value(table, column, n, &known);
                if is_single && column.name == "id" {
                    value = Value::Whole(1);
                }
                known.entry((table.clone(), column.name.clone())).or_default().push(value.clone());
                row.push((column.name.clone(), value));
            }
            all.push((table.clone(), row));
        }
    }
    all
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn literal(value: &Value, bytes_of_text: bool, is_postgres: bool) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Whole(n) => n.to_string(),
        Value::Float(n) => format!("{n:e}"),
        Value::Text(text) if bytes_of_text => format!("convert_to({}, 'UTF8')", quoted(text)),
        Value::Text(text) => quoted(text),
        Value::Bytes(bytes) if is_postgres => format!("'\\x{}'::bytea", hex(bytes)),
        Value::Bytes(bytes) => format!("X'{}'", hex(bytes)),
    }
}

fn statement(
    table: &str,
    row: &[(String, Value)],
    raw: &BTreeSet<(String, String)>,
    is_postgres: bool,
) -> String {
    let names: Vec<String> = row.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let values: Vec<String> = row
        .iter()
        .map(|(name, value)| {
            literal(value, raw.contains(&(table.to_owned(), name.clone())), is_postgres)
        })
        .collect();
    let over = if is_postgres { " OVERRIDING SYSTEM VALUE" } else { "" };
    format!("INSERT INTO \"{table}\" ({}){over} VALUES ({});", names.join(", "), values.join(", "))
}

/// What a table holds in these columns, as the database writes it.
type Held = BTreeMap<String, (Vec<String>, Vec<String>)>;

fn select(table: &str, columns: &[String], is_postgres: bool) -> String {
    let one = |name: &String| {
        if is_postgres {
            format!("quote_nullable(\"{name}\"::text)")
        } else {
            format!("quote(\"{name}\")")
        }
    };
    let columns: Vec<String> = columns.iter().map(one).collect();
    format!("SELECT {} AS held FROM \"{table}\"", columns.join(" || ',' || "))
}

/// What must be there still, of what was.
fn compare(was: &Held, now: &Held, step: i64) {
    assert!(!was.is_empty());
    for (table, (columns, rows)) in was {
        let Some((_, found)) = now.get(table) else {
            assert!(MOVED.iter().any(|(from, _)| from == table), "{table} of step {step} is gone");
            continue;
        };
        let found: BTreeSet<&String> = found.iter().collect();
        for row in rows {
            assert!(found.contains(row), "{table} {columns:?} of step {step} lost {row}");
        }
        let may_be_few = SINGLE.contains(&table.as_str()) || DERIVED.contains(&table.as_str());
        assert!(may_be_few || rows.len() >= ROWS, "{table} of step {step} has {} rows", rows.len());
    }
}

/// A database of SQLite's as it was after a step.
async fn of_step(place: &Place, step: i64) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(place.file()).create_if_missing(true);
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    let steps = sqlite::MIGRATIONS.iter().filter(|one| one.version <= step).cloned().collect();
    Migrator::with_migrations(steps).run(&mut db).await.unwrap();
    db
}

async fn held_sqlite(
    db: &mut SqliteConnection,
    columns_of: &BTreeMap<String, Vec<String>>,
) -> Held {
    let there: BTreeSet<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut *db)
            .await
            .unwrap()
            .into_iter()
            .collect();
    let mut held = Held::new();
    for (table, columns) in columns_of.iter().filter(|(table, _)| there.contains(*table)) {
        let sql = AssertSqlSafe(select(table, columns, false));
        let rows = sqlx::query_scalar(sql).fetch_all(&mut *db).await.unwrap();
        held.insert(table.clone(), (columns.clone(), rows));
    }
    held
}

async fn held_postgres(db: &mut PgConnection, columns_of: &BTreeMap<String, Vec<String>>) -> Held {
    let there: BTreeSet<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap()
    .into_iter()
    .collect();
    let mut held = Held::new();
    for (table, columns) in columns_of.iter().filter(|(table, _)| there.contains(*table)) {
        let sql = AssertSqlSafe(select(table, columns, true));
        let rows = sqlx::query(sql).fetch_all(&mut *db).await.unwrap();
        let rows = rows.iter().map(|row| row.get("held")).collect();
        held.insert(table.clone(), (columns.clone(), rows));
    }
    held
}

fn columns_of(tables: &Tables) -> BTreeMap<String, Vec<String>> {
    let names = |table: &str, columns: &[Column]| {
        let names = columns.iter().map(|column| column.name.clone());
        names.filter(|name| !SAID_BY_OTHERS.contains(&(table, name.as_str()))).collect()
    };
    tables.iter().map(|(table, columns)| (table.clone(), names(table, columns))).collect()
}

#[tokio::test]
async fn every_row_of_every_earlier_version_is_kept() {
    for step in sqlite::MIGRATIONS.iter() {
        let place = Place::sqlite();
        let mut db = of_step(&place, step.version).await;
        let tables = tables(&mut db).await;
        for (table, row) in rows(&tables) {
            let sql = statement(&table, &row, &BTreeSet::new(), false);
            let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut db).await;
            done.unwrap_or_else(|e| panic!("step {}: {sql:.400}: {e}", step.version));
        }
        let columns_of = columns_of(&tables);
        let was = held_sqlite(&mut db, &columns_of).await;
        db.close().await.unwrap();
        place.open().await.close().await;
        let mut db = SqliteConnection::connect(&place.file().display().to_string()).await.unwrap();
        compare(&was, &held_sqlite(&mut db, &columns_of).await, step.version);
        let broken: Vec<String> =
            sqlx::query_scalar("SELECT \"table\" FROM pragma_foreign_key_check")
                .fetch_all(&mut db)
                .await
                .unwrap();
        assert_eq!(broken, Vec::<String>::new(), "of step {}", step.version);
    }
}

/// The same rows; PostgreSQL's first step has the shape of SQLite's twentieth.
pub(crate) async fn on_postgres(place: &Place) {
    for step in postgres::MIGRATIONS.iter() {
        let twin = Place::sqlite();
        let tables = tables(&mut of_step(&twin, step.version).await).await;
        place.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
        let mut db = PgConnection::connect(place.url()).await.unwrap();
        let steps = postgres::MIGRATIONS.iter().filter(|one| one.version <= step.version).cloned();
        Migrator::with_migrations(steps.collect()).run(&mut db).await.unwrap();
        let raw: Vec<(String, String)> = sqlx::query_as(
            "SELECT table_name::text, column_name::text FROM information_schema.columns \
             WHERE table_schema = 'public' AND data_type = 'bytea'",
        )
        .fetch_all(&mut db)
        .await
        .unwrap();
        let raw: BTreeSet<(String, String)> = raw.into_iter().collect();
        for (table, row) in rows(&tables) {
            let sql = statement(&table, &row, &raw, true);
            let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut db).await;
            done.unwrap_or_else(|e| panic!("step {}: {sql:.400}: {e}", step.version));
        }
        let columns_of = columns_of(&tables);
        let was = held_postgres(&mut db, &columns_of).await;
        place.open().await.close().await;
        compare(&was, &held_postgres(&mut db, &columns_of).await, step.version);
        db.close().await.unwrap();
    }
}
