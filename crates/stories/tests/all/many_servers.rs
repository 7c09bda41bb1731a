//! Several servers on one PostgreSQL: any of them takes and tells runs, the one that has a project's machine works,
//! and what one of them leaves undone is done by it when it is back, or by another one.

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use toft_stories::{
    lane,
    provider::{Provider, Say, Script},
    runs::{is_over, place},
    servers::Server,
    toft::{STEP_TIMEOUT, Start, Toft},
};

const PLAN: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it\"}]}\n```";
const PATIENT: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it patiently\"}]}\n```";
/// Until a server that is gone counts as that, with room for a slow host.
pub(super) const GONE: Duration = Duration::from_mins(2);

/// Plans, and builds: at once, or when there is a file `go`.
pub(super) fn script() -> Script {
    Arc::new(move |user, turn| {
        let say = |text: &str| Say { text: text.into(), tools: vec![] };
        let building = user.contains("[Plan mode is over");
        if turn > 0 || !building {
            let plan = if user.contains("patiently") { PATIENT } else { PLAN };
            return say(if building { "It is done." } else { plan });
        }
        let waits =
            if user.contains("patiently") { "until test -e go; do sleep 0.1; done; " } else { "" };
        let command = json!({"command": format!("{waits}echo a line >> made"), "timeout": 600});
        Say { text: "Now.".into(), tools: vec![("bash".into(), command)] }
    })
}

pub(super) struct House {
    pub(super) postgres: Server,
    pub(super) provider: Provider,
}

impl House {
    /// `None`: there is no PostgreSQL here.
    pub(super) async fn build(story: &str) -> Result<Option<Self>> {
        let postgres = if lane::root() { Server::postgres()? } else { None };
        let Some(postgres) = postgres else {
            lane::skip(
                story,
                "no PostgreSQL, or no right to start one; `.ci/prepare tests` installs it",
            );
            return Ok(None);
        };
        let provider = Provider::start(Duration::from_millis(5), script()).await?;
        Ok(Some(Self { postgres, provider }))
    }

    pub(super) fn start(&self, variables: &[(&str, &str)]) -> Start {
        let mut env = self.provider.env("sk-s");
        env.push(("TOFT_DATABASE".into(), self.postgres.database("postgres")));
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Start { env, ..Start::default() }
    }

    async fn server(&self) -> Result<Toft> {
        Toft::start(self.start(&[])).await
    }

    /// One more, that has the key of one that works.
    async fn beside(&self, first: &Toft, variables: &[(&str, &str)], data: &Path) -> Result<Toft> {
        Self::joins(first, self.start(variables), data).await
    }

    /// The same, started so.
    pub(super) async fn joins(first: &Toft, start: Start, data: &Path) -> Result<Toft> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
        fs::copy(first.data.join("master.key"), data.join("master.key"))?;
        fs::set_permissions(data.join("master.key"), fs::Permissions::from_mode(0o600))?;
        Toft::start(Start { data: Some(data.to_owned()), ..start }).await
    }
}

/// Asks for a run until a server has taken it: the same request, whatever became of the one before.
pub(super) async fn ask(toft: &Toft, project: &str, key: &str, prompt: &str) -> Result<String> {
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        let asked = toft
            .http()
            .post(format!("{}/v1/projects/{project}/runs", toft.base))
            .bearer_auth(&toft.token)
            .header("idempotency-key", key)
            .json(&json!({"prompt": prompt}))
            .timeout(Duration::from_secs(10))
            .send()
            .await;
        let said = match asked {
            Ok(answer) => {
                let is_taken = answer.status().is_success();
                let said: Value = answer.json().await?;
                if is_taken {
                    return Ok(said["data"]["id"].as_str().context("an id")?.to_owned());
                }
                said.to_string()
            }
            Err(error) => error.to_string(),
        };
        ensure!(Instant::now() < until, "{key} is not taken: {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Numbers and kinds of a run's events to its end, however often the connection or the database goes away meanwhile.
pub(super) async fn follow(
    toft: &Toft,
    path: &str,
    longest: Duration,
) -> Result<Vec<(u64, String)>> {
    follow_with(toft.http(), &toft.base, &toft.token, path, longest).await
}

/// The same, of a server by its address.
pub(super) async fn follow_with(
    http: &reqwest::Client,
    base: &str,
    token: &str,
    path: &str,
    longest: Duration,
) -> Result<Vec<(u64, String)>> {
    let until = Instant::now() + longest;
    let mut events: Vec<(u64, String)> = Vec::new();
    while Instant::now() < until {
        let after = events.last().map_or(0, |(id, _)| *id);
        let asked = http
            .get(format!("{base}{path}/stream"))
            .bearer_auth(token)
            .header("last-event-id", after)
            .timeout(longest)
            .send()
            .await;
        if let Ok(answer) = asked
            && answer.status().is_success()
        {
            let mut bytes = answer.bytes_stream();
            let mut text = String::new();
            while let Some(Ok(piece)) = bytes.next().await {
                text.push_str(&String::from_utf8_lossy(&piece));
                while let Some(end) = text.find("\n\n") {
                    let block: String = text.drain(..end + 2).collect();
                    let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name));
                    let (Some(id), Some(data)) = (field("id: "), field("data: ")) else { continue };
                    if field("event: ") == Some("ping") {
                        continue;
                    }
                    let data: Value = serde_json::from_str(data)?;
                    let word = data["data"]["status"].as_str().or(data["event"].as_str());
                    events.push((id.parse()?, word.unwrap_or_default().to_owned()));
                }
            }
            if events
                .last()
                .is_some_and(|(_, word)| ["done", "error", "cancelled"].contains(&word.as_str()))
            {
                return Ok(events);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{path} is not over: {events:?}")
}

pub(super) fn gapless(events: &[(u64, String)]) -> Result<()> {
    let numbers: Vec<u64> = events.iter().map(|(id, _)| *id).collect();
    ensure!(numbers == (1..=numbers.len() as u64).collect::<Vec<_>>(), "{events:?}");
    Ok(())
}

pub(super) fn words(events: &[(u64, String)], word: &str) -> usize {
    events.iter().filter(|(_, said)| said == word).count()
}

pub(super) async fn until_within(
    toft: &Toft,
    path: &str,
    longest: Duration,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let until = Instant::now() + longest;
    loop {
        let data = toft.call("GET", path, None).await?;
        if wanted(&data) {
            return Ok(data);
        }
        ensure!(Instant::now() < until, "{path} stays {data}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_by_every_server_and_waits_for_the_one_that_has_its_machine() -> Result<()> {
    let Some(house) = House::build("many_servers").await? else { return Ok(()) };
    let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
    let mut a = house.server().await?;

    // What is shared must be the same.
    fs::create_dir(folder.path().join("x"))?;
    let keyless =
        Toft::start(Start { data: Some(folder.path().join("x/data")), ..house.start(&[]) }).await;
    let said = format!("{:#}", keyless.err().context("it needs the key")?);
    ensure!(said.contains("master.key") && said.contains(&format!(":{}", a.port)), "{said}");
    let other_key = [("AGENT_API_KEY", "hunter2-hunter2-hunter2")];
    let differs = house.beside(&a, &other_key, &folder.path().join("y/data")).await;
    let said = format!("{:#}", differs.err().context("it has another key")?);
    ensure!(said.contains("AGENT_API_KEY") && !said.contains("hunter2"), "{said}");

    let b = house.beside(&a, &[], &folder.path().join("b/data")).await?;
    let project = place(&a).await?;
    let at = format!("/v1/projects/{project}");
    let shown = until_within(&b, &at, GONE, |project| project["state"] == "running").await?;
    assert_eq!(shown["name"], "Runs");
    let listed = b.call("GET", "/v1/projects", None).await?;
    assert_eq!(listed[0]["id"], project.as_str());

    // Asked for at the one, worked on by the other, followed at both.
    let run = ask(&b, &project, "one", "patiently").await?;
    let path = format!("{at}/runs/{run}");
    let building = b.until(&path, |run| run["phase"] == "build").await?;
    assert_eq!((&building["statusDetail"], &building["waitsFor"]), (&Value::Null, &Value::Null));
    let (status, refused) =
        b.request("POST", &format!("{at}/exec"), Some(json!({"command": "true"}))).await?;
    assert_eq!((status, &refused["error"]["code"]), (421, &json!("other_host")), "{refused}");
    let said = refused["error"]["message"].as_str().unwrap_or_default();
    ensure!(said.contains(&format!(":{}", a.port)), "{said}");
    // What takes the machine is refused there, with nothing written down; what the database knows is not.
    let several = b.http().post(format!("{}{at}/runs", b.base)).bearer_auth(&b.token);
    let several =
        several.header("idempotency-key", "several").json(&json!({"prompt": "go", "n": 2}));
    let several = several.send().await?;
    assert_eq!(several.status().as_u16(), 421);
    assert_eq!(several.json::<Value>().await?["error"]["code"], "other_host");
    for (method, below) in [
        ("GET", "comparisons".to_owned()),
        ("GET", "comparisons/none".to_owned()),
        ("POST", "comparisons/none/drop".to_owned()),
        ("POST", format!("runs/{run}/restore")),
        ("POST", format!("toft/runs/{run}/approve")),
        ("POST", "schedules".to_owned()),
    ] {
        let body = (method == "POST").then(|| json!({}));
        let (status, refused) = b.request(method, &format!("{at}/{below}"), body).await?;
        let said = (status, refused["error"]["code"].as_str().or(refused["code"].as_str()));
        assert_eq!(said, (421, Some("other_host")), "{method} {below}: {refused}");
    }
    for below in
        ["runs", &format!("runs/{run}"), &format!("runs/{run}/messages"), "schedules", "webhooks"]
    {
        b.call("GET", &format!("{at}/{below}"), None).await?;
    }
    let none = a.call("GET", &format!("{at}/comparisons"), None).await?;
    assert_eq!(none, json!([]), "nothing of it stays");
    let (status, refused) = b.request("POST", "/v1/vault/rotate", Some(json!({}))).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("conflict")), "{refused}");

    // A key that is made at one opens the other, and when it is taken back none.
    let made = a.call("POST", "/v1/keys", Some(json!({"name": "k", "scopes": ["read"]}))).await?;
    let key = made["key"].as_str().context("a key")?.to_owned();
    let opens = async |toft: &Toft, want: u16| {
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            let url = format!("{}/v1/projects", toft.base);
            let status = toft.http().get(url).bearer_auth(&key).send().await?.status().as_u16();
            if status == want {
                return Ok(());
            }
            ensure!(Instant::now() < until, "the key answers {status}, not {want}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    opens(&b, 200).await?;
    let id = made["id"].as_str().context("its id")?;
    a.call("DELETE", &format!("/v1/keys/{id}"), None).await?;
    opens(&b, 401).await?;

    // Its host is gone. What works there goes on; here it is said what is waited for.
    a.kill_server();
    let waits = until_within(&b, &path, GONE, |run| run["statusDetail"] == "waiting_host").await?;
    assert_eq!(
        (&waits["status"], &waits["waitsFor"]),
        (&json!("running"), &json!("host")),
        "{waits}"
    );
    let (status, refused) =
        b.request("POST", &format!("{at}/exec"), Some(json!({"command": "true"}))).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("waiting_host")), "{refused}");
    let queued = ask(&b, &project, "two", "go").await?;
    a.up().await?;
    let touched = a.exec(&project, "touch go").await?;
    ensure!(touched["exitCode"] == 0, "{touched}");
    let events = follow(&b, &path, GONE).await?;
    gapless(&events)?;
    for once in
        ["queued", "running", "plan_ready", "waiting_host", "host_back", "git_commit", "done"]
    {
        assert_eq!(words(&events, once), 1, "{once} of {events:?}");
    }
    let queued = format!("{at}/runs/{queued}");
    let ended = until_within(&b, &queued, GONE, is_over).await?;
    assert_eq!(
        (&ended["status"], &ended["statusDetail"]),
        (&json!("completed"), &Value::Null),
        "{ended}"
    );
    gapless(&follow(&b, &queued, GONE).await?)?;
    assert_eq!(a.exec(&project, "cat made").await?["stdout"], "a line\na line\n");

    // Deleted at the one, removed at the other.
    b.call("DELETE", &at, None).await?;
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        let left: Vec<_> = ["run/m", "logs", "store"]
            .iter()
            .flat_map(|below| named(&a.data.join(below), &project, 4))
            .collect();
        if left.is_empty() && a.init_pid(&project).is_none() {
            break;
        }
        ensure!(Instant::now() < until, "left of a deleted project: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    b.down()?;
    a.down()
}

/// What lies below a folder under that name.
fn named(folder: &Path, name: &str, depth: u32) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(name) {
            found.push(entry.path());
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(named(&entry.path(), name, depth - 1));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_machine_is_done_by_whoever_is_left() -> Result<()> {
    let Some(house) = House::build("many_servers").await? else { return Ok(()) };
    let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
    // The first one takes runs, and works on none.
    let mut a = Toft::start(house.start(&[("TOFT_RUNS_AT_ONCE", "0")])).await?;
    let body = json!({"name": "Later", "start": false});
    let project = a.call("POST", "/v1/projects", Some(body)).await?;
    assert_eq!(project["state"], "cold", "{project}");
    let project = project["id"].as_str().context("an id")?.to_owned();
    let run = ask(&a, &project, "one", "go").await?;
    ensure!(a.init_pid(&project).is_none(), "nothing was made for it");
    a.kill_server();
    let b = house.beside(&a, &[], &folder.path().join("b/data")).await?;
    let path = format!("/v1/projects/{project}/runs/{run}");
    let ended = until_within(&b, &path, GONE, is_over).await?;
    assert_eq!(ended["status"], "completed", "{ended}");
    gapless(&follow(&b, &path, GONE).await?)?;
    ensure!(b.init_pid(&project).is_some(), "its machine is there");
    // From now on it is the other one's.
    a.up().await?;
    let (status, refused) =
        a.request("POST", &format!("/v1/projects/{project}/wake"), Some(json!({}))).await?;
    assert_eq!((status, &refused["error"]["code"]), (421, &json!("other_host")), "{refused}");
    b.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    b.down()?;
    a.down()
}

/// Runs are asked for at two servers while the database ends as often as `ends` says.
async fn through_crashes(ends: u32, each: u32) -> Result<()> {
    let Some(mut house) = House::build("many_servers").await? else { return Ok(()) };
    let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
    let a = house.server().await?;
    let b = house.beside(&a, &[], &folder.path().join("b/data")).await?;
    let (pa, pb) = (place(&a).await?, place(&b).await?);
    let (pids, asked) = ((a.server_pid(), b.server_pid()), ends * each);
    // Each is asked for at the server that does not work on it, and followed there.
    let work = async |toft: &Toft, project: &str| {
        let mut runs = Vec::new();
        for n in 0..asked {
            let run = ask(toft, project, &format!("k{n}"), "go").await?;
            let path = format!("/v1/projects/{project}/runs/{run}");
            let events = follow(toft, &path, GONE).await?;
            gapless(&events)?;
            runs.push(path);
        }
        Ok::<_, anyhow::Error>(runs)
    };
    let crashes = async {
        for n in 0..ends {
            tokio::time::sleep(Duration::from_millis(1_500 + u64::from(n) * 700)).await;
            house.postgres.crash()?;
            tokio::time::sleep(Duration::from_millis(500 + u64::from(n % 3) * 2_500)).await;
            house.postgres.begin()?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let (of_a, of_b, crashed) = tokio::join!(work(&b, &pa), work(&a, &pb), crashes);
    crashed?;
    for (toft, project, runs) in [(&a, &pa, of_a?), (&b, &pb, of_b?)] {
        for path in &runs {
            let run = until_within(toft, path, GONE, is_over).await?;
            assert_eq!(
                (&run["status"], &run["error"]),
                (&json!("completed"), &Value::Null),
                "{run}"
            );
        }
        let made = toft.exec(project, "wc -l < made").await?;
        let lines = made["stdout"].as_str().unwrap_or_default().trim().to_owned();
        assert_eq!(lines, asked.to_string(), "each was worked on once");
    }
    assert_eq!(pids, (a.server_pid(), b.server_pid()), "no server was started again");
    b.down()?;
    a.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_ends_under_load_loses_nothing_and_needs_no_new_start() -> Result<()> {
    through_crashes(2, 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_that_ends_again_and_again() -> Result<()> {
    if !lane::deep() {
        lane::skip("a database that ends again and again", "only in the long lane");
        return Ok(());
    }
    through_crashes(12, 4).await
}
