//! A machine that sleeps: reading wakes nothing, asking for something wakes it, and the request that
//! woke it is answered.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use toft_stories::{
    lane,
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// How the paths of what belongs to a project begin.
const OF: &str = "/v1/projects/{id}";

async fn asleep(toft: &Toft, name: &str) -> Result<(String, Value)> {
    let project = toft.new_project(name).await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    session::prompt(toft, &project, "run `echo hello`").await?;
    follow.until_agent_end().await?;
    let of = format!("/v1/projects/{project}");
    let machine = toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    assert_eq!(machine["state"], "cold");
    Ok((project, machine["wakes"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_wakes_nothing() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let (project, wakes) = asleep(&toft, "Reader").await?;
    let of = format!("/v1/projects/{project}");
    for again in [false, true] {
        for route in
            ["", "/machine", "/toft/messages", "/toft/state", "/toft/inspect", "/toft/sessions"]
        {
            let (status, body) = toft.request("GET", &format!("{of}{route}"), None).await?;
            assert_eq!(status, 200, "{route}: {body}");
        }
        let mut follow = Follow::from(&toft, &project, 0).await?;
        follow.until_agent_end().await?;
        let said = session::transcript(&toft, &project).await?;
        assert!(said.iter().any(|m| m.to_string().contains("hello")), "{said:?}");
        toft.call("GET", "/v1/projects", None).await?;
        let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
        assert_eq!((&machine["state"], &machine["wakes"]), (&json!("cold"), &wakes));
        assert!(toft.init_pid(&project).is_none(), "no process of it runs");
        if !again {
            toft.kill_server();
            toft.up().await?;
        }
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_the_app_wakes_it_and_is_answered() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (project, before) = asleep(&toft, "App").await?;
    let of = format!("/v1/projects/{project}");
    // Many at once: it is woken once.
    let ask = || {
        toft.http()
            .get(format!("{}/", toft.base))
            .header("host", format!("{project}.localhost:{}", toft.port))
            .header("accept", "text/html")
            .bearer_auth(&toft.token)
            .send()
    };
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for answer in [one?, two?, three?] {
        // Nothing listens in this project: the page that says so is the bridge's own answer.
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "2");
    }
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "running");
    let wakes = machine["wakes"].as_array().context("a list")?;
    assert_eq!(wakes.len(), before.as_array().map_or(0, Vec::len) + 1, "{wakes:?}");
    assert!(wakes[0]["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{wakes:?}");

    // A prompt does so too.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    follow.until_agent_end().await?;
    session::prompt(&toft, &project, "run `echo awake`").await?;
    let events = follow.until_agent_end().await?;
    assert!(events.iter().any(|e| e.kind == "tool_end" && e.data.to_string().contains("awake")));

    // A stopped one is woken by nobody but a person.
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    let refused = ask().await?;
    assert_eq!(refused.status(), 409);
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "stopped");
    toft.down()
}

/// `GET` routes below a project, as the API's document has them.
async fn get_routes(toft: &Toft) -> Result<BTreeSet<String>> {
    let document: Value =
        toft.http().get(format!("{}/openapi.json", toft.base)).send().await?.json().await?;
    let paths = document["paths"].as_object().context("paths")?.iter();
    let below = paths.filter(|(_, operations)| operations["get"].is_object());
    Ok(below.filter_map(|(path, _)| Some(path.strip_prefix(OF)?.to_owned())).collect())
}

/// What a route is asked for here, and how it answers at rest.
fn asked<'a>(route: &'a str, ids: &[(&str, String)]) -> (String, &'a [u16]) {
    let mut path = route.to_owned();
    for (name, id) in ids {
        path = path.replace(&format!("{{{name}}}"), id);
    }
    let answers: &[u16] = match route {
        // What a program printed is in the memory of the machine's first process; terminals are WebSockets.
        "/toft/processes/{process}/output" | "/toft/terminals/{terminal}" => &[400, 404, 409, 426],
        // There is none of it: a fork, or a comparison of forks.
        "/comparisons/{comparison}" | "/comparisons/{comparison}/candidates/{run}/diff" => &[404],
        // Known to the bridge alone.
        "/toft/extensions"
        | "/toft/mcp"
        | "/toft/skills"
        | "/toft/files/archive.zip"
        | "/toft/runs"
        | "/toft/runs/{job}"
        | "/toft/sessions/{session}/tree"
        | "/toft/sessions/{session}/plan"
        | "/toft/sessions/{session}/export.html" => &[409],
        "/toft/files/content" => {
            path.push_str("?path=f");
            &[200]
        }
        _ => &[200],
    };
    (path, answers)
}

/// A project with one of everything that can be read, and the ids of these things.
async fn furnished(toft: &Toft) -> Result<(String, Vec<(&'static str, String)>)> {
    let (project, _) = asleep(toft, "Furnished").await?;
    let of = format!("/v1/projects/{project}");
    let declared = toft
        .exec(
            &project,
            "echo text > f; python3 - <<'E'\n\
             import sqlite3\n\
             d = sqlite3.connect('/home/starter/inspect.db', timeout=5)\n\
             d.execute(\"INSERT INTO services(id,name,type,status,command) \
             VALUES('web','Web','app','running','echo up; exec sleep 1000')\")\n\
             d.commit()\nE",
        )
        .await?;
    ensure!(declared["exitCode"] == 0, "{declared}");
    let runs = |services: &Value| services["services"][0]["process"]["state"] == "running";
    toft.until(&format!("{of}/toft/services"), runs).await?;
    let checkpoint = toft.call("POST", &format!("{of}/checkpoints"), Some(json!({}))).await?;
    let body = json!({"name": "later", "when": {"everyS": 86400}, "do": {"command": "true"}});
    let schedule = toft.call("POST", &format!("{of}/schedules"), Some(body)).await?;
    let hook = json!({"url": "http://127.0.0.1:9/hook"});
    let hook = toft.call("POST", &format!("{of}/webhooks"), Some(hook)).await?;
    let runs = format!("{of}/runs");
    let asked = toft.http().post(format!("{}{runs}", toft.base)).bearer_auth(&toft.token);
    let asked = asked.header("idempotency-key", "one").json(&json!({"prompt": "run `echo a`"}));
    let run: Value = asked.send().await?.json().await?;
    let text = |value: &Value| value["id"].as_str().context("an id").map(str::to_owned);
    let run = text(&run["data"])?;
    toft.until(&format!("{runs}/{run}"), |run| !run["completedAt"].is_null()).await?;
    let sessions = toft.call("GET", &format!("{of}/toft/sessions"), None).await?;
    let session = text(&sessions["sessions"][0])?;
    let none = || "aaaaaaaaaaaa".to_owned();
    let ids = vec![
        ("checkpoint", text(&checkpoint)?),
        ("sid", text(&schedule)?),
        ("webhook", text(&hook)?),
        ("run", run.clone()),
        ("job", run),
        ("session", session),
        ("service", "web".to_owned()),
        ("comparison", none()),
        ("process", none()),
        ("terminal", none()),
    ];
    Ok((project, ids))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_get_route_of_a_project_that_rests_wakes_it() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (project, ids) = furnished(&toft).await?;
    let of = format!("/v1/projects/{project}");
    let routes = get_routes(&toft).await?;
    ensure!(routes.len() > 50 && routes.contains("/toft/files"), "{routes:?}");
    let machine = async || toft.call("GET", &format!("{of}/machine"), None).await;
    let mut states = vec!["freeze", "sleep"];
    if machine().await?["can"]["freeze"] != true {
        lane::skip("a paused machine", "this host cannot pause one (no cgroup freezer)");
        states.remove(0);
    }
    for how in states {
        let rested = toft.call("POST", &format!("{of}/{how}"), Some(json!({}))).await?;
        let init = toft.init_pid(&project);
        for route in &routes {
            let (path, answers) = asked(route, &ids);
            for method in ["GET", "HEAD", "OPTIONS"] {
                let url = format!("{}{of}{path}", toft.base);
                let request = toft.http().request(method.parse()?, &url).bearer_auth(&toft.token);
                let status = request.timeout(STEP_TIMEOUT).send().await?.status().as_u16();
                let known = method == "OPTIONS" || answers.contains(&status);
                ensure!(known, "{how}: {method} {path} answered {status}");
                let now = machine().await?;
                ensure!(
                    (&now["state"], &now["wakes"]) == (&rested["state"], &rested["wakes"]),
                    "{method} {path} woke it: {now}"
                );
            }
        }
        assert_eq!(toft.init_pid(&project), init, "{how}");
    }
    toft.down()
}
