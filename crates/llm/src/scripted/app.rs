//! Script: a small web app that keeps its tasks in a database, made with what the machine has. Its
//! files are in `data/demo`.

use super::{intro::LABEL, say::Say, turn::Turn};
use crate::ask::ModelRequest;
use serde_json::json;

const PAGE: &str = include_str!("../../data/demo/index.html");
const SERVER_PY: &str = include_str!("../../data/demo/server.py");
const CHECK_PY: &str = include_str!("../../data/demo/check.py");
const SERVER_MJS: &str = include_str!("../../data/demo/server.mjs");
const CHECK_MJS: &str = include_str!("../../data/demo/check.mjs");

/// What the sidebar says of the app.
const DESCRIPTION: &str = "A to-do list that keeps its tasks in a database";

/// Where the inspect database is unless the system prompt says otherwise.
const INSPECT_DB: &str = "/home/starter/inspect.db";

/// Tells what the machine has as `name=value` lines.
const LOOK: &str = r#"
python=$(command -v python3) && "$python" -c 'import sqlite3, http.server' 2>/dev/null && echo "python=$python"
node=$(command -v node) && echo "node=$node ($(node --version))"
sqlite3=$(command -v sqlite3) && echo "sqlite3=$sqlite3"
for f in todo/server.py todo/server.mjs; do [ -f "$f" ] && echo "existing=$f"; done
echo "folder=$PWD"
"#;

/// What the app is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runtime {
    Python,
    Node,
}

impl Runtime {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "Python's standard library",
            Self::Node => "Node without any package",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
        }
    }

    fn server(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("server.py", SERVER_PY),
            Self::Node => ("server.mjs", SERVER_MJS),
        }
    }

    fn check(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("check.py", CHECK_PY),
            Self::Node => ("check.mjs", CHECK_MJS),
        }
    }
}

/// What one round does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Look,
    Write,
    /// As a service of the machine.
    Declare,
    /// In the background, where there are no services.
    Start,
    Check,
    Register,
    Notify,
}

pub(super) fn next(turn: &Turn<'_>, request: &ModelRequest) -> Say {
    if turn.steps.is_empty() {
        return Say::text(
            "I will build a small to-do app that keeps its tasks in a database. First I look what \
             this machine has to build it with.",
        )
        .thinking(
            "The app should need nothing that is not here already. Python brings a web server and \
             SQLite; Node would do too.",
        )
        .call("bash", json!({ "command": LOOK.trim() }));
    }
    let existing = turn.value(0, "existing");
    let runtime = match (&existing, turn.value(0, "python"), turn.value(0, "node")) {
        (Some(file), Some(_), _) if file == "todo/server.py" => Runtime::Python,
        (Some(file), _, Some(_)) if file == "todo/server.mjs" => Runtime::Node,
        (_, Some(_), _) => Runtime::Python,
        (_, None, Some(_)) => Runtime::Node,
        (_, None, None) => {
            return Say::text(format!(
                "This machine has neither Python 3 nor Node, so I have nothing to write an app in. \
                 Install one of them where Toft runs (`apt install python3`), restart the project, \
                 and ask again.\n\n{LABEL}"
            ));
        }
    };
    let again = existing.is_some_and(|file| file.ends_with(runtime.server().0));
    let mut stages = if again { vec![Stage::Look] } else { vec![Stage::Look, Stage::Write] };
    stages.push(Stage::Declare);
    let declared = turn.value(stages.len() - 1, "service").is_some_and(|said| said != "no");
    if !declared && turn.steps.len() >= stages.len() {
        stages.push(Stage::Start);
    }
    stages.extend([Stage::Check, Stage::Register, Stage::Notify]);
    let done = turn.steps.len();
    if turn.last_failed()
        && let Some(stop) = stopped(stages[(done - 1).min(stages.len() - 1)])
    {
        return Say::text(format!("{stop}\n\n{LABEL}"));
    }
    match stages.get(done) {
        Some(Stage::Look | Stage::Write) => write(runtime, turn.value(0, "folder").as_deref()),
        Some(Stage::Declare) => declare(runtime, again, &inspect_db(&request.system)),
        Some(Stage::Start) => start(runtime),
        Some(Stage::Check) => Say::text("Now I make sure that it answers and really stores tasks.")
            .call(
                "bash",
                json!({ "command": format!("{} todo/{}", runtime.program(), runtime.check().0) }),
            ),
        Some(Stage::Register) => {
            Say::text("It works. I list the app and its description for the sidebar.")
                .call("bash", json!({ "command": register(&inspect_db(&request.system)) }))
        }
        Some(Stage::Notify) => Say::default().call(
            "notify_dashboard",
            json!({
                "message": "The to-do app is running.", "type": "success", "refreshIframe": true
            }),
        ),
        None => finish(turn, runtime, again, &stages),
    }
}

/// What to say when a round failed; `None` where the work goes on all the same.
fn stopped(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Look => Some("The shell did not answer as it should; its output is above. I stop."),
        Stage::Write => Some("The files could not be written; the reason is above. I stop."),
        Stage::Declare | Stage::Start => {
            Some("The server did not start; its output is above. I stop.")
        }
        Stage::Check => Some("The app does not do what it should; the output is above. I stop."),
        Stage::Register | Stage::Notify => None,
    }
}

fn write(runtime: Runtime, folder: Option<&str>) -> Say {
    let (server, server_text) = runtime.server();
    let (check, check_text) = runtime.check();
    let folder = folder.unwrap_or(".");
    let readme = format!(
        "# To-do\n\nA to-do list on one page, made with {}. Tasks are kept beside it, in `tasks.db` \
         (SQLite; a JSON file where Node has no SQLite).\n\n- Start: `cd {folder}/todo && {} {server}` \
         (port 3000, or the next free one; `PORT=4000` chooses)\n- Check: `{} {check}`\n\n| Request | \
         Does |\n|---|---|\n| `GET /api/tasks` | all tasks |\n| `POST /api/tasks` `{{\"title\"}}` | \
         adds one |\n| `PATCH /api/tasks/{{id}}` `{{\"done\"}}` or `{{\"title\"}}` | changes one |\n| \
         `DELETE /api/tasks/{{id}}` | removes one |\n",
        runtime.name(),
        runtime.program(),
        runtime.program(),
    );
    let file =
        |name: &str, content: &str| json!({ "path": format!("todo/{name}"), "content": content });
    Say::text(format!(
        "{} is here, so I write the app with it: a server, a page, a check and a short description.",
        runtime.name()
    ))
    .call("write", file(server, server_text))
    .call("write", file("index.html", PAGE))
    .call("write", file(check, check_text))
    .call("write", file("README.md", &readme))
}

/// Ends an older one of ours, which would keep the port. Its pid may be someone else's by now.
fn end_older(server: &str) -> String {
    format!(
        r#"cd todo || exit 1
port=$(cat server.port 2>/dev/null)
if [ -f server.pid ] && grep -qs {server} "/proc/$(cat server.pid)/cmdline"; then
  kill "$(cat server.pid)"; sleep 0.3
fi
rm -f server.pid server.port
"#
    )
}

/// Declares the server as a service of the machine and waits until it listens.
fn declare(runtime: Runtime, again: bool, db: &str) -> Say {
    let (server, program) = (runtime.server().0, runtime.program());
    let text = if again {
        "The app is here already. I start it again; its tasks stay as they are."
    } else {
        "Now I declare its server as a service: the machine starts it, and brings it back after a \
         crash and whenever it wakes."
    };
    let prepare = format!(
        r#"if [ -z "$TOFT_TOKEN" ]; then echo service=no; exit 0; fi
{}taken() {{
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qiE ":$(printf %04X "$1") [0-9A-F:]+ 0A "
}}
if [ -z "$port" ]; then
  port=3000
  while taken "$port"; do port=$((port + 1)); done
fi
folder=${{PWD//\'/\'\'}}
sql="
INSERT INTO services (id, name, type, port, status, description, command, cwd, restart)
  VALUES ('todo', 'To-do app', 'app', $port, 'running', '{DESCRIPTION}',
    'exec {program} {server}', '$folder', 'always')
  ON CONFLICT (id) DO UPDATE SET port = excluded.port, status = 'running', command = excluded.command,
    cwd = excluded.cwd, restart = excluded.restart, updated_at = datetime('now');
"
"#,
        end_older(server)
    );
    let wait = r#"
if [ $? != 0 ]; then echo service=no; exit 0; fi
n=0
until [ -s server.port ] || [ $n -ge 150 ]; do sleep 0.1; n=$((n + 1)); done
if ! [ -s server.port ]; then
  echo "The service did not start. Its log:"
  curl -s -H "Authorization: Bearer $TOFT_TOKEN" http://localhost:8080/toft/services/todo/log
  exit 1
fi
echo "service=todo"
echo "It listens on port $(cat server.port).""#;
    let command = format!("{prepare}{}{wait}", write_sql(db));
    Say::text(text).call("bash", json!({ "command": command }))
}

fn start(runtime: Runtime) -> Say {
    let server = runtime.server().0;
    let command = format!("{}exec {} {server}", end_older(server), runtime.program());
    Say::text("There are no services here, so I start it in the background.")
        .call("bash", json!({ "command": command, "background": true }))
}

/// The path of the inspect database, as the system prompt tells it.
fn inspect_db(system: &str) -> String {
    system
        .split(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | '(' | ')' | ','))
        .find(|word| word.starts_with('/') && word.ends_with("/inspect.db"))
        .unwrap_or(INSPECT_DB)
        .to_owned()
}

fn register(db: &str) -> String {
    let sql = format!(
        r#"port=$(cat todo/server.port)
folder=${{PWD//\'/\'\'}}
sql="
CREATE TABLE IF NOT EXISTS services (id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  port INTEGER, schedule TEXT, status TEXT NOT NULL, description TEXT,
  created_at TEXT NOT NULL DEFAULT (datetime('now')), updated_at TEXT NOT NULL DEFAULT (datetime('now')));
CREATE TABLE IF NOT EXISTS assets (id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  path TEXT NOT NULL, description TEXT,
  created_at TEXT NOT NULL DEFAULT (datetime('now')), updated_at TEXT NOT NULL DEFAULT (datetime('now')));
INSERT INTO services (id, name, type, port, status, description)
  VALUES ('todo', 'To-do app', 'app', $port, 'running', '{DESCRIPTION}')
  ON CONFLICT (id) DO UPDATE SET port = excluded.port, status = 'running', updated_at = datetime('now');
INSERT INTO assets (id, name, type, path, description)
  VALUES ('todo-readme', 'To-do app: how it works', 'document', '$folder/todo/README.md', 'How to start and check the app, and its requests')
  ON CONFLICT (id) DO UPDATE SET path = excluded.path, updated_at = datetime('now');
"
"#
    );
    format!("{sql}{} && echo \"listed on port $port\"", write_sql(db))
}

/// Runs the statements in `$sql` with whatever here writes SQLite databases.
fn write_sql(db: &str) -> String {
    let db = db.replace('\'', r"'\''");
    format!(
        r#"db='{db}'
if command -v sqlite3 >/dev/null; then
  sqlite3 -cmd '.timeout 5000' "$db" "$sql"
elif command -v python3 >/dev/null; then
  python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=5)
db.executescript(sys.argv[2])
db.close()' "$db" "$sql"
elif [ -x /run/toft/toft ]; then
  /run/toft/toft inspect "$db" "$sql"
else
  node -e 'const {{ DatabaseSync }} = require("node:sqlite");
const db = new DatabaseSync(process.argv[1]);
db.exec("PRAGMA busy_timeout = 5000");
db.exec(process.argv[2]);' "$db" "$sql"
fi"#
    )
}

fn finish(turn: &Turn<'_>, runtime: Runtime, again: bool, stages: &[Stage]) -> Say {
    let at = |stage| stages.iter().position(|s| *s == stage).unwrap_or(usize::MAX);
    let port = turn.value(at(Stage::Check), "port").unwrap_or_else(|| "3000".into());
    let done = if again { "runs again" } else { "is running" };
    let kept = if stages.contains(&Stage::Start) {
        ""
    } else {
        " It is a service of this machine: it comes back after a crash and when the machine wakes."
    };
    let listed = if turn.failed(at(Stage::Register)) {
        "\n- The sidebar could not be updated: this machine has no program that writes SQLite \
         databases. The app itself is not affected."
    } else {
        "\n- The sidebar lists the app under Services and its description under Assets."
    };
    Say::text(format!(
        "The to-do app {done} on port {port}. Open it from the sidebar, add a task, and reload: it is \
         still there.\n\n\
         - Made with {}, in `todo/`.{kept}\n\
         - I checked that a task can be stored, read back and removed.{listed}\n\n{LABEL}",
        runtime.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_prompt_may_name_another_inspect_database() {
        assert_eq!(inspect_db("You are an agent."), INSPECT_DB);
        assert_eq!(inspect_db("It is at `/srv/x/inspect.db`."), "/srv/x/inspect.db");
        assert_eq!(inspect_db("see inspect.db"), INSPECT_DB);
    }
}
