//! Hostile apps and hostile words against the dashboard, in a real Chromium. The browser's side is
//! `peers/preview-attacks.mjs` and `peers/hostile-words.mjs`; this side makes the projects, and
//! looks afterwards for what the attacks may have done. Requests byte by byte are in `previews`.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_stories::{
    browser::Driver,
    provider::{Provider, Say},
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Where the hostile app lies in a machine.
const FOLDER: &str = "/root/hostile";

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Runs a driver to its end; answers the lines it said.
async fn drive(toft: &Toft, script: &str, mut made: Value) -> Result<Vec<String>> {
    made["port"] = json!(toft.port);
    made["control"] = json!(format!("http://localhost:{}", toft.port));
    made["address"] = json!(toft.base);
    Driver::start(toft, script, made)?.done(toft).await
}

async fn put(toft: &Toft, project: &str, path: &str, text: &str) -> Result<()> {
    let mut url = reqwest::Url::parse(&toft.base)?;
    url.set_path(&format!("/v1/projects/{project}/toft/files/content"));
    url.query_pairs_mut().append_pair("path", path);
    let put = toft.http().put(url).bearer_auth(&toft.token).body(text.to_owned());
    put.send().await?.error_for_status()?;
    Ok(())
}

/// Starts the hostile app on these ports and waits until it answers.
async fn serve(toft: &Toft, project: &str, ports: &[u16]) -> Result<()> {
    toft.exec(project, &format!("mkdir -p {FOLDER}")).await?;
    for name in ["app.py", "attacks.js", "worker.js", "shared.js"] {
        let text = std::fs::read_to_string(peers().join("hostile-app").join(name))?;
        put(toft, project, &format!("{FOLDER}/{name}"), &text).await?;
    }
    for port in ports {
        let run = format!(
            "setsid python3 {FOLDER}/app.py {port} {FOLDER} >/dev/null 2>&1 & \
             until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done"
        );
        ensure!(toft.exec(project, &run).await?["exitCode"] == 0, "no app on port {port}");
    }
    Ok(())
}

/// Everything a person of the project said, as one text.
async fn told(toft: &Toft, project: &str) -> Result<String> {
    Ok(json!(session::transcript(toft, project).await?).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_worker_or_cookie_of_an_app_reaches_the_dashboard_or_the_agent() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (a, b) = (toft.new_project("Hostile").await?, toft.new_project("Neighbour").await?);
    serve(&toft, &a, &[3000, 3001]).await?;
    serve(&toft, &b, &[3000]).await?;
    let terminals = format!("/v1/projects/{a}/toft/terminals");
    let made = toft.call("POST", &terminals, Some(json!({"cols": 80, "rows": 24}))).await?;
    let settings = toft.call("GET", "/v1/settings", None).await?;

    let made = json!({"a": a, "b": b, "terminal": made["id"]});
    let said = drive(&toft, "preview-attacks.mjs", made).await?;
    let secrets: Vec<String> = said
        .iter()
        .find_map(|line| line.strip_prefix("secrets "))
        .context("the browser's credentials")
        .and_then(|text| Ok(serde_json::from_str(text)?))?;
    ensure!(secrets.iter().filter(|s| s.len() > 20).count() >= 2, "too few secrets: {secrets:?}");

    // The same prompt with a key is taken: what follows would see one that came through.
    let prompt = format!("/v1/projects/{a}/toft/prompt");
    toft.call("POST", &prompt, Some(json!({"message": "a word of the owner"}))).await?;
    let state = format!("/v1/projects/{a}/toft/state");
    toft.until(&state, |s| s["status"] == "idle").await?;
    let words = told(&toft, &a).await?;
    assert!(words.contains("a word of the owner") && !words.contains("pwned"), "{words}");
    assert!(!told(&toft, &b).await?.contains("pwned"));
    let projects = toft.call("GET", "/v1/projects", None).await?;
    assert_eq!(projects.as_array().map(Vec::len), Some(2), "{projects}");
    assert_eq!(toft.call("GET", "/v1/settings", None).await?, settings);
    let providers = toft.call("GET", "/v1/providers", None).await?.to_string();
    assert!(!providers.contains("\"source\":\"settings\""), "{providers}");

    // What reached the apps: no credential of ours, no entry, and nothing of another project's page.
    let log = |project: String, port: u16| {
        let toft = &toft;
        async move {
            let command = format!("cat {FOLDER}/seen-{port}.log");
            let out = toft.exec(&project, &command).await?;
            anyhow::Ok(out["stdout"].as_str().unwrap_or_default().to_owned())
        }
    };
    let (own, other, neighbour) =
        (log(a.clone(), 3000).await?, log(a.clone(), 3001).await?, log(b.clone(), 3000).await?);
    assert!(own.contains("GET /hello") && own.contains("mine=1"), "the app does not see its own");
    assert!(neighbour.contains("GET / "), "nobody looked at the neighbour");
    assert!(!neighbour.contains("pwned"), "a page reached another project's app");
    let names = ["toft_session", "toft_preview", "x-toft-", "x-agent-api-key"].map(str::to_owned);
    let long = secrets.into_iter().filter(|s| s.len() > 20);
    let forbidden: Vec<String> = long.chain(names).chain([toft.token.clone()]).collect();
    for request in own.lines().chain(other.lines()).chain(neighbour.lines()) {
        for bad in &forbidden {
            assert!(!request.contains(bad), "{bad} reached an app: {request}");
        }
        let request: Value = serde_json::from_str(request)?;
        let line = request["line"].as_str().context("a request line")?;
        assert!(!line.contains("/.toft/"), "an entry reached an app: {line}");
    }
    toft.down()
}

/// Markup that runs wherever text is taken for a page. Without a slash: files are named so too.
fn hostile(name: &str) -> String {
    format!("<img src=x onerror=(window.ran??=[]).push('{name}')>")
}

/// Everything that markdown can hold.
fn markdown() -> String {
    let (raw, beacon) = (hostile("markdown"), "https://beacon.test/p.png");
    let js = "javascript:(window.ran??=[]).push('link')";
    format!(
        "# {raw}\n\n{raw}\n\n<script>(window.ran??=[]).push('script')</script>\n\n\
         <a href=\"{js}\">raw link</a> <svg onload=\"(window.ran??=[]).push('svg')\"></svg>\n\n\
         [a link]({js}) [a spaced link](<java\tscript:(window.ran??=[]).push('link')>) \
         [a data link](data:text/html,<script>parent.ran=1</script>) <{js}> [named] \n\n\
         [named]: {js}\n\n![a beacon]({beacon}) ![inline](data:image/svg+xml,<svg onload=\"1\"/>)\n\n\
         | {raw} | b |\n|---|---|\n| {raw} | [cell]({js}) |\n\n\
         ```html {raw}\n{raw}\n```\n\n`{raw}` and footnotes[^1]\n\n[^1]: {raw} [note]({js})\n\n\
         <iframe srcdoc=\"<script>parent.ran=1</script>\"></iframe>\n\nThe end of {{}}.\n"
    )
}

/// What a program could print into a terminal: a title, a clipboard, a link, and requests whose
/// answers a shell would take for typed words.
const ESCAPES: &str = "\x1b]0;touch /root/reported\r\x07\x1b[21t\x1bP$q;touch /root/reported\r\x1b\\\
    \x1b]52;c;cHduZWQ=\x07\x1b]8;;javascript:(window.ran??=[]).push('osc8')\x07an escaped link\
    \x1b]8;;\x07 <img src=x onerror=(window.ran??=[]).push('terminal')>\r\nend of escapes\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_texts_and_escapes_do_not_run_in_the_dashboard() -> Result<()> {
    let script = Arc::new(|_: &str, turn: usize| {
        let tool = |name: &str, arguments: Value| (name.to_owned(), arguments);
        let tools = match turn {
            0 => vec![
                tool(
                    "bash",
                    json!({"command": format!("cat /root/hostile.txt; : '{}'", hostile("command"))}),
                ),
                tool("write", json!({"path": hostile("written"), "content": hostile("content")})),
                tool(
                    "edit",
                    json!({"path": hostile("edited"), "edits": [{"oldText": hostile("old"), "newText": hostile("new")}]}),
                ),
                tool("notify_dashboard", json!({"message": hostile("toast"), "type": "warning"})),
                tool(
                    "ask",
                    json!({"question": hostile("question"), "options": [hostile("option"), "No"]}),
                ),
            ],
            _ => vec![],
        };
        Say { text: markdown(), tools }
    });
    let provider = Provider::start(Duration::ZERO, script).await?;
    let start = Start { env: provider.env("sk-hostile"), ..Start::default() };
    let toft = Toft::start(start).await?;
    let project = toft.new_project(&hostile("project")).await?;
    let file = hostile("file") + ".md";
    for (path, text) in [
        ("/root/hostile.txt", format!("{}\n{ESCAPES}", hostile("output"))),
        ("/root/escapes", ESCAPES.to_owned()),
        (&*format!("/home/project/{file}"), markdown()),
        ("/home/project/page.html", format!("<script>1</script>{}", hostile("html"))),
        (
            "/home/project/drawing.svg",
            format!(
                "<svg xmlns='http://www.w3.org/2000/svg' onload=\"(window.ran??=[]).push('svg file')\"><text>{}</text></svg>",
                "x"
            ),
        ),
        (
            "/home/project/picture.png",
            "<svg xmlns='http://www.w3.org/2000/svg' onload=\"1\"/>".into(),
        ),
    ] {
        put(&toft, &project, path, &text).await?;
    }
    let rows = json!([
        hostile("service"),
        hostile("kind"),
        hostile("schedule"),
        hostile("status"),
        hostile("description"),
        hostile("integration"),
        hostile("secret"),
        hostile("asset"),
        "javascript:(window.ran??=[]).push('asset path')"
    ]);
    put(&toft, &project, "/root/rows.json", &rows.to_string()).await?;
    let insert = r#"python3 - <<'E'
import json, sqlite3
r = json.load(open("/root/rows.json"))
d = sqlite3.connect("/home/starter/inspect.db")
d.execute("INSERT INTO services(id,name,type,schedule,status,description) VALUES(?,?,?,?,?,?)", (r[0], *r[:5]))
d.execute("INSERT INTO integrations(id,name,status,secrets,description) VALUES(?,?,?,?,?)", (r[5], r[5], r[3], json.dumps([r[6]]), r[4]))
d.execute("INSERT INTO assets(id,name,type,path,description) VALUES(?,?,?,?,?)", (r[7], r[7], r[1], r[8], r[4]))
d.commit()
E"#;
    let inserted = toft.exec(&project, insert).await?;
    ensure!(inserted["exitCode"] == 0, "{inserted}");
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, &hostile("prompt")).await?;
    // The question stays open: it is shown, and answered in the browser.
    let state = format!("/v1/projects/{project}/toft/state");
    toft.until(&state, |s| s["status"] == "waiting").await?;

    let made = json!({"project": project, "file": file, "payload": hostile("control")});
    drive(&toft, "hostile-words.mjs", made).await?;

    follow.until_agent_end().await?;
    assert_eq!(provider.faults(), Vec::<String>::new());
    let reported = toft.exec(&project, "test ! -e /root/reported").await?;
    assert_eq!(reported["exitCode"], 0, "a terminal typed what was printed into it");
    toft.down()
}
