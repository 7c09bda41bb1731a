//! Services below a real init and a real bridge: kept running, found again, stopped, their logs; and
//! what only the server may tell the bridge.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use axum::body::Body;
use http::{Method, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Machine, argv_of, http::bytes};
use toft_machine::init_client;
use toft_model::{
    init::ExecSpec,
    secret::{Environment, SecretText},
};

/// Not a test: init itself, when the tests start it.
#[test]
fn init_process() {
    if support::is_a_process() {
        toft_bridge::init::main(0).unwrap();
    }
}

/// Not a test: the bridge itself, when init starts it.
#[test]
fn bridge_process() {
    if support::is_a_process() {
        toft_bridge::serve::main(0).unwrap();
    }
}

async fn machine() -> Machine {
    let machine = Machine::with_bridge(argv_of("bridge_process"));
    // Once it answers its tables are made.
    machine.call(Method::GET, "inspect", None).await;
    machine
}

/// As an agent writes it: another process, in SQL.
async fn sql(machine: &Machine, text: &str) {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(machine.path("home/inspect.db"))
        .busy_timeout(Duration::from_secs(5));
    let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned())).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

async fn declare(machine: &Machine, id: &str, command: &str, restart: &str) {
    let command = command.replace('\'', "''");
    sql(
        machine,
        &format!(
            "INSERT INTO services(id,name,type,status,command,restart) \
             VALUES('{id}','The {id}','worker','running','{command}',{restart})"
        ),
    )
    .await;
}

async fn service(machine: &Machine, id: &str) -> Value {
    let (status, answer) = machine.call(Method::GET, "services", None).await;
    assert_eq!(status, 200, "{answer}");
    let rows = answer["data"]["services"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).cloned().unwrap_or_default()
}

/// The row once it is as wanted.
async fn until(machine: &Machine, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..1_500 {
        last = service(machine, id).await;
        if wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} never came to that: {last:#}");
}

fn runs(row: &Value) -> bool {
    row["process"]["state"] == "running"
}

async fn log(machine: &Machine, id: &str, mut from: u64) -> (String, u64) {
    let mut text = String::new();
    loop {
        let path = format!("services/{id}/log?from={from}");
        let (status, answer) = machine.call(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{answer}");
        let page = &answer["data"];
        text.push_str(page["text"].as_str().unwrap());
        if page["to"] == page["end"] {
            return (text, page["first"].as_u64().unwrap());
        }
        from = page["to"].as_u64().unwrap();
    }
}

/// Its log, once it holds so many lines of this text: a program runs before it has printed.
async fn printed(machine: &Machine, id: &str, line: &str, times: usize) -> String {
    let mut text = String::new();
    for _ in 0..1_500 {
        text = log(machine, id, 0).await.0;
        if text.lines().filter(|l| *l == line).count() >= times {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} never printed {line:?} {times} times: {text}");
}

fn kill(pid: &Value, signal: Signal) {
    let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn kill_bridge(machine: &Machine) {
    let hello = init_client::hello(machine.init().await).await.unwrap();
    kill(&json!(hello.bridge_pid.unwrap()), Signal::KILL);
    while init_client::hello(machine.init().await).await.unwrap().bridge_starts
        == hello.bridge_starts
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn events(machine: &Machine, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(machine.path("log/events.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["kind"] == kind)
        .map(|event| event["data"].clone())
        .collect()
}

#[tokio::test]
async fn a_declared_service_comes_back_after_it_was_killed() {
    let machine = machine().await;
    declare(&machine, "web", "echo up $PORT; exec sleep 1000", "NULL").await;
    let first = until(&machine, "web", runs).await;
    assert_eq!((&first["status"], &first["restart"]), (&json!("running"), &Value::Null));
    printed(&machine, "web", "up", 1).await;
    kill(&first["process"]["pid"], Signal::KILL);
    let pid = first["process"]["pid"].clone();
    let again = until(&machine, "web", |row| runs(row) && row["process"]["pid"] != pid).await;
    assert_eq!(again["process"]["restarts"], 1);
    let text = printed(&machine, "web", "up", 2).await;
    assert!(text.contains("ended by signal 9; it is started again in 0.5 s"), "{text}");
    let told: Vec<Value> = events(&machine, "service").iter().map(|e| e["state"].clone()).collect();
    assert_eq!(told, ["running", "backoff", "running"]);
}

#[tokio::test]
async fn a_service_outlives_the_bridge_and_its_log_has_every_line_once() {
    let machine = machine().await;
    let count = "n=0; while :; do n=$((n+1)); echo line $n.; sleep 0.01; done";
    declare(&machine, "count", count, "'always'").await;
    let before = until(&machine, "count", runs).await;
    for _ in 0..3 {
        kill_bridge(&machine).await;
        let after = until(&machine, "count", runs).await;
        assert_eq!(after["process"]["pid"], before["process"]["pid"]);
        assert_eq!(after["process"]["since"].as_u64().map(|s| s > 0), Some(true));
    }
    let (status, stopped) =
        machine.call(Method::POST, "services/count/stop", Some(json!({}))).await;
    assert_eq!((status, &stopped["data"]["process"]["state"]), (200, &json!("stopped")));
    let (text, _) = log(&machine, "count", 0).await;
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("line ")).collect();
    assert!(lines.len() > 10, "{text}");
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {}.", n + 1));
    }
    let starts = events(&machine, "service").iter().filter(|e| e["state"] == "running").count();
    assert_eq!(starts, 1, "a new bridge is no news");
}

#[tokio::test]
async fn a_person_stops_starts_and_restarts_and_a_stopped_one_stays_stopped() {
    let machine = machine().await;
    declare(&machine, "web", "exec sleep 1000", "'always'").await;
    let first = until(&machine, "web", runs).await;
    let order = async |what: &str| {
        let path = format!("services/web/{what}");
        let (status, answer) = machine.call(Method::POST, &path, Some(json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    };
    let restarted = order("restart").await;
    assert!(runs(&restarted), "{restarted}");
    assert_ne!(restarted["process"]["pid"], first["process"]["pid"]);
    assert_eq!(order("start").await["process"]["pid"], restarted["process"]["pid"]);
    let stopped = order("stop").await;
    assert_eq!((&stopped["status"], &stopped["process"]["pid"]), (&json!("stopped"), &Value::Null));
    kill_bridge(&machine).await;
    let row = until(&machine, "web", |row| row["id"] == "web").await;
    assert_eq!(row["status"], "stopped");
    let all = init_client::list(machine.init().await).await.unwrap();
    assert!(all.iter().all(|exec| exec.exit.is_some()), "{all:?}");
    assert!(runs(&order("start").await));
    sql(&machine, "DELETE FROM services").await;
    until(&machine, "web", Value::is_null).await;
    for _ in 0..500 {
        let all = init_client::list(machine.init().await).await.unwrap();
        if all.iter().all(|exec| exec.exit.is_some()) {
            let (status, _) = machine.call(Method::POST, "services/web/start", None).await;
            assert_eq!(status, 404);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a service without a row runs on");
}

#[tokio::test]
async fn what_ends_for_good_says_so_in_its_row_and_is_not_begun_again() {
    let machine = machine().await;
    declare(&machine, "done", "echo once >> once; exit 0", "'never'").await;
    declare(&machine, "bad", "exit 3", "'never'").await;
    let done = until(&machine, "done", |row| row["process"]["state"] == "exited").await;
    assert_eq!((&done["status"], &done["process"]["exitCode"]), (&json!("stopped"), &json!(0)));
    let bad = until(&machine, "bad", |row| row["process"]["state"] == "failed").await;
    assert_eq!((&bad["status"], &bad["process"]["exitCode"]), (&json!("error"), &json!(3)));
    kill_bridge(&machine).await;
    until(&machine, "done", |row| row["status"] == "stopped").await;
    until(&machine, "bad", |row| row["status"] == "error").await;
    assert_eq!(std::fs::read_to_string(machine.path("project/once")).unwrap(), "once\n");
    let (status, told) = machine.call(Method::POST, "services/none/start", None).await;
    assert_eq!((status, &told["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn a_port_that_somebody_has_is_named_and_waited_for() {
    let machine = machine().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    declare(&machine, "web", "exec sleep 1000", "NULL").await;
    sql(&machine, &format!("UPDATE services SET port = {port}")).await;
    let row = until(&machine, "web", |row| row["process"]["problem"].is_string()).await;
    let problem = row["process"]["problem"].as_str().unwrap();
    assert!(problem.contains(&format!("Port {port} is in use by pid")), "{problem}");
    assert_eq!(row["status"], "error");
    assert_eq!(events(&machine, "error").len(), 1);
    drop(listener);
    until(&machine, "web", runs).await;
}

#[tokio::test]
async fn a_flood_of_output_is_rotated_and_its_end_is_kept() {
    let machine = machine().await;
    let flood = "head -c 9000000 /dev/zero | tr '\\0' x; echo; echo the end; exec sleep 1000";
    declare(&machine, "flood", flood, "NULL").await;
    until(&machine, "flood", runs).await;
    let mut text = String::new();
    for _ in 0..500 {
        let (status, page) = machine.call(Method::GET, "services/flood/log", None).await;
        assert_eq!(status, 200);
        page["data"]["text"].as_str().unwrap().clone_into(&mut text);
        if text.ends_with("the end\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(text.ends_with("the end\n"));
    let kept: u64 = std::fs::read_dir(machine.path("log/services"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 5 << 20, "{kept}");
    let (text, first) = log(&machine, "flood", 0).await;
    assert!(first > 0 && text.ends_with("the end\n"));
}

#[tokio::test]
async fn what_the_host_saw_is_told_by_the_server_only_and_once() {
    let machine = machine().await;
    let told = json!({"id": "x1", "kind": "limit", "data": {
        "kind": "memory", "command": "python3 eat.py", "pid": 7, "peak": 64, "limit": 64,
        "message": "out of memory"}});
    for _ in 0..2 {
        let request = Request::post("/toft/observed").body(Body::from(told.to_string())).unwrap();
        assert_eq!(machine.ask(request).await.status(), 204);
    }
    assert_eq!(events(&machine, "limit").len(), 1);
    assert_eq!(events(&machine, "limit")[0]["command"], "python3 eat.py");
    for path in ["/toft/observed", "/starter/observed"] {
        let request = Request::post(path)
            .header("authorization", "Bearer project-token")
            .body(Body::from(told.to_string().replace("x1", "x2")))
            .unwrap();
        assert_eq!(machine.ask_inside(request).await.status(), 404);
    }
    assert_eq!(events(&machine, "limit").len(), 1);
}

#[tokio::test]
async fn services_and_shells_at_their_prompt_forbid_no_pause_and_programs_do() {
    let machine = machine().await;
    declare(&machine, "web", "exec sleep 1000", "NULL").await;
    until(&machine, "web", runs).await;
    let busy = async || -> Vec<Value> {
        let request = Request::get("/toft/activity").body(Body::empty()).unwrap();
        let answer = bytes(machine.ask(request).await).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["data"]["busy"].as_array().unwrap().clone()
    };
    let until_busy = async |wanted: usize| -> Vec<Value> {
        for _ in 0..500 {
            let now = busy().await;
            // A shell that is just starting runs programs of its profile.
            let ours =
                |one: &Value| ["sleep 1000", "a job"].iter().any(|what| one["what"] == **what);
            if now.len() == wanted && now.iter().all(ours) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", busy().await);
    };
    let size = json!({"cols": 80, "rows": 24});
    let (status, _) = machine.call(Method::POST, "terminals", Some(size.clone())).await;
    assert_eq!(status, 200);
    assert_eq!(until_busy(0).await, Vec::<Value>::new());
    let wish = json!({"cols": 80, "rows": 24, "command": "sleep 1000"});
    machine.call(Method::POST, "terminals", Some(wish)).await;
    let now = until_busy(1).await;
    assert_eq!((&now[0]["kind"], &now[0]["what"]), (&json!("terminal"), &json!("sleep 1000")));
    let spec = ExecSpec {
        argv: vec!["sleep".into(), "1001".into()],
        label: Some("a job".into()),
        ..ExecSpec::default()
    };
    let _job = machine.exec(spec).await;
    let now = until_busy(2).await;
    assert!(now.contains(&json!({"kind": "exec", "what": "a job"})), "{now:?}");
}

#[tokio::test]
async fn a_service_says_when_it_was_started_with_older_secrets() {
    let machine = machine().await;
    let tell = async |revision: u64, value: &str| {
        let vars = vec![("KEY".to_owned(), SecretText::new(value))];
        let environment = Environment { revision, vars, ..Environment::default() };
        init_client::set_environment(machine.init().await, &environment).await.unwrap();
    };
    tell(1, "one").await;
    declare(&machine, "web", "echo has $KEY; exec sleep 1000", "'always'").await;
    let row = until(&machine, "web", |row| row["process"]["pid"].is_number()).await;
    assert_eq!(row["process"]["restartToApply"], Value::Null, "{row}");
    tell(2, "two").await;
    let stale = until(&machine, "web", |row| row["process"]["restartToApply"] == true).await;
    assert_eq!(stale["process"]["pid"], row["process"]["pid"], "it goes on");
    // The next bridge knows it too.
    init_client::restart_bridge(machine.init().await).await.unwrap();
    until(&machine, "web", |row| row["process"]["restartToApply"] == true).await;
    machine.call(Method::POST, "services/web/restart", None).await;
    until(&machine, "web", |row| {
        row["process"]["pid"].is_number() && row["process"]["restartToApply"].is_null()
    })
    .await;
    let mut text = String::new();
    while !text.contains("has two\n") {
        let (_, log) = machine.call(Method::GET, "services/web/log", None).await;
        text = log["data"]["text"].as_str().unwrap_or_default().to_owned();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(text.contains("has one\n"), "{text}");
}

#[tokio::test]
async fn what_a_service_prints_of_a_secret_lies_in_no_log() {
    let machine = machine().await;
    let vars = vec![("KEY".to_owned(), SecretText::new("canary-0123456789"))];
    let environment = Environment { revision: 1, vars, ..Environment::default() };
    init_client::set_environment(machine.init().await, &environment).await.unwrap();
    let command = "echo it is $KEY.; printf %.8s $KEY; sleep 0.1; printf '%s\n' ${KEY#????????}; \
                   echo end; exec sleep 1000";
    declare(&machine, "web", command, "'always'").await;
    let mut text = String::new();
    while !text.contains("end\n") {
        let (_, log) = machine.call(Method::GET, "services/web/log", None).await;
        text = log["data"]["text"].as_str().unwrap_or_default().to_owned();
    }
    assert!(text.contains("it is *****************.\n*****************\nend\n"), "{text}");
    let mut folders = vec![machine.path("log")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            files += usize::from(String::from_utf8_lossy(&bytes).contains("it is *"));
            assert!(!String::from_utf8_lossy(&bytes).contains("canary-01"), "{:?}", entry.path());
        }
    }
    assert_eq!(files, 2, "its log, and what init keeps of it");
}
