//! Services: what the agent declares keeps running, comes back when it was killed, when the machine
//! wakes and when a person starts it, and its log stays of bounded size.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toft_stories::{
    abilities::{connects_without_proxy, rest_if_needed},
    lane,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// An app that tells its pid and takes down what it was asked.
const APP: &str = "\
import http.server, os, sys
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print('asked', self.path, flush=True)
        if self.path == '/flood':
            for _ in range(6000): print('x' * 1000)
            print('flooded', flush=True)
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
print('serving on', os.environ['PORT'], flush=True)
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), App).serve_forever()
";

/// A machine takes commands before its bridge has made the tables.
async fn until_tables(toft: &Toft, project: &str) -> Result<()> {
    let services = format!("/v1/projects/{project}/toft/services");
    toft.until(&services, |told| told["services"].is_array()).await?;
    Ok(())
}

/// As an agent does it: a file, and a row by SQL.
async fn declare(toft: &Toft, project: &str) -> Result<()> {
    until_tables(toft, project).await?;
    let script = format!(
        "cat > app.py <<'END'\n{APP}END\n\
         python3 - <<'END'\n\
         import sqlite3\n\
         db = sqlite3.connect('/home/starter/inspect.db', timeout=5)\n\
         db.execute(\"INSERT INTO services(id,name,type,port,status,command) \
         VALUES('web','The app','app',3000,'running','exec python3 app.py')\")\n\
         db.commit()\n\
         END"
    );
    let ran = toft.exec(project, &script).await?;
    assert_eq!(ran["exitCode"], 0, "{ran}");
    Ok(())
}

async fn until_runs(toft: &Toft, project: &str, other_than: &Value) -> Result<Value> {
    let path = format!("/v1/projects/{project}/toft/services");
    let wanted = |services: &Value| {
        let process = &services["services"][0]["process"];
        process["state"] == "running" && process["pid"] != *other_than
    };
    let services = toft.until(&path, wanted).await?;
    Ok(services["services"][0].clone())
}

/// What the app answers, once it does.
async fn app(toft: &Toft, project: &str, path: &str) -> Result<String> {
    for _ in 0..600 {
        let answer = toft
            .http()
            .get(format!("{}{path}", toft.base))
            .header("host", format!("{project}.localhost:{}", toft.port))
            .bearer_auth(&toft.token)
            .send()
            .await?;
        if answer.status() == 200 {
            return Ok(answer.text().await?);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the app never answered")
}

async fn log(toft: &Toft, project: &str) -> Result<Value> {
    toft.call("GET", &format!("/v1/projects/{project}/toft/services/web/log"), None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_service_comes_back_whatever_ended_it() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Service").await?;
    let of = format!("/v1/projects/{project}");
    declare(&toft, &project).await?;
    let first = until_runs(&toft, &project, &Value::Null).await?;
    assert_eq!(app(&toft, &project, "/one").await?, first["process"]["pid"].to_string());

    // Killed, it is started again.
    let pid = first["process"]["pid"].clone();
    let killed = toft.exec(&project, &format!("kill -9 {pid}")).await?;
    assert_eq!(killed["exitCode"], 0, "{killed}");
    let second = until_runs(&toft, &project, &pid).await?;
    assert_eq!(second["process"]["restarts"], 1);
    app(&toft, &project, "/two").await?;

    // A sleeping machine is woken by the request, and the app answers it in the end.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let asleep = toft.call("GET", &format!("{of}/toft/services"), None).await?;
    assert_eq!(asleep["services"][0]["id"], "web");
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "cold", "a look at the services wakes nothing");
    app(&toft, &project, "/three").await?;
    until_runs(&toft, &project, &Value::Null).await?;

    // Stopped and started by a person.
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    until_runs(&toft, &project, &Value::Null).await?;
    app(&toft, &project, "/four").await?;

    // Its log goes on over all of that.
    let page = log(&toft, &project).await?;
    let text = page["text"].as_str().context("text")?;
    for asked in ["asked /one", "asked /two", "asked /three", "asked /four"] {
        assert!(text.contains(asked), "{asked}: {text}");
    }
    assert!(text.contains("ended by signal 9"), "{text}");

    // A flood is rotated: the end is there, the beginning is not, and little is kept.
    app(&toft, &project, "/flood").await?;
    let flooded = |page: &Value| page["text"].as_str().is_some_and(|t| t.contains("flooded"));
    let page = toft.until(&format!("{of}/toft/services/web/log"), flooded).await?;
    let (first, end) = (page["first"].as_u64().unwrap_or(0), page["end"].as_u64().unwrap_or(0));
    assert!(first > 0 && end - first <= 4 << 20, "{first} {end}");

    // Stopped by hand it stays stopped, over a sleep too.
    let shown = toft.cli(&["services", &project, "stop", "web", "--json"])?;
    assert!(shown.status.success(), "{shown:?}");
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    toft.call("POST", &format!("{of}/wake"), Some(json!({}))).await?;
    let services = toft.call("GET", &format!("{of}/toft/services"), None).await?;
    assert_eq!(services["services"][0]["status"], "stopped", "{services}");
    toft.down()
}

/// What was there before a look at a machine's services, and is there after it.
async fn looked_at(toft: &Toft, project: &str) -> Result<(Value, Value)> {
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    Ok((machine["state"].clone(), machine["wakes"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_services_and_their_logs_wakes_no_machine() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Resting").await?;
    let of = format!("/v1/projects/{project}");
    declare(&toft, &project).await?;
    until_runs(&toft, &project, &Value::Null).await?;
    app(&toft, &project, "/before").await?;
    let shown = toft.call("GET", &format!("{of}/machine"), None).await?;
    let mut rests = vec!["sleep"];
    if shown["can"]["freeze"] == true {
        rests.insert(0, "freeze");
    } else {
        lane::skip("a look at a paused machine", "this host cannot pause");
    }
    for rest in rests {
        toft.call("POST", &format!("{of}/{rest}"), Some(json!({}))).await?;
        let before = looked_at(&toft, &project).await?;
        for after_restart in [false, true] {
            if after_restart {
                toft.kill_server();
                toft.up().await?;
            }
            let listed = toft.call("GET", &format!("{of}/toft/services"), None).await?;
            let service = &listed["services"][0];
            assert_eq!((&service["id"], &service["port"]), (&json!("web"), &json!(3000)));
            if rest == "sleep" {
                assert_eq!(
                    (&service["status"], &service["process"]),
                    (&json!("stopped"), &Value::Null)
                );
            }
            let page = log(&toft, &project).await?;
            assert!(page["text"].as_str().is_some_and(|t| t.contains("asked /before")), "{page}");
            assert_eq!(page["to"], page["end"]);
            let all = toft.cli(&["services", &project, "log", "web", "--from", "0"])?;
            assert!(String::from_utf8_lossy(&all.stdout).contains("asked /before"), "{all:?}");
            let path = format!("{}{of}/toft/services/none/log", toft.base);
            let none = toft.http().get(path).bearer_auth(&toft.token).send().await?;
            assert_eq!(none.status(), 404);
            assert_eq!(looked_at(&toft, &project).await?, before, "after {rest}");
        }
    }

    // Nothing that somebody puts there who has taken over its init leads the server to a file of the host.
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), "a secret of the host")?;
    let plant = format!(
        "log=$(ls services/web:*.log | head -n 1) && test -n \"$log\" && rm \"$log\" && \
         ln -s '{0}' \"$log\" && ln -s '{0}' services/other:0000000000000000.log",
        secret.path().display()
    );
    toft.in_log_folder(&project, &plant)?;
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    for id in ["web", "other"] {
        let path = format!("{}{of}/toft/services/{id}/log", toft.base);
        let answer = toft.http().get(path).bearer_auth(&toft.token).send().await?.text().await?;
        assert!(!answer.contains("secret"), "{answer}");
    }
    toft.down()
}

/// Writes rows by SQL, as an agent does.
async fn sql(toft: &Toft, project: &str, sql: &str) -> Result<()> {
    until_tables(toft, project).await?;
    let script = format!(
        "python3 - <<'END'\n\
         import sqlite3\n\
         db = sqlite3.connect('/home/starter/inspect.db', timeout=5)\n\
         db.executescript('''{sql}''')\n\
         db.commit()\n\
         END"
    );
    let ran = toft.exec(project, &script).await?;
    assert_eq!(ran["exitCode"], 0, "{ran}");
    Ok(())
}

async fn row(toft: &Toft, project: &str, id: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let of = |all: &Value| {
        all["services"].as_array().into_iter().flatten().find(|s| s["id"] == id).cloned()
    };
    let path = format!("/v1/projects/{project}/toft/services");
    let all = toft.until(&path, |all| of(all).is_some_and(|row| fits(&row))).await?;
    of(&all).context("the row")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_a_port_that_is_taken_is_told_by_whom_and_two_projects_never_meet() -> Result<()>
{
    let toft = Toft::start(Start::default()).await?;
    let (one, two) = (toft.new_project("One").await?, toft.new_project("Two").await?);
    for project in [&one, &two] {
        declare(&toft, project).await?;
        until_runs(&toft, project, &Value::Null).await?;
        app(&toft, project, &format!("/of-{project}")).await?;
    }
    for (project, other) in [(&one, &two), (&two, &one)] {
        let page = log(&toft, project).await?;
        let text = page["text"].as_str().context("text")?;
        assert!(text.contains(&format!("asked /of-{project}")), "{text}");
        assert!(!text.contains(&format!("of-{other}")), "{text}");
    }

    // Two services of one project: the second is told, and runs once the first gives way.
    // The gateway's own ports are free where its connections are handed over; it listens elsewhere.
    let gate = if connects_without_proxy(&toft, &one).await? { 6 } else { 3128 };
    sql(
        &toft,
        &one,
        &format!(
            "INSERT INTO services(id,name,type,port,status,command) VALUES
           ('twin','The twin','app',3000,'running','exec python3 app.py'),
           ('own','Own port','app',8080,'running','exec python3 app.py'),
           ('gate','The way out','app',{gate},'running','exec python3 app.py');"
        ),
    )
    .await?;
    let has = |part: &str| {
        let part = part.to_owned();
        move |row: &Value| row["process"]["problem"].as_str().is_some_and(|why| why.contains(&part))
    };
    let twin = row(&toft, &one, "twin", has("in use by the service \"The app\"")).await?;
    assert_eq!(twin["status"], "error", "{twin}");
    row(&toft, &one, "own", has("Port 8080 is Toft's own")).await?;
    row(&toft, &one, "gate", has(&format!("Port {gate} is Toft's own"))).await?;
    let shown = toft.cli(&["services", &one])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Port 8080 is Toft's own"), "{shown}");
    toft.call("POST", &format!("/v1/projects/{one}/toft/services/web/stop"), Some(json!({})))
        .await?;
    let twin = row(&toft, &one, "twin", |row| row["process"]["state"] == "running").await?;
    assert_eq!(twin["process"]["problem"], Value::Null, "{twin}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_says_what_is_wrong_and_runs_once_it_is_mended() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Rows").await?;
    sql(
        &toft,
        &project,
        "INSERT INTO services(id,name,type,port,status,command,env,restart) VALUES
           ('json','J','worker',NULL,'running','echo ran; sleep 600','MODE=fast',NULL),
           ('list','L','worker',NULL,'running','echo ran; sleep 600','[1]',NULL),
           ('port','P','app',99999,'running','echo ran; sleep 600',NULL,NULL),
           ('rule','R','worker',NULL,'running','echo ran; sleep 600',NULL,'sometimes'),
           ('word','W','worker',NULL,'active','echo ran; sleep 600',NULL,NULL);",
    )
    .await?;
    for (id, part) in [
        ("json", "`env` is not JSON"),
        ("list", "`env` is a list"),
        ("port", "`port` is \"99999\": write a number from 1 to 65535"),
        ("rule", "`restart` is \"sometimes\": write `always`, `on-failure` or `never`"),
    ] {
        let row = row(&toft, &project, id, |row| row["process"]["state"] == "failed").await?;
        for said in [&row["problem"], &row["process"]["problem"]] {
            assert!(said.as_str().is_some_and(|said| said.contains(part)), "{row}");
        }
        assert_eq!(row["status"], "error", "{row}");
    }
    let word = row(&toft, &project, "word", |row| row["problem"].is_string()).await?;
    assert!(word["problem"].to_string().contains("`status` is"), "{word}");
    let shown = toft.cli(&["services", &project])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("`env` is not JSON") && shown.contains("`status` is"), "{shown}");
    sql(
        &toft,
        &project,
        "UPDATE services SET env = NULL, port = NULL, restart = NULL, status = 'running';",
    )
    .await?;
    for id in ["json", "list", "port", "rule", "word"] {
        let row = row(&toft, &project, id, |row| row["process"]["state"] == "running").await?;
        assert_eq!((&row["problem"], &row["process"]["problem"]), (&Value::Null, &Value::Null));
        let path = format!("/v1/projects/{project}/toft/services/{id}/log");
        let page = toft.until(&path, |page| page["text"].to_string().contains("ran")).await?;
        assert_eq!(page["text"].to_string().matches("started:").count(), 1, "{page}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_app_is_a_service_and_answers_after_a_sleep() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Demo").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "Build a to-do app").await?;
    let events = follow.until_agent_end().await?;
    let failed: Vec<String> = events
        .iter()
        .filter(|e| e.kind == "tool_end" && e.data["isError"] == true)
        .map(|e| e.data.to_string())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    let service = until_runs(&toft, &project, &Value::Null).await?;
    assert_eq!((&service["id"], &service["restart"]), (&json!("todo"), &json!("always")));
    assert!(app(&toft, &project, "/api/tasks").await?.contains('['));
    let of = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    assert!(app(&toft, &project, "/api/tasks").await?.contains('['));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_comes_back_after_a_restore_and_runs_in_a_fork() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Back").await?;
    let of = format!("/v1/projects/{project}");
    declare(&toft, &project).await?;
    until_runs(&toft, &project, &Value::Null).await?;
    rest_if_needed(&toft, &project).await?;
    let checkpoint = toft.call("POST", &format!("{of}/checkpoints"), Some(json!({}))).await?;
    let id = checkpoint["id"].as_str().context("an id")?;
    toft.exec(&project, "rm app.py").await?;
    toft.call("POST", &format!("{of}/toft/services/web/stop"), Some(json!({}))).await?;
    let path = format!("{of}/checkpoints/{id}/restore");
    toft.call("POST", &path, Some(json!({}))).await?;
    let back = until_runs(&toft, &project, &Value::Null).await?;
    assert_eq!(back["status"], "running");
    app(&toft, &project, "/back").await?;

    let forks = toft.call("POST", &format!("{of}/fork"), Some(json!({"checkpointId": id}))).await?;
    let fork = forks["projects"][0]["id"].as_str().context("a fork")?.to_owned();
    app(&toft, &fork, "/fork").await?;
    until_runs(&toft, &fork, &Value::Null).await?;
    let page = log(&toft, &fork).await?;
    let text = page["text"].as_str().context("text")?;
    assert!(text.contains("asked /fork") && !text.contains("asked /back"), "{text}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_was_ended_for_memory_tells_the_model_so_with_the_limit() -> Result<()> {
    const NAME: &str = "a_tool_that_was_ended_for_memory_tells_the_model_so_with_the_limit";
    let toft = Toft::start(Start::default()).await?;
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let limited = |a: &Value| a["name"] == "memory limit" && a["enforced"] == true;
    if !doctor["abilities"].as_array().context("abilities")?.iter().any(limited) {
        lane::skip(NAME, "memory is not limited on this host");
        return toft.down();
    }
    let project = toft.new_project("Memory").await?;
    let small = json!({"memoryBytes": 64 << 20, "cpus": null, "pids": 200, "diskBytes": null});
    toft.call("PUT", &format!("/v1/projects/{project}/limits"), Some(small)).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "run `tail /dev/zero`").await?;
    let events = follow.until_agent_end().await?;
    let ended = events.iter().find(|e| e.kind == "tool_end").context("a tool ended")?;
    let told = ended.data.to_string();
    assert!(told.contains("Out of memory") && told.contains("memory limit of 64 MiB"), "{told}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_kept_running_without_a_sandbox_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().display().to_string();
    let args = ["--backend", "host", "--allow-host", &allowed].map(str::to_owned).to_vec();
    let toft = Toft::start(Start { args, ..Start::default() }).await?;
    let project = toft.new_project("Bare").await?;
    let state = toft.call("GET", &format!("/v1/projects/{project}/toft/state"), None).await?;
    let file = state["sessionFile"].as_str().context("a file")?;
    let home = std::path::Path::new(file).ancestors().nth(2).context("a home")?;
    let declare = format!(
        "python3 -c 'import sqlite3; db = sqlite3.connect(\"{}/inspect.db\"); \
         db.execute(\"INSERT INTO services(id,name,type,status,command) \
         VALUES(?,?,?,?,?)\", (\"w\",\"W\",\"worker\",\"running\",\"exec sleep 1000\")); db.commit()'",
        home.display()
    );
    let ran = toft.exec(&project, &declare).await?;
    assert_eq!(ran["exitCode"], 0, "{ran}");
    let first = until_runs(&toft, &project, &Value::Null).await?;
    let pid = first["process"]["pid"].clone();
    toft.exec(&project, &format!("kill -9 {pid}")).await?;
    let second = until_runs(&toft, &project, &pid).await?;
    let of = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    until_runs(&toft, &project, &second["process"]["pid"]).await?;
    toft.down()
}
